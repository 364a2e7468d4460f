import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ResumableHash } from "../../../server/objects/saved-hash.ts";

describe("a digest that is taken up elsewhere", () => {
  for (const algorithm of ["sha256", "sha512"] as const) {
    it(`is ${algorithm}'s own, however often it was saved and asked between`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }), async (pieces) => {
          const whole = createHash(algorithm);
          let hash = await ResumableHash.begin(algorithm);
          for (const piece of pieces) {
            whole.update(piece);
            hash.update(piece);
            assert.equal(hash.digest(), `${algorithm}:${whole.copy().digest("hex")}`);
            hash = await ResumableHash.resume(hash.save());
          }
          assert.equal(hash.position, Buffer.concat(pieces).length);
          assert.equal(hash.digest(), `${algorithm}:${whole.digest("hex")}`);
        }),
      );
    });
  }

  it("refuses a state that is none", async () => {
    await assert.rejects(ResumableHash.resume({ algorithm: "sha256", position: 3, state: "AAAA" }));
  });
});
