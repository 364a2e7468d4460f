/** What the recorded answers do not show: signatures, pulls, indexes found in part, filters, odd images and odd words. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { rankOf } from "../../../registry/search/rank.ts";
import { showTime } from "../../../registry/search/times.ts";
import { digestOf, FakeSource } from "./fake-source.ts";
import { searching, worldSource } from "./world.ts";

const APP = "sha256:4510041ad4843f7c6b589e9fcbada4bb86087f9530c8ccf7f921d891acfe0fdd";
const OCI = "application/vnd.oci.image.manifest.v1+json";
const DOCKER = "application/vnd.docker.distribution.manifest.v2+json";

function pushed(source: FakeSource, name: string, reference: string, manifest: object, mediaType = OCI, nowMs = 5000) {
  return source.push({ name, reference, mediaType, text: JSON.stringify(manifest) }, undefined, nowMs);
}

describe("images", () => {
  it("are signed by a referrer or by cosign's tag, which is none of the tags", async () => {
    const source = worldSource();
    const subject = { mediaType: OCI, digest: APP, size: 1 };
    const artifactType = "application/vnd.cncf.notary.signature";
    pushed(source, "team/app", "by-digest", { subject, artifactType, layers: [] });
    source.repositoriesByName.get("team/app")?.tags.delete("by-digest");
    pushed(source, "zeta", "sha256-d05318de6c0f99fb2ad771e1c097fb3f0cf0ab0dce15cddcbc92df939e517b31.sig", {
      layers: [],
    });
    const { ask } = searching(source);
    const { data } = await ask(`{
      a:GlobalSearch(query:"team/app:" filter:{HasToBeSigned:true}){Images{Tag IsSigned SignatureInfo{Tool IsTrusted Author} Manifests{IsSigned}}}
      b:ImageList(repo:"zeta"){Results{Tag SignatureInfo{Tool}}}
      c:GlobalSearch(query:"" filter:{HasToBeSigned:true}){Repos{Name}}
    }`);
    assert.deepEqual(data, {
      a: {
        Images: [
          {
            Tag: "1.0",
            IsSigned: true,
            SignatureInfo: [{ Tool: "notation", IsTrusted: false, Author: "" }],
            Manifests: [{ IsSigned: true }],
          },
        ],
      },
      b: { Results: [{ Tag: "v1", SignatureInfo: [{ Tool: "cosign" }] }] },
      // Of a repository its newest image counts, as in zot: team/app's is not signed.
      c: { Repos: [{ Name: "zeta" }] },
    });
  });

  it("tell their times and pulls; what is not known is null", async () => {
    const source = worldSource();
    source.pull(
      "zeta",
      "sha256:d05318de6c0f99fb2ad771e1c097fb3f0cf0ab0dce15cddcbc92df939e517b31",
      3_000_000_000,
      1_800_000_000_000,
    );
    const fields = "DownloadCount LastPullTimestamp PushTimestamp TaggedTimestamp";
    const { data } = await searching(source).ask(
      `{a:ImageList(repo:"zeta"){Results{${fields}}} b:ImageList(repo:"team/app2"){Results{${fields}}} c:RepoListWithNewestImage(requestedPage:{limit:1 sortBy:DOWNLOADS}){Results{Name}}}`,
    );
    const [zeta, app] = [data["a"], data["b"]].map((each) => each.Results[0]);
    assert.equal(zeta?.["DownloadCount"], 2 ** 31 - 1, "Int has 32 bits");
    assert.equal(zeta?.["LastPullTimestamp"], "2027-01-15T08:00:00Z");
    assert.equal(zeta?.["PushTimestamp"], zeta?.["TaggedTimestamp"]);
    assert.equal(app?.["LastPullTimestamp"], null);
    assert.deepEqual(data["c"], { Results: [{ Name: "zeta" }] });
  });

  it("of an index that are found alone are shown of it", async () => {
    const arm = "sha256:1b703d17aae98afcf4662c9fa6e7614442c490a349bbd0345a13e10a732b1221";
    const { data } = await searching().ask(`{
      byImage:ImageListForDigest(id:"${arm}"){Results{Tag Digest Size Manifests{Digest}}}
      byLayer:ImageListForDigest(id:"6621289b"){Results{Tag Manifests{Digest}}}
      whole:ImageListForDigest(id:"sha256:fc241f7264addbec1c72aab7ec443f05bafec87a0cf59beadfbe2d811b236b37"){Results{Manifests{Digest}}}
      none:ImageListForDigest(id:"sha256:xyz"){Page{TotalCount}}
    }`);
    const index = "sha256:fc241f7264addbec1c72aab7ec443f05bafec87a0cf59beadfbe2d811b236b37";
    assert.deepEqual(data["byImage"], {
      Results: [{ Tag: "3.20", Digest: index, Size: "896", Manifests: [{ Digest: arm }] }],
    });
    assert.deepEqual(data["byLayer"], { Results: [{ Tag: "3.20", Manifests: [{ Digest: arm }] }] });
    assert.equal(data["whole"].Results[0]?.Manifests.length, 2);
    assert.deepEqual(data["none"], { Page: { TotalCount: 0 } });
    const { errors } = await searching().ask('{GlobalSearch(query:"sha256:45"){Page{TotalCount}}}');
    assert.equal(errors?.[0]?.message, "a digest is searched for by at least 6 of its digits");
  });

  it("without a config, or of Docker's types, or of artifacts, are there like others", async () => {
    const source = new FakeSource();
    const layer = { mediaType: "x", digest: digestOf("layer"), size: 7 };
    pushed(source, "odd", "docker", { layers: [layer] }, DOCKER);
    pushed(source, "odd", "empty", { artifactType: "a/b", layers: [] });
    pushed(source, "odd", "index", { manifests: [] }, "application/vnd.oci.image.index.v1+json");
    const { data, errors } = await searching(source).ask(`{
      l:ImageList(repo:"odd"){Results{Tag MediaType Size LastUpdated ArtifactType Manifests{ConfigDigest Platform{Os Arch} History{Layer{Size} HistoryDescription{CreatedBy}}}}}
      d:DerivedImageList(image:"odd:empty"){Page{TotalCount}} b:BaseImageList(image:"odd:docker"){Page{TotalCount}}
      r:RepoListWithNewestImage{Results{Platforms{Os} Vendors}}
    }`);
    assert.equal(errors, undefined);
    const none = { ConfigDigest: "", Platform: { Os: "", Arch: "" } };
    const [docker, empty, index] = data["l"].Results;
    assert.deepEqual(docker?.["Manifests"], [
      { ...none, History: [{ Layer: { Size: "7" }, HistoryDescription: { CreatedBy: null } }] },
    ]);
    assert.deepEqual([docker?.["MediaType"], docker?.["LastUpdated"]], [DOCKER, null]);
    assert.deepEqual([empty?.["ArtifactType"], empty?.["Manifests"]], ["a/b", [{ ...none, History: [] }]]);
    assert.deepEqual([index?.["Size"], index?.["Manifests"]], ["0", []]);
    // Whatever has no layers is built upon by nothing.
    assert.deepEqual([data["d"], data["b"]], [{ Page: { TotalCount: 0 } }, { Page: { TotalCount: 0 } }]);
    assert.deepEqual(data["r"], { Results: [{ Platforms: [], Vendors: [] }] });
  });

  it("derive from one image of an index, where its digest says which", async () => {
    const { ask } = searching();
    const { errors } = await ask(`{BaseImageList(image:"base/alpine:3.20" digest:"${APP}"){Page{TotalCount}}}`);
    assert.match(errors?.[0]?.message ?? "", /^can't find image: base\/alpine:3.20 with digest sha256:4510/);
    const { data } = await ask(
      `{DerivedImageList(image:"base/debian:12" digest:"sha256:f760cea0329bc1fd10df162571e1c8f98afe35138bd11e61f3e6989ad56d75eb"){Page{TotalCount}}}`,
    );
    assert.deepEqual(data, { DerivedImageList: { Page: { TotalCount: 3 } } });
  });
});

describe("pages", () => {
  const LISTS = [
    'ImageList(repo:"" PAGE)',
    "RepoListWithNewestImage(PAGE)",
    'GlobalSearch(query:"" PAGE)',
    'GlobalSearch(query:"a" PAGE)',
  ];
  const ORDERS = ["RELEVANCE", "UPDATE_TIME", "ALPHABETIC_ASC", "ALPHABETIC_DSC", "DOWNLOADS"];
  for (const list of LISTS) {
    it(`of ${list} one after the other are all, in every order`, async () => {
      const { ask } = searching();
      const fields = list.startsWith("Global")
        ? "Repos{Name}"
        : list.startsWith("Repo")
          ? "Results{Name}"
          : "Results{RepoName Tag}";
      const page = async (requested: string): Promise<object[]> => {
        const { data } = await ask(`{q:${list.replace("PAGE", `requestedPage:{${requested}}`)}{${fields}}}`);
        return data.q.Repos ?? data.q.Results;
      };
      for (const order of ORDERS) {
        const all = await page(`sortBy:${order}`);
        const pages: object[] = [];
        for (let offset = 0; offset < all.length; offset += 4)
          pages.push(...(await page(`limit:4 offset:${offset} sortBy:${order}`)));
        assert.deepEqual(pages, all, order);
        assert.equal(new Set(all.map((each) => JSON.stringify(each))).size, all.length);
        if (order === "ALPHABETIC_ASC") assert.deepEqual(all, (await page("sortBy:ALPHABETIC_DSC")).reverse());
      }
    });
  }
});

describe("what is searched for", () => {
  const found = async (query: string, filter = "") => {
    const { data, errors } = await searching().ask(
      `{GlobalSearch(query:${JSON.stringify(query)} ${filter}){Repos{Name} Images{RepoName Tag}}}`,
    );
    if (errors) return errors[0]?.message;
    const { Repos, Images } = data["GlobalSearch"];
    return (
      Repos?.map(({ Name }: { Name: string }) => Name) ??
      Images.map(({ RepoName, Tag }: Record<string, string>) => `${RepoName}:${Tag}`)
    );
  };

  it("is trimmed of blanks and slashes, and names are in lower case", async () => {
    assert.deepEqual(await found(" /TEAM/app2/ "), ["team/app2"]);
    assert.deepEqual(await found("Team/App:1.1"), ["team/app:1.1"]);
  });

  it("is a tag as it is written", async () => {
    const source = worldSource();
    pushed(source, "zeta", "RC1", { layers: [] });
    const { data } = await searching(source).ask(
      '{a:GlobalSearch(query:":RC"){Images{Tag}} b:GlobalSearch(query:"zeta:RC"){Images{Tag}} c:GlobalSearch(query:":rc"){Images{Tag}}}',
    );
    assert.deepEqual(data, { a: { Images: [{ Tag: "RC1" }] }, b: { Images: [{ Tag: "RC1" }] }, c: { Images: [] } });
  });

  const refused: [string, string | RegExp][] = [
    [":", "invalid search query"],
    ["a@b", "invalid search query"],
    ["a:b:c", /^failed to parse search text, invalid format invalid image reference format/],
    ["x".repeat(257), /^max string size limit exceeded for query parameter. max=256 current=257/],
  ];
  for (const [query, message] of refused) {
    it(`is refused in zot's words: ${query.slice(0, 10)}`, async () => {
      const told = String(await found(query));
      if (typeof message === "string") assert.equal(told, message);
      else assert.match(told, message);
    });
  }

  it("is filtered by one platform that fits all, whatever the case", async () => {
    assert.deepEqual(await found("team", 'filter:{Os:["Windows"] Arch:["AMD64"]}'), ["team/app"]);
    assert.deepEqual(await found("team", 'filter:{Os:["windows"] Arch:["arm64"]}'), []);
    assert.deepEqual(await found("base", 'filter:{Arch:["arm64/v8"]}'), ["base/alpine"]);
    assert.deepEqual(await found("base", 'filter:{Arch:["arm64/v7"]}'), []);
    assert.deepEqual(await found("zeta", 'filter:{Os:[] Arch:["" null]}'), ["zeta"], "nothing is asked for");
    assert.match(
      String(await found("a", `filter:{Os:["${"x".repeat(300)}"]}`)),
      /exceeded for os parameter. max=256 current=300/,
    );
  });
});

describe("how well a name fits", () => {
  // zot's own examples (project-zot/zot, pkg/meta/common, RankRepoName).
  const ranks: [string, string, number | undefined][] = [
    ["alpine", "alpine", 0],
    ["foo/bar", "bar", 1],
    ["foo/bar", "ar", 2],
    ["foo/bar", "foo", 10],
    ["foo/bar", "oo", 20],
    ["foo/baz/bar", "az", 600],
    ["foo/bar/baz/repo", "foo/bar/rep", 1],
    ["foo/bar/baz/repo", "foo/bar/epo", 2],
    ["foo/bar/baz/repo", "foo/bar/b", 10],
    ["foo/bar/baz/repo", "bar/ba", 500],
    ["foo/bar", "foo/bar/baz", undefined],
    ["foo/bar", "qux", undefined],
    ["foo", "", 1],
  ];
  for (const [name, search, rank] of ranks)
    it(`${search} in ${name}: ${rank}`, () => assert.equal(rankOf(name, search), rank));
});

describe("a time", () => {
  const shown: [string, string | undefined][] = [
    ["2026-01-02T03:04:05.120000000Z", "2026-01-02T03:04:05.12Z"],
    ["2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05Z"],
    ["2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05Z"],
    ["2026-01-02T03:04:05+02:00", "2026-01-02T03:04:05+02:00"],
    ["0001-01-01T00:00:00Z", undefined],
    ["2026-02-30T00:00:00Z", undefined],
    ["yesterday", undefined],
    ["2026", undefined],
  ];
  for (const [text, time] of shown) it(`${text} is shown as ${time}`, () => assert.equal(showTime(text), time));
});
