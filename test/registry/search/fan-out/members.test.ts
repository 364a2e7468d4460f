/** Which member is asked what, and members that are away, wrong, older, or lie: each costs its part, by name. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { GraphQlAnswer } from "../../../../registry/search/answer.ts";
import { readDocument } from "../../../../registry/search/document.ts";
import { readExtensions } from "../../../../registry/search/fan-out/contract.ts";
import { planQuery } from "../../../../registry/search/fan-out/plan.ts";
import { FakeScanner } from "../fake-scanner.ts";
import { digestOf } from "../fake-source.ts";
import { pushWorld } from "../world.ts";
import { type Cluster, clusterOf } from "./cluster.ts";

const world = (scanner?: FakeScanner) => clusterOf(3, (source, _, owns) => pushWorld(source, owns), scanner);

/** Repositories of the world by their owner. */
const { ownerOf } = world();
const at = (member: string) =>
  Array.from({ length: 12 }, (_, n) => `many/r${String(n).padStart(2, "0")}`).find(
    (name) => ownerOf(name) === member,
  ) ?? assert.fail(`${member} owns nothing`);

describe("who is asked", () => {
  const DIGEST = digestOf("any");
  const b = at("b");
  const c = at("c");
  const rows: [string, string[], string?][] = [
    [`ImageList(repo:"${b}"){Page{TotalCount}}`, ["b"]],
    [`ImageList(repo:"${at("a")}"){Page{TotalCount}}`, []],
    [`ExpandedRepoInfo(repo:"${c}"){Summary{Name}}`, ["c"]],
    [`Image(image:"${b}:t"){Tag}`, ["b"]],
    [`Referrers(repo:"${c}" digest:"${DIGEST}"){Digest}`, ["c"]],
    [`CVEListForImage(image:"${b}:t"){Tag}`, ["b"]],
    [`CVEListForImage(image:"${b}@${DIGEST}"){Tag}`, ["b"]],
    [`GlobalSearch(query:"${c}:t"){Images{Tag}}`, ["c"]],
    [`ImageListWithCVEFixed(id:"x" image:"${b}"){Results{Tag}}`, ["b"]],
    ['GlobalSearch(query:"a"){Repos{Name}}', ["b", "c"]],
    ['GlobalSearch(query:":t"){Images{Tag}}', ["b", "c"]],
    [`GlobalSearch(query:"${DIGEST}"){Images{Tag}}`, ["b", "c"]],
    ["RepoListWithNewestImage{Results{Name}}", ["b", "c"]],
    ['ImageList(repo:""){Results{Tag}}', ["b", "c"]],
    [`ImageListForDigest(id:"${DIGEST}"){Results{Tag}}`, ["b", "c"]],
    ['ImageListForCVE(id:"x"){Results{Tag}}', ["b", "c"]],
    ["StarredRepos{Results{Name}}", ["b", "c"]],
    ["BookmarkedRepos{Results{Name}}", ["b", "c"]],
    [`BaseImageList(image:"${b}:t"){Results{Tag}}`, ["b", "c"], "once the owner told its layers"],
    [`DerivedImageList(image:"${b}:t"){Results{Tag}}`, ["b", "c"], "once the owner told its layers"],
    [`CVEDiffListForImages(minuend:{Repo:"${b}" Tag:"t"} subtrahend:{Repo:"${b}" Tag:"t"}){Page{TotalCount}}`, ["b"]],
    [
      `CVEDiffListForImages(minuend:{Repo:"${b}" Tag:"t"} subtrahend:{Repo:"${c}" Tag:"t"}){Page{TotalCount}}`,
      ["b", "b", "c", "c"],
      "which image it is, then what it has",
    ],
    ["__schema{queryType{name}}", []],
    ['ImageList(repo:"" requestedPage:{limit:-1}){Page{TotalCount}}', [], "in error whoever answers"],
  ];
  for (const [query, members, why = ""] of rows) {
    it(`${query.slice(0, 60)}: ${members.join(", ") || "nobody else"} ${why}`, async () => {
      const cluster = world(new FakeScanner());
      await cluster.ask(`{${query}}`);
      assert.deepEqual(cluster.asked.map(({ member }) => member).sort(), members);
    });
  }

  it("routes each query of a document by itself, with variables and fragments taken out", () => {
    const query = `query($n:String! $p:PageInput $x:Boolean!){
      mine:ImageList(repo:$n requestedPage:$p){...F} all:ImageList(repo:"" requestedPage:$p){...F}
    } fragment F on PaginatedImagesResult{Results{T:Tag Title @skip(if:$x) ...G}} fragment G on ImageSummary{Digest @include(if:$x)}`;
    const variables = { n: b, p: { limit: 2, offset: 3, sortBy: "UPDATE_TIME" }, x: true };
    const document = readDocument({ query, variables });
    const [mine, all] = document.queries.map((each) => planQuery(each, document, ownerOf, ["a", "b", "c"]));
    const words = (text = "") => text.replace(/\s+/g, " ").trim();
    assert.ok(mine?.kind === "owner" && all?.kind === "all");
    assert.equal(mine.member, "b");
    assert.match(words(mine.request.query), /mine: ImageList\(\s*repo: "many\/r\d\d"/);
    assert.match(
      words(mine.request.query),
      /requestedPage: \{limit: 2, offset: 3, sortBy: UPDATE_TIME\} \) \{ Results \{ T: Tag Digest \} \} \}$/,
    );
    assert.match(words(all.request.query), /requestedPage: \{limit: 5, offset: 0, sortBy: UPDATE_TIME\}/);
    assert.match(
      words(all.request.query),
      /outriggerPage: Page \{ TotalCount \} Results \{ T: Tag Digest outriggerName: RepoName outriggerTag: Tag outriggerBy: LastUpdated \}/,
    );
    assert.deepEqual(all.request.variables, undefined);
  });

  it("refuses to merge what lies beyond 10,000, and says so", async () => {
    const cluster = world();
    const { errors, data } = await cluster.ask(
      "{RepoListWithNewestImage(requestedPage:{limit:2 offset:9999}){Page{TotalCount}}}",
    );
    assert.equal(data, null);
    assert.match(
      errors?.[0]?.message ?? "",
      /^offset \+ limit is 10001, and over several members at most 10000 are merged/,
    );
    assert.deepEqual(cluster.asked, []);
  });
});

