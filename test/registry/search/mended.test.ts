/** What search is told where something was lost, damaged, far too large, or slept through. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import { rebuildIndex, verifyIndex } from "../../../registry/index/index.ts";
import * as keys from "../../../registry/repository/keys.ts";
import { describeConfig } from "../../../registry/search/describe.ts";
import { decodeRecord } from "../../../registry/search/record.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { context, digestOf, imageOf, pushBlob, pushImage, startCore, testClock } from "../repository/world.ts";

const config = JSON.stringify({ os: "linux", architecture: "arm64", created: "2026-01-02T03:04:05Z" });
const recordIn = (backend: FakeBackend, digest: string) =>
  decodeRecord(Buffer.from(backend.metaText().get(keys.imageKey("app", digest)) ?? ""));

test("a record that was made while its config was lost is mended by the push that brings it back", async () => {
  const backend = new FakeBackend();
  const { repositories: core } = await startCore({ backend });
  const image = await pushImage(core, "app", ["v1"], { config });
  const first = recordIn(backend, image);
  assert.equal(first?.image?.arch, "arm64");
  await core.close();
  backend.blobs.delete(keys.blobKey(digestOf(config)));
  backend.meta.delete(keys.imageKey("app", image));
  await rebuildIndex(backend.connect(), { clock: testClock });
  assert.equal(recordIn(backend, image)?.image, undefined);
  const { repositories: again } = await startCore({ backend });
  await pushBlob(again, "app", config);
  await pushImage(again, "app", ["v1"], { config });
  assert.equal(recordIn(backend, image)?.image?.arch, "arm64");
  await again.close();
  const { missing, wrong, stale } = await verifyIndex(backend.connect(), { clock: testClock });
  assert.deepEqual([missing, wrong, stale], [0, 0, 0]);
});

test("a damaged manifest costs what was cut of its record, not the page", async () => {
  const backend = new FakeBackend();
  const { repositories: core } = await startCore({ backend });
  const annotations = { long: "x".repeat(100_000) };
  const image = await pushImage(core, "app", ["v1"], { annotations });
  assert.equal(recordIn(backend, image)?.cut, true);
  await core.close();
  const { repositories: reader } = await startCore({ backend });
  const key = keys.blobKey(image);
  const held = backend.blobs.get(key);
  assert.ok(held !== undefined);
  backend.blobs.set(key, { ...held, bytes: Buffer.from(imageOf({ annotations: { long: "y" } })) });
  const view = await reader.search.view(context());
  const record = (await view.records("app", [image], context())).get(image);
  assert.equal(record?.mediaType, "application/vnd.oci.image.manifest.v1+json");
  await reader.close();
});

test("a config is told with a thousand steps of its history at most", () => {
  const history = Array.from({ length: 3000 }, (_, index) => ({ created_by: `step ${index}` }));
  assert.equal(describeConfig(Buffer.from(JSON.stringify({ os: "linux", history })))?.history?.length, 1000);
});

test("a machine that slept loads anew, though the clock that stands still meanwhile says that no time has passed", async () => {
  const backend = new FakeBackend();
  const clock = { ...testClock, now: () => clock.nowMs, monotonic: () => 0, nowMs: 1_700_000_000_000 };
  backend.now = clock.now;
  const { repositories: core } = await startCore({ backend, clock });
  assert.equal((await core.search.view(context())).repositoryCount, 0);
  const { repositories: other } = await startCore({ backend, clock });
  await pushImage(other, "app", ["v1"]);
  // What tells of it is tidied away while this core sleeps.
  for (const key of [...backend.metaText().keys()].filter((it) => it.startsWith(keys.changesPrefix)))
    backend.meta.delete(key);
  clock.nowMs += 2 * 60 * 60 * 1000;
  assert.equal((await core.search.view(context())).repositoryCount, 1);
});

test("an older index over a store that is read-only is served as it is", async () => {
  const backend = new FakeBackend();
  const { repositories: core } = await startCore({ backend });
  const image = await pushImage(core, "app", ["v1"]);
  await core.close();
  const marker = backend.metaText().get(keys.indexMarkerKey) ?? "";
  backend.putMeta(keys.indexMarkerKey, marker.replace(/"format":\d+/, '"format":1'));
  backend.putMeta(keys.locationSecretKey, Buffer.alloc(32, 1).toString("latin1"));
  const before = ({ method }: { method: string }) => {
    if (method === "meta.write") throw new OutriggerError("READ_ONLY", "sealed");
  };
  const { repositories: sealed } = await startCore({ backend, hooks: { before } });
  assert.equal((await sealed.getManifest("app", { tag: "v1" }, context()))?.digest, image);
});
