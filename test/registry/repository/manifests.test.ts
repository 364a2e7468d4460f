import assert from "node:assert/strict";
import { test } from "node:test";
import * as keys from "../../../registry/repository/keys.ts";
import { checkManifest, mediaTypes, readManifest } from "../../../registry/repository/manifest.ts";
import { brokenRules } from "./integrity.ts";
import { context, digestOf, imageOf, pushBlob, pushImage, putImage, startCore } from "./world.ts";

const descriptor = (content: string, mediaType = "application/octet-stream") => ({
  mediaType,
  digest: digestOf(content),
  size: content.length,
});
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const image = {
  schemaVersion: 2,
  mediaType: mediaTypes.ociManifest,
  config: descriptor("{}"),
  layers: [descriptor("one")],
};
const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [descriptor("child")] };
const INVALID = { code: "MANIFEST_INVALID", status: 400 };

test("what is refused", () => {
  const bad: Record<string, readonly [unknown, string]> = {
    "not an object": [[], ""],
    "a Content-Type of another kind": [image, mediaTypes.ociIndex],
    "no mediaType and no shape": [{ schemaVersion: 2 }, "application/json"],
    "a shape that the Content-Type denies": [{ ...image, mediaType: undefined }, mediaTypes.dockerManifest],
    "mediaType is a number": [{ ...image, mediaType: 1 }, ""],
    "schemaVersion 1": [{ ...image, schemaVersion: 1 }, mediaTypes.ociManifest],
    "Docker schema 1": [{ schemaVersion: 1, fsLayers: [], name: "a", tag: "b" }, ""],
    "an image without config": [{ ...image, config: undefined }, ""],
    "an image without layers": [{ ...image, layers: undefined }, ""],
    "an image that is an index": [{ ...image, manifests: [] }, ""],
    "an index that is an image": [{ ...index, layers: [] }, ""],
    "an index with a config": [{ ...index, config: descriptor("{}") }, ""],
    "an index without manifests": [{ ...index, manifests: undefined }, ""],
    "layers that are no list": [{ ...image, layers: {} }, ""],
    "a layer that is no object": [{ ...image, layers: ["sha256:x"] }, ""],
    "a digest that is none": [{ ...image, layers: [{ ...descriptor("one"), digest: "sha256:abc" }] }, ""],
    "an algorithm that is not kept": [{ ...image, layers: [{ ...descriptor("one"), digest: "md5:abc" }] }, ""],
    "a size that is none": [{ ...image, layers: [{ ...descriptor("one"), size: -1 }] }, ""],
    "a size that is a text": [{ ...image, layers: [{ ...descriptor("one"), size: "3" }] }, ""],
    "a child without a digest": [{ ...index, manifests: [{ size: 1 }] }, ""],
    "a subject that is no descriptor": [{ ...image, subject: "x" }, ""],
    "annotations that are no texts": [{ ...image, annotations: { a: 1 } }, ""],
  };
  for (const [what, [value, contentType]] of Object.entries(bad)) {
    assert.throws(() => checkManifest(json(value), contentType), INVALID, what);
  }
  assert.throws(() => checkManifest(Buffer.from("{"), ""), INVALID);
  assert.throws(() => checkManifest(Buffer.from('{"a":"\xff"}', "latin1"), ""), INVALID);
  assert.throws(() => checkManifest(Buffer.alloc(4 * 1024 * 1024 + 1), ""), { code: "MANIFEST_INVALID", status: 413 });
});

test("Docker schema 1 is refused as such, whatever type it is sent as", () => {
  const old = json({ schemaVersion: 1, name: "a", tag: "b", fsLayers: [], history: [], signatures: [] });
  for (const type of ["", "application/json", mediaTypes.dockerSchema1, mediaTypes.dockerSchema1Signed]) {
    assert.throws(() => checkManifest(old, type), { ...INVALID, message: /^Docker schema 1/ }, type);
  }
});

test("what is taken, as what", () => {
  const good: readonly (readonly [unknown, string, string, readonly string[]])[] = [
    [image, mediaTypes.ociManifest, mediaTypes.ociManifest, ["{}", "one"]],
    [image, `${mediaTypes.ociManifest}; charset=utf-8`, mediaTypes.ociManifest, ["{}", "one"]],
    [{ ...image, mediaType: undefined }, mediaTypes.ociManifest, mediaTypes.ociManifest, ["{}", "one"]],
    [{ ...image, mediaType: mediaTypes.dockerManifest }, "", mediaTypes.dockerManifest, ["{}", "one"]],
    [{ ...image, layers: [descriptor("one"), descriptor("one")] }, "", mediaTypes.ociManifest, ["{}", "one"]],
    [index, "", mediaTypes.ociIndex, []],
    [{ ...index, mediaType: undefined }, mediaTypes.ociIndex, mediaTypes.ociIndex, []],
    [{ ...index, mediaType: mediaTypes.dockerList }, mediaTypes.dockerList, mediaTypes.dockerList, []],
    [{ mediaType: mediaTypes.ociArtifact, blobs: [descriptor("one")] }, "", mediaTypes.ociArtifact, ["one"]],
    [{ mediaType: "application/vnd.example+json", anything: 1 }, "", "application/vnd.example+json", []],
  ];
  for (const [value, contentType, mediaType, blobs] of good) {
    const manifest = checkManifest(json(value), contentType);
    assert.equal(manifest.mediaType, mediaType);
    assert.deepEqual(
      manifest.blobs,
      blobs.map((content) => digestOf(content)),
    );
    assert.deepEqual(readManifest(json(value)), manifest);
  }
});

