import assert from "node:assert/strict";
import { test } from "node:test";
import { blobKey } from "../../../registry/repository/keys.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { body, context, digestOf, imageOf, pushBlob, pushImage, putImage, readAll, startCore } from "./world.ts";

for (const mode of ["many", "one"] as const) {
  test(`cores: ${mode}: what was pushed is pulled, listed and tagged`, async (t) => {
    const { repositories: core } = await startCore({ mode });
    t.after(() => core.close());
    const parts = { layers: ["one", "two"] };
    const digest = await pushImage(core, "library/app", ["v1", "latest"], parts);
    for (const reference of [{ tag: "v1" }, { tag: "latest" }, { digest }]) {
      const found = await core.getManifest("library/app", reference, context());
      assert.deepEqual(found?.bytes, imageOf(parts));
      assert.equal(found?.digest, digest);
      assert.equal(found?.mediaType, "application/vnd.oci.image.manifest.v1+json");
      assert.deepEqual(await core.statManifest("library/app", reference, context()), {
        digest,
        sizeBytes: found.bytes.length,
        mediaType: found.mediaType,
      });
    }
    assert.equal(await readAll(await core.readBlob("library/app", digestOf("one"), undefined, context())), "one");
    assert.deepEqual(await core.statBlob("library/app", digestOf("two"), context()), {
      digest: digestOf("two"),
      sizeBytes: 3,
    });
    const range = { offsetBytes: 1, limitBytes: 1 };
    assert.equal(await readAll(await core.readBlob("library/app", digestOf("one"), range, context())), "n");
    assert.deepEqual(await core.listTags("library/app", { last: "", limit: 10 }, context()), {
      names: ["latest", "v1"],
      more: false,
    });
    assert.deepEqual(await core.listRepositories({ last: "", limit: 10 }, context()), {
      names: ["library/app"],
      more: false,
    });
    // Nothing of it is in another repository, nor in one that does not exist.
    await pushBlob(core, "other", "x");
    assert.equal(await core.getManifest("other", { digest }, context()), undefined);
    assert.equal(await core.statBlob("other", digestOf("one"), context()), undefined);
    assert.equal(await core.getManifest("library/app", { tag: "v2" }, context()), undefined);
    assert.deepEqual(await core.listTags("other", { last: "", limit: 10 }, context()), { names: [], more: false });
    assert.equal(await core.listTags("nothing", { last: "", limit: 10 }, context()), undefined);
  });

  test(`cores: ${mode}: a tag moves, and both manifests stay`, async (t) => {
    const { repositories: core } = await startCore({ mode });
    t.after(() => core.close());
    const first = await pushImage(core, "app", ["latest"], { layers: ["one"] });
    assert.equal((await core.getManifest("app", { tag: "latest" }, context()))?.digest, first);
    const second = await pushImage(core, "app", ["latest"], { layers: ["two"] });
    assert.equal((await core.getManifest("app", { tag: "latest" }, context()))?.digest, second);
    assert.equal((await core.getManifest("app", { digest: first }, context()))?.digest, first);
    await putImage(core, "app", ["latest"], imageOf({ layers: ["one"] }));
    assert.equal((await core.getManifest("app", { tag: "latest" }, context()))?.digest, first);
  });

  test(`cores: ${mode}: deletes are seen at once`, async (t) => {
    const { repositories: core } = await startCore({ mode });
    t.after(() => core.close());
    const digest = await pushImage(core, "app", ["a", "b"], { layers: ["one"] });
    const none = { names: ["a", "b"], more: false };
    assert.deepEqual(await core.listTags("app", { last: "", limit: 10 }, context()), none);
    assert.equal(await core.deleteTag("app", "a", context()), true);
    assert.equal(await core.deleteTag("app", "a", context()), false);
    assert.equal(await core.getManifest("app", { tag: "a" }, context()), undefined);
    assert.deepEqual((await core.listTags("app", { last: "", limit: 10 }, context()))?.names, ["b"]);
    assert.equal(await core.deleteManifest("app", digest, context()), true);
    assert.equal(await core.deleteManifest("app", digest, context()), false);
    assert.equal(await core.getManifest("app", { tag: "b" }, context()), undefined);
    assert.equal(await core.getManifest("app", { digest }, context()), undefined);
    assert.equal(await core.deleteBlob("app", digestOf("one"), context()), true);
    assert.equal(await core.deleteBlob("app", digestOf("{}"), context()), true);
    assert.equal(await core.statBlob("app", digestOf("one"), context()), undefined);
    assert.deepEqual(await core.listRepositories({ last: "", limit: 10 }, context()), { names: [], more: false });
  });
}

test("an upload in chunks, asked for its progress", async () => {
  const { repositories: core } = await startCore();
  const start = core.startUpload("app", "sha256");
  assert.deepEqual(await core.uploadProgress(start, context()), start);
  const one = await core.appendUpload(start, { offsetBytes: 0, bytes: body("abc") }, context());
  assert.equal(one.offsetBytes, 3);
  const two = await core.appendUpload(one, { offsetBytes: 3, bytes: body("de", "f") }, context());
  assert.equal((await core.uploadProgress(one, context())).offsetBytes, 6);
  const digest = digestOf("abcdef");
  const found = await core.finishUpload(two, digest, { offsetBytes: 6, sizeBytes: 0, bytes: body() }, context());
  assert.deepEqual(found, { digest, sizeBytes: 6 });
  assert.equal(await readAll(await core.readBlob("app", digest, undefined, context())), "abcdef");
});

test("a blob whose bytes were taken away by hand: once a pull has found out, HEAD says so too, and a push brings it back", async (t) => {
  const backend = new FakeBackend();
  const { repositories: core } = await startCore({ backend });
  t.after(() => core.close());
  const content = "x".repeat(300_000);
  const digest = await pushBlob(core, "a", content);
  assert.equal((await core.statBlob("a", digest, context()))?.sizeBytes, content.length);
  backend.blobs.delete(blobKey(digest));
  assert.equal(await core.readBlob("a", digest, undefined, context()), undefined);
  assert.equal(await core.statBlob("a", digest, context()), undefined);
  await pushBlob(core, "a", content);
  assert.equal(await readAll(await core.readBlob("a", digest, undefined, context())), content);
});
