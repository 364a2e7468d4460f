/** After any history of two cores: the view that followed it, one loaded anew, and the facts say the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { verifyIndex } from "../../../registry/index/index.ts";
import type { Repositories } from "../../../registry/repository/contract.ts";
import * as keys from "../../../registry/repository/keys.ts";
import { mediaTypes } from "../../../registry/repository/manifest.ts";
import type { SearchView } from "../../../registry/search/contract.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { type Random, randomOf, seedOf } from "../../helpers/random.ts";
import { context, digestOf, imageOf, pushBlob, startCore, testClock } from "../repository/world.ts";

const NAMES = ["a", "a/b", "c"];
const TAGS = ["1.0", "1.0-alpine", "latest", `${digestOf("x").replace(":", "-")}.sig`];
const CONFIGS = ["amd64", "arm64"].map((architecture) => JSON.stringify({ os: "linux", architecture }));

async function step(core: Repositories, { pick }: Random): Promise<void> {
  const name = pick(NAMES);
  const config = pick(CONFIGS);
  const subject = digestOf(imageOf({ config: pick(CONFIGS), annotations: { at: pick(["1", "2"]) } }));
  const artifactType = pick(["application/vnd.cncf.notary.signature", "application/x"]);
  const plain = imageOf({ config, annotations: { at: pick(["1", "2"]) } });
  const image = pick([plain, plain, imageOf({ config, subject, artifactType })]);
  const child = digestOf(imageOf({ config, annotations: { at: "1" } }));
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [{ mediaType: mediaTypes.ociManifest, digest: child, size: 1 }],
    }),
  );
  const tag = pick(TAGS);
  const what = pick(["push", "push", "push", "index", "pull", "pull", "delete tag", "delete image", "delete index"]);
  if (what === "push") {
    await pushBlob(core, name, config);
    if (image !== plain) await pushBlob(core, name, "{}");
    await core.putManifest(name, { bytes: image, contentType: mediaTypes.ociManifest, tags: [tag] }, context());
  } else if (what === "index") {
    await core.putManifest(name, { bytes: index, contentType: mediaTypes.ociIndex, tags: [tag] }, context());
  } else if (what === "pull") await core.getManifest(name, { tag }, context());
  else if (what === "delete tag") await core.deleteTag(name, tag, context());
  else await core.deleteManifest(name, digestOf(what === "delete index" ? index : image), context());
}

/** All that it tells. */
function told(view: SearchView, digests: readonly string[]) {
  const repositories = [...view.repositories("name")].map((repository) => ({
    name: repository.name,
    updatedMs: repository.updatedMs,
    downloads: repository.downloads,
    tagCount: repository.tagCount,
    tags: [...repository.tags()].map(({ tag, digest, taggedMs }) => ({ tag, digest, taggedMs })),
    images: digests.map((digest) => {
      const image = repository.image(digest);
      if (image === undefined) return undefined;
      const { mediaType, sizeBytes, artifactType, subject, createdMs, platforms, children } = image;
      const { isSigned, downloads, lastPullMs, pushedMs } = image;
      return [
        { mediaType, sizeBytes, artifactType, subject, createdMs, platforms, children },
        { isSigned, downloads, lastPullMs, pushedMs, referrers: repository.referrers(digest) },
      ];
    }),
  }));
  const orders = (["name", "name-desc", "updated", "downloads"] as const).map((order) =>
    [...view.repositories(order)].map(({ name }) => name),
  );
  const holders = digests.map((digest) => view.repositoriesWith(digest));
  return { repositories, orders, holders, counts: [view.repositoryCount, view.tagCount] };
}

test("the view that followed is the view loaded anew, and what the facts say", { timeout: 60_000 }, async (t) => {
  const chosen = randomOf(seedOf(t));
  const random = () => chosen.next();
  for (let round = 0; round < 12; round += 1) {
    const backend = new FakeBackend();
    const deferred = () => new Promise((resolve) => (random() < 0.3 ? setImmediate(resolve) : resolve(undefined)));
    const hooks = round % 2 === 0 ? {} : { before: deferred, after: deferred };
    backend.pageLimit = round % 3 === 0 ? 7 : 1000;
    const options = { backend, hooks, random, pullsFlushMs: 20 };
    const cores = [await startCore(options), await startCore(options)];
    const { repositories: follower } = await startCore({ ...options, hooks: {} });
    await follower.search.view(context());
    const work = async (core: Repositories) => {
      for (let at = 0; at < 40; at += 1) {
        await step(core, chosen).catch((error: { readonly code?: unknown }) => assert.ok(error.code, String(error)));
        if (random() < 0.2) await follower.search.view(context());
      }
    };
    await Promise.all(cores.map(({ repositories }) => work(repositories)));
    await Promise.all(cores.map(({ repositories }) => repositories.close()));
    const facts = [...backend.metaText()].flatMap(([key, value]) => {
      const link = keys.parseLink(key);
      return link === undefined ? [] : [{ ...link, value }];
    });
    const digests = [...new Set(facts.flatMap((fact) => (fact.kind === "revision" ? [fact.digest] : [])))].sort();
    const followed = await follower.search.view(context());
    const { repositories: fresh } = await startCore({ backend });
    assert.deepEqual(told(followed, digests), told(await fresh.search.view(context()), digests), `round ${round}`);
    const tags = facts.flatMap((fact) =>
      fact.kind === "tag" && !fact.tag.startsWith("sha256-") ? [`${fact.name}:${fact.tag}@${fact.value}`] : [],
    );
    const seen = [...followed.repositories("name")].flatMap((repository) =>
      [...repository.tags()].map(({ tag, digest }) => `${repository.name}:${tag}@${digest}`),
    );
    assert.deepEqual(seen.sort(), tags.sort(), `round ${round}`);
    const revisions = facts.flatMap((fact) => (fact.kind === "revision" ? [`${fact.name}@${fact.digest}`] : []));
    const held = digests.flatMap((digest) => followed.repositoriesWith(digest).map((name) => `${name}@${digest}`));
    assert.deepEqual(held.sort(), revisions.sort(), `round ${round}`);
    await follower.close();
    const { links: _, ...report } = await verifyIndex(backend.connect(), { clock: testClock });
    assert.deepEqual(report, { missing: 0, wrong: 0, stale: 0, withoutBytes: 0, problems: [] }, `round ${round}`);
  }
});
