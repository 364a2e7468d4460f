import assert from "node:assert/strict";
import { test } from "node:test";
import { rebuildIndex, verifyIndex } from "../../../registry/index/index.ts";
import * as keys from "../../../registry/repository/keys.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { context, digestOf, imageOf, pushBlob, pushImage, readAll, startCore } from "../repository/world.ts";

/** What distribution leaves: link facts and bytes, no derived key. */
function distributionRoot(): { backend: FakeBackend; image: string; referrer: string } {
  const backend = new FakeBackend();
  const put = (name: string, content: string | Buffer, kind: "layer" | "revision") => {
    const digest = digestOf(content);
    backend.putBlob(keys.blobKey(digest), content);
    backend.putMeta(kind === "layer" ? keys.layerLink(name, digest) : keys.revisionLink(name, digest), digest);
    return digest;
  };
  for (const name of ["app", "team/app", "team/app-two"]) {
    for (const content of ["{}", "one"]) put(name, content, "layer");
    const image = put(name, imageOf({ layers: ["one"] }), "revision");
    for (const tag of ["1.0", "1.0-alpine"]) {
      backend.putMeta(keys.tagLink(name, tag), image);
      backend.putMeta(keys.tagHistoryLink(name, tag, image), image);
    }
  }
  const image = digestOf(imageOf({ layers: ["one"] }));
  const referrer = put("app", imageOf({ subject: image, artifactType: "application/x" }), "revision");
  return { backend, image, referrer };
}

test("a root of distribution gets its catalog, tags, refs and referrers at the first start", async (t) => {
  const { backend, image, referrer } = distributionRoot();
  const { repositories: core } = await startCore({ backend });
  t.after(() => core.close());
  const all = { last: "", limit: 100 };
  assert.deepEqual((await core.listRepositories(all, context())).names, ["app", "team/app", "team/app-two"]);
  assert.deepEqual((await core.listTags("team/app", all, context()))?.names, ["1.0", "1.0-alpine"]);
  assert.equal((await core.getManifest("team/app-two", { tag: "1.0" }, context()))?.digest, image);
  assert.equal(await readAll(await core.readBlob("app", digestOf("one"), undefined, context())), "one");
  const found = await core.listReferrers("app", image, all, context());
  assert.deepEqual(
    found.manifests.map(({ digest, artifactType }) => [digest, artifactType]),
    [[referrer, "application/x"]],
  );
  // Any repository that has the blob will do for a mount.
  assert.deepEqual(await core.mountBlob("new", digestOf("one"), { mayRead: () => true }, context()), {
    digest: digestOf("one"),
    sizeBytes: 3,
  });
  const report = await verifyIndex(backend.connect());
  assert.deepEqual(
    { ...report, links: 0 },
    { links: 0, missing: 0, wrong: 0, stale: 0, withoutBytes: 0, problems: [] },
  );
});

test("rebuild makes exactly the derived keys that pushes made", async () => {
  const { repositories: core, stores } = await startCore();
  const { backend } = stores;
  const image = await pushImage(core, "app", ["v1", "v2"], { layers: ["one", "two"] });
  await pushImage(core, "app", ["sig"], { subject: image, annotations: { a: "b" } });
  await pushBlob(core, "team/other-app", "loose");
  await core.close();
  const before = backend.metaText();
  for (const key of [...before.keys()].filter((it) => /^outrigger\/(?:catalog|tags|refs|referrers|index)\//.test(it))) {
    backend.meta.delete(key);
  }
  const found = await verifyIndex(backend.connect());
  assert.ok(found.missing > 0);
  const report = await rebuildIndex(backend.connect());
  assert.equal(report.missing, found.missing);
  assert.deepEqual(backend.metaText(), before);
});

test("rebuild takes away what has no facts, and mends what is wrong", async () => {
  const { repositories: core, stores } = await startCore();
  const { backend } = stores;
  const image = await pushImage(core, "app", ["v1"], { layers: ["one"] });
  await core.close();
  const before = backend.metaText();
  const other = digestOf("other");
  backend.putMeta(keys.tagKey("app", "ghost"), image);
  backend.putMeta(keys.tagKey("app", "v1"), other);
  backend.putMeta(keys.catalogKey("empty/repository"), "open");
  backend.putMeta(keys.refsKey(other, "app"), "");
  backend.putMeta(keys.referrersKey("app", other, image), "{}");
  backend.putMeta(keys.referrersKey("app", image, other), "{}");
  backend.putMeta("outrigger/tags/UPPER/_/x", image);
  const seen = await verifyIndex(backend.connect());
  assert.deepEqual([seen.missing, seen.wrong, seen.stale], [0, 1, 6]);
  const mended = await rebuildIndex(backend.connect());
  assert.deepEqual([mended.missing, mended.wrong, mended.stale], [0, 1, 6]);
  assert.deepEqual(backend.metaText(), before);
});

test("layer links without bytes are dropped; a tag to nothing is not served", async () => {
  const { backend, image } = distributionRoot();
  const gone = digestOf("gone");
  backend.putMeta(keys.layerLink("app", gone), gone);
  backend.putMeta(keys.tagLink("app", "dangling"), gone);
  backend.putMeta(keys.layerLink("app", digestOf("odd")), "not a digest");
  const report = await rebuildIndex(backend.connect());
  assert.equal(report.withoutBytes, 1);
  assert.deepEqual(
    report.problems.map(({ key }) => key).sort(),
    [keys.layerLink("app", digestOf("odd")), keys.tagLink("app", "dangling")].sort(),
  );
  assert.equal(backend.meta.get(keys.layerLink("app", gone)), undefined);
  const { repositories: core } = await startCore({ backend });
  assert.equal(await core.getManifest("app", { tag: "dangling" }, context()), undefined);
  assert.equal((await core.getManifest("app", { tag: "1.0" }, context()))?.digest, image);
  await core.close();
});
