/** The meta store is sealed while it is moved: reads go on, writes wait, and go on in the store that the core is switched to. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import { blobKey, cancelledKey, leaseBeatKey, leaseHolderKey, tagLink } from "../../../registry/repository/keys.ts";
import { FakeBackend, type FakeCall, type FakeHooks } from "../../helpers/fake-stores.ts";
import { type Data, newData, startCore } from "../moving/world.ts";
import { body, context, imageOf, pushImage, putImage } from "./world.ts";

/** Which meta backends refuse writes, as a driver with --read-only does. */
function sealing() {
  const sealed = new Set<FakeBackend>();
  const waiting: (() => void)[] = [];
  return {
    sealed,
    /** Of the next Write that is refused. */
    refused: () => new Promise<void>((resolve) => waiting.push(resolve)),
    hooks(current: () => FakeBackend): FakeHooks {
      return {
        before({ method, keys }: FakeCall) {
          if (method !== "meta.write" || !sealed.has(current())) return;
          if (!keys.includes(leaseBeatKey)) for (const resolve of waiting.splice(0)) resolve();
          throw new OutriggerError("READ_ONLY", "this store is sealed");
        },
      };
    },
  };
}

/** As `outrigger copy` leaves it: what is there, under etags of its own, without what belongs to the first store alone. */
function copyMeta(from: FakeBackend, to: FakeBackend): void {
  for (const [key, text] of from.metaText()) {
    if (key !== leaseHolderKey && key !== leaseBeatKey) to.putMeta(key, text);
  }
}

async function world(mode: "one" | "many", sealedWaitMs: () => number = () => 60_000) {
  const data: Data = newData();
  const next = new FakeBackend();
  next.metaFacts = { ...next.metaFacts, id: "44444444-4444-4444-8444-444444444444" };
  const seal = sealing();
  let current = data.meta;
  const core = await startCore(data, "none", {
    mode,
    sealedWaitMs,
    metas: { next },
    hooks: { meta: seal.hooks(() => current) },
  });
  return {
    data,
    next,
    seal,
    core,
    async switchOver() {
      current = next;
      await core.stores.switchTo("meta", { address: "next" });
    },
    close: () => core.repositories.close(),
  };
}

for (const mode of ["many", "one"] as const) {
  test(`cores: ${mode}: writes wait until the core is switched, and none fails`, async () => {
    const { data, next, seal, core, switchOver, close } = await world(mode);
    const { repositories } = core;
    const first = await pushImage(repositories, "a", ["moved", "deleted", "kept"], { config: '{"n":1}' });
    const second = await pushImage(repositories, "a", [], { config: '{"n":2}' });
    seal.sealed.add(data.meta);
    const refused = seal.refused();
    const moved = putImage(repositories, "a", ["moved"], imageOf({ config: '{"n":2}' }));
    const deleted = repositories.deleteTag("a", "deleted", context());
    const blob = pushImage(repositories, "b", ["new"], { config: '{"n":3}' });
    let settled = 0;
    for (const work of [moved, deleted, blob]) void work.finally(() => settled++);
    await refused;
    for (let n = 0; n < 20; n += 1) {
      assert.equal((await repositories.getManifest("a", { tag: "moved" }, context()))?.digest, first);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(settled, 0);
    // Etags of the next store are other ones, and some of them the same for other values.
    for (let n = 0; n < 3; n += 1) next.putMeta(`x${n}`, "");
    copyMeta(data.meta, next);
    const before = data.meta.metaText();
    await switchOver();
    assert.equal(await moved, second);
    assert.equal(await deleted, true);
    const image = await blob;
    assert.equal((await repositories.getManifest("a", { tag: "moved" }, context()))?.digest, second);
    assert.equal(await repositories.getManifest("a", { tag: "deleted" }, context()), undefined);
    assert.equal((await repositories.getManifest("a", { tag: "kept" }, context()))?.digest, first);
    assert.equal((await repositories.getManifest("b", { tag: "new" }, context()))?.digest, image);
    assert.deepEqual(data.meta.metaText(), before, "the sealed store was written to");
    assert.ok(next.metaText().has(tagLink("b", "new")));
    assert.ok(data.old.blobs.has(blobKey(image)));
    await close();
  });

  test(`cores: ${mode}: the next store is sealed too until every core reads it`, async () => {
    const { data, next, seal, core, switchOver, close } = await world(mode);
    await pushImage(core.repositories, "a", ["t"], { config: '{"n":1}' });
    await pushImage(core.repositories, "a", [], { config: '{"n":2}' });
    seal.sealed.add(data.meta);
    seal.sealed.add(next);
    const refused = seal.refused();
    const moved = putImage(core.repositories, "a", ["t"], imageOf({ config: '{"n":2}' }));
    await refused;
    copyMeta(data.meta, next);
    const again = seal.refused();
    await switchOver();
    if (mode === "many") await again;
    seal.sealed.clear();
    await moved;
    assert.equal(next.metaText().get(tagLink("a", "t")), await moved);
    await close();
  });
}

test("how long writes wait may be changed while they wait", async () => {
  let waitMs = 600_000;
  const { data, seal, core, close } = await world("many", () => waitMs);
  await pushImage(core.repositories, "a", ["t"], { config: '{"n":1}' });
  seal.sealed.add(data.meta);
  const refused = seal.refused();
  const waiting = core.repositories.deleteTag("a", "t", context());
  await refused;
  waitMs = 0;
  await assert.rejects(waiting, { status: 503 });
  seal.sealed.clear();
  await close();
});

test("an upload that is cancelled while the metadata are moved is cancelled in the next store", async () => {
  const { data, next, seal, core, switchOver, close } = await world("many");
  const begun = core.repositories.startUpload("a", "sha256");
  const piece = { offsetBytes: 0, bytes: body("half") };
  const session = await core.repositories.appendUpload(begun, piece, context());
  seal.sealed.add(data.meta);
  const refused = seal.refused();
  const cancelled = core.repositories.cancelUpload(session, context());
  await refused;
  copyMeta(data.meta, next);
  await switchOver();
  await cancelled;
  assert.ok(next.metaText().has(cancelledKey(session.id)));
  assert.equal(data.old.uploads.has(session.id), false);
  await assert.rejects(core.repositories.uploadProgress(session, context()), { code: "BLOB_UPLOAD_UNKNOWN" });
  await close();
});

test("a store that stays sealed is answered with 503 and Retry-After, once for all writes of a request", async () => {
  const { data, seal, core, close } = await world("many", () => 500);
  await pushImage(core.repositories, "a", ["t"], { config: '{"n":1}' });
  seal.sealed.add(data.meta);
  const startedMs = performance.now();
  await assert.rejects(putImage(core.repositories, "a", ["u"], imageOf({ config: '{"n":1}' })), {
    code: "UNAVAILABLE",
    status: 503,
    retryAfterSeconds: 10,
    message: /nothing could be written for 0\.5 s/,
  });
  assert.ok(performance.now() - startedMs >= 450);
  const same = context();
  await assert.rejects(core.repositories.deleteTag("a", "t", same), { status: 503 });
  const secondMs = performance.now();
  await assert.rejects(core.repositories.deleteTag("a", "t", same), { status: 503 });
  assert.ok(performance.now() - secondMs < 250);
  seal.sealed.clear();
  assert.equal(await core.repositories.deleteTag("a", "t", context()), true);
  await close();
});
