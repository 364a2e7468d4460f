/**
 * A cluster of one, two and three answers byte for byte what one registry with the same images answers: any images, with
 * many equals in time, pulls and layers, and any documents over all queries of the schema.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createSearch } from "../../../../registry/search/index.ts";
import { schema } from "../../../../registry/search/schema.ts";
import { cve, FakeScanner } from "../fake-scanner.ts";
import { digestOf, FakeSource } from "../fake-source.ts";
import { ALICE, askerOf, explain, FakePreferences, fixture, pushWorld } from "../world.ts";
import { clusterOf, type Fill } from "./cluster.ts";

const OCI = "application/vnd.oci.image.";
const NAMES = ["a", "app", "base/app", "base/os", "team/app", "team/app-x", "team/os", "zeta", "z/y/app"];
const TAGS = ["1", "1.0", "2", "latest", "Test"];
const LAYERS = [0, 1, 2, 3].map((n) => ({
  mediaType: `${OCI}layer.v1.tar`,
  digest: digestOf(`layer ${n}`),
  size: 100 + n,
}));
const CVES = ["CVE-1", "CVE-2", "CVE-3"];

const image = fc.record({
  name: fc.constantFrom(...NAMES),
  tag: fc.option(fc.constantFrom(...TAGS)),
  layers: fc.subarray(LAYERS),
  os: fc.constantFrom("linux", "windows"),
  arch: fc.constantFrom("amd64", "arm64"),
  variant: fc.option(fc.constant("v8")),
  // Few, so that many are equal.
  created: fc.option(fc.constantFrom("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z", "2026-02-01T00:00:00+01:00")),
  said: fc.option(fc.constantFrom("2025-01-01T00:00:00Z", "not a time")),
  title: fc.option(fc.constantFrom("App", "OS")),
  pushedMs: fc.constantFrom(1_000_000, 2_000_000),
  pulls: fc.nat(2),
  /** Of those before it in the same repository, one: it is an index of it, or refers to it. */
  about: fc.option(fc.record({ which: fc.nat(9), how: fc.constantFrom("index", "sbom", "signature") })),
  cves: fc.subarray(CVES),
  scanned: fc.constantFrom(true, true, false),
});
type Image = typeof image extends fc.Arbitrary<infer Value> ? Value : never;

const preferences = fc.record({ starred: fc.subarray(NAMES), bookmarked: fc.subarray(NAMES) });

function worldOf(
  images: readonly Image[],
  prefers: { starred: string[]; bookmarked: string[] },
  scanner: FakeScanner,
): Fill {
  return (source, own, owns) => {
    const before = new Map<string, { mediaType: string; digest: string; size: number }[]>();
    for (const [index, { name, tag, about, ...each }] of images.entries()) {
      const others = before.get(name) ?? [];
      const other = about === null ? undefined : others[about.which % Math.max(1, others.length)];
      const config = JSON.stringify({
        os: each.os,
        architecture: each.arch,
        ...(each.variant === null ? {} : { variant: each.variant }),
        ...(each.created === null ? {} : { created: each.created }),
        config: { Labels: each.title === null ? {} : { "org.opencontainers.image.vendor": each.title } },
        // Nothing has the same bytes by chance, unless it is the same.
        index: index % 7,
      });
      const annotations = {
        ...(each.title === null ? {} : { "org.opencontainers.image.title": each.title }),
        ...(each.said === null ? {} : { "org.opencontainers.image.created": each.said }),
      };
      const isIndex = other !== undefined && about?.how === "index" && other.mediaType.includes("manifest");
      const manifest = isIndex
        ? { schemaVersion: 2, mediaType: `${OCI}index.v1+json`, manifests: [other], annotations }
        : {
            schemaVersion: 2,
            mediaType: `${OCI}manifest.v1+json`,
            config: { mediaType: `${OCI}config.v1+json`, digest: digestOf(config), size: config.length },
            layers: each.layers,
            annotations,
            ...(other !== undefined && about?.how !== "index"
              ? {
                  subject: other,
                  artifactType: about?.how === "sbom" ? "example/sbom" : "application/vnd.cncf.notary.signature",
                }
              : {}),
          };
      const text = JSON.stringify(manifest);
      const { mediaType } = manifest;
      const pushed = { name, reference: tag ?? digestOf(text), mediaType, text };
      before.set(name, [...others, { mediaType, digest: digestOf(text), size: text.length }]);
      if (each.scanned) {
        scanner.scans.set(digestOf(text), { cves: each.cves.map((id, n) => cve(id, n % 2 === 0 ? "HIGH" : "LOW")) });
      }
      if (!owns(name)) continue;
      const digest = source.push(pushed, isIndex ? undefined : config, each.pushedMs);
      source.pull(name, digest, each.pulls, each.pushedMs + 1);
    }
    for (const [which, names] of [
      ["star", prefers.starred],
      ["bookmark", prefers.bookmarked],
    ] as const) {
      for (const name of names) if (owns(name)) void own.toggle("alice", which, name);
    }
    for (const name of prefers.starred) if (owns(name) && source.repository(name)) source.star(name, 1);
  };
}

