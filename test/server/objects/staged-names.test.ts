/** Names under which an upload's bytes are put together without a key: each stream's own, and those of older states. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BYTES, stagedName, stateName } from "../../../server/objects/names.ts";
import { decodeState, encodeState, type UploadState } from "../../../server/objects/state.ts";
import { bytes, failsWith, sha256 } from "../kit.ts";
import { call, commit, ObjectsRig, PART, writeAll } from "./rig.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const data = bytes(3 * PART + 7);

function stateOf(rig: ObjectsRig): UploadState {
  return decodeState(rig.content(stateName("u")) ?? Buffer.alloc(0), "u");
}

/** The state and what it names as they were written before streams had names of their own. */
function asBefore(rig: ObjectsRig): void {
  const { objects, assemblies } = rig.backend;
  const { assembly, ...rest } = stateOf(rig);
  assert.ok(assembly !== undefined);
  const name = stagedName("u", rest.incarnation);
  assert.notEqual(assembly.name, name);
  const begun = assemblies.get(assembly.ref);
  if (begun !== undefined) assemblies.set(assembly.ref, { ...begun, name });
  const staged = objects.get(assembly.name);
  if (staged !== undefined) objects.set(name, staged);
  objects.delete(assembly.name);
  const stored = objects.get(stateName("u"));
  assert.ok(stored !== undefined);
  const before = rest.sealed ? rest : { ...rest, assembly: { ...assembly, name } };
  objects.set(stateName("u"), { ...stored, data: encodeState(before) });
}

describe("bytes that are staged", () => {
  it("stay when an older stream takes away what it began", async () => {
    const rig = new ObjectsRig({ direct: false });
    let saves = 0;
    let goOn = () => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const { driver } = rig.replica({
      fault: ({ operation, name }) => (operation === "put" && name === stateName("u") && ++saves > 1 ? held : "pass"),
    });
    const first = await driver.open("u", { create: true, sender: "a", attempt: 1 }, call);
    await writeAll(first, bytes(PART + 1, 9));
    while (rig.backend.assemblies.size === 0 || saves < 2) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(stateOf(rig).assembly, undefined);
    const second = await rig.replica().driver.open("u", { create: false, sender: "b", attempt: 1 }, call);
    assert.equal(second.persistedBytes, 0);
    await writeAll(second, data);
    await second.flush();
    assert.equal(second.persistedBytes, data.length);
    goOn();
    await failsWith(first.flush(), "UPLOAD_FENCED");
    await first.close();
    await commit(second, "k", data);
    assert.deepEqual(rig.content("k"), data);
    assert.deepEqual(rig.left(), []);
  });

  it("stay when the sweep takes away what a dead stream began", async () => {
    const rig = new ObjectsRig({ direct: false });
    const dead = rig.replica();
    await writeAll(await dead.driver.open("u", { create: true }, call), bytes(PART + 1, 9));
    while (rig.backend.assemblies.size === 0) await new Promise((resolve) => setImmediate(resolve));
    dead.store.kill();
    const { driver } = rig.replica();
    const upload = await driver.open("u", { create: false }, call);
    await writeAll(upload, data);
    await upload.flush();
    rig.clock.pass(2 * DAY_MS);
    await driver.sweep();
    assert.equal(rig.backend.assemblies.size, 1);
    await commit(upload, "k", data);
    assert.deepEqual(rig.content("k"), data);
    assert.deepEqual(rig.left(), []);
  });

  it("are found by a state that was written before each stream had a name", async () => {
    const rig = new ObjectsRig({ direct: false });
    const first = await rig.replica().driver.open("u", { create: true }, call);
    await writeAll(first, data.subarray(0, 2 * PART + 3));
    await first.flush();
    await first.close();
    asBefore(rig);
    const { driver } = rig.replica();
    const upload = await driver.open("u", { create: false }, call);
    await writeAll(upload, data.subarray(upload.persistedBytes));
    await commit(upload, "k", data);
    assert.deepEqual(rig.content("k"), data);
    assert.deepEqual(rig.left(), []);
  });

  for (const before of [false, true]) {
    it(`stay one object across replicas and sweeps once they are one${before ? ", as named before" : ""}`, async () => {
      const rig = new ObjectsRig({ direct: false });
      const first = await rig.replica().driver.open("u", { create: true }, call);
      await writeAll(first, data);
      assert.match((await first.digest?.("sha512", call)) ?? "", /^sha512:/);
      await first.close();
      if (before) asBefore(rig);
      const { driver } = rig.replica();
      rig.clock.pass(2 * DAY_MS);
      await driver.sweep();
      assert.equal(rig.backend.names(BYTES).length, 1);
      const upload = await driver.open("u", { create: false }, call);
      assert.equal(upload.persistedBytes, data.length);
      await upload.commit({ key: "k", digest: sha256(data), keep: false }, call);
      assert.deepEqual(rig.content("k"), data);
      assert.deepEqual(rig.left(), []);
    });
  }
});
