import assert from "node:assert/strict";
import { test } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import { createRepositories } from "../../../registry/repository/index.ts";
import * as keys from "../../../registry/repository/keys.ts";
import { FakeClock } from "../../client/fakes.ts";
import { FakeBackend, type FakeCall } from "../../helpers/fake-stores.ts";
import { context, pushImage, silent, startCore } from "../repository/world.ts";

const FLUSH_MS = 10_000;

function countOf(backend: FakeBackend, name: string, digest: string): number | undefined {
  const text = backend.metaText().get(keys.pullsKey(name, digest));
  return text === undefined ? undefined : JSON.parse(text).count;
}

/** A core whose time is the test's, over an image that is there. */
async function serve(options: { readonly readOnly?: () => boolean } = {}) {
  const backend = new FakeBackend();
  const { repositories: writer } = await startCore({ backend });
  const image = await pushImage(writer, "app", ["v1"], { layers: ["one"] });
  const clock = new FakeClock();
  backend.now = () => clock.now();
  const stores = backend.connect();
  const core = createRepositories({ stores, mode: "many", clock, log: silent, ...options });
  await clock.until(core.start());
  const pull = () => core.getManifest("app", { tag: "v1" }, context());
  return { backend, stores, clock, core, image, pull, count: () => countOf(backend, "app", image) };
}

test("pulls are added to what the store knows every ten seconds, and at the end", async () => {
  const { clock, core, image, pull, count, backend } = await serve();
  await pull();
  await pull();
  await core.getManifest("app", { digest: image }, context());
  await core.statManifest("app", { tag: "v1" }, context());
  await core.getManifest("app", { tag: "absent" }, context());
  assert.equal(count(), undefined);
  await clock.advance(FLUSH_MS);
  assert.equal(count(), 3);
  const text = backend.metaText().get(keys.pullsKey("app", image)) ?? "";
  assert.ok(JSON.parse(text).lastMs <= clock.now());
  await pull();
  await clock.until(core.close());
  assert.equal(count(), 4);
});

test("nothing is asked of the store while nobody pulls", async () => {
  const { clock, core, stores, pull } = await serve();
  await pull();
  await clock.advance(FLUSH_MS);
  stores.takeCalls();
  await clock.advance(10 * FLUSH_MS);
  // Once a minute a core looks whether it has become one of a cluster's member.
  const asked = stores.calls.filter((call) => !call.keys.includes(keys.memberListKey));
  assert.deepEqual(asked, []);
  await clock.until(core.close());
});

test("many cores' pulls of the same image are all counted", async () => {
  const backend = new FakeBackend();
  const deferred = () => new Promise((resolve) => (Math.random() < 0.5 ? setImmediate(resolve) : resolve(undefined)));
  const hooks = { before: deferred, after: deferred };
  const cores = await Promise.all(Array.from({ length: 4 }, () => startCore({ backend, hooks })));
  const image = await pushImage(cores[0]?.repositories ?? assert.fail(), "app", ["v1"], {});
  for (const { repositories } of cores) {
    for (let at = 0; at < 5; at += 1) await repositories.getManifest("app", { tag: "v1" }, context());
  }
  await Promise.all(cores.map(({ repositories }) => repositories.close()));
  assert.equal(countOf(backend, "app", image), 20);
});

test("a store that is away gets them later; the registry ends all the same", async () => {
  const { clock, core, stores, pull, count } = await serve();
  await pull();
  stores.hooks.before = ({ method }: FakeCall) => {
    if (method === "meta.write") throw new OutriggerError("UNREACHABLE", "the driver is away");
  };
  await clock.advance(FLUSH_MS);
  assert.equal(count(), undefined);
  await pull();
  stores.hooks.before = undefined;
  await clock.advance(FLUSH_MS);
  assert.equal(count(), 2);
  await pull();
  // It never answers again.
  stores.hooks.before = ({ method }: FakeCall) => (method === "meta.get" ? new Promise(() => undefined) : undefined);
  await clock.until(core.close());
  assert.equal(count(), 2);
});

test("pulls of an image that was deleted since are forgotten, and a new one begins at nothing", async () => {
  const { backend, clock, core, image, pull, count } = await serve();
  await pull();
  await clock.advance(FLUSH_MS);
  await pull();
  await core.deleteManifest("app", image, context());
  assert.equal(count(), undefined);
  await clock.advance(FLUSH_MS);
  assert.equal(count(), undefined);
  assert.equal(backend.metaText(keys.allPullsPrefix).size, 0);
  await pushImage(core, "app", ["v1"], { layers: ["one"] });
  await pull();
  await clock.advance(FLUSH_MS);
  assert.equal(count(), 1);
  await clock.until(core.close());
});

test("an image that is deleted while its pulls are being added leaves none behind", async () => {
  const { backend, clock, core, stores, image, pull } = await serve();
  const { repositories: other } = await startCore({ backend, clock });
  await pull();
  let deleted = 0;
  stores.hooks.after = async ({ method, keys: asked }: FakeCall) => {
    if (method !== "meta.get" || !asked.includes(keys.pullsKey("app", image))) return;
    stores.hooks.after = undefined;
    if (await other.deleteManifest("app", image, context())) deleted += 1;
  };
  await clock.advance(FLUSH_MS);
  assert.equal(deleted, 1);
  assert.equal(backend.metaText(keys.allPullsPrefix).size, 0);
  await clock.until(core.close());
});

test("a registry that takes no pushes writes no pulls either, until it does", async () => {
  let readOnly = true;
  const { clock, core, pull, count } = await serve({ readOnly: () => readOnly });
  await pull();
  await clock.advance(3 * FLUSH_MS);
  assert.equal(count(), undefined);
  readOnly = false;
  await clock.advance(FLUSH_MS);
  assert.equal(count(), 1);
  await clock.until(core.close());
});

test("hundreds of images pulled at once are counted in few calls", async () => {
  const { backend, clock, core, stores } = await serve();
  const images: string[] = [];
  for (let at = 0; at < 120; at += 1) {
    images.push(await pushImage(core, "app", [], { annotations: { at: String(at) } }));
  }
  for (const digest of images) await core.getManifest("app", { digest }, context());
  stores.takeCalls();
  await clock.advance(FLUSH_MS);
  assert.deepEqual(stores.takeCalls(), ["meta.get", "meta.write", "meta.get", "meta.write", "meta.get", "meta.write"]);
  assert.ok(images.every((digest) => countOf(backend, "app", digest) === 1));
  await clock.until(core.close());
});
