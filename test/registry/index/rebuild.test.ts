import assert from "node:assert/strict";
import { test } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import { rebuildIndex, verifyIndex } from "../../../registry/index/index.ts";
import { createRepositories } from "../../../registry/repository/index.ts";
import * as keys from "../../../registry/repository/keys.ts";
import { FakeBackend, type FakeCall } from "../../helpers/fake-stores.ts";
import {
  context,
  digestOf,
  imageOf,
  pushBlob,
  pushImage,
  readAll,
  silent,
  startCore,
  testClock,
} from "../repository/world.ts";

/** Entries of changes tell of Writes, not of facts. */
function withoutChanges(meta: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...meta].filter(([key]) => !key.startsWith(keys.changesPrefix)));
}

/** What a rebuild cannot know where the old keys are gone. */
function withoutTimes(meta: ReadonlyMap<string, string>): Map<string, string> {
  const times = /,"(?:pushedMs|taggedMs)":\d+/g;
  return new Map([...withoutChanges(meta)].map(([key, value]) => [key, value.replace(times, "")]));
}

/** What distribution leaves: link facts and bytes, no derived key. */
function distributionRoot(): { backend: FakeBackend; image: string; referrer: string } {
  const backend = new FakeBackend();
  const put = (name: string, content: string | Buffer, kind: "layer" | "revision") => {
    const digest = digestOf(content);
    backend.putBlob(keys.blobKey(digest), content);
    backend.putMeta(kind === "layer" ? keys.layerLink(name, digest) : keys.revisionLink(name, digest), digest);
    return digest;
  };
  for (const name of ["app", "team/app", "team/app-two"]) {
    for (const content of ["{}", "one"]) put(name, content, "layer");
    const image = put(name, imageOf({ layers: ["one"] }), "revision");
    for (const tag of ["1.0", "1.0-alpine"]) {
      backend.putMeta(keys.tagLink(name, tag), image);
      backend.putMeta(keys.tagHistoryLink(name, tag, image), image);
    }
  }
  const image = digestOf(imageOf({ layers: ["one"] }));
  const referrer = put("app", imageOf({ subject: image, artifactType: "application/x" }), "revision");
  return { backend, image, referrer };
}

test("a root of distribution gets its catalog, tags, refs and referrers at the first start", async (t) => {
  const { backend, image, referrer } = distributionRoot();
  const { repositories: core } = await startCore({ backend });
  t.after(() => core.close());
  const all = { last: "", limit: 100 };
  assert.deepEqual((await core.listRepositories(all, context())).names, ["app", "team/app", "team/app-two"]);
  assert.deepEqual((await core.listTags("team/app", all, context()))?.names, ["1.0", "1.0-alpine"]);
  assert.equal((await core.getManifest("team/app-two", { tag: "1.0" }, context()))?.digest, image);
  assert.equal(await readAll(await core.readBlob("app", digestOf("one"), undefined, context())), "one");
  const found = await core.listReferrers("app", image, all, context());
  assert.deepEqual(
    found.manifests.map(({ digest, artifactType }) => [digest, artifactType]),
    [[referrer, "application/x"]],
  );
  // Any repository that has the blob will do for a mount.
  assert.deepEqual(await core.mountBlob("new", digestOf("one"), { mayRead: () => true }, context()), {
    digest: digestOf("one"),
    sizeBytes: 3,
  });
  const report = await verifyIndex(backend.connect(), { clock: testClock });
  assert.deepEqual(
    { ...report, links: 0 },
    { links: 0, missing: 0, wrong: 0, stale: 0, withoutBytes: 0, problems: [] },
  );
});

test("rebuild makes exactly the derived keys that pushes made", async () => {
  const { repositories: core, stores } = await startCore();
  const { backend } = stores;
  const image = await pushImage(core, "app", ["v1", "v2"], { layers: ["one", "two"] });
  await pushImage(core, "app", ["sig"], { subject: image, annotations: { a: "b" } });
  await pushImage(core, "app", ["config"], { config: JSON.stringify({ os: "linux", architecture: "arm64" }) });
  await pushBlob(core, "team/other-app", "loose");
  await core.close();
  backend.putMeta(keys.preferenceKey("somebody", "star", "app"), "");
  backend.putMeta(keys.starKey("app", "somebody"), "");
  const before = backend.metaText();
  const derived = /^outrigger\/(?:catalog|tags|refs|referrers|index|search)\//;
  for (const key of [...before.keys()].filter((it) => derived.test(it))) backend.meta.delete(key);
  const found = await verifyIndex(backend.connect(), { clock: testClock });
  assert.ok(found.missing > 0);
  const report = await rebuildIndex(backend.connect(), { clock: testClock });
  assert.equal(report.missing, found.missing);
  assert.deepEqual(withoutChanges(backend.metaText()), withoutTimes(before));
});

