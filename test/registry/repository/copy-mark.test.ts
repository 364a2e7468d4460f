/** A pair that was made by copies and now takes pushes: no copy run again may delete those unasked. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import { createRepositories } from "../../../registry/repository/index.ts";
import { copySourceKey, tagLink } from "../../../registry/repository/keys.ts";
import { copyPair } from "../../../transfer/index.ts";
import { FakeClock } from "../../client/fakes.ts";
import type { FakeBackend, FakeCall } from "../../helpers/fake-stores.ts";
import { backendOf } from "../../transfer/worlds.ts";
import { type Data, newData, startCore as startMoving } from "../moving/world.ts";
import { pushImage, silent, startCore, testClock } from "./world.ts";

async function copied(t: TestContext) {
  const source = backendOf(1);
  const { repositories: core } = await startCore({ backend: source });
  t.after(() => core.close());
  await pushImage(core, "app", ["v1"], { layers: ["one"] });
  const target = backendOf(2);
  const copy = (accept = false) =>
    copyPair(source.connect(), target.connect(), {
      clock: testClock,
      delete: true,
      ...(accept ? { acceptTarget: target.metaFacts.id } : {}),
    });
  await copy();
  assert.ok(isMarked(target));
  return { source, target, copy };
}

const isMarked = (backend: FakeBackend) => backend.meta.has(copySourceKey);

/** A core whose time is the test's. */
async function serve(t: TestContext, backend: FakeBackend, mode: "one" | "many", readOnly = () => false) {
  const clock = new FakeClock();
  const core = createRepositories({ stores: backend.connect(), mode, clock, log: silent, readOnly });
  await clock.until(core.start());
  t.after(() => clock.until(core.close()));
  await clock.advance(0);
  return { core, clock };
}

for (const mode of ["many", "one"] as const) {
  test(`cores: ${mode}: who serves a copy read-write makes it stores of its own; copies with delete ask then`, async (t) => {
    const { target, copy } = await copied(t);
    const { core } = await serve(t, target, mode);
    assert.equal(isMarked(target), false);
    if (mode === "one") return;
    await pushImage(core, "app", ["since"], { layers: ["two"] });
    await assert.rejects(copy(), /was not made by copies of FROM.*--accept-target 22222222-/);
    assert.ok(target.metaText().has(tagLink("app", "since")));
    await copy(true);
    assert.equal(target.metaText().has(tagLink("app", "since")), false);
  });
}

test("a mirror that is served with readOnly stays one, until it takes pushes", async (t) => {
  const { target, copy } = await copied(t);
  let readOnly = true;
  const { core, clock } = await serve(t, target, "many", () => readOnly);
  await clock.advance(2 * 60 * 60 * 1000);
  assert.ok(isMarked(target));
  await copy();
  readOnly = false;
  core.becameWritable();
  await clock.advance(0);
  assert.equal(isMarked(target), false);
});

test("a copy that ends while pushes are taken is seen within the hour", async (t) => {
  const { target, copy } = await copied(t);
  const { clock } = await serve(t, target, "many");
  await copy(true);
  assert.ok(isMarked(target));
  await clock.advance(61 * 60 * 1000);
  assert.equal(isMarked(target), false);
});

test("a core that is switched to the copy takes the mark away once that is opened", async (t) => {
  const data: Data = newData();
  const next = backendOf(4);
  next.putMeta(copySourceKey, data.meta.metaFacts.id);
  let sealed = true;
  let seen: () => void = () => undefined;
  const refused = new Promise<void>((resolve) => {
    seen = resolve;
  });
  let gone: () => void = () => undefined;
  const removed = new Promise<void>((resolve) => {
    gone = resolve;
  });
  const meta = {
    before({ method, keys }: FakeCall) {
      if (method !== "meta.write" || !keys.includes(copySourceKey) || !sealed) return;
      seen();
      throw new OutriggerError("READ_ONLY", "this store is sealed");
    },
    after({ method, keys }: FakeCall) {
      if (method === "meta.write" && keys.includes(copySourceKey)) gone();
    },
  };
  const core = await startMoving(data, "none", { metas: { next }, hooks: { meta } });
  t.after(() => core.repositories.close());
  await core.stores.switchTo("meta", { address: "next" });
  await refused;
  assert.ok(isMarked(next));
  sealed = false;
  await removed;
  assert.equal(isMarked(next), false);
});
