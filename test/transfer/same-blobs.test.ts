/** A copy to another meta store of the same blob store: the bytes are the source's, and so is what is said of them. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { encodeCondemned } from "../../registry/repository/condemned.ts";
import * as keys from "../../registry/repository/keys.ts";
import { copyPair, diffPairs } from "../../transfer/index.ts";
import { brokenRules } from "../registry/repository/integrity.ts";
import { context, digestOf, pushImage, readAll, startCore, testClock } from "../registry/repository/world.ts";
import { backendOf, factsOf } from "./worlds.ts";

async function pair(t: TestContext) {
  const source = backendOf(1);
  const target = backendOf(2);
  Object.assign(target, { blobs: source.blobs, blobFacts: source.blobFacts });
  const { repositories: core } = await startCore({ backend: source });
  t.after(() => core.close());
  await pushImage(core, "app", ["v1"], { layers: ["one"] });
  const copy = (how: { readonly delete?: boolean } = {}) =>
    copyPair(source.connect(), target.connect(), { clock: testClock, only: "meta", ...how });
  return { source, target, core, copy };
}

test("no mark of an earlier copy is ended by taking bytes away that the source has", async (t) => {
  const { source, target, core, copy } = await pair(t);
  const marker = (state: "deleting" | "gone") =>
    JSON.stringify({ ...JSON.parse(String(encodeCondemned({ state, sinceMs: Date.now() }))), by: "copy" });
  // The source is a mirror whose copy was cut short; its mark came along.
  source.putMeta(keys.condemnedKey(digestOf("two")), marker("deleting"));
  source.putBlob(keys.blobKey(digestOf("two")), "two");
  await copy();
  assert.ok(target.meta.has(keys.condemnedKey(digestOf("two"))));
  // There its bytes were taken away, and pushed again.
  source.putMeta(keys.condemnedKey(digestOf("two")), marker("gone"));
  await pushImage(core, "app", ["v2"], { layers: ["two"] });
  assert.equal(source.meta.has(keys.condemnedKey(digestOf("two"))), false);
  await copy({ delete: true });
  assert.equal(source.blobs.get(keys.blobKey(digestOf("two")))?.bytes.toString(), "two");
  assert.deepEqual(factsOf(target), factsOf(source));
  assert.deepEqual(brokenRules(target), []);
});

test("what the source has taken back of a collector does not stay condemned at the target", async (t) => {
  const { source, target, copy } = await pair(t);
  const condemned = keys.condemnedKey(digestOf("one"));
  await copy();
  // Facts are there already, so nothing but the marks is written from here on.
  const diff = async () =>
    (await diffPairs(source.connect(), target.connect(), { clock: testClock, only: "meta" })).differences;
  source.putMeta(condemned, encodeCondemned({ state: "deleting", sinceMs: Date.now() }));
  source.putMeta(keys.cancelledKey("an-upload"), "1");
  assert.equal(await diff(), 2);
  await copy();
  assert.ok(target.meta.has(condemned));
  source.meta.delete(condemned);
  source.meta.delete(keys.cancelledKey("an-upload"));
  assert.equal(await diff(), 2);
  target.putMeta(keys.locationSecretKey, "s".repeat(32));
  await copy({ delete: true });
  assert.equal(await diff(), 0);
  assert.ok(target.meta.has(keys.locationSecretKey));
  const { repositories } = await startCore({ backend: target });
  t.after(() => repositories.close());
  assert.equal(await readAll(await repositories.readBlob("app", digestOf("one"), undefined, context())), "one");
  assert.deepEqual(brokenRules(target), []);
});
