/**
 * Random work against a plain model of a registry: on cores of both modes, with small pages, and checked after every
 * step; then on several cores at once, where only the rules of integrity can be checked until all have come to rest.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RegistryError } from "../../../registry/errors.ts";
import { rebuildIndex, verifyIndex } from "../../../registry/index/index.ts";
import type { Repositories } from "../../../registry/repository/contract.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { brokenRules } from "./integrity.ts";
import { context, digestOf, imageOf, pushBlob, putImage, readAll, startCore, testClock } from "./world.ts";

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const STEPS = Number(process.env["STEPS"] ?? 400);

/** mulberry32 */
function seeded(state: number): () => number {
  let at = state;
  return () => {
    at = (at + 0x6d2b79f5) | 0;
    let mixed = Math.imul(at ^ (at >>> 15), 1 | at);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const NAMES = ["a", "a/b", "a-b", "a.b", "ab"];
const TAGS = ["1", "1.0", "1.0-alpine", "latest", "v"];
const CONTENTS = ["{}", "one", "two", "three"];
const IMAGES = [
  imageOf({ layers: ["one"] }),
  imageOf({ layers: ["one", "two"] }),
  imageOf({ layers: ["two", "three"] }),
  imageOf({ layers: ["one"], subject: digestOf(imageOf({ layers: ["one"] })), artifactType: "application/x" }),
  imageOf({ layers: [], subject: digestOf(imageOf({ layers: ["one"] })) }),
];
const NEEDS = [["one"], ["one", "two"], ["two", "three"], ["one"], []].map((needs) =>
  ["{}", ...needs].map((it) => digestOf(it)),
);
const SUBJECT = digestOf(IMAGES[0] as Buffer);

interface Model {
  readonly layers: Set<string>;
  readonly manifests: Set<number>;
  readonly tags: Map<string, number>;
}

interface Step {
  readonly what: string;
  readonly run: (core: Repositories) => Promise<unknown>;
  /** What must come out, and what it does to the model. */
  readonly expect: (models: ReadonlyMap<string, Model>) => unknown;
}

function randomStep(random: () => number): Step {
  const pick = <Item>(items: readonly Item[]) => items[Math.floor(random() * items.length)] as Item;
  const name = pick(NAMES);
  const content = pick(CONTENTS);
  const digest = digestOf(content);
  const at = Math.floor(random() * IMAGES.length);
  const image = IMAGES[at] as Buffer;
  const needs = NEEDS[at] as string[];
  const tag = pick(TAGS);
  const of = (models: ReadonlyMap<string, Model>, which = name) => models.get(which) as Model;
  const roll = random();
  if (roll < 0.3) {
    return {
      what: `push ${content} to ${name}`,
      run: (core) => pushBlob(core, name, content),
      expect: (models) => {
        of(models).layers.add(digest);
        return digest;
      },
    };
  }
  if (roll < 0.4) {
    const from = random() < 0.5 ? pick(NAMES) : undefined;
    return {
      what: `mount ${content} to ${name} from ${from}`,
      run: async (core) =>
        (
          await core.mountBlob(
            name,
            digest,
            { mayRead: () => true, ...(from === undefined ? {} : { from }) },
            context(),
          )
        )?.digest,
      expect: (models) => {
        const had = (from === undefined ? NAMES : [from]).some((it) => of(models, it).layers.has(digest));
        if (had) of(models).layers.add(digest);
        return had ? digest : undefined;
      },
    };
  }
  if (roll < 0.7) {
    const tags = random() < 0.2 ? [] : [...new Set([tag, pick(TAGS)])];
    return {
      what: `push image ${at} to ${name} as ${tags}`,
      run: (core) => putImage(core, name, tags, image),
      expect: (models) => {
        if (!needs.every((it) => of(models).layers.has(it))) return "MANIFEST_BLOB_UNKNOWN";
        of(models).manifests.add(at);
        for (const it of tags) of(models).tags.set(it, at);
        return digestOf(image);
      },
    };
  }
  if (roll < 0.8) {
    return {
      what: `delete tag ${tag} of ${name}`,
      run: (core) => core.deleteTag(name, tag, context()),
      expect: (models) => of(models).tags.delete(tag),
    };
  }
  if (roll < 0.9) {
    return {
      what: `delete image ${at} of ${name}`,
      run: (core) => core.deleteManifest(name, digestOf(image), context()),
      expect: (models) => {
        for (const [it, named] of of(models).tags) if (named === at) of(models).tags.delete(it);
        return of(models).manifests.delete(at);
      },
    };
  }
  return {
    what: `delete ${content} of ${name}`,
    run: (core) => core.deleteBlob(name, digest, context()),
    expect: (models) => {
      const { layers, manifests } = of(models);
      if (layers.has(digest) && [...manifests].some((it) => NEEDS[it]?.includes(digest))) return "DENIED";
      return layers.delete(digest);
    },
  };
}

async function outcome(work: Promise<unknown>): Promise<unknown> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof RegistryError) return error.code;
    throw error;
  }
}

