/** Queries about vulnerabilities, with a scanner that knows what it is told. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { scanAll } from "../../../registry/search/queries/cve.ts";
import { cve, FakeScanner } from "./fake-scanner.ts";
import { askerOf, NOBODY, searching, worldSource } from "./world.ts";

const APP = "sha256:4510041ad4843f7c6b589e9fcbada4bb86087f9530c8ccf7f921d891acfe0fdd";
const APP_NEWER = "sha256:12c16da9507f777cfb78376c2d59e4f429016bad7d88392471ba90b066c7abd0";
const WINDOWS = "sha256:56bbe23fe7d9f54ea9e321f8cc9336cc63a2d46e3d4bea3660cf3bd4cfff9c17";
const DEBIAN = "sha256:f760cea0329bc1fd10df162571e1c8f98afe35138bd11e61f3e6989ad56d75eb";
const ALPINE_AMD = "sha256:10eb64c5a9d463a62d1642ec1306e6d3b847d37f4efa6c0e1e0ecbbc68cec863";
const ALPINE_ARM = "sha256:1b703d17aae98afcf4662c9fa6e7614442c490a349bbd0345a13e10a732b1221";

const LOW = cve("CVE-2024-0001", "LOW", "a small one");
const HIGH = cve("CVE-2024-0002", "HIGH");
const CRITICAL = cve("CVE-2024-0003", "CRITICAL");
const MEDIUM = cve("CVE-2023-0004", "MEDIUM");

function scanned() {
  const scanner = new FakeScanner();
  scanner.scans.set(APP, { cves: [LOW, CRITICAL, HIGH, MEDIUM] });
  scanner.scans.set(APP_NEWER, { cves: [LOW] });
  scanner.scans.set(DEBIAN, { cves: [HIGH, LOW] });
  scanner.scans.set(ALPINE_AMD, { cves: [LOW] });
  scanner.scans.set(ALPINE_ARM, { cves: [{ ...LOW, severity: "HIGH" }, MEDIUM] });
  return { scanner, ...searching(worldSource(), scanner) };
}

describe("vulnerabilities of an image", () => {
  const ask = async (args: string, selection = "{Tag CVEList{Id} Page{TotalCount ItemCount}}") => {
    const { data, errors } = await scanned().ask(`{l:CVEListForImage(${args})${selection}}`);
    assert.equal(errors, undefined);
    return data?.["l"];
  };
  const listed = (ids: readonly string[], total = ids.length, tag = "1.0") => ({
    Tag: tag,
    CVEList: ids.map((Id) => ({ Id })),
    Page: { TotalCount: total, ItemCount: ids.length },
  });
  const [one, two, three, four] = [LOW, HIGH, CRITICAL, MEDIUM].map(({ id }) => id) as [string, string, string, string];

  it("are told worst first, by tag and by digest", async () => {
    assert.deepEqual(await ask('image:"team/app:1.0"'), listed([three, two, four, one]));
    assert.deepEqual(await ask(`image:"team/app@${APP}"`), listed([three, two, four, one], 4, APP));
  });

  it("are ordered, cut and searched", async () => {
    const image = 'image:"team/app:1.0"';
    assert.deepEqual(await ask(`${image} requestedPage:{sortBy:ALPHABETIC_ASC}`), listed([four, one, two, three]));
    assert.deepEqual(await ask(`${image} requestedPage:{limit:2 offset:1}`), listed([two, four], 4));
    assert.deepEqual(await ask(`${image} requestedPage:{limit:2 offset:9}`), listed([], 4));
    assert.deepEqual(await ask(`${image} searchedCVE:"cve-2024"`), listed([three, two, one]));
    assert.deepEqual(await ask(`${image} searchedCVE:"small"`), listed([one]));
    assert.deepEqual(await ask(`${image} excludedCVE:"2024"`), listed([four]));
    assert.deepEqual(await ask(`${image} severity:"high"`), listed([two]));
  });

  it("are summed up over all, whatever is searched for", async () => {
    assert.deepEqual(
      await ask(
        'image:"team/app:1.0" severity:"LOW"',
        "{Summary{MaxSeverity Count UnknownCount LowCount MediumCount HighCount CriticalCount}}",
      ),
      {
        Summary: {
          MaxSeverity: "CRITICAL",
          Count: 4,
          UnknownCount: 0,
          LowCount: 1,
          MediumCount: 1,
          HighCount: 1,
          CriticalCount: 1,
        },
      },
    );
    assert.deepEqual(await ask('image:"zeta:v1"', "{CVEList{Id} Summary{MaxSeverity Count}}"), {
      CVEList: [],
      Summary: { MaxSeverity: "NONE", Count: 0 },
    });
  });

  it("of an index are looked for in some of its images at once; of those that fail the first one is named", async () => {
    const children = Array.from({ length: 12 }, (_, n) => `sha256:${String(n).padStart(64, "0")}`);
    const images = children.map((digest) => ({ name: "many/images", digest, mediaType: "x" }));
    let [underWay, most] = [0, 0];
    const scanner = new FakeScanner();
    scanner.scan = async ({ digest }) => {
      scanner.scanned.push(digest);
      underWay += 1;
      most = Math.max(most, underWay);
      // The later ones first.
      for (let turn = children.indexOf(digest); turn < children.length; turn += 1) await new Promise(setImmediate);
      underWay -= 1;
      return scanner.scans.get(digest) ?? { cves: [LOW] };
    };
    const { search } = searching(worldSource(), scanner);
    const asking = search.asking(askerOf(NOBODY));
    assert.deepEqual(await scanAll(scanner, images, asking), [LOW]);
    assert.deepEqual([scanner.scanned.length, most], [12, 4]);
    scanner.scanned.length = 0;
    for (const failing of [1, 2]) scanner.scans.set(children[failing] ?? "", { unscannable: `${failing}` });
    await assert.rejects(scanAll(scanner, images, asking), /many\/images@sha256:0+1 cannot be scanned: 1/);
    assert.ok(scanner.scanned.length < 12, "no more are begun");
  });

  it("of an index are those of its images, each once and as bad as it gets", async () => {
    assert.deepEqual(await ask('image:"base/alpine:3.20"', "{CVEList{Id Severity}}"), {
      CVEList: [
        { Id: one, Severity: "HIGH" },
        { Id: four, Severity: "MEDIUM" },
      ],
    });
  });

  const wrong: [string, RegExp][] = [
    ['image:"team/app"', /^no reference provided$/],
    ['image:"no/such:1"', /^repo metadata not found/],
    ['image:"team/app:none"', /^can't find image: team\/app:none$/],
    ['image:"team/app:1.0" requestedPage:{limit:5000}', /excessive value: 5000 is more than the 4096 of one page/],
    ['image:"team/app:1.0" requestedPage:{sortBy:DOWNLOADS}', /^sorting CVEs by 'DOWNLOADS' is not supported/],
    ['image:"team/app:1.0" severity:"BAD"', /^severity BAD is none of/],
  ];
  for (const [args, message] of wrong) {
    it(`are not told of ${args}`, async () => {
      const { errors, data } = await scanned().ask(`{CVEListForImage(${args}){Tag}}`);
      assert.equal(data, null);
      assert.match(errors?.[0]?.message ?? "", message);
    });
  }

  it("are not told where the scanner cannot tell them, and it says why", async () => {
    const { ask, scanner } = scanned();
    scanner.scans.set(WINDOWS, { unscannable: "windows is not known" });
    const first = await ask('{CVEListForImage(image:"team/app:windows"){Tag}}');
    assert.match(first.errors?.[0]?.message ?? "", /cannot be scanned: windows is not known$/);
    scanner.fault = new Error("the database is stale");
    const second = await ask('{CVEListForImage(image:"team/app:1.0"){Tag}}');
    assert.equal(second.errors?.[0]?.message, "the scanner failed: the database is stale");
  });
});

describe("the difference of two images", () => {
  const SELECTION =
    "{Minuend{Repo Tag Digest Platform{Os Arch}} Subtrahend{Repo Tag Digest Platform{Os Arch}} CVEList{Id} Summary{Count MaxSeverity} Page{TotalCount ItemCount}}";

  it("is what the first has and the second has not", async () => {
    const { data, errors } = await scanned().ask(
      `{d:CVEDiffListForImages(minuend:{Repo:"team/app" Tag:"1.0"} subtrahend:{Repo:"base/debian" Tag:"12"} requestedPage:{limit:1})${SELECTION}}`,
    );
    assert.equal(errors, undefined);
    assert.deepEqual(data?.["d"], {
      Minuend: { Repo: "team/app", Tag: "1.0", Digest: APP, Platform: null },
      Subtrahend: { Repo: "base/debian", Tag: "12", Digest: DEBIAN, Platform: null },
      CVEList: [{ Id: CRITICAL.id }],
      Summary: { Count: 2, MaxSeverity: "CRITICAL" },
      Page: { TotalCount: 2, ItemCount: 1 },
    });
  });

  it("names one image of an index by its platform, or its digest", async () => {
    for (const which of ['Platform:{Os:"linux" Arch:"arm64/v8"}', `Digest:"${ALPINE_ARM}"`]) {
      const { data } = await scanned().ask(
        `{d:CVEDiffListForImages(minuend:{Repo:"base/alpine" Tag:"3.20" ${which}} subtrahend:{Repo:"team/app" Tag:"1.1"})${SELECTION}}`,
      );
      assert.deepEqual((data?.["d"] as { Minuend: unknown } | undefined)?.Minuend, {
        Repo: "base/alpine",
        Tag: "3.20",
        Digest: ALPINE_ARM,
        Platform: { Os: "linux", Arch: "arm64/v8" },
      });
    }
  });

  it("without a second image is that to the nearest base in the same repository", async () => {
    const { data, errors } = await scanned().ask(
      `{d:CVEDiffListForImages(minuend:{Repo:"team/app" Tag:"1.0"} subtrahend:{Repo:"" Tag:""})${SELECTION}}`,
    );
    assert.equal(errors, undefined);
    const diff = data?.["d"] as { Subtrahend: unknown; CVEList: unknown[] };
    assert.deepEqual(diff.Subtrahend, { Repo: "", Tag: "", Digest: null, Platform: null }, "there is none");
    assert.equal(diff.CVEList.length, 4);
  });

  const wrong: [string, RegExp][] = [
    ['{Repo:"" Tag:"1"}', /^repo name can't be empty string$/],
    ['{Repo:"team/app" Tag:""}', /^tag can't be empty string$/],
    ['{Repo:"no/such" Tag:"1"}', /^repo metadata not found/],
    ['{Repo:"team/app" Tag:"none"}', /^image not found: team\/app:none$/],
    ['{Repo:"base/alpine" Tag:"3.20"}', /platform or specific manifest digest needed$/],
    ['{Repo:"base/alpine" Tag:"3.20" Digest:"sha256:0"}', /^image not found: base\/alpine:3.20$/],
  ];
  for (const [minuend, message] of wrong) {
    it(`is not told of ${minuend}`, async () => {
      const { errors } = await scanned().ask(
        `{CVEDiffListForImages(minuend:${minuend} subtrahend:{Repo:"team/app" Tag:"1.1"}){CVEList{Id}}}`,
      );
      assert.match(errors?.[0]?.message ?? "", message);
    });
  }
});

describe("images by a vulnerability", () => {
  const tags = async (query: string) => {
    const { data, errors } = await scanned().ask(
      `{l:${query}{Page{TotalCount} Results{RepoName Tag Manifests{Digest}}}}`,
    );
    assert.equal(errors, undefined);
    return data?.["l"] as {
      Page: unknown;
      Results: { RepoName: string; Tag: string; Manifests: { Digest: string }[] }[];
    };
  };

  it("are those that have it, newest first; of an index the images that do", async () => {
    const { Results, Page } = await tags(`ImageListForCVE(id:"${MEDIUM.id}")`);
    assert.deepEqual(Page, { TotalCount: 2 });
    assert.deepEqual(
      Results.map(({ RepoName, Tag, Manifests }) => [RepoName, Tag, ...Manifests.map(({ Digest }) => Digest)]),
      [
        ["team/app", "1.0", APP],
        ["base/alpine", "3.20", ALPINE_ARM],
      ],
    );
    assert.deepEqual(
      (await tags(`ImageListForCVE(id:"${MEDIUM.id}" filter:{Arch:["amd64"] Os:["linux"]} requestedPage:{limit:1})`))
        .Page,
      {
        TotalCount: 2,
      },
    );
    assert.deepEqual((await tags('ImageListForCVE(id:"CVE-0")')).Results, []);
  });

  it("are those that have it no more: not older than the first that had it", async () => {
    const { Results } = await tags(`ImageListWithCVEFixed(id:"${HIGH.id}" image:"team/app")`);
    assert.deepEqual(
      Results.map(({ Tag }) => Tag),
      ["windows", "1.1"],
    );
    const all = await tags('ImageListWithCVEFixed(id:"CVE-0" image:"team/app")');
    assert.deepEqual(
      all.Results.map(({ Tag }) => Tag),
      ["windows", "1.1", "1.0"],
      "nothing ever had it",
    );
    const none = await tags(`ImageListWithCVEFixed(id:"${LOW.id}" image:"base/debian")`);
    assert.deepEqual(
      none.Results.map(({ Tag }) => Tag),
      ["12-slim"],
    );
  });

  it("count what cannot be scanned as having it", async () => {
    const { ask, scanner } = scanned();
    scanner.scans.set(WINDOWS, { unscannable: "unknown" });
    const { data } = await ask(`{ImageListWithCVEFixed(id:"${HIGH.id}" image:"team/app"){Results{Tag}}}`);
    assert.deepEqual(data, { ImageListWithCVEFixed: { Results: [{ Tag: "1.1" }] } });
  });
});

describe("what lists tell of vulnerabilities", () => {
  it("is what is known already, asked for once a page, never scanned for", async () => {
    const { ask, scanner } = scanned();
    const { data, errors } = await ask(
      '{ImageList(repo:"team/app"){Results{Tag Vulnerabilities{MaxSeverity Count HighCount}}}}',
    );
    assert.equal(errors, undefined);
    assert.deepEqual(data, {
      ImageList: {
        Results: [
          { Tag: "1.0", Vulnerabilities: { MaxSeverity: "CRITICAL", Count: 4, HighCount: 1 } },
          { Tag: "1.1", Vulnerabilities: { MaxSeverity: "LOW", Count: 1, HighCount: 0 } },
          { Tag: "windows", Vulnerabilities: { MaxSeverity: "", Count: 0, HighCount: 0 } },
        ],
      },
    });
    assert.deepEqual(scanner.asked, [[APP, APP_NEWER, WINDOWS]]);
    assert.deepEqual(scanner.scanned, []);
  });

  it("is null with an error at its place, when the scanner fails: the images are there", async () => {
    const { ask, scanner } = scanned();
    scanner.fault = new Error("away");
    const { data, errors } = await ask('{ImageList(repo:"zeta"){Results{Tag Vulnerabilities{Count}}}}');
    assert.deepEqual(data, { ImageList: { Results: [{ Tag: "v1", Vulnerabilities: null }] } });
    assert.deepEqual(errors?.[0]?.path, ["ImageList", "Results", 0, "Vulnerabilities"]);
    assert.equal(errors?.[0]?.message, "the scanner failed: away");
  });
});
