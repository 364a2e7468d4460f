import assert from "node:assert/strict";
import { test } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import { rebuildIndex } from "../../../registry/index/index.ts";
import { createRepositories, type RunningRepositories } from "../../../registry/repository/index.ts";
import * as keys from "../../../registry/repository/keys.ts";
import { FakeBackend, type FakeHooks, type FakeStores } from "../../helpers/fake-stores.ts";
import { settle, VirtualClock } from "./virtual-clock.ts";
import { context, digestOf, pushBlob, pushImage, silent } from "./world.ts";

const BEAT_MS = 1000;

interface Starting {
  readonly core: RunningRepositories;
  readonly stores: FakeStores;
  readonly started: Promise<void>;
  state: "waiting" | "started" | "refused";
}

function start(backend: FakeBackend, clock: VirtualClock, mode: "one" | "many", hooks: FakeHooks = {}): Starting {
  const stores = backend.connect(hooks);
  backend.now = () => clock.now();
  const core = createRepositories({ stores, mode, clock, log: silent, beatMs: BEAT_MS });
  const started = core.start();
  const starting: Starting = { core, stores, started, state: "waiting" };
  started.then(
    () => {
      starting.state = "started";
    },
    () => {
      starting.state = "refused";
    },
  );
  return starting;
}

/** A process that has stopped: nothing it sends arrives. */
function kill(stores: FakeStores): void {
  stores.hooks.before = () => {
    throw new OutriggerError("UNREACHABLE", "this core is dead");
  };
}

const UNAVAILABLE = { code: "UNAVAILABLE", status: 503 };

test("cores: one: a second core waits for the first, and takes over when that gives the lease back", async () => {
  const backend = new FakeBackend();
  const clock = new VirtualClock();
  const first = start(backend, clock, "one");
  await first.started;
  const second = start(backend, clock, "one");
  await clock.advance(20 * BEAT_MS);
  assert.equal(second.state, "waiting");
  await pushBlob(first.core, "app", "one");
  const closed = first.core.close();
  await clock.advance(BEAT_MS);
  await closed;
  await clock.advance(BEAT_MS);
  assert.equal(second.state, "started");
  await pushBlob(second.core, "app", "two");
  await second.core.close();
  assert.deepEqual([...backend.metaText("outrigger/lease/")], []);
});

test("a dead core's lease is taken over once its beat was seen unchanged for twice its time, not before", async () => {
  const backend = new FakeBackend();
  const clock = new VirtualClock();
  const first = start(backend, clock, "one");
  await first.started;
  kill(first.stores);
  const second = start(backend, clock, "one");
  await clock.advance(2 * BEAT_MS - 1);
  assert.equal(second.state, "waiting");
  await clock.advance(BEAT_MS);
  assert.equal(second.state, "started");
  await second.core.close();
});

test("memory is used only while the last renewal, counted from its sending, is recent", async () => {
  const backend = new FakeBackend();
  const clock = new VirtualClock();
  const first = start(backend, clock, "one");
  await first.started;
  const digest = await pushImage(first.core, "app", ["v1"], { layers: ["one"] });
  const pull = () => first.core.getManifest("app", { tag: "v1" }, context());
  await pull();
  first.stores.takeCalls();
  await pull();
  assert.deepEqual(first.stores.takeCalls(), [], "fresh: from memory");
  // Renewals no longer arrive; everything else does.
  first.stores.hooks.before = ({ keys: named }) => {
    if (named.includes(keys.leaseBeatKey)) throw new OutriggerError("UNREACHABLE", "lost");
  };
  await clock.advance(1.5 * BEAT_MS);
  first.stores.takeCalls();
  assert.equal((await pull())?.digest, digest);
  assert.deepEqual(first.stores.takeCalls(), ["meta.get"], "no longer fresh: asks");
});

test("a core that was stopped and overtaken neither serves from memory nor writes", async () => {
  const backend = new FakeBackend();
  const clock = new VirtualClock();
  const first = start(backend, clock, "one");
  await first.started;
  await pushImage(first.core, "app", ["v1"], { layers: ["one"] });
  await first.core.getManifest("app", { tag: "v1" }, context());
  kill(first.stores);
  const second = start(backend, clock, "one");
  await clock.advance(3 * BEAT_MS);
  assert.equal(second.state, "started");
  await second.core.deleteTag("app", "v1", context());
  // It wakes up, with the memory and the lease of before.
  first.stores.hooks.before = undefined;
  assert.equal(await first.core.getManifest("app", { tag: "v1" }, context()), undefined);
  await assert.rejects(pushBlob(first.core, "app", "late"), UNAVAILABLE);
  assert.equal(backend.meta.has(keys.layerLink("app", digestOf("late"))), false);
  await clock.advance(10 * BEAT_MS);
  await assert.rejects(pushBlob(first.core, "app", "late"), UNAVAILABLE);
  // And is the next in line.
  const closed = second.core.close();
  await clock.advance(BEAT_MS);
  await closed;
  await clock.advance(4 * BEAT_MS);
  await pushBlob(first.core, "app", "late");
  await first.core.close();
});