async function compare(core: Repositories, models: ReadonlyMap<string, Model>, random: () => number): Promise<void> {
  const all = { last: "", limit: 1000 };
  const there = [...models].filter(([, it]) => it.layers.size > 0 || it.manifests.size > 0).map(([name]) => name);
  assert.deepEqual((await core.listRepositories(all, context())).names, there.sort());
  const last = NAMES[Math.floor(random() * NAMES.length)] as string;
  assert.deepEqual(await core.listRepositories({ last, limit: 2 }, context()), {
    names: there.filter((name) => name > last).slice(0, 2),
    more: there.filter((name) => name > last).length > 2,
  });
  for (const [name, model] of models) {
    const tags = [...model.tags.keys()].sort();
    const listed = await core.listTags(name, all, context());
    assert.deepEqual(listed, there.includes(name) ? { names: tags, more: false } : undefined, name);
    for (const tag of TAGS) {
      const found = await core.getManifest(name, { tag }, context());
      assert.deepEqual(found?.bytes, IMAGES[model.tags.get(tag) ?? -1], `${name}:${tag}`);
    }
    for (const [at, image] of IMAGES.entries()) {
      const found = await core.statManifest(name, { digest: digestOf(image) }, context());
      assert.equal(found?.sizeBytes, model.manifests.has(at) ? image.length : undefined, `${name} image ${at}`);
    }
    for (const content of CONTENTS) {
      const held = model.layers.has(digestOf(content)) ? content : undefined;
      assert.equal(await readAll(await core.readBlob(name, digestOf(content), undefined, context())), held);
      const size = (await core.statBlob(name, digestOf(content), context()))?.sizeBytes;
      assert.equal(size, held?.length);
    }
    const referrers = (await core.listReferrers(name, SUBJECT, all, context())).manifests.map(({ digest }) => digest);
    const wanted = [3, 4].filter((at) => model.manifests.has(at)).map((at) => digestOf(IMAGES[at] as Buffer));
    assert.deepEqual(referrers, wanted.sort(), name);
  }
}

for (const mode of ["many", "one"] as const) {
  test(`cores: ${mode}: random work comes out as in the model (seed ${seed})`, { timeout: 120_000 }, async (t) => {
    const random = seeded(seed);
    const backend = new FakeBackend();
    backend.pageLimit = 2;
    const cores: Repositories[] = [];
    for (let count = mode === "one" ? 1 : 3; count > 0; count -= 1) {
      const { repositories } = await startCore({ backend, mode, random });
      t.after(() => repositories.close());
      cores.push(repositories);
    }
    const models = new Map(NAMES.map((name) => [name, emptyModel()]));
    for (let at = 0; at < STEPS; at += 1) {
      const step = randomStep(random);
      const core = cores[Math.floor(random() * cores.length)] as Repositories;
      const came = await outcome(step.run(core));
      assert.deepEqual(came, step.expect(models), `step ${at}: ${step.what}`);
      assert.deepEqual(brokenRules(backend), [], `step ${at}: ${step.what}`);
      if (at % 10 === 0) await compare(cores[at % cores.length] as Repositories, models, random);
    }
    const { links, problems, ...differences } = await verifyIndex(backend.connect(), { clock: testClock });
    assert.ok(links >= 0);
    assert.deepEqual([Object.values(differences), problems], [[0, 0, 0, 0], []]);
  });
}

test(`several cores at once leave nothing dangling (seed ${seed})`, { timeout: 120_000 }, async () => {
  const random = seeded(seed + 1);
  for (let round = 0; round < 12; round += 1) {
    const backend = new FakeBackend();
    backend.pageLimit = 3;
    const deferred = () => new Promise((resolve) => (random() < 0.5 ? setImmediate(resolve) : resolve(undefined)));
    let gaveUp = 0;
    const work = async () => {
      const { repositories } = await startCore({ backend, random, hooks: { before: deferred, after: deferred } });
      for (let at = 0; at < 40; at += 1) {
        const step = randomStep(random);
        const came = await outcome(step.run(repositories));
        if (came === "UNAVAILABLE") gaveUp += 1;
        assert.ok(came !== "UNKNOWN", step.what);
      }
    };
    await Promise.all([work(), work(), work(), work()]);
    assert.deepEqual(brokenRules(backend, { emptyRepositories: gaveUp > 0 }), [], `round ${round}`);
    assert.ok(gaveUp <= 2, `${gaveUp} of 160 gave up`);
  }
});

test(`a rebuild of a broken index beside several cores (seed ${seed})`, { timeout: 120_000 }, async () => {
  const random = seeded(seed + 2);
  for (let round = 0; round < 12; round += 1) {
    const backend = new FakeBackend();
    backend.pageLimit = 3;
    const { repositories: first } = await startCore({ backend, random });
    for (let at = 0; at < 80; at += 1) await outcome(randomStep(random).run(first));
    for (const key of [...backend.metaText("outrigger/").keys()]) {
      if (/^outrigger\/(?:tags|refs|referrers|catalog|search\/(?:images|tags))\//.test(key) && random() < 0.5)
        backend.meta.delete(key);
    }
    const deferred = () => new Promise((resolve) => (random() < 0.5 ? setImmediate(resolve) : resolve(undefined)));
    const hooks = { before: deferred, after: deferred };
    let gaveUp = 0;
    const work = async () => {
      const { repositories } = await startCore({ backend, random, hooks });
      for (let at = 0; at < 30; at += 1) {
        if ((await outcome(randomStep(random).run(repositories))) === "UNAVAILABLE") gaveUp += 1;
      }
    };
    const rebuilding = rebuildIndex(backend.connect(hooks), { clock: testClock, random });
    await Promise.all([work(), work(), rebuilding]);
    assert.deepEqual(brokenRules(backend, { emptyRepositories: gaveUp > 0 }), [], `round ${round}`);
  }
});

function emptyModel(): Model {
  return { layers: new Set(), manifests: new Set(), tags: new Map() };
}