describe("a member that fails", () => {
  const LIST =
    '{l:ImageList(repo:"" requestedPage:{limit:100}){Page{TotalCount ItemCount} Results{RepoName Tag}} __typename}';

  async function without(cluster: Cluster, answer: GraphQlAnswer) {
    const list = answer.data?.["l"] as {
      Page: { TotalCount: number; ItemCount: number };
      Results: { RepoName: string }[];
    };
    const rest = [...cluster.sources].filter(([id]) => id !== "b").reduce((sum, [, { tagCount }]) => sum + tagCount, 0);
    assert.deepEqual(list.Page, { TotalCount: rest, ItemCount: rest });
    assert.equal(list.Results.length, rest);
    assert.ok(list.Results.every(({ RepoName }) => ownerOf(RepoName) !== "b"));
    assert.equal(answer.data?.["__typename"], "Query");
    assert.equal(answer.errors?.length, 1);
    const [error] = answer.errors ?? [];
    assert.equal(error?.extensions?.["member"], "b");
    assert.deepEqual(error?.path, ["l"]);
    assert.deepEqual(error?.locations, [{ line: 1, column: 2 }]);
    return error?.message ?? "";
  }

  type Lie = (list: { outriggerPage: { TotalCount: number }; Results: Record<string, unknown>[] }) => void;
  const lies: [string, Lie, RegExp][] = [
    ["repeats an item", ({ Results }) => Results.splice(1, 1, { ...Results[0] }), /out of order, or twice/],
    ["disorders items", ({ Results }) => Results.reverse(), /out of order, or twice/],
    [
      "answers another's",
      ({ Results }) => Object.assign(Results[0] ?? {}, { outriggerName: at("c") }),
      /which is not its own/,
    ],
    ["answers too few", ({ Results }) => Results.pop(), /answered \d+ items where \d+ were due/],
    ["answers too many", ({ Results }) => Results.push({ ...Results[0] }), /answered \d+ items where \d+ were due/],
    ["leaves out a name", ({ Results }) => delete Results[0]?.["outriggerName"], /without its name/],
    [
      "leaves out a field",
      ({ Results }) => delete Results[0]?.["Tag"],
      /answered what was not asked: Results\[0\]\.Tag is missing/,
    ],
    [
      "answers another type",
      ({ Results }) => Object.assign(Results[0] ?? {}, { Tag: 7 }),
      /Results\[0\]\.Tag is not String/,
    ],
    ["answers no list", (list) => Object.assign(list, { Results: {} }), /Results is not a list/],
    [
      "answers a negative number",
      (list) => Object.assign(list.outriggerPage, { TotalCount: -1 }),
      /no number of what it has/,
    ],
  ];
  for (const [what, lie, message] of lies) {
    it(`${what}: the rest stands, and it is named`, async () => {
      const cluster = world();
      cluster.instead.set("b", async (_, honest) => {
        const answer = await honest();
        lie(answer.data?.["l"] as Parameters<Lie>[0]);
        return answer;
      });
      assert.match(await without(cluster, await cluster.ask(LIST)), message);
    });
  }

  const failures: [string, () => Promise<unknown>, RegExp][] = [
    ["is away", () => Promise.reject(new Error("connection refused")), /^member b did not answer: connection refused$/],
    ["answers nonsense", async () => "hello", /^member b answered what is not GraphQL$/],
    ["answers nothing", async () => ({ data: null }), /^member b does not take the question .*it answered nothing$/],
    ["answers no data", async () => ({ errors: [{ message: "x" }] }), /^member b answered what is not GraphQL$/],
    [
      "speaks an older schema",
      async () => ({
        errors: [{ message: 'Cannot query field "TaggedTimestamp" on type "ImageSummary".' }],
        data: null,
      }),
      /^member b does not take the question \(is its version older\?\): Cannot query field "TaggedTimestamp"/,
    ],
    [
      "cannot ask its storage",
      async () => ({
        errors: [{ message: "the storage does not answer", path: ["l"], extensions: { code: "UNAVAILABLE" } }],
        data: null,
      }),
      /^member b says: the storage does not answer$/,
    ],
    ["says a book", () => Promise.reject(new Error("x".repeat(100_000))), /^member b did not answer: x{1,500}…$/],
  ];
  for (const [what, answer, message] of failures) {
    it(`${what}: the rest stands, and it is named`, async () => {
      const cluster = world();
      cluster.instead.set("b", answer as () => Promise<GraphQlAnswer>);
      assert.match(await without(cluster, await cluster.ask(LIST)), message);
    });
  }

  const oddErrors: [string, object][] = [
    ["no path", { path: null }],
    ["a number for a path", { path: 5 }],
    ["objects in a path", { path: [{}, null] }],
    ["a path from elsewhere", { path: ["other", 1] }],
    ["a text for extensions", { path: ["x"], extensions: "x" }],
    ["null for extensions", { path: ["x"], extensions: null }],
    ["a code that is a tree", { path: ["x"], extensions: { code: { a: [] }, more: "m".repeat(1000) } }],
  ];
  for (const [what, odd] of oddErrors) {
    it(`answers with errors that have ${what}: their words alone are told, and the rest stands`, async () => {
      for (const query of [`x:ImageList(repo:"${at("b")}"){Page{TotalCount}}`, 'x:ImageList(repo:""){Results{Tag}}']) {
        for (const isAnswered of [true, false]) {
          const cluster = world();
          cluster.instead.set("b", async (_, honest) => ({
            data: isAnswered ? (await honest()).data : null,
            errors: [{ message: "y".repeat(100_000), ...odd }],
          }));
          const { status, data, errors = [] } = await cluster.ask(`{${query} __typename}`);
          assert.equal(status, 200);
          if (isAnswered) assert.equal(data?.["__typename"], "Query");
          for (const { message, path, extensions } of errors) {
            assert.ok(message.length < 700, `${message.length}`);
            assert.equal(path?.[0], "x");
            assert.ok(JSON.stringify(extensions ?? {}).length < 100);
          }
          assert.ok(isAnswered || errors.length > 0);
        }
      }
    });
  }

  const LIST_OF_IMAGE = /outriggerLayers/;
  const oddLayers: [string, unknown, RegExp][] = [
    ["no digests", [{ Digest: "x", Layers: [] }], /member b did not answer: it answered a layer .* without its digest/],
    ["layers without digests", [{ Digest: digestOf("m"), Layers: [{ Digest: "x" }] }], /without its digest/],
    ["numbers", [5], /it answered no layers/],
    ["no list", "many", /it answered no layers/],
    [
      "too many layers",
      [{ Digest: digestOf("m"), Layers: Array(10_001).fill({ Digest: digestOf("l") }) }],
      /it answered 10001 layers, and 10000 are searched for/,
    ],
  ];
  for (const [what, Manifests, message] of oddLayers) {
    it(`answers ${what} of the image whose layers are searched for: it is named, and nobody else is asked`, async () => {
      const cluster = world();
      cluster.instead.set("b", async ({ query }, honest) => {
        const { data } = await honest();
        return LIST_OF_IMAGE.test(query) ? { data: { ...data, outriggerLayers: { Manifests } } } : { data };
      });
      const { data, errors } = await cluster.ask(`{BaseImageList(image:"${at("b")}:t"){Results{Tag}}}`);
      assert.deepEqual(data, { BaseImageList: null });
      assert.match(errors?.[0]?.message ?? "", message);
      assert.equal(errors?.[0]?.extensions?.["member"], "b");
      assert.equal(cluster.asked.length, 1);
    });
  }

  it("answers null among its items: it is named", async () => {
    const cluster = world();
    cluster.instead.set("b", async (_, honest) => {
      const answer = await honest();
      const list = answer.data?.["x"] as { Images: unknown[] } | undefined;
      list?.Images.splice(0, 1, null);
      return answer;
    });
    const { errors } = await cluster.ask('{x:GlobalSearch(query:":t" requestedPage:{limit:5}){Images{Tag}}}');
    assert.match(errors?.[0]?.message ?? "", /member b answered an item without its name/);
  });

  it("owns what one query is about: that query is null, and the others are answered", async () => {
    const cluster = world();
    cluster.instead.set("b", () => Promise.reject(new Error("gone")));
    const { status, data, errors } = await cluster.ask(
      `{x:ImageList(repo:"${at("b")}"){Page{TotalCount}} y:ImageList(repo:"${at("a")}"){Page{ItemCount}}}`,
    );
    assert.equal(status, 200);
    assert.equal(data?.["x"], null);
    assert.ok(data?.["y"]);
    assert.deepEqual(errors, [
      {
        message: "member b did not answer: gone",
        path: ["x"],
        locations: [{ line: 1, column: 2 }],
        extensions: { member: "b" },
      },
    ]);
  });

  it("owns the image whose layers are searched for: nobody else is asked", async () => {
    const cluster = world();
    cluster.instead.set("b", () => Promise.reject(new Error("gone")));
    const { data, errors } = await cluster.ask(`{BaseImageList(image:"${at("b")}:t"){Results{Tag}}}`);
    assert.deepEqual(data, { BaseImageList: null });
    assert.equal(errors?.[0]?.extensions?.["member"], "b");
    assert.deepEqual(
      cluster.asked.map(({ member }) => member),
      ["b"],
    );
  });

  it("does not know of layers that lie elsewhere: it is named, and the others' images are there", async () => {
    const cluster = world();
    const older = async ({ query }: { query: string }) => {
      const message = query.includes("outriggerLayers") ? "no" : "repository not found";
      return { errors: [{ message, path: ["BaseImageList"] }], data: null };
    };
    const owner = ownerOf("team/app-worker");
    const other = ["b", "c"].find((id) => id !== owner) ?? "b";
    cluster.instead.set(other, older);
    const { data, errors } = await cluster.ask('{BaseImageList(image:"team/app-worker:1.1"){Results{RepoName}}}');
    assert.equal(errors?.length, 1);
    assert.equal(errors?.[0]?.extensions?.["member"], other);
    assert.ok(data?.["BaseImageList"]);
  });

  it("is one of two sides of a difference", async () => {
    const cluster = world(new FakeScanner());
    cluster.instead.set("c", () => Promise.reject(new Error("gone")));
    const side = (name: string) => `{Repo:"${name}" Tag:"t"}`;
    const { data, errors } = await cluster.ask(
      `{CVEDiffListForImages(minuend:${side(at("b"))} subtrahend:${side(at("c"))}){CVEList{Id}}}`,
    );
    assert.deepEqual(data, { CVEDiffListForImages: null });
    assert.equal(errors?.[0]?.extensions?.["member"], "c");
  });

  it("all of them: null and each by its name, and what no member owns is still answered", async () => {
    const cluster = world();
    for (const id of ["a", "b", "c"]) cluster.instead.set(id, () => Promise.reject(new Error("gone")));
    const source = cluster.sources.get("a");
    if (source) source.fault = new Error("gone");
    const { data, errors } = await cluster.ask("{l:RepoListWithNewestImage{Results{Name}} __typename}");
    assert.deepEqual(data, { l: null, __typename: "Query" });
    assert.deepEqual(errors?.map(({ extensions }) => extensions?.["member"]).sort(), ["a", "b", "c"]);
  });
});