test("rebuild takes away what has no facts, and mends what is wrong", async () => {
  const { repositories: core, stores } = await startCore();
  const { backend } = stores;
  const image = await pushImage(core, "app", ["v1"], { layers: ["one"] });
  await core.close();
  const before = backend.metaText();
  const other = digestOf("other");
  backend.putMeta(keys.tagKey("app", "ghost"), image);
  backend.putMeta(keys.tagKey("app", "v1"), other);
  backend.putMeta(keys.catalogKey("empty/repository"), "open");
  backend.putMeta(keys.refsKey(other, "app"), "");
  backend.putMeta(keys.referrersKey("app", other, image), "{}");
  backend.putMeta(keys.referrersKey("app", image, other), "{}");
  backend.putMeta("outrigger/tags/UPPER/_/x", image);
  const record = backend.metaText().get(keys.imageKey("app", image)) ?? "";
  // What no fact says is kept; all else is made anew.
  backend.putMeta(keys.imageKey("app", image), record.replace('"sizeBytes":', '"sizeBytes":9'));
  backend.putMeta(keys.searchTagKey("app", "v1"), JSON.stringify({ digest: other, taggedMs: 5 }));
  backend.putMeta(keys.searchTagKey("app", "ghost"), JSON.stringify({ digest: image, taggedMs: 5 }));
  backend.putMeta(keys.imageKey("app", other), record);
  backend.putMeta(keys.pullsKey("app", image), JSON.stringify({ count: 7, lastMs: 8 }));
  backend.putMeta(keys.pullsKey("app", other), JSON.stringify({ count: 7, lastMs: 8 }));
  backend.putMeta(keys.starKey("app", "nobody"), "");
  backend.putMeta("outrigger/search/images/UPPER/_/x", "");
  const seen = await verifyIndex(backend.connect(), { clock: testClock });
  assert.deepEqual([seen.missing, seen.wrong, seen.stale], [0, 3, 11]);
  const mended = await rebuildIndex(backend.connect(), { clock: testClock });
  assert.deepEqual([mended.missing, mended.wrong, mended.stale], [0, 3, 11]);
  before.set(keys.pullsKey("app", image), JSON.stringify({ count: 7, lastMs: 8 }));
  before.set(keys.searchTagKey("app", "v1"), JSON.stringify({ digest: image }));
  const after = withoutChanges(backend.metaText());
  assert.deepEqual([...after].sort(), [...withoutChanges(before)].sort());
});

test("layer links without bytes are dropped; a tag to nothing is not served", async () => {
  const { backend, image } = distributionRoot();
  const gone = digestOf("gone");
  backend.putMeta(keys.layerLink("app", gone), gone);
  backend.putMeta(keys.tagLink("app", "dangling"), gone);
  backend.putMeta(keys.layerLink("app", digestOf("odd")), "not a digest");
  const named = [keys.layerLink("app", digestOf("odd")), keys.layerLink("app", gone), keys.tagLink("app", "dangling")];
  for (const run of [verifyIndex, rebuildIndex]) {
    const report = await run(backend.connect(), { clock: testClock });
    assert.equal(report.withoutBytes, 1);
    assert.deepEqual(report.problems.map(({ key }) => key).sort(), named.sort());
  }
  assert.equal(backend.meta.get(keys.layerLink("app", gone)), undefined);
  const { repositories: core } = await startCore({ backend });
  assert.equal(await core.getManifest("app", { tag: "dangling" }, context()), undefined);
  assert.equal((await core.getManifest("app", { tag: "1.0" }, context()))?.digest, image);
  await core.close();
});

test("cut short anywhere, it is begun again at the next start, and ends the same", async () => {
  const whole = distributionRoot().backend;
  await rebuildIndex(whole.connect(), { clock: testClock });
  for (let place = 0, done = false; !done; place += 3) {
    const { backend } = distributionRoot();
    backend.pageLimit = 5;
    let calls = 0;
    const dying = backend.connect({
      before() {
        calls += 1;
        if (calls > place) throw new OutriggerError("UNREACHABLE", "this core is dead");
      },
    });
    done = await rebuildIndex(dying, { clock: testClock }).then(
      () => true,
      () => false,
    );
    assert.equal(backend.meta.has(keys.indexMarkerKey), done);
    const { repositories: core } = await startCore({ backend });
    await core.close();
    const made = backend.metaText();
    made.delete(keys.locationSecretKey);
    assert.deepEqual(withoutChanges(made), withoutChanges(whole.metaText()), `call ${place}`);
  }
});