test("layers that lie elsewhere need not be here, but are mentioned", () => {
  for (const mediaType of [
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
  ]) {
    const foreign = { ...descriptor("one", mediaType), urls: ["https://example.com/layer"] };
    const manifest = checkManifest(json({ ...image, layers: [foreign] }), "");
    assert.deepEqual(manifest.blobs, [digestOf("{}")]);
    assert.ok(manifest.mentions.has(digestOf("one")));
    assert.equal(checkManifest(json({ ...image, layers: [{ ...foreign, urls: [] }] }), "").blobs.length, 2);
  }
});

test("a stored manifest is never refused, and keeps what it mentions", () => {
  const odd = readManifest(json({ ...image, layers: [{ ...descriptor("one"), size: "?" }] }));
  assert.equal(odd.mediaType, mediaTypes.ociManifest);
  assert.ok(odd.mentions.has(digestOf("one")));
  assert.equal(readManifest(Buffer.from("not JSON")).mediaType, "application/octet-stream");
  assert.equal(
    readManifest(json({ schemaVersion: 1, fsLayers: [], signatures: [] })).mediaType,
    mediaTypes.dockerSchema1Signed,
  );
});

test("missing blobs are MANIFEST_BLOB_UNKNOWN and named; nothing is left", async () => {
  const { repositories: core, stores } = await startCore();
  await pushBlob(core, "app", "{}");
  await pushBlob(core, "other", "one");
  const before = stores.backend.metaText();
  const many = { layers: Array.from({ length: 250 }, (_, at) => (at === 200 ? "one" : "{}")) };
  for (const parts of [{ layers: ["one"] }, many]) {
    await assert.rejects(putImage(core, "app", ["v1"], imageOf(parts)), {
      code: "MANIFEST_BLOB_UNKNOWN",
      status: 404,
      detail: { digests: [digestOf("one")] },
    });
  }
  assert.deepEqual(stores.backend.metaText(), before);
});

test("by digest: sha256, sha512, a wrong one; an index may be sparse; several tags at once", async () => {
  const { repositories: core, stores } = await startCore();
  const bytes = json(index);
  const contentType = mediaTypes.ociIndex;
  for (const algorithm of ["sha256", "sha512"]) {
    const digest = digestOf(bytes, algorithm);
    const tags = Array.from({ length: 40 }, (_, at) => `${algorithm}-${at}`);
    assert.deepEqual(await core.putManifest("app", { bytes, contentType, digest, tags }, context()), { digest, tags });
    assert.deepEqual((await core.getManifest("app", { digest }, context()))?.bytes, bytes);
    assert.equal((await core.getManifest("app", { tag: tags[39] ?? "" }, context()))?.digest, digest);
  }
  const wrong = { bytes, contentType, digest: digestOf("other"), tags: [] };
  await assert.rejects(core.putManifest("app", wrong, context()), { code: "DIGEST_INVALID", status: 400 });
  const bad = { bytes, contentType, tags: ["good", "-bad"] };
  await assert.rejects(core.putManifest("app", bad, context()), { code: "TAG_INVALID" });
  assert.equal(await core.getManifest("app", { tag: "good" }, context()), undefined);
  assert.deepEqual(brokenRules(stores.backend), []);
});

test("a blob that a manifest needs cannot be deleted: 405", async () => {
  const { repositories: core } = await startCore();
  await pushImage(core, "app", ["v1"], { layers: ["one"] });
  await assert.rejects(core.deleteBlob("app", digestOf("one"), context()), { code: "DENIED", status: 405 });
  assert.ok(await core.statBlob("app", digestOf("one"), context()));
});

test("damaged manifest bytes are an alarm; absent ones are not there", async () => {
  const { repositories: core, stores } = await startCore({ contentMemoryBytes: 1 });
  const digest = await pushImage(core, "app", ["v1"], { layers: ["one"] });
  stores.backend.putBlob(keys.blobKey(digest), "{}");
  const { repositories: fresh } = await startCore({ backend: stores.backend });
  await assert.rejects(fresh.getManifest("app", { tag: "v1" }, context()), { reason: "STORED_CORRUPT" });
  stores.backend.blobs.delete(keys.blobKey(digest));
  assert.equal(await fresh.getManifest("app", { tag: "v1" }, context()), undefined);
});

test("names, tags and digests that are none: refused, or not there", async () => {
  const { repositories: core } = await startCore();
  const name = { code: "NAME_INVALID", status: 400 };
  await assert.rejects(core.getManifest("A", { tag: "v1" }, context()), name);
  await assert.rejects(core.statBlob("..", digestOf("one"), context()), name);
  await assert.rejects(core.listTags("a//b", { last: "", limit: 1 }, context()), name);
  assert.throws(() => core.startUpload("a/../b", "sha256"), name);
  await assert.rejects(core.statBlob("a", "sha256:x", context()), { code: "DIGEST_INVALID" });
  await assert.rejects(core.deleteManifest("a", "v1", context()), { code: "DIGEST_INVALID" });
  assert.equal(await core.getManifest("a", { tag: "../x" }, context()), undefined);
  assert.equal(await core.deleteTag("a", "../x", context()), false);
});
