import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import { createRepositories, type RunningRepositories } from "../../../registry/repository/index.ts";
import { memberListKey } from "../../../registry/repository/keys.ts";
import { ALONE, type DeclaredList } from "../../../registry/repository/member-list.ts";
import { FakeBackend, type FakeHooks, type FakeStores } from "../../helpers/fake-stores.ts";
import { settle, VirtualClock } from "./virtual-clock.ts";
import { context, pushBlob, silent } from "./world.ts";

const OUTDATED = { name: "ListOutdated", code: "UNAVAILABLE", status: 503 };
const one: DeclaredList = { hash: "one", isMember: true };
const two: DeclaredList = { hash: "two", previous: "one", isMember: true };
const oneAgain: DeclaredList = { hash: "one", previous: "two", isMember: true };

interface Core {
  readonly core: RunningRepositories;
  readonly stores: FakeStores;
}

class World {
  readonly clock = new VirtualClock();
  readonly backend = new FakeBackend();
  readonly #t: TestContext;

  constructor(t: TestContext) {
    this.#t = t;
    this.backend.now = () => this.clock.now();
  }

  async start(list?: DeclaredList, mode: "one" | "many" = "many", hooks: FakeHooks = {}): Promise<Core> {
    const stores = this.backend.connect(hooks);
    const core = createRepositories({ stores, mode, clock: this.clock, log: silent });
    if (list) core.list.declare(list);
    await core.start();
    this.#t.after(() => core.close());
    await this.clock.advance(10);
    return { core, stores };
  }

  /** Names the list that all go by. */
  held(): string | undefined {
    const item = this.backend.meta.get(memberListKey);
    return item && (JSON.parse(item.value.toString()) as { list: string }).list;
  }
}

async function pushes({ core }: Core): Promise<boolean> {
  try {
    await pushBlob(core, "app", String(Math.random()));
    return true;
  } catch (error) {
    assert.equal((error as Error).name, "ListOutdated", String(error));
    return false;
  }
}

async function answers({ core }: Core): Promise<boolean> {
  return core.list.assertCurrent().then(
    () => true,
    () => false,
  );
}

test("from the moment in which another core has the next list, one with the list before writes nothing", async (t) => {
  const world = new World(t);
  const [first, second] = [await world.start(one), await world.start(one)];
  assert.deepEqual([await pushes(first), await pushes(second)], [true, true]);
  first.core.list.declare(two);
  await settle();
  assert.equal(world.held(), "two");
  assert.deepEqual([await pushes(first), await pushes(second)], [true, false]);
  await assert.rejects(pushBlob(second.core, "app", "late"), OUTDATED);
  assert.match(second.core.list.outdated ?? "", /given this list of members up .* same configuration/);
  second.core.list.declare(two);
  await settle();
  assert.equal(second.core.list.outdated, undefined);
  assert.deepEqual([await pushes(first), await pushes(second)], [true, true]);
});

test("a Write that was on its way when the list was exchanged is refused by the store", async (t) => {
  const world = new World(t);
  const hooks: FakeHooks = {};
  const [first, second] = [await world.start(one), await world.start(one, "many", hooks)];
  hooks.before = async ({ method }) => {
    if (method !== "meta.write") return;
    hooks.before = undefined;
    first.core.list.declare(two);
    await settle();
  };
  await assert.rejects(pushBlob(second.core, "app", "late"), OUTDATED);
});

test("a list is settled only when no core answers by the one before, also one that cannot look", async (t) => {
  const world = new World(t);
  const hooks: FakeHooks = {};
  const [first, second] = [await world.start(one), await world.start(one, "many", hooks)];
  await world.clock.advance(2_000);
  // From now on its looks hang, and those who wait for one with them.
  let release = () => {};
  const stuck = new Promise<void>((resolve) => {
    release = resolve;
  });
  hooks.before = ({ keys }) => (keys.includes(memberListKey) ? stuck : undefined);
  let answered = 0;
  const still = async () => {
    const current = answers(second);
    const late = settle().then(() => false);
    return Promise.race([current, late]);
  };
  first.core.list.declare(two);
  await settle();
  for (let ms = 0; ms < 3_000; ms += 50) {
    const isAnswering = await still();
    if (isAnswering) answered += 1;
    assert.ok(!(isAnswering && first.core.list.isSettled), `settled after ${ms} ms, and the other one answers`);
    await world.clock.advance(50);
  }
  assert.ok(answered > 5, `${answered}`);
  assert.equal(first.core.list.isSettled, true);
  release();
});

