/** Commands that know one blob store, while blobs lie in two: what lies in the other one is not lost. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { rebuildIndex, verifyIndex } from "../../../registry/index/index.ts";
import { copyPair } from "../../../transfer/index.ts";
import { FakeBackend, type FakeStores } from "../../helpers/fake-stores.ts";
import { backendOf } from "../../transfer/worlds.ts";
import { brokenRules } from "../repository/integrity.ts";
import { pushImage, testClock } from "../repository/world.ts";
import { type Data, newData, startCore } from "./world.ts";

/** A move, in its first phase. */
async function moving(t: TestContext) {
  const data = newData();
  const core = await startCore(data, "none");
  t.after(() => core.repositories.close());
  await core.go("read");
  return { data, core };
}

/** The meta store beside one of the two blob stores, as a command opens them. */
function pairOf(data: Data, blobs: FakeBackend): FakeStores {
  const backend = new FakeBackend();
  Object.assign(backend, { blobs: blobs.blobs, blobFacts: blobs.blobFacts, meta: data.meta.meta });
  return backend.connect();
}

test("in phase write the index is neither rebuilt nor judged by one of the two blob stores", async (t) => {
  const { data, core } = await moving(t);
  await core.go("write");
  await pushImage(core.repositories, "app", ["v1"], { layers: ["one"] });
  const before = data.meta.metaText();
  for (const run of [rebuildIndex, verifyIndex])
    for (const blobs of [data.old, data.next])
      await assert.rejects(
        run(pairOf(data, blobs), { clock: testClock }),
        /are being moved from 1{8}-.* to 3{8}-.*: do this once the move has ended/,
      );
  assert.deepEqual(data.meta.metaText(), before);
});

test("it is in phase read, and after the move", async (t) => {
  const { data, core } = await moving(t);
  await pushImage(core.repositories, "app", ["v1"], { layers: ["one"] });
  assert.equal((await rebuildIndex(pairOf(data, data.old), { clock: testClock })).withoutBytes, 0);
  await core.go("write");
  for (const [key, { bytes }] of data.old.blobs.entries()) data.next.putBlob(key, bytes);
  await core.go("done");
  assert.equal((await rebuildIndex(pairOf(data, data.next), { clock: testClock })).withoutBytes, 0);
});

test("nothing is copied into a pair whose blobs lie in two stores", async (t) => {
  const { data, core } = await moving(t);
  await core.go("write");
  await pushImage(core.repositories, "app", ["v1"], { layers: ["one"] });
  const source = backendOf(5);
  await assert.rejects(
    copyPair(source.connect(), pairOf(data, data.old), { clock: testClock }),
    /and what lies only in 3{8}-.* would be taken for lost/,
  );
  const whole = new FakeBackend();
  Object.assign(whole, { blobs: data.next.blobs, meta: data.meta.meta });
  assert.deepEqual(brokenRules(whole), []);
});
