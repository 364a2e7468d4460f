/**
 * A copy beside pushes, moves of tags and deletes at the source: at every write to the target, what it holds is whole;
 * and once the source rests, one more copy makes both equal.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OutriggerError } from "../../proto/errors.ts";
import { RegistryError } from "../../registry/errors.ts";
import type { Repositories } from "../../registry/repository/contract.ts";
import * as keys from "../../registry/repository/keys.ts";
import { copyPair } from "../../transfer/index.ts";
import type { FakeBackend } from "../helpers/fake-stores.ts";
import { type Random, randomOf, seedOf } from "../helpers/random.ts";
import { brokenRules } from "../registry/repository/integrity.ts";
import { context, digestOf, imageOf, pushBlob, putImage, startCore, testClock } from "../registry/repository/world.ts";
import { backendOf, blobsOf, factsOf } from "./worlds.ts";

const ROUNDS = 12;
const NAMES = ["a", "a/b", "a-b", "ab"];
const TAGS = ["1", "1.0", "latest"];
const LAYERS = ["one", "two", "three", "four"];

function anImage(random: Random): { readonly bytes: Buffer; readonly layers: readonly string[] } {
  // Sometimes bytes that no copy has seen before.
  const fresh = random.next() < 0.3 ? [`fresh ${random.between(0, 1e9)}`] : [];
  const layers = [...LAYERS.filter(() => random.next() < 0.5), ...fresh];
  const subject = random.next() < 0.2 ? { subject: digestOf(imageOf({ layers: ["one"] })) } : {};
  return { bytes: imageOf({ layers, ...subject }), layers };
}

/** Changes under way, by source: reads that a copy makes at once each begin one. */
const underWay = new WeakMap<FakeBackend, number>();

async function change(core: Repositories, source: FakeBackend, random: Random): Promise<void> {
  const others = underWay.get(source) ?? 0;
  underWay.set(source, others + 1);
  try {
    await changeBeside(core, source, random, others);
  } finally {
    underWay.set(source, (underWay.get(source) ?? 1) - 1);
  }
}

async function changeBeside(core: Repositories, source: FakeBackend, random: Random, others: number): Promise<void> {
  const name = random.pick(NAMES);
  const tag = random.pick(TAGS);
  const roll = random.next();
  if (roll < 0.5) {
    const { bytes, layers } = anImage(random);
    for (const layer of ["{}", ...layers]) await pushBlob(core, name, layer);
    await putImage(core, name, random.next() < 0.2 ? [] : [tag], bytes);
  } else if (roll < 0.57) await core.deleteTag(name, tag, context());
  else if (roll < 0.77) {
    const found = await core.getManifest(name, { tag }, context());
    if (found !== undefined) await core.deleteManifest(name, found.digest, context());
  } else if (roll < 0.9) await core.deleteBlob(name, digestOf(random.pick(LAYERS)), context());
  // What a push has brought and not linked yet is nobody's either: without a mark on it, only at rest.
  else if (others === 0) collect(source);
}

/** Takes bytes away that no repository has; at once, as between two steps of everything else. */
function collect(source: FakeBackend): void {
  for (const key of [...source.blobs.keys()]) {
    const digest = keys.parseBlobKey(key) ?? "";
    if (source.metaText(keys.refsPrefix(digest)).size === 0) source.blobs.delete(key);
  }
}

/** Refusals and lost races are the change's, not the copy's. */
async function tried(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof RegistryError || error instanceof OutriggerError)) throw error;
  }
}

const away = () => new OutriggerError("UNREACHABLE", "nobody answers", { metadata: { sent: "no" } });

test("a target is whole at every moment, and equal in the end", { timeout: 120_000 }, async (t) => {
  const random = randomOf(seedOf(t));
  let written = 0;
  let deleted = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const source = backendOf(1);
    const target = backendOf(2);
    source.pageLimit = random.pick([2, 5, 1000]);
    target.pageLimit = random.pick([2, 5, 1000]);
    const { repositories: core } = await startCore({ backend: source });
    for (let at = 0; at < 12; at += 1) await tried(() => change(core, source, random));
    const to = () =>
      target.connect({
        before: () => (random.next() < 0.02 ? Promise.reject(away()) : undefined),
        after({ method }) {
          if (method !== "meta.write" && method !== "blob.delete") return;
          written += 1;
          assert.deepEqual(brokenRules(target, { emptyRepositories: true }), [], `round ${round}`);
        },
      });
    // Between any two reads of the source it may have become another.
    const from = () =>
      source.connect({ before: () => (random.next() < 0.3 ? tried(() => change(core, source, random)) : undefined) });
    for (let copy = 0; copy < 3; copy += 1) {
      const tally = await copyPair(from(), to(), { clock: testClock, delete: random.next() < 0.7 });
      deleted += tally.links.manifests.deleted + tally.blobs.deleted;
    }
    const last = await copyPair(source.connect(), to(), { clock: testClock, delete: true });
    assert.deepEqual(last.problems.kept, []);
    assert.deepEqual(factsOf(target), factsOf(source), `round ${round}`);
    assert.deepEqual(blobsOf(target), blobsOf(source), `round ${round}`);
    assert.deepEqual(brokenRules(target), []);
    await core.close();
  }
  assert.ok(written > 100 && deleted > 10, `${written} writes, ${deleted} deleted`);
  t.diagnostic(`${written} writes at the target, ${deleted} manifests and blobs deleted there`);
});

test("a target that is pushed to and deleted from beside the copies stays whole", { timeout: 120_000 }, async (t) => {
  const random = randomOf(seedOf(t));
  let written = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const source = backendOf(1);
    const target = backendOf(2);
    const { repositories: core } = await startCore({ backend: source });
    const { repositories: other } = await startCore({ backend: target });
    for (let at = 0; at < 8; at += 1) await tried(() => change(core, source, random));
    const to = () =>
      target.connect({
        before: () => (random.next() < 0.3 ? tried(() => change(other, source, random)) : undefined),
        after({ method }) {
          if (method !== "meta.write" && method !== "blob.delete") return;
          written += 1;
          assert.deepEqual(brokenRules(target, { emptyRepositories: true }), [], `round ${round}`);
        },
      });
    for (let copy = 0; copy < 3; copy += 1) {
      await tried(() => change(core, source, random));
      const acceptTarget = target.metaFacts.id;
      const how = random.next() < 0.5 ? { delete: true, acceptTarget } : {};
      const tally = await copyPair(source.connect(), to(), { clock: testClock, ...how });
      assert.deepEqual(tally.problems.kept, []);
    }
    await core.close();
    await other.close();
  }
  t.diagnostic(`${written} writes of copies at the target`);
  assert.ok(written > 100);
});
