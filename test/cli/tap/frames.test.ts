/** Messages are found in a stream of bytes, however it is cut. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Frames, type SeenMessage } from "../../../cli/tap/frames.ts";
import { newSeed } from "../../helpers/random.ts";

function frame(data: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(data.length, 1);
  return Buffer.concat([head, data]);
}

describe("gRPC messages in a stream of bytes", () => {
  it("are the same however it is cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 })),
        fc.array(fc.integer({ min: 1, max: 30 })),
        (messages, cuts) => {
          const seen: SeenMessage[] = [];
          const frames = new Frames((message) => seen.push(message));
          const all = Buffer.concat(messages.map((message) => frame(message)));
          let at = 0;
          for (const cut of cuts) {
            frames.push(all.subarray(at, at + cut));
            at = Math.min(all.length, at + cut);
          }
          frames.push(all.subarray(at));
          assert.deepEqual(
            seen.map(({ data }) => data),
            messages.map((message) => Buffer.from(message)),
          );
          assert.equal(frames.totalBytes, all.length);
        },
      ),
      { seed: newSeed() },
    );
  });

  it("are counted and not kept when they are compressed or too large", () => {
    const seen: SeenMessage[] = [];
    const frames = new Frames((message) => seen.push(message));
    frames.push(frame(Buffer.from("zip"), 1));
    const large = Buffer.alloc(4 * 1024 * 1024 + 1);
    frames.push(frame(large));
    frames.push(frame(Buffer.from("plain")));
    assert.deepEqual(seen, [
      { sizeBytes: 3, data: undefined },
      { sizeBytes: large.length, data: undefined },
      { sizeBytes: 5, data: Buffer.from("plain") },
    ]);
  });
});
