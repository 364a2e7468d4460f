/** What keeps a question from costing more than it is worth: each limit says what it allows. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { QueryError } from "../../../registry/search/errors.ts";
import { MAX_ITEMS, pageOf } from "../../../registry/search/page.ts";
import { FakeSource } from "./fake-source.ts";
import { searching } from "./world.ts";

const IMAGES = "{Page{TotalCount ItemCount} Results{Tag}}";

describe("a document beyond the limits", () => {
  const chain = (fragments: number) =>
    `{RepoListWithNewestImage{...F0}}${Array.from(
      { length: fragments },
      (_, n) =>
        `fragment F${n} on PaginatedReposResult{a${n}:Results{Name ...G${n}} b${n}:Results{Name ...G${n}}${
          n + 1 < fragments ? ` ...F${n + 1}` : ""
        }} fragment G${n} on RepoSummary{Name Size Rank}`,
    ).join(" ")}`;
  const deep = (levels: number) => `{__schema{types{${"ofType{".repeat(levels)}name${"}".repeat(levels)}}}}`;
  const cases: [string, string, RegExp][] = [
    ["too long", `{ImageList(repo:"${"x".repeat(70_000)}")${IMAGES}}`, /has 700\d\d characters, and 65536 are allowed/],
    ["too deep", deep(30), /is 33 levels deep, and 20 are allowed/],
    [
      "a thousand aliases",
      `{${Array.from({ length: 1000 }, (_, n) => `a${n}:ImageList(repo:"")${IMAGES}`).join(" ")}}`,
      /./,
    ],
    [
      "many queries",
      `{${Array.from({ length: 31 }, (_, n) => `a${n}:__typename`).join(" ")}}`,
      /has 31 queries, and 30 are/,
    ],
    [
      "many fields",
      `{ImageList(repo:""){Results{${Array.from({ length: 1200 }, (_, n) => `a${n}:Tag`).join(" ")}}}}`,
      /selects 1202 fields, and 1000 are allowed/,
    ],
    ["fragments that grow", chain(200), /selects \d+ fields, and 1000 are allowed|token/i],
    ["a fragment in a circle", "{...A} fragment A on Query{...B} fragment B on Query{...A}", /./],
    ["an unknown field", "{Nope}", /Cannot query field "Nope"/],
    ["an unknown argument", `{ImageList(repo:"" nope:1)${IMAGES}}`, /Unknown argument "nope"/],
    ["a number beyond Int", `{ImageList(repo:"" requestedPage:{limit:99999999999})${IMAGES}}`, /32-bit/],
  ];
  for (const [what, query, message] of cases) {
    it(`is refused as a whole: ${what}`, async () => {
      const source = new FakeSource();
      source.fault = new Error("it was looked at");
      const { status, errors, data } = await searching(source).ask(query);
      assert.equal(status, 422);
      assert.equal(data, null);
      assert.match(errors?.[0]?.message ?? "", message);
    });
  }

  it("does not take what is below them for them", async () => {
    const many = `{${Array.from({ length: 30 }, (_, n) => `a${n}:ImageList(repo:"zeta"){Results{Tag}}`).join(" ")}}`;
    assert.equal((await searching().ask(many)).errors, undefined);
  });

  it("keeps blanks where empty parentheses were: places in errors stay", async () => {
    const { errors } = await searching().ask('{__schema(){queryType{name}} # () "()"\n Nope}');
    assert.deepEqual(errors?.[0]?.locations, [{ line: 2, column: 2 }]);
  });
});

describe("a page", () => {
  const cases: [string, RegExp][] = [
    ['ImageList(repo:"" requestedPage:{limit:-1})', /^pagination limit has negative value$/],
    ['ImageList(repo:"" requestedPage:{limit:1 offset:-1})', /^pagination offset has negative value$/],
    ['ImageList(repo:"" requestedPage:{limit:10001})', /excessive value: 10001 is more than the 10000 of one answer/],
    ['ImageList(repo:"" requestedPage:{sortBy:STARS})', /^sorting images by 'STARS' is not supported/],
    ["RepoListWithNewestImage(requestedPage:{sortBy:SEVERITY})", /^sorting repos by 'SEVERITY' is not supported/],
    ['GlobalSearch(query:"a" requestedPage:{limit:-1})', /limit parameter can't be negative/],
    ['GlobalSearch(query:"a" requestedPage:{offset:-1})', /offset parameter can't be negative/],
  ];
  for (const [query, message] of cases) {
    it(`is refused in a sentence: ${query}`, async () => {
      const { status, errors, data } = await searching().ask(`{${query}{Page{TotalCount}}}`);
      assert.equal(status, 200);
      assert.equal(data, null);
      assert.match(errors?.[0]?.message ?? "", message);
    });
  }

  it("of limit 0 is all at offset 0, and none elsewhere, as in zot", async () => {
    const { ask } = searching();
    const count = async (page: string) => (await ask(`{ImageList(repo:"" requestedPage:{${page}})${IMAGES}}`)).data;
    // biome-ignore lint/suspicious/noExplicitAny: an answer
    const counts = async (page: string) => ((await count(page)) as any).ImageList.Page;
    assert.deepEqual(await counts("limit:0"), { TotalCount: 21, ItemCount: 21 });
    assert.deepEqual(await counts("offset:5"), { TotalCount: 21, ItemCount: 0 });
    assert.deepEqual(await counts("limit:10 offset:20"), { TotalCount: 21, ItemCount: 1 });
  });

  it("has defaults: those of zot's resolvers", () => {
    assert.deepEqual(pageOf(null, "UPDATE_TIME", "repos"), {
      offset: 0,
      limit: 0,
      everything: true,
      order: "UPDATE_TIME",
    });
    assert.throws(() => pageOf({ sortBy: "SEVERITY" }, "RELEVANCE", "repos"), QueryError);
  });
});

describe("an answer that would be too large", () => {
  const large = () => {
    const source = new FakeSource();
    const record = { mediaType: "application/vnd.oci.image.manifest.v1+json", sizeBytes: 1, layers: [] };
    for (let n = 0; n < MAX_ITEMS + 1; n += 1) {
      source.put(`r/${String(n).padStart(6, "0")}`, `sha256:${String(n).padStart(64, "0")}`, record, ["t"], 1000 + n);
    }
    return searching(source);
  };

  it("is refused when all are asked for, and pages of it are not", async () => {
    const { ask } = large();
    for (const query of [
      'ImageList(repo:"")',
      "RepoListWithNewestImage",
      'GlobalSearch(query:"")',
      'GlobalSearch(query:"r")',
    ]) {
      const { errors, data } = await ask(`{${query}{Page{TotalCount}}}`);
      assert.equal(data, null);
      assert.match(errors?.[0]?.message ?? "", /these are 10001, and one answer holds 10000: ask for pages/);
    }
    const { data } = await ask(
      '{GlobalSearch(query:"r" requestedPage:{limit:2 offset:9999}){Page{TotalCount ItemCount} Repos{Name}}}',
    );
    assert.deepEqual(data?.["GlobalSearch"], {
      Page: { TotalCount: 10001, ItemCount: 2 },
      Repos: [{ Name: "r/009999" }, { Name: "r/010000" }],
    });
  });

  it("and is not, is made part by part: other work has its turn between", async () => {
    const { ask } = large();
    let turns = 0;
    let isDone = false;
    const count = () => {
      turns += 1;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    const { data } = await ask('{ImageList(repo:"" requestedPage:{limit:4000}){Results{Tag Size}}}');
    isDone = true;
    assert.equal((data?.["ImageList"] as { readonly Results: unknown[] } | undefined)?.Results.length, 4000);
    assert.ok(turns >= 15, `${turns} turns of others while 20 parts were made`);
  });

  it("is refused by the number of its values, over all queries of a document", async () => {
    const { ask } = large();
    const fields = Array.from({ length: 40 }, (_, n) => `f${n}:Tag`).join(" ");
    const one = `ImageList(repo:"" requestedPage:{limit:9000}){Results{${fields}}}`;
    assert.equal((await ask(`{${one}}`)).errors, undefined);
    const { errors, data } = await ask(`{a:${one} b:${one} c:${one}}`);
    assert.equal(data, null);
    assert.match(errors?.[0]?.message ?? "", /would have about 1080000 values, and 1000000 are allowed: ask for fewer/);
  });
});