test("a core that has looked a moment ago answers without another look, and looks again before its look is too old", async (t) => {
  const world = new World(t);
  const { core, stores } = await world.start(one);
  await world.clock.advance(1_000);
  stores.takeCalls();
  for (let count = 0; count < 100; count += 1) await core.list.assertCurrent();
  assert.deepEqual(stores.takeCalls(), []);
  await world.clock.advance(1_000);
  const looks = stores.takeCalls();
  assert.deepEqual(new Set(looks), new Set(["meta.get"]));
  assert.ok(looks.length >= 3 && looks.length <= 5, `${looks.length} looks in a second`);
});

test("a core that starts with a list that was given up waits for the next one", async (t) => {
  const world = new World(t);
  const first = await world.start(one);
  first.core.list.declare(two);
  await settle();
  const late = await world.start(one);
  assert.deepEqual([world.held(), await pushes(late), await answers(late)], ["two", false, false]);
  await world.clock.advance(10_000);
  assert.equal(world.held(), "two");
  late.core.list.declare(two);
  await settle();
  assert.deepEqual([await pushes(first), await pushes(late), await answers(late)], [true, true, true]);
});

test("back to a list of before: with what the cores have as the previous one", async (t) => {
  const world = new World(t);
  const { core } = await world.start(one);
  core.list.declare(two);
  await settle();
  await assert.rejects(core.list.assertMayDeclare(one), /given this list of members up/);
  await core.list.assertMayDeclare(oneAgain);
  core.list.declare(oneAgain);
  await settle();
  assert.equal(world.held(), "one");
  // And forth once more.
  await core.list.assertMayDeclare(two);
});

test("two cores that each name the other's list as the one before do not take it from each other again and again", async (t) => {
  const world = new World(t);
  const [first, second] = [await world.start(one), await world.start(one)];
  for (const { core } of [first, second]) core.list.declare(two);
  await settle();
  first.core.list.declare(oneAgain);
  for (let count = 0; count < 20; count += 1) {
    await world.clock.advance(250);
    assert.equal(world.held(), "one");
  }
  assert.deepEqual([await pushes(first), await pushes(second)], [true, false]);
  assert.match(second.core.list.outdated ?? "", /another core .* another list/);
  second.core.list.declare(oneAgain);
  await settle();
  assert.deepEqual([await pushes(second), second.core.list.outdated], [true, undefined]);
});

test("a list that is declared while the one before is being put holds in the end", async (t) => {
  const world = new World(t);
  const hooks: FakeHooks = {};
  const { core } = await world.start(one, "many", hooks);
  hooks.after = ({ operations = [] }) => {
    if (!operations.some(({ key, kind }) => kind === "put" && key === memberListKey)) return;
    hooks.after = undefined;
    core.list.declare({ hash: "three", previous: "two", isMember: true });
  };
  core.list.declare(two);
  await settle();
  assert.equal(world.held(), "three");
  await world.clock.advance(3_000);
  assert.deepEqual([core.list.outdated, core.list.isSettled], [undefined, true]);
  assert.equal(await pushes({ core, stores: world.backend.connect() }), true);
});

test("what has to be handed over was the list of all cores before", async (t) => {
  const world = new World(t);
  const { core } = await world.start(one);
  const other: DeclaredList = { hash: "three", previous: "none of theirs", isMember: true };
  await assert.rejects(core.list.assertMayDeclare(other), /cluster\.previous is not what the cores/);
  const fresh = new World(t);
  const moving = await fresh.start(two);
  assert.match(moving.core.list.outdated ?? "", /cluster\.previous is not what the cores/);
  assert.equal(fresh.held(), undefined);
});

test("a core without a cluster learns of one within a minute, and is outdated once that has other members", async (t) => {
  const world = new World(t);
  const alone = await world.start();
  assert.equal(world.held(), undefined);
  const member = await world.start({ hash: ALONE, isMember: true });
  assert.equal(world.held(), ALONE);
  await world.clock.advance(60_000);
  assert.equal(await pushes(alone), true);
  member.core.list.declare({ hash: "two", previous: ALONE, isMember: true });
  await settle();
  assert.deepEqual([await pushes(alone), await answers(alone), await pushes(member)], [false, false, true]);
  assert.match(alone.core.list.outdated ?? "", /has no section cluster/);
  await assert.rejects(member.core.list.assertMayDeclare({ hash: ALONE, isMember: false }), /to leave the cluster/);
});