// Documents.

const orders = fc.constantFrom("RELEVANCE", "UPDATE_TIME", "ALPHABETIC_ASC", "ALPHABETIC_DSC", "DOWNLOADS", "STARS");
const page = fc.option(
  fc.record({
    limit: fc.option(fc.constantFrom(0, 1, 2, 3, 5, 100, -1)),
    offset: fc.option(fc.constantFrom(0, 1, 2, 4, 50)),
    sortBy: fc.option(orders),
  }),
);
const filter = fc.option(
  fc.record({
    Os: fc.option(fc.subarray(["linux", "windows"])),
    Arch: fc.option(fc.subarray(["amd64", "arm64", "arm64/v8"])),
    HasToBeSigned: fc.option(fc.boolean()),
    IsBookmarked: fc.option(fc.boolean()),
    IsStarred: fc.option(fc.boolean()),
  }),
);
const name = fc.constantFrom(...NAMES, "no/such");
const tag = fc.constantFrom(...TAGS, "none");
const digest = fc.constantFrom(...LAYERS.map((layer) => layer.digest), digestOf("nothing"));
const ref = fc.tuple(name, tag).map(([n, t]) => `${n}:${t}`);
const searched = fc.oneof(
  fc.constantFrom("", "app", "a", "s", "team", "o", "team/a", "a:b:c", ":1", ":", "@"),
  ref,
  digest,
);
const input = fc.record({ Repo: name, Tag: tag });
const text = (value: unknown): string =>
  JSON.stringify(value, (_, each) => (each === null ? undefined : each))
    .replace(/"(\w+)":/g, "$1:")
    .replace(/sortBy:"(\w+)"/g, "sortBy:$1");
const args = (given: Record<string, unknown>) => {
  const shown = Object.entries(given).filter(([, value]) => value !== null && value !== undefined);
  return shown.length === 0 ? "" : `(${shown.map(([key, value]) => `${key}:${text(value)}`).join(" ")})`;
};

const IMAGE = `RepoName Tag Digest MediaType Size LastUpdated IsSigned SignatureInfo{Tool IsTrusted Author} Vendor Title Authors DownloadCount ArtifactType IsDeletable
  PushTimestamp LastPullTimestamp TaggedTimestamp Manifests{Digest ConfigDigest LastUpdated Size Platform{Os Arch} Layers{Size Digest} History{Layer{Digest}} Vulnerabilities{Count MaxSeverity}}
  Referrers{MediaType ArtifactType Digest Size Annotations{Key Value}} Vulnerabilities{MaxSeverity Count HighCount LowCount}`;
const REPO =
  "Name LastUpdated Size Platforms{Os Arch} Vendors NewestImage{RepoName Tag Digest} DownloadCount StarCount IsBookmarked IsStarred Rank";
const images = fc.constantFrom(
  `{Page{TotalCount ItemCount} Results{${IMAGE}}}`,
  "{Results{Tag} Page{ItemCount}}",
  "{Page{a:TotalCount __typename}}",
  "{A:Results{outriggerName:Tag T:RepoName} B:Results{Size}}",
  "{__typename ...on PaginatedImagesResult{Results{...F}}}",
);
const repos = fc.constantFrom(`{Page{TotalCount ItemCount} Results{${REPO}}}`, "{Results{Name}}", "{Page{ItemCount}}");
const found = fc.constantFrom(
  `{Page{TotalCount ItemCount} Repos{${REPO}} Images{RepoName Tag Digest LastUpdated} Layers{Digest}}`,
  "{Images{RepoName Tag}}",
  "{Repos{Rank N:Name} R:Repos{Size}}",
);
const cves =
  "{Tag Page{TotalCount ItemCount} CVEList{Id Title Severity PackageList{Name}} Summary{Count MaxSeverity HighCount}}";
const diff =
  "{Minuend{Repo Tag Digest Platform{Os Arch}} Subtrahend{Repo Tag Digest Platform{Os Arch}} CVEList{I:Id Severity} Summary{Count MaxSeverity} Page{TotalCount ItemCount}}";
const cveOrder = fc.option(
  fc.record({ limit: fc.constantFrom(0, 1, 2), sortBy: fc.constantFrom("SEVERITY", "ALPHABETIC_DSC", "STARS") }),
);

const query = (field: string, given: Record<string, fc.Arbitrary<unknown>>, selection: fc.Arbitrary<string>) =>
  fc.tuple(fc.record(given), selection).map(([a, s]) => `${field}${args(a)}${s}`);
