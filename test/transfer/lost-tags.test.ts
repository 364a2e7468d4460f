/** Tags whose manifest was deleted by its digest, as distribution leaves them: 404 at the source, and so at the target. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import * as keys from "../../registry/repository/keys.ts";
import { copyPair, diffPairs } from "../../transfer/index.ts";
import { brokenRules } from "../registry/repository/integrity.ts";
import { pushImage, startCore, testClock } from "../registry/repository/world.ts";
import { backendOf, factsOf } from "./worlds.ts";

async function filled(t: TestContext) {
  const source = backendOf(1);
  const { repositories: core } = await startCore({ backend: source });
  t.after(() => core.close());
  await pushImage(core, "app", ["kept"], { layers: ["one"] });
  const deleted = await pushImage(core, "app", ["v1", "v2"], { layers: ["two"] });
  const target = backendOf(2);
  const lose = () => source.meta.delete(keys.revisionLink("app", deleted));
  const diff = () => diffPairs(source.connect(), target.connect(), { clock: testClock, only: "meta" });
  return { source, target, core, deleted, lose, diff };
}

for (const only of ["meta", undefined] as const) {
  test(`a deleted image does not come back with its tags (${only ?? "both stores"})`, async (t) => {
    const { source, target, deleted, lose, diff } = await filled(t);
    lose();
    if (only === "meta") for (const [key, { bytes }] of source.blobs.entries()) target.putBlob(key, bytes);
    const copy = () =>
      copyPair(source.connect(), target.connect(), { clock: testClock, ...(only === undefined ? {} : { only }) });
    for (let run = 0; run < 2; run += 1) {
      const tally = await copy();
      assert.deepEqual([tally.dangling, tally.problems.kept], [2, []]);
    }
    const facts = factsOf(target);
    assert.deepEqual(
      [keys.revisionLink("app", deleted), keys.tagLink("app", "v1")].map((key) => facts.has(key)),
      [false, false],
    );
    assert.ok(facts.has(keys.tagLink("app", "kept")));
    assert.deepEqual(brokenRules(target), []);
    const report = await diff();
    // Two tags, and the history of each.
    assert.deepEqual([report.dangling, report.differences], [4, 0]);
  });
}

test("with delete, what such a tag named before at the target goes", async (t) => {
  const { source, target, core, diff } = await filled(t);
  await copyPair(source.connect(), target.connect(), { clock: testClock });
  const moved = await pushImage(core, "app", ["v1"], { layers: ["three"] });
  source.meta.delete(keys.revisionLink("app", moved));
  await copyPair(source.connect(), target.connect(), { clock: testClock });
  assert.equal((await diff()).counts.tags.differs, 1);
  const tally = await copyPair(source.connect(), target.connect(), { clock: testClock, delete: true });
  assert.deepEqual([tally.dangling, tally.problems.kept, tally.links.tags.deleted], [1, [], 1]);
  assert.equal(target.meta.has(keys.tagLink("app", "v1")), false);
  assert.ok(target.meta.has(keys.tagLink("app", "v2")));
  assert.equal((await diff()).differences, 0);
  assert.deepEqual(brokenRules(target), []);
});
