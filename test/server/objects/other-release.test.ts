/** Uploads whose saved digest another release made, so that this one cannot go on with it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { stateName } from "../../../server/objects/names.ts";
import { decodeState, encodeState } from "../../../server/objects/state.ts";
import { bytes, failsWith, sha256 } from "../kit.ts";
import { call, ObjectsRig, PART, writeAll } from "./rig.ts";

const data = bytes(4 * PART + 7);

/** An upload with so many bytes of the data, closed; then its digest is of a release that nobody knows. */
async function begun(rig: ObjectsRig, bytesWritten: number): Promise<void> {
  const upload = await rig.replica().driver.open("u", { create: true, key: "k" }, call);
  await writeAll(upload, data.subarray(0, bytesWritten));
  await upload.flush();
  await upload.close();
  const name = stateName("u");
  const stored = rig.backend.objects.get(name);
  assert.ok(stored !== undefined);
  const state = decodeState(stored.data, name);
  assert.ok(state.hash !== undefined);
  const saved = Buffer.from(state.hash.state, "base64");
  // The library's own mark of its release.
  saved.writeUInt32BE((saved.readUInt32BE(0) ^ 0xff) >>> 0, 0);
  const hash = { ...state.hash, state: saved.toString("base64") };
  rig.backend.objects.set(name, { ...stored, data: encodeState({ ...state, hash }) });
}

describe("an upload whose digest this release cannot take up", () => {
  it("is ended when it is opened, where its parts lie under their key", async () => {
    const rig = new ObjectsRig({ direct: true });
    await begun(rig, 2 * PART + 5);
    const { driver } = rig.replica();
    await failsWith(driver.open("u", { create: false, key: "k" }, call), "UPLOAD_NOT_FOUND");
    assert.deepEqual(rig.left(), []);
  });

  it("is begun anew, where its parts lie under their key and whoever opens it may make it", async () => {
    const rig = new ObjectsRig({ direct: true });
    await begun(rig, 2 * PART + 5);
    const upload = await rig.replica().driver.open("u", { create: true, key: "k" }, call);
    assert.equal(upload.persistedBytes, 0);
    await upload.close();
  });

  for (const [what, direct, bytesWritten] of [
    ["parts are staged", false, 2 * PART + 5],
    ["bytes are less than a part", true, 5],
  ] as const) {
    it(`goes on where its ${what}: they are read again`, async () => {
      const rig = new ObjectsRig({ direct });
      await begun(rig, bytesWritten);
      const upload = await rig.replica().driver.open("u", { create: false, key: "k" }, call);
      assert.equal(upload.persistedBytes, bytesWritten);
      await writeAll(upload, data.subarray(bytesWritten));
      const digest = await upload.digest?.("sha256", call);
      assert.equal(digest, sha256(data));
      await upload.commit({ key: "k", digest, keep: false }, call);
      assert.deepEqual(rig.content("k"), data);
      assert.deepEqual(rig.left(), []);
    });
  }
});
