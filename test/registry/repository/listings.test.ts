import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { context, digestOf, imageOf, pushBlob, pushImage, startCore } from "./world.ts";

for (const mode of ["many", "one"] as const) {
  test(`cores: ${mode}: tags and repositories in bytewise order, page by page`, async (t) => {
    const backend = new FakeBackend();
    backend.pageLimit = 3;
    const { repositories: core } = await startCore({ backend, mode });
    t.after(() => core.close());
    const tags = ["1.0", "1.0-alpine", "1.0.1", "10", "A", "_", "a", "a-", "a.", "a_"];
    await pushImage(core, "app", tags);
    const names = ["app", "app-1", "app.1", "app/1", "app0", "app_1", "b"];
    for (const name of names) await pushBlob(core, name, "one");
    const walk = async (list: (last: string) => Promise<{ names: readonly string[]; more: boolean } | undefined>) => {
      const seen: string[] = [];
      for (;;) {
        const page = await list(seen.at(-1) ?? "");
        seen.push(...(page?.names ?? []));
        if (!page?.more) return seen;
        assert.ok(seen.length < 100);
      }
    };
    for (const limit of [1, 2, 5, 10, 5000]) {
      const page = (last: string) => ({ last, limit });
      assert.deepEqual(await walk((last) => core.listTags("app", page(last), context())), [...tags].sort());
      assert.deepEqual(await walk((last) => core.listRepositories(page(last), context())), [...names].sort());
    }
    const after = async (last: string) => (await core.listTags("app", { last, limit: 1 }, context()))?.names;
    assert.deepEqual(await after("1.0-"), ["1.0-alpine"]);
    assert.deepEqual(await after("1.0\u00e4"), ["10"]);
    assert.deepEqual(await after("zzz"), []);
    assert.deepEqual(await core.listTags("app", { last: "", limit: 0 }, context()), { names: [], more: false });
  });

  test(`cores: ${mode}: referrers by subject, filtered, page by page, with annotations of any size`, async (t) => {
    const backend = new FakeBackend();
    backend.pageLimit = 2;
    const { repositories: core } = await startCore({ backend, mode });
    t.after(() => core.close());
    // The subject need not be there.
    const subject = digestOf("subject");
    const all = { last: "", limit: 100 };
    assert.deepEqual(await core.listReferrers("app", subject, all, context()), { manifests: [], more: false });
    const big = "x".repeat(600_000);
    const wanted = [];
    for (const [at, size] of [1, 600_000, 1, 600_000, 1].entries()) {
      const annotations = { at: String(at), text: big.slice(0, size) };
      const artifactType = at % 2 === 0 ? "application/even" : "application/odd";
      const digest = await pushImage(core, "app", [], { subject, artifactType, annotations });
      const length = imageOf({ subject, artifactType, annotations }).length;
      const mediaType = "application/vnd.oci.image.manifest.v1+json";
      wanted.push({ mediaType, digest, size: length, artifactType, annotations });
    }
    wanted.sort((one, two) => (one.digest < two.digest ? -1 : 1));
    assert.deepEqual(await core.listReferrers("app", subject, all, context()), { manifests: wanted, more: false });
    const even = wanted.filter(({ artifactType }) => artifactType === "application/even");
    const filter = { ...all, artifactType: "application/even" };
    assert.deepEqual(await core.listReferrers("app", subject, filter, context()), { manifests: even, more: false });
    const first = await core.listReferrers("app", subject, { last: "", limit: 2 }, context());
    assert.deepEqual(first, { manifests: wanted.slice(0, 2), more: true });
    const last = first.manifests[1]?.digest ?? "";
    const rest = await core.listReferrers("app", subject, { last, limit: 3 }, context());
    assert.deepEqual(rest, { manifests: wanted.slice(2), more: false });
    // Neither another repository's nor another subject's.
    assert.deepEqual((await core.listReferrers("other", subject, all, context())).manifests, []);
    assert.deepEqual((await core.listReferrers("app", digestOf("x"), all, context())).manifests, []);
    await core.deleteManifest("app", last, context());
    assert.equal((await core.listReferrers("app", subject, all, context())).manifests.length, 4);
  });
}

test("a page of referrers stays below 4 MiB", async () => {
  const { repositories: core } = await startCore();
  const subject = digestOf("subject");
  for (let at = 0; at < 9; at += 1) {
    await pushImage(core, "app", [], { subject, annotations: { at: String(at), text: "x".repeat(900_000) } });
  }
  const seen: string[] = [];
  for (let last = "", more = true; more; last = seen.at(-1) ?? "") {
    const page = await core.listReferrers("app", subject, { last, limit: 100 }, context());
    assert.ok(JSON.stringify(page.manifests).length < 4 * 1024 * 1024);
    assert.ok(page.manifests.length > 0);
    seen.push(...page.manifests.map(({ digest }) => digest));
    more = page.more;
  }
  assert.equal(new Set(seen).size, 9);
});

test("artifactType falls back to an image's config type, and an index has only its own", async () => {
  const { repositories: core } = await startCore();
  const subject = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: digestOf("subject"), size: 1 };
  await pushImage(core, "app", [], { subject: subject.digest });
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [],
      subject,
    }),
  );
  const pushed = await core.putManifest("app", { bytes: index, contentType: "", tags: [] }, context());
  assert.equal(pushed.subject, subject.digest);
  const page = await core.listReferrers("app", subject.digest, { last: "", limit: 10 }, context());
  assert.deepEqual(page.manifests.map(({ artifactType }) => artifactType ?? "none").sort(), [
    "application/vnd.oci.image.config.v1+json",
    "none",
  ]);
});
