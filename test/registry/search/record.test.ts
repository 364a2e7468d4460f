import assert from "node:assert/strict";
import { test } from "node:test";
import { mediaTypes, readManifest } from "../../../registry/repository/manifest.ts";
import { describeConfig, describeManifest } from "../../../registry/search/describe.ts";
import {
  decodePulls,
  decodeRecord,
  decodeTagRecord,
  encodeRecord,
  type ImageRecord,
} from "../../../registry/search/record.ts";
import { digestOf, imageOf } from "../repository/world.ts";

const stored = (bytes: Buffer) => ({ bytes, manifest: readManifest(bytes) });

test("an image manifest's record: what it says, in its order", () => {
  const bytes = imageOf({ layers: ["one", "two"], subject: digestOf("x"), annotations: { a: "b" } });
  assert.deepEqual(describeManifest(stored(bytes)), {
    mediaType: mediaTypes.ociManifest,
    sizeBytes: bytes.length,
    artifactType: "application/vnd.oci.image.config.v1+json",
    subject: digestOf("x"),
    annotations: { a: "b" },
    config: { digest: digestOf("{}"), sizeBytes: 2, mediaType: "application/vnd.oci.image.config.v1+json" },
    layers: ["one", "two"].map((layer) => ({ digest: digestOf(layer), sizeBytes: 3 })),
  });
});

test("an index's record: its manifests and the platforms that it states", () => {
  const child = { mediaType: mediaTypes.ociManifest, digest: digestOf("child"), size: 7 };
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [{ ...child, platform: { os: "linux", architecture: "arm", variant: "v7" } }, child],
  };
  const record = describeManifest(stored(Buffer.from(JSON.stringify(index))));
  const told = { mediaType: mediaTypes.ociManifest, digest: digestOf("child"), sizeBytes: 7 };
  assert.deepEqual(record.manifests, [{ ...told, os: "linux", arch: "arm", variant: "v7" }, told]);
  assert.deepEqual(record.layers, []);
});

test("what others wrote badly is left out, never refused", () => {
  const odd = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: 5,
    layers: [null, { digest: "no", size: -1 }],
  };
  assert.deepEqual(describeManifest(stored(Buffer.from(JSON.stringify(odd)))).layers, []);
  assert.deepEqual(describeManifest(stored(Buffer.from("not json"))).layers, []);
  const older = { schemaVersion: 1, fsLayers: [{ blobSum: digestOf("l") }] };
  const { layers } = describeManifest(stored(Buffer.from(JSON.stringify(older))));
  assert.deepEqual(layers, [{ digest: digestOf("l"), sizeBytes: 0 }]);
});

test("a config's platform, author, labels and history; whatever is no text is left out", () => {
  const config = {
    os: "windows",
    architecture: "amd64",
    "os.version": "10.0",
    variant: 5,
    created: "2024-01-02T03:04:05Z",
    author: "somebody",
    config: { Labels: { a: "b", c: 1 } },
    history: [{ created_by: "RUN x", empty_layer: true, comment: "" }, "?"],
  };
  assert.deepEqual(describeConfig(Buffer.from(JSON.stringify(config))), {
    os: "windows",
    arch: "amd64",
    osVersion: "10.0",
    created: "2024-01-02T03:04:05Z",
    author: "somebody",
    labels: { a: "b" },
    history: [{ createdBy: "RUN x", emptyLayer: true }, {}],
  });
  assert.deepEqual(describeConfig(Buffer.from("{}")), { os: "", arch: "" });
  for (const other of ["[]", "null", "\u0000", "5"]) assert.equal(describeConfig(Buffer.from(other)), undefined);
});

test("a record that is too large is cut, in one order, and says so", () => {
  const long = "x".repeat(70 * 1024);
  const layer = { digest: digestOf("l"), sizeBytes: 1 };
  const whole: ImageRecord = {
    mediaType: mediaTypes.ociManifest,
    sizeBytes: 5,
    annotations: { a: "b" },
    layers: [layer],
    image: { os: "linux", arch: "amd64", labels: { c: "d" }, history: [{ createdBy: "RUN" }] },
  };
  const cutOf = (record: ImageRecord) =>
    decodeRecord(Buffer.from(encodeRecord(record, { pushedMs: 3, pushedBy: "me" })));
  assert.deepEqual(cutOf(whole), { ...whole, pushedMs: 3, pushedBy: "me" });
  const { image } = whole;
  assert.ok(image !== undefined);
  const { history: _, ...withoutHistory } = image;
  assert.deepEqual(cutOf({ ...whole, image: { ...image, history: [{ createdBy: long }] } }), {
    ...whole,
    image: withoutHistory,
    cut: true,
    pushedMs: 3,
    pushedBy: "me",
  });
  const { labels: __, ...bare } = withoutHistory;
  assert.deepEqual(cutOf({ ...whole, image: { ...image, labels: { c: long } } })?.image, bare);
  assert.equal(cutOf({ ...whole, annotations: { a: long } })?.annotations, undefined);
  assert.deepEqual(cutOf({ ...whole, layers: Array.from({ length: 2000 }, () => layer) })?.layers, []);
  assert.equal(cutOf({ ...whole, image: { ...image, author: long } })?.image, undefined);
  assert.deepEqual(cutOf({ ...whole, mediaType: long }), {
    mediaType: "",
    sizeBytes: 5,
    layers: [],
    cut: true,
    pushedMs: 3,
    pushedBy: "me",
  });
});

test("values that are no records are told apart", () => {
  for (const text of ["", "5", "null", "{}", "[]", '{"mediaType":"x"}']) {
    assert.equal(decodeRecord(Buffer.from(text)), undefined);
    assert.equal(decodeTagRecord(Buffer.from(text)), undefined);
    assert.equal(decodePulls(Buffer.from(text)), undefined);
  }
});