const queries: Readonly<Record<string, fc.Arbitrary<string>>> = {
  CVEListForImage: query(
    "CVEListForImage",
    { image: ref, requestedPage: cveOrder, searchedCVE: fc.option(fc.constantFrom("1", "x")) },
    fc.constant(cves),
  ),
  CVEDiffListForImages: query(
    "CVEDiffListForImages",
    { minuend: input, subtrahend: fc.oneof(input, fc.constant({ Repo: "", Tag: "" })), requestedPage: cveOrder },
    fc.constant(diff),
  ),
  ImageListForCVE: query("ImageListForCVE", { id: fc.constantFrom(...CVES), filter, requestedPage: page }, images),
  ImageListWithCVEFixed: query(
    "ImageListWithCVEFixed",
    { id: fc.constantFrom(...CVES), image: name, filter, requestedPage: page },
    images,
  ),
  ImageListForDigest: query("ImageListForDigest", { id: digest, requestedPage: page }, images),
  RepoListWithNewestImage: query("RepoListWithNewestImage", { requestedPage: page }, repos),
  ImageList: query("ImageList", { repo: fc.oneof(fc.constant(""), name), requestedPage: page }, images),
  ExpandedRepoInfo: query("ExpandedRepoInfo", { repo: name }, fc.constant(`{Images{${IMAGE}} Summary{${REPO}}}`)),
  GlobalSearch: query("GlobalSearch", { query: searched, filter, requestedPage: page }, found),
  DerivedImageList: query("DerivedImageList", { image: ref, requestedPage: page }, images),
  BaseImageList: query("BaseImageList", { image: ref, requestedPage: page }, images),
  Image: query("Image", { image: fc.oneof(ref, name) }, fc.constant(`{${IMAGE}}`)),
  Referrers: query(
    "Referrers",
    { repo: name, digest, type: fc.option(fc.constant(["example/sbom"])) },
    fc.constant("{Digest Size ArtifactType}"),
  ),
  StarredRepos: query("StarredRepos", { requestedPage: page }, repos),
  BookmarkedRepos: query("BookmarkedRepos", { requestedPage: page }, repos),
};
const F = " fragment F on ImageSummary{Digest ...G} fragment G on ImageSummary{Tag LastUpdated}";
const document = fc.array(fc.oneof(...Object.values(queries)), { minLength: 1, maxLength: 4 }).map((all) => {
  const fields = all.map((each, index) => (index === 0 ? each : `q${index}:${each}`)).join("\n");
  return `{${fields}\n__typename}${fields.includes("...F") ? F : ""}`;
});

async function assertEqual(fill: Fill, documents: readonly string[], scanner?: FakeScanner): Promise<void> {
  const source = new FakeSource();
  const own = new FakePreferences();
  fill(source, own, () => true);
  const search = createSearch({ source, holders: source, preferences: own, scanner }, explain);
  const asker = askerOf(ALICE);
  const clusters = [1, 2, 3].map((count) => clusterOf(count, fill, scanner));
  for (const each of documents) {
    const { status, answer } = await search.answer({ query: each }, asker);
    const one = JSON.stringify({ status, ...answer });
    for (const cluster of clusters) {
      const { status: their, ...many } = await cluster.ask(each, undefined, asker);
      assert.equal(JSON.stringify({ status: their, ...many }), one, `${cluster.ids.length} members: ${each}`);
    }
  }
}

describe("a cluster answers as one registry", () => {
  it("is asked every query of the schema", () => {
    assert.deepEqual(Object.keys(queries).sort(), Object.keys(schema.getQueryType()?.getFields() ?? {}).sort());
  });

  it("what zot's clients ask, and what was recorded of zot", async () => {
    const recorded = fixture<{ query: string }[]>("zot-answers.json");
    const sent = fixture<{ query: string }[]>("client-documents.json");
    await assertEqual(
      (source, _, owns) => pushWorld(source, owns),
      [...recorded, ...sent].map((each) => each.query),
    );
  });

  for (const [kind, each] of Object.entries(queries)) {
    it(`any ${kind}`, async () => {
      const F_ = (one: string) => `{${one}}${one.includes("...F") ? F : ""}`;
      await fc.assert(
        fc.asyncProperty(
          fc.array(image, { maxLength: 20 }),
          preferences,
          fc.array(each, { minLength: 1, maxLength: 4 }),
          async (all, prefers, some) => {
            const scanner = new FakeScanner();
            await assertEqual(worldOf(all, prefers, scanner), some.map(F_), scanner);
          },
        ),
        { numRuns: 15 },
      );
    });
  }

  it("any documents of several", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(image, { maxLength: 25 }),
        preferences,
        fc.array(document, { minLength: 1, maxLength: 3 }),
        async (all, prefers, some) => {
          const scanner = new FakeScanner();
          await assertEqual(worldOf(all, prefers, scanner), some, scanner);
        },
      ),
      { numRuns: 40 },
    );
  });
});
