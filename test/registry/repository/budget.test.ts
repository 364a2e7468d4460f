/** architecture.md, "What a push costs": driver calls per operation. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as keys from "../../../registry/repository/keys.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { body, context, digestOf, imageOf, pushBlob, pushImage, putImage, readAll, startCore } from "./world.ts";

test("POST makes no call, PUT makes three", async () => {
  const { repositories: core, stores } = await startCore();
  await pushBlob(core, "app", "first");
  stores.takeCalls();
  await pushBlob(core, "app", "second");
  assert.deepEqual(stores.takeCalls(), ["meta.get", "blob.put", "meta.write"]);
  await pushBlob(core, "app", "x".repeat(256 * 1024 + 1));
  assert.deepEqual(stores.takeCalls(), ["meta.get", "blob.append", "meta.write"]);
  // Bytes that are there already are looked at, not written over.
  await pushBlob(core, "app", "second");
  assert.deepEqual(stores.takeCalls(), ["meta.get", "blob.append", "meta.write"]);
  await pushBlob(core, "other", "second");
  assert.deepEqual(stores.takeCalls(), ["meta.get", "blob.put", "blob.append", "meta.write"]);
});

test("POST, PATCH and PUT make four", async () => {
  const { repositories: core, stores } = await startCore();
  await pushBlob(core, "app", "first");
  stores.takeCalls();
  const session = await core.appendUpload(
    core.startUpload("app", "sha256"),
    { offsetBytes: 0, bytes: body("abc") },
    context(),
  );
  assert.deepEqual(stores.takeCalls(), ["blob.append"]);
  await core.finishUpload(session, digestOf("abc"), { offsetBytes: 3, sizeBytes: 0, bytes: body() }, context());
  assert.deepEqual(stores.takeCalls(), ["meta.get", "blob.append", "meta.write"]);
});

test("a manifest by tag: a Get, a Put, a Write of about ten operations", async () => {
  const { repositories: core, stores } = await startCore();
  const parts = { layers: Array.from({ length: 80 }, (_, index) => `layer ${index}`) };
  for (const content of ["{}", ...parts.layers]) await pushBlob(core, "app", content);
  stores.takeCalls();
  await putImage(core, "app", ["v1"], imageOf(parts));
  const write = stores.calls.find(({ method }) => method === "meta.write");
  assert.ok((write?.operations?.length ?? 0) <= 11, `${write?.operations?.length} operations`);
  assert.deepEqual(stores.takeCalls(), ["meta.get", "blob.put", "meta.write"]);
  // The same manifest under another tag needs no bytes, and under the same one nothing at all.
  await putImage(core, "app", ["v2"], imageOf(parts));
  assert.deepEqual(stores.takeCalls(), ["meta.get", "meta.write"]);
  await putImage(core, "app", ["v2"], imageOf(parts));
  assert.deepEqual(stores.takeCalls(), ["meta.get"]);
});

test("a Get more for each further 90 blobs or so", async () => {
  const { repositories: core, stores } = await startCore();
  const { backend } = stores;
  for (const [blobs, gets] of [
    [91, 1],
    [181, 2],
    [271, 3],
  ] as const) {
    const layers = Array.from({ length: blobs - 1 }, (_, index) => `layer ${index}`);
    for (const content of ["{}", ...layers]) {
      backend.putBlob(keys.blobKey(digestOf(content)), content);
      backend.putMeta(keys.layerLink("app", digestOf(content)), digestOf(content));
    }
    stores.takeCalls();
    await putImage(core, "app", [`with-${blobs}`], imageOf({ layers }));
    const calls = stores.takeCalls();
    assert.equal(calls.filter((call) => call === "meta.get").length, gets);
    // The config's bytes, which did not come by this core, are read once.
    const reads = calls.filter((call) => call === "blob.read").length;
    assert.equal(reads, gets === 1 ? 1 : 0);
    assert.equal(calls.length, gets + 2 + reads);
  }
});

test("a manifest above 1 MiB goes by Append", async () => {
  const { repositories: core, stores } = await startCore();
  await pushBlob(core, "app", "{}");
  stores.takeCalls();
  const parts = { annotations: { long: "x".repeat(2 * 1024 * 1024) } };
  const digest = await putImage(core, "app", ["big"], imageOf(parts));
  assert.deepEqual(stores.takeCalls(), ["meta.get", "blob.append", "meta.write"]);
  assert.deepEqual(stores.backend.blobs.get(keys.blobKey(digest))?.bytes, imageOf(parts));
});

test("reads: a manifest one Get and at most one Read, a blob likewise, a HEAD of a blob one Get and one Stat", async () => {
  const { repositories: writer, stores } = await startCore();
  const { backend } = stores;
  const digest = await pushImage(writer, "app", ["v1"], { layers: ["one"] });
  const { repositories: core, stores: read } = await startCore({ backend });
  await core.getManifest("app", { tag: "v1" }, context());
  assert.deepEqual(read.takeCalls(), ["meta.get", "blob.read"]);
  await core.statManifest("app", { digest }, context());
  assert.deepEqual(read.takeCalls(), ["meta.get"]);
  await core.statBlob("app", digestOf("one"), context());
  assert.deepEqual(read.takeCalls(), ["meta.get", "blob.stat"]);
  await readAll(await core.readBlob("app", digestOf("one"), undefined, context()));
  assert.deepEqual(read.takeCalls(), ["meta.get", "blob.read"]);
  await readAll(await core.readBlob("app", digestOf("one"), undefined, context()));
  await core.statBlob("app", digestOf("one"), context());
  assert.deepEqual(read.takeCalls(), ["meta.get", "meta.get"]);
  await core.listTags("app", { last: "", limit: 100 }, context());
  await core.listRepositories({ last: "", limit: 100 }, context());
  await core.listReferrers("app", digest, { last: "", limit: 100 }, context());
  assert.deepEqual(read.takeCalls(), ["meta.list", "meta.list", "meta.list"]);
});

test("cores: one: what was asked once is asked no more", async (t) => {
  const backend = new FakeBackend();
  const { repositories: core, stores } = await startCore({ backend, mode: "one" });
  t.after(() => core.close());
  const digest = await pushImage(core, "app", ["v1"], { layers: ["one"] });
  const pull = async () => {
    await core.getManifest("app", { tag: "v1" }, context());
    await core.getManifest("app", { digest }, context());
    await core.statBlob("app", digestOf("one"), context());
    await readAll(await core.readBlob("app", digestOf("one"), undefined, context()));
    await core.listTags("app", { last: "", limit: 100 }, context());
    await core.listRepositories({ last: "", limit: 100 }, context());
    await core.listReferrers("app", digest, { last: "", limit: 100 }, context());
    await core.getManifest("app", { tag: "absent" }, context());
  };
  await pull();
  stores.takeCalls();
  await pull();
  assert.deepEqual(stores.takeCalls(), []);
});

test("a mount makes a Get, a Stat and a Write", async () => {
  const { repositories: core, stores } = await startCore();
  await pushBlob(core, "from", "one");
  await pushBlob(core, "to", "two");
  stores.takeCalls();
  await core.mountBlob("to", digestOf("one"), { from: "from", mayRead: () => true }, context());
  assert.deepEqual(stores.takeCalls(), ["meta.get", "blob.stat", "meta.write"]);
});