test("a renewal whose answer was lost does not cost the lease", async () => {
  const backend = new FakeBackend();
  const clock = new VirtualClock();
  const first = start(backend, clock, "one");
  await first.started;
  let lost = 0;
  first.stores.hooks.after = ({ method, keys: named }) => {
    if (method !== "meta.write" || !named.includes(keys.leaseBeatKey) || lost > 0) return;
    lost += 1;
    throw new OutriggerError("UNREACHABLE", "the answer is lost");
  };
  const holder = backend.meta.get(keys.leaseHolderKey)?.etag;
  await clock.advance(10 * BEAT_MS);
  assert.equal(lost, 1);
  assert.equal(backend.meta.get(keys.leaseHolderKey)?.etag, holder);
  await pushBlob(first.core, "app", "one");
});

test("cores: many: refused at the start while a core holds the store alone, and later in each Write", async () => {
  const backend = new FakeBackend();
  const clock = new VirtualClock();
  const many = start(backend, clock, "many");
  await many.started;
  const one = start(backend, clock, "one");
  await one.started;
  await assert.rejects(pushBlob(many.core, "app", "one"), UNAVAILABLE);
  const late = start(backend, clock, "many");
  const command = rebuildIndex(backend.connect(), { clock }).then(
    () => "done",
    (error) => error.code,
  );
  await clock.advance(3 * BEAT_MS);
  assert.equal(late.state, "refused");
  assert.equal(await command, "UNAVAILABLE");
  const closed = one.core.close();
  await clock.advance(BEAT_MS);
  await closed;
  await pushBlob(many.core, "app", "one");
});

test("cores: many: what a dead core left is cleared", async () => {
  const backend = new FakeBackend();
  const clock = new VirtualClock();
  const one = start(backend, clock, "one");
  await one.started;
  kill(one.stores);
  const many = start(backend, clock, "many");
  await clock.advance(3 * BEAT_MS);
  assert.equal(many.state, "started");
  await pushBlob(many.core, "app", "one");
});

test("a start that failed after it took the lease is begun again", async () => {
  for (const mode of ["one", "many"] as const) {
    const backend = new FakeBackend();
    const clock = new VirtualClock();
    let failing = true;
    const stores = backend.connect({
      before({ keys: named }) {
        if (failing && named.includes(keys.indexMarkerKey)) throw new OutriggerError("UNREACHABLE", "away");
      },
    });
    const core = createRepositories({ stores, mode, clock, log: silent, beatMs: BEAT_MS });
    await assert.rejects(core.start(), { reason: "UNREACHABLE" });
    failing = false;
    await core.start();
    const holder = backend.meta.get(keys.leaseHolderKey)?.etag;
    await pushBlob(core, "app", "one");
    stores.takeCalls();
    await clock.advance(4 * BEAT_MS);
    assert.equal(backend.meta.get(keys.leaseHolderKey)?.etag, holder);
    const beats = stores.takeCalls().filter((method) => method === "meta.write").length;
    assert.ok(mode === "many" ? beats === 0 : beats >= 7 && beats <= 9, `${beats} beats`);
    await core.close();
    assert.deepEqual([...backend.metaText("outrigger/lease/")], []);
  }
});

test("a store that was exchanged for another is leased and indexed anew", async () => {
  const backend = new FakeBackend();
  const clock = new VirtualClock();
  const one = start(backend, clock, "one");
  await one.started;
  await pushImage(one.core, "old", ["v1"]);
  await one.core.listRepositories({ last: "", limit: 9 }, context());
  // Other data behind the same address: link facts of distribution, nothing derived.
  backend.meta.clear();
  backend.metaFacts = { ...backend.metaFacts, id: "33333333-3333-4333-8333-333333333333" };
  const digest = digestOf("{}");
  backend.putMeta(keys.layerLink("new", digest), digest);
  one.stores.tellChanged({ outsideGrew: false, otherStore: true });
  await clock.advance(10 * BEAT_MS);
  assert.deepEqual((await one.core.listRepositories({ last: "", limit: 9 }, context())).names, ["new"]);
  await pushBlob(one.core, "new", "more");
  await settle();
  await one.core.close();
});
