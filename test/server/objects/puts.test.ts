/** A put with a condition whose answer is lost, late or a refusal, and the write of the store's id. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import { initialiseStore } from "../../../server/objects/store-id.ts";
import type { FakeFault } from "../../helpers/fake-objects.ts";
import { bytes, failsWith } from "../kit.ts";
import { call, ObjectsRig } from "./rig.ts";

const data = bytes(50);
const slower = new OutriggerError("THROTTLED", "slower", { retryAfterMs: 3000 });
const late = new OutriggerError("TOO_LATE", "too late");

/** @param faults of the puts, in order */
function rigOf(...faults: readonly FakeFault[]) {
  const rig = new ObjectsRig();
  let puts = 0;
  const { driver, store } = rig.replica({
    fault: ({ operation }) => (operation === "put" ? (faults[puts++] ?? "pass") : "pass"),
  });
  const put = () => driver.put?.("k", data, { ifAbsent: true }, call) ?? assert.fail();
  return { rig, store, put, puts: () => puts };
}

describe("a put with a condition", () => {
  it("that was throttled had no effect, and is the caller's to repeat", async () => {
    const { put, puts, rig } = rigOf(slower);
    await failsWith(put(), "THROTTLED");
    assert.equal(puts(), 1);
    assert.equal(rig.content("k"), undefined);
  });

  it("that was called throttled when its work was done is found", async () => {
    const { put, puts } = rigOf({ answerAfter: slower });
    assert.equal((await put()).sizeBytes, data.length);
    assert.equal(puts(), 1);
  });

  for (const [what, fault] of [
    ["throttled", slower],
    ["too late", late],
  ] as const) {
    it(`that is ${what} the second time is not said to have had no effect`, async () => {
      await failsWith(rigOf("cut", fault).put(), "BACKEND_DOWN");
      await failsWith(rigOf("cut", "cut", "cut", fault).put(), "BACKEND_DOWN");
      const { put, rig } = rigOf("lost", fault);
      assert.equal((await put()).sizeBytes, data.length);
      assert.deepEqual(rig.content("k"), data);
    });
  }
});

describe("the store's id", () => {
  it("is the one that was written by a request which was called throttled", async () => {
    const { store } = rigOf({ answerAfter: slower });
    const id = await initialiseStore(store, call.signal);
    assert.equal(await initialiseStore(store, call.signal), id);
  });

  it("is none where the request was throttled", async () => {
    await failsWith(initialiseStore(rigOf(slower).store, call.signal), "THROTTLED");
  });
});
