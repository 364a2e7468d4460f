/** Which phases a core may enter, by what the cores have recorded; and what is left of a move goes when it is over. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { moveRecordKey } from "../../../registry/moving/record.ts";
import { removeEndedMove } from "../../../registry/moving/tidy.ts";
import { tombstonesPrefix } from "../../../registry/moving/tombstones.ts";
import type { Core } from "../../../registry/repository/core.ts";
import { indexMarkerKey } from "../../../registry/repository/keys.ts";
import { NoLease } from "../../../registry/repository/lease.ts";
import { Ledger } from "../../../registry/repository/ledger.ts";
import { pushImage, silent, testClock } from "../repository/world.ts";
import { type Data, NEW, newData, OLD, type Phase, startCore } from "./world.ts";

const recordOf = (data: Data) => JSON.parse(data.meta.metaText().get(moveRecordKey) ?? "{}");

async function after(...phases: readonly Phase[]): Promise<Data> {
  const data = newData();
  const core = await startCore(data, "none");
  for (const phase of phases) await core.go(phase);
  return data;
}

test("phase write needs phase read before it, in some core at least, unless the core is alone", async () => {
  const data = newData();
  const core = await startCore(data, "none");
  await assert.rejects(core.go("write"), /phase read first, or set stores\.blobs\.move\.onlyCore/);
  await assert.rejects(startCore(data, "write"), /phase read first/);
  assert.equal(core.stores.uploadStoreId, OLD, "the refused phase was entered");
  await (await startCore(data, "none", { onlyCore: true })).go("write");
  assert.deepEqual(recordOf(data), { from: OLD, to: NEW, written: true });
});

test("a core that starts in a later phase is let in once others were there", async () => {
  await startCore(await after("read"), "write");
  await startCore(await after("read", "write"), "write");
  await startCore(await after("read", "write", "done"), "write");
});

test("a core with the configuration of before is refused once blobs lie in the new store only", async () => {
  await startCore(await after("read"), "none");
  const data = await after("read", "write");
  await assert.rejects(startCore(data, "none"), /set stores\.blobs\.move as the other cores have it/);
  const core = await startCore(data, "write");
  await assert.rejects(core.go("none"), /some lie only there/);
});

test("the new store alone is refused as long as nobody has written to it", async () => {
  const data = await after("read");
  await assert.rejects(startCore(data, "done"), /no core has written to it yet/);
});

test("back from write to read, and on again", async () => {
  const data = await after("read", "write", "read", "write", "done");
  const { endedMs, ...record } = recordOf(data);
  assert.deepEqual(record, { from: OLD, to: NEW, written: true });
  assert.ok(Math.abs(endedMs - Date.now()) < 60_000);
  // A core that is still in phase write takes the end back.
  await startCore(data, "write");
  assert.equal(recordOf(data).endedMs, undefined);
});

test("the index is not made anew for blobs that were moved, and its marker goes with them", async () => {
  const data = newData();
  const first = await startCore(data, "none");
  await pushImage(first.repositories, "a", ["t"], {});
  await first.go("read");
  await first.go("write");
  data.meta.meta.delete("outrigger/tags/a/_/t");
  const marker = data.meta.metaText().get(indexMarkerKey);
  await startCore(data, "write");
  assert.equal(data.meta.metaText().get(indexMarkerKey), marker);
  await startCore(data, "done");
  assert.ok(data.meta.metaText().get(indexMarkerKey)?.includes(NEW));
  assert.equal(data.meta.metaText().has("outrigger/tags/a/_/t"), false, "the index was rebuilt");
});

test("marks and record are taken away a day after the end, and not before", async () => {
  const data = await after("read", "write");
  const writing = await startCore(data, "write");
  data.old.putBlob("a/b", "x");
  await writing.stores.blobs.delete(["a/b"]);
  const done = await startCore(data, "done");
  const at = (ms: number): Core => {
    const clock = { ...testClock, now: () => Date.now() + ms };
    const lease = new NoLease({ meta: done.stores.meta, clock, log: silent });
    const ledger = new Ledger(done.stores, lease, undefined, { clock, random: Math.random });
    return { stores: done.stores, ledger, clock, log: silent, random: Math.random } as unknown as Core;
  };
  const { signal } = new AbortController();
  assert.equal(await removeEndedMove(at(23 * 3_600_000), signal), undefined);
  assert.equal(data.meta.metaText(tombstonesPrefix).size, 1);
  assert.equal(await removeEndedMove(at(25 * 3_600_000), signal), 1);
  assert.equal(data.meta.metaText("outrigger/move/").size, 0);
});