test("the index is rebuilt when the data was changed from outside, or is other data, and else only looked at", async () => {
  const { backend } = distributionRoot();
  const start = async () => {
    const { repositories: core } = await startCore({ backend });
    const { names } = await core.listRepositories({ last: "", limit: 9 }, context());
    await core.close();
    return names;
  };
  assert.equal((await start()).length, 3);
  const digest = digestOf("{}");
  backend.putMeta(keys.layerLink("late", digest), digest);
  assert.equal((await start()).length, 3, "nobody said that anything changed");
  backend.metaFacts = { ...backend.metaFacts, outside: 1 };
  assert.equal((await start()).length, 4);
  backend.putMeta(keys.layerLink("later", digest), digest);
  backend.blobFacts = { ...backend.blobFacts, id: "66666666-6666-4666-8666-666666666666" };
  assert.equal((await start()).length, 5);
  const stores = backend.connect();
  const core = createRepositories({ stores, mode: "many", clock: testClock, log: silent });
  await core.start();
  // What is kept for a while is all that is listed.
  const passing = [keys.cancelledPrefix, keys.changesPrefix];
  const isLook = ({ method, keys: [named = ""] }: FakeCall) => method === "meta.get" || passing.includes(named);
  assert.ok(stores.calls.every(isLook));
  await core.close();
});

test("a change from outside that is noticed while the core runs", async () => {
  const { backend } = distributionRoot();
  for (const mode of ["many", "one"] as const) {
    const { repositories: core, stores } = await startCore({ backend, mode });
    await core.listRepositories({ last: "", limit: 9 }, context());
    const digest = digestOf("{}");
    backend.putMeta(keys.layerLink(`new-${mode}`, digest), digest);
    backend.metaFacts = { ...backend.metaFacts, outside: backend.metaFacts.outside + 1 };
    const rebuilt = new Promise<void>((resolve) => {
      stores.hooks.after = ({ keys: written, method }) => {
        if (method === "meta.write" && written.includes(keys.indexMarkerKey)) setImmediate(resolve);
      };
    });
    stores.tellChanged({ outsideGrew: true, otherStore: false });
    await rebuilt;
    const { names } = await core.listRepositories({ last: "", limit: 9 }, context());
    assert.ok(names.includes(`new-${mode}`), mode);
    await core.close();
  }
});

test("thousands of links a second, and few calls", { timeout: 120_000 }, async (t) => {
  const backend = new FakeBackend();
  const bytes = imageOf();
  const config = digestOf("{}");
  backend.putBlob(keys.blobKey(config), "{}");
  backend.putBlob(keys.blobKey(digestOf(bytes)), bytes);
  let links = 0;
  for (let repository = 0; repository < 20; repository += 1) {
    const name = `team/app-${repository}`;
    backend.putMeta(keys.layerLink(name, config), config);
    backend.putMeta(keys.revisionLink(name, digestOf(bytes)), digestOf(bytes));
    links += 2;
    for (let at = 0; at < 300; at += 1) {
      const layer = digestOf(`layer ${at}`);
      backend.putBlob(keys.blobKey(layer), "x");
      backend.putMeta(keys.layerLink(name, layer), layer);
      backend.putMeta(keys.tagLink(name, `v${at}`), digestOf(bytes));
      links += 2;
    }
  }
  const stores = backend.connect();
  let told = 0;
  const began = performance.now();
  const report = await rebuildIndex(stores, { clock: testClock, progress: () => (told += 1) });
  const seconds = (performance.now() - began) / 1000;
  assert.equal(report.links, links);
  assert.deepEqual(report.problems, []);
  assert.ok(told > 10);
  // A budget of calls rather than of time: with 0.3 ms a call, eight at once, 12,000 links take well under a second.
  assert.ok(stores.calls.length < links / 10, `${stores.calls.length} calls for ${links} links`);
  assert.ok(links / seconds > 1000, `${Math.round(links / seconds)} links/s`);
  t.diagnostic(`${Math.round(links / seconds)} links/s, ${stores.calls.length} calls for ${links} links`);
});
