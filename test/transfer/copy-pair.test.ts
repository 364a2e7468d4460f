/** A pair copied to another, over stores in memory: what comes along, what does not, and in which order. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { deleteManifest } from "../../registry/repository/delete.ts";
import * as keys from "../../registry/repository/keys.ts";
import { copyPair } from "../../transfer/index.ts";
import type { FakeBackend } from "../helpers/fake-stores.ts";
import { randomOf, seedOf } from "../helpers/random.ts";
import { brokenRules } from "../registry/repository/integrity.ts";
import { context, digestOf, imageOf, pushImage, putImage, startCore, testClock } from "../registry/repository/world.ts";
import { backendOf, blobsOf, factsOf } from "./worlds.ts";

async function filled(t: TestContext) {
  const source = backendOf(1);
  const { repositories: core } = await startCore({ backend: source });
  t.after(() => core.close());
  const one = await pushImage(core, "app", ["v1", "latest"], { layers: ["one", "two"] });
  await pushImage(core, "app", ["v2"], { layers: ["two", "three"] });
  await pushImage(core, "team/app", ["v1"], { layers: ["one"] });
  await putImage(core, "app", [], imageOf({ subject: one, artifactType: "application/x" }));
  return { source, core, one };
}

describe("a pair copied to another", () => {
  it("has the same facts and bytes, its own derived keys, and nothing of the source's own", async (t) => {
    const { source } = await filled(t);
    const target = backendOf(2);
    const tally = await copyPair(source.connect(), target.connect(), { clock: testClock });
    assert.deepEqual(tally.problems.kept, []);
    assert.deepEqual(factsOf(target), factsOf(source));
    assert.deepEqual(blobsOf(target), blobsOf(source));
    assert.deepEqual(brokenRules(target), []);
    const own = (backend: FakeBackend) =>
      [...backend.metaText("outrigger/").keys()].filter((key) => !/^outrigger\/(?:index|secrets|copy)\//.test(key));
    assert.deepEqual(own(target), own(source));
    assert.equal(target.metaText(keys.locationSecretKey).size, 0);
    assert.match(target.metaText(keys.indexMarkerKey).get(keys.indexMarkerKey) ?? "", /22222222-/);
    assert.equal(target.metaText(keys.copyHolderKey).size, 0);
    assert.equal(target.metaText().get(keys.copySourceKey), source.metaFacts.id);
  });

  it("copies nothing again, and only what is new", async (t) => {
    const { source, core } = await filled(t);
    const target = backendOf(2);
    await copyPair(source.connect(), target.connect(), { clock: testClock });
    const stores = target.connect();
    const again = await copyPair(source.connect(), stores, { clock: testClock });
    assert.equal(again.blobs.copied, 0);
    assert.equal(again.blobs.same, source.blobs.size);
    assert.deepEqual(
      stores.takeCalls().filter((method) => /put|append/.test(method)),
      [],
    );
    await pushImage(core, "app", ["v1"], { layers: ["four"] });
    const third = await copyPair(source.connect(), target.connect(), { clock: testClock });
    assert.equal(third.blobs.copied, 2);
    assert.equal(third.links.tags.copied, 1);
    assert.deepEqual(factsOf(target), factsOf(source));
    assert.deepEqual(brokenRules(target), []);
  });
});
