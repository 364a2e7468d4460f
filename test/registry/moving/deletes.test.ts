/** Blobs that are deleted while they are moved stay deleted, whatever the copier has read by then; pushed again, they stay. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Tombstones, tombstonesPrefix } from "../../../registry/moving/tombstones.ts";
import { blobKey } from "../../../registry/repository/keys.ts";
import type { FakeCall } from "../../helpers/fake-stores.ts";
import { digestOf, pushBlob, testClock } from "../repository/world.ts";
import { copyBlobs, newData, startCore } from "./world.ts";

async function inWrite() {
  const data = newData();
  const core = await startCore(data, "none", { onlyCore: true });
  const digest = await pushBlob(core.repositories, "a", "to be deleted");
  await core.go("write");
  return { data, core, digest, key: blobKey(digest) };
}

test("a blob deleted after the copier has read it does not come back", async () => {
  const { data, core, key } = await inWrite();
  await copyBlobs(data, { read: () => core.stores.blobs.delete([key]) });
  assert.equal(data.old.blobs.has(key), false);
  assert.equal(data.next.blobs.has(key), false);
  assert.deepEqual(await core.stores.blobs.stat([key]), [undefined]);
});

test("a blob deleted before the copier comes to it is not copied", async () => {
  const { data, core, key } = await inWrite();
  await core.stores.blobs.delete([key]);
  data.old.putBlob(key, "to be deleted");
  await copyBlobs(data);
  assert.equal(data.next.blobs.has(key), false);
});

test("deleted and pushed again, at every moment of the copier's work, the bytes are there", async () => {
  let places = 0;
  for (; ; places += 1) {
    const { data, core, digest, key } = await inWrite();
    let calls = 0;
    const between = async (call: FakeCall) => {
      if (call.method === "meta.list" || ++calls !== places + 1) return;
      // In one go: the copier notices both at once.
      await core.stores.blobs.delete([key]);
      await pushBlob(core.repositories, "b", "to be deleted");
    };
    await copyBlobs(data, { hooks: { next: { before: between }, meta: { before: between } } });
    if (calls <= places) break;
    assert.ok(data.next.blobs.has(key), `before call ${places}`);
    assert.equal((await core.stores.blobs.stat([key]))[0]?.key, key, `before call ${places}: ${digest}`);
  }
  assert.ok(places >= 3, `only ${places} places`);
});

test("deleted early and pushed again at every moment of the copier's undoing, the bytes are there", async () => {
  let places = 0;
  for (; ; places += 1) {
    const { data, core, key } = await inWrite();
    let calls = 0;
    let deleted = false;
    let pushing: Promise<string> | undefined;
    const between = async () => {
      // A push before the delete would be another story.
      if (!deleted || ++calls !== places + 1) return;
      pushing = pushBlob(core.repositories, "b", "to be deleted");
      // As far as it gets by itself: while the copier is undoing, it waits.
      await Promise.race([pushing, new Promise((resolve) => setTimeout(resolve, 30))]);
    };
    await copyBlobs(data, {
      read: async () => {
        await core.stores.blobs.delete([key]);
        deleted = true;
      },
      hooks: { next: { before: between }, meta: { before: between } },
    });
    if (calls <= places) break;
    await pushing;
    assert.ok(data.next.blobs.has(key), `before call ${places}`);
  }
  assert.ok(places >= 4, `only ${places} places`);
});

test("a copier that died while undoing is waited for, and then passed by", async () => {
  const { data, core, key } = await inWrite();
  const clock = { ...testClock, now: () => Date.now() - 60_000 };
  const dead = new Tombstones(data.meta.connect().meta, clock);
  await dead.mark([key]);
  await assert.rejects(
    dead.undo([key], async () => {
      throw new Error("killed");
    }),
    /killed/,
  );
  assert.ok(
    data.meta
      .metaText(tombstonesPrefix)
      .get(tombstonesPrefix + key)
      ?.includes("undoing"),
  );
  await pushBlob(core.repositories, "b", "to be deleted");
  assert.equal(data.meta.metaText(tombstonesPrefix).size, 0);
  assert.ok(data.next.blobs.has(blobKey(digestOf("to be deleted"))));
});
