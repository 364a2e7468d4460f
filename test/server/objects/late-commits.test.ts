/** A commit whose request to the backend takes longer than the commit has time. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { assertInTime } from "../../../server/calls.ts";
import type { CallContext } from "../../../server/contract.ts";
import { bytes, failsWith, sha256 } from "../kit.ts";
import { call, commit, ObjectsRig, PART, writeAll } from "./rig.ts";

const data = bytes(3 * PART + 7);

describe("a commit", () => {
  for (const [operation, options] of [
    ["complete", { direct: true }],
    ["copy", { direct: false }],
    ["complete", { direct: false }],
  ] as const) {
    it(`is cut when its time has long been over: ${operation}, ${options.direct ? "direct" : "staged"}`, async () => {
      const rig = new ObjectsRig(options);
      const { clock } = rig;
      const { driver } = rig.replica({
        fault: (request) => (request.operation === operation ? new Promise(() => {}) : "pass"),
      });
      const upload = await driver.open("u", { create: true, key: "k" }, call);
      await writeAll(upload, data);
      await upload.flush();
      const notAfterMs = clock.now() + 1000;
      const timed: CallContext = { ...call, notAfterMs, assertInTime: () => assertInTime(clock, notAfterMs) };
      await failsWith(upload.commit({ key: "k", digest: sha256(data), keep: false }, timed), "BACKEND_DOWN");
      assert.ok(clock.now() > notAfterMs, "it waited");
      assert.ok(clock.now() < notAfterMs + 10_000, `${clock.now() - notAfterMs} ms past its time`);
      await upload.close();
      // Whoever opens it next finds that it never had an effect, and may rely on that.
      const next = await rig.replica().driver.open("u", { create: false, key: "k" }, call);
      assert.equal(next.persistedBytes, data.length);
      await commit(next, "k", data);
      assert.deepEqual(rig.content("k"), data);
      assert.deepEqual(rig.left(), []);
    });
  }

  it("is not cut while it has time", async () => {
    const rig = new ObjectsRig();
    const { driver } = rig.replica();
    const upload = await driver.open("u", { create: true, key: "k" }, call);
    await writeAll(upload, data);
    // Longer than a timer can wait.
    const timed: CallContext = { ...call, notAfterMs: Number.MAX_SAFE_INTEGER };
    await upload.commit({ key: "k", digest: sha256(data), keep: false }, timed);
    assert.deepEqual(rig.content("k"), data);
  });
});