describe("while repositories are on their way between members", () => {
  it("what all answer may lack some, and says so; what one answers, or is refused, says nothing of it", async () => {
    const cluster = world();
    cluster.isMoving = true;
    const message = /^some repositories are on their way between the members of the cluster .* may be missing here$/;
    const all = await cluster.ask('{x:RepoListWithNewestImage{Results{Name}} y:GlobalSearch(query:"a"){Repos{Name}}}');
    assert.ok(all.data?.["x"] && all.data["y"]);
    assert.deepEqual(
      all.errors?.map(({ path, locations, extensions }) => ({ path, locations, extensions })),
      [
        { path: ["x"], locations: [{ line: 1, column: 2 }], extensions: { code: "UNAVAILABLE" } },
        { path: ["y"], locations: [{ line: 1, column: 43 }], extensions: { code: "UNAVAILABLE" } },
      ],
    );
    for (const error of all.errors ?? []) assert.match(error.message, message);
    const one = await cluster.ask(`{ImageList(repo:"${at("b")}"){Page{TotalCount}}}`);
    assert.equal(one.errors, undefined);
    const refused = await cluster.ask('{ImageList(repo:"" requestedPage:{limit:-1}){Page{TotalCount}}}');
    assert.equal(refused.errors?.length, 1);
    cluster.isMoving = false;
    assert.equal((await cluster.ask("{RepoListWithNewestImage{Results{Name}}}")).errors, undefined);
  });
});

describe("what a peer sends beside a query", () => {
  const layer = digestOf("layer");
  it("is taken when it is what it should be", () => {
    assert.deepEqual(readExtensions(undefined), {});
    assert.deepEqual(readExtensions({ layers: { [layer]: [layer] }, more: 1 }), { layers: { [layer]: [layer] } });
  });
  const wrong: [unknown, RegExp][] = [
    ["x", /not a JSON object/],
    [{ layers: [] }, /extensions.layers is not a JSON object/],
    [{ layers: { x: [] } }, /a key that is not a digest/],
    [{ layers: { [layer]: ["x"] } }, /is not a list of digests/],
    [{ layers: { [layer]: Array(10_001).fill(layer) } }, /has 10001 layers, and 10000 are allowed/],
  ];
  for (const [value, message] of wrong) {
    it(`is refused: ${JSON.stringify(value).slice(0, 40)}`, () => assert.throws(() => readExtensions(value), message));
  }
});