test("of a registry that is no member of a cluster Writes check nothing more", async (t) => {
  const world = new World(t);
  const { core, stores } = await world.start();
  await pushBlob(core, "app", "one");
  const keys = stores.calls.flatMap(({ operations = [] }) => operations.map(({ key }) => key));
  assert.ok(keys.length > 0 && !keys.includes(memberListKey));
});

test("cores: one says which list holds, and asks nobody", async (t) => {
  const world = new World(t);
  const many = await world.start(one);
  many.core.list.declare(two);
  await settle();
  await many.core.close();
  const single = await world.start(one, "one");
  assert.equal(world.held(), "one");
  assert.deepEqual([await pushes(single), single.core.list.isSettled], [true, true]);
  await single.core.list.assertMayDeclare({ hash: "any", previous: "none of theirs", isMember: true });
});

test("a key that was put anew with the same list costs a look, no push", async (t) => {
  const world = new World(t);
  const core = await world.start(one);
  const held = world.backend.meta.get(memberListKey);
  assert.ok(held);
  world.backend.meta.set(memberListKey, { ...held, etag: "another" });
  assert.equal(await pushes(core), true);
});

test("a store that takes no Write is read by a member whose list is newer, and its list holds once it takes one", async (t) => {
  const world = new World(t);
  const hooks: FakeHooks = {
    before: ({ operations = [] }) => {
      if (operations.length > 0) throw new OutriggerError("READ_ONLY", "the store is sealed");
    },
  };
  // The store is made without it.
  await (await world.start()).core.close();
  const { core } = await world.start(one, "many", hooks);
  await world.clock.advance(5_000);
  await core.list.assertCurrent();
  assert.deepEqual([core.list.isSettled, core.list.outdated, world.held()], [false, undefined, undefined]);
  hooks.before = undefined;
  await world.clock.advance(300);
  assert.deepEqual([world.held(), core.list.isSettled], ["one", false]);
  await world.clock.advance(2_000);
  assert.equal(core.list.isSettled, true);
});

test("a store that cannot be asked: no other list, and the error says which store", async (t) => {
  const world = new World(t);
  const hooks: FakeHooks = {};
  const { core } = await world.start(one, "many", hooks);
  hooks.before = () => {
    throw new OutriggerError("UNREACHABLE", "nobody there");
  };
  await assert.rejects(
    core.list.assertMayDeclare(two),
    /cannot be told .* \(nobody there\): try again once the meta store/,
  );
  hooks.before = undefined;
});

test("another store in the place of this one: the list is put there too", async (t) => {
  const world = new World(t);
  const { core } = await world.start(one);
  world.backend.meta.clear();
  world.backend.metaFacts = { ...world.backend.metaFacts, id: "another" };
  await world.clock.advance(1_000);
  assert.deepEqual([world.held(), core.list.outdated], ["one", undefined]);
});

test("what cannot be read as a list is told by its key, and nothing is written over it", async (t) => {
  const world = new World(t);
  world.backend.meta.set(memberListKey, { value: Buffer.from("{}"), etag: "e" });
  const { core } = await world.start(one);
  await assert.rejects(core.list.assertCurrent(), { message: /outrigger\/members\/list .* not what a registry wrote/ });
  await assert.rejects(pushBlob(core, "app", "one"), OUTDATED);
  assert.equal(world.backend.meta.get(memberListKey)?.value.toString(), "{}");
});

test("a context says what goes with its Writes, and what then is a lost race", async (t) => {
  const world = new World(t);
  const { core } = await world.start();
  const put = { kind: "put", key: "team", value: Buffer.from("1") } as const;
  const check = { kind: "check", key: "mark", condition: { ifAbsent: true } } as const;
  await core.ledger.write([put], { ...context(), alsoCheck: () => check });
  world.backend.meta.set("mark", { value: Buffer.from(""), etag: "e" });
  await assert.rejects(core.ledger.write([put], { ...context(), alsoCheck: () => check }), { reason: "CONFLICT" });
  const failing = { ...put, condition: { ifAbsent: true } } as const;
  await assert.rejects(core.ledger.write([put, { ...failing, key: "mark" }], context()), {
    reason: "CONDITION_FAILED",
    metadata: { index: "1" },
  });
});
