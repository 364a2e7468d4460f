/** Searches, preferences and discovery over HTTP: what comes in which way, who may, and what bad requests get. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { pino } from "pino";
import { OutriggerError } from "../../../proto/errors.ts";
import type { Account } from "../../../registry/auth/contract.ts";
import { explainBy } from "../../../registry/http/errors.ts";
import { createSearchService } from "../../../registry/search/service.ts";
import { type Api, startApi } from "../http/api.ts";
import { ALICE, FakePreferences, fixture, NOBODY, worldSource } from "./world.ts";

async function start(t: TestContext, account: Account = { ...NOBODY, readsAll: true }) {
  const api = await startApi(t);
  const source = worldSource();
  const preferences = new FakePreferences();
  const log = pino({ level: "silent" });
  api.backend.search = createSearchService({ source, holders: source, preferences }, explainBy(log));
  api.backend.authenticator = { asksAtBase: false, authenticate: () => ({ account }) };
  return { api, source, preferences };
}

const SEARCH = "/v2/_zot/ext/search";
const COUNT = "{RepoListWithNewestImage(requestedPage:{limit:1}){Page{TotalCount}}}";
const COUNTED = { data: { RepoListWithNewestImage: { Page: { TotalCount: 18 } } } };

function json(reply: { readonly body: Buffer }) {
  return JSON.parse(reply.body.toString());
}

async function post(api: Api, body: string, path = SEARCH) {
  return api.call("POST", path, { body, headers: { "content-type": "application/json" } });
}

describe("a search over HTTP", () => {
  for (const path of [SEARCH, "/v2/_outrigger/search"]) {
    it(`is asked by GET and by POST at ${path}`, async (t) => {
      const { api } = await start(t);
      const got = await api.call("GET", `${path}?query=${encodeURIComponent(COUNT)}`);
      assert.equal(got.status, 200);
      assert.equal(got.headers["content-type"], "application/json");
      assert.deepEqual(json(got), COUNTED);
      assert.deepEqual(json(await post(api, JSON.stringify({ query: COUNT }), path)), COUNTED);
    });
  }

  it("takes variables and the name of an operation, both ways", async (t) => {
    const { api } = await start(t);
    const query =
      "query A($name:String!){ImageList(repo:$name){Page{TotalCount}}} query B{RepoListWithNewestImage{Page{TotalCount}}}";
    const answer = { data: { ImageList: { Page: { TotalCount: 3 } } } };
    const variables = { name: "team/app" };
    assert.deepEqual(json(await post(api, JSON.stringify({ query, variables, operationName: "A" }))), answer);
    const url = new URLSearchParams({ query, variables: JSON.stringify(variables), operationName: "A" });
    assert.deepEqual(json(await api.call("GET", `${SEARCH}?${url}`)), answer);
    const none = await post(api, JSON.stringify({ query, variables }));
    assert.equal(none.status, 422);
    assert.match(json(none).errors[0].message, /operationName says which/);
  });

  it("zui's GET, whose query is not escaped, is understood", async (t) => {
    const { api } = await start(t);
    const reply = await api.call("GET", `${SEARCH}?query={ImageList(repo:%22zeta%22){Results{Tag}}}`);
    assert.deepEqual(json(reply), { data: { ImageList: { Results: [{ Tag: "v1" }] } } });
  });

  it("answers what is no document as zot did", async (t) => {
    const { api } = await start(t);
    const recorded = fixture<{ name: string; query: string; status: number; answer: unknown }[]>("zot-answers.json");
    for (const name of ["unknown field", "syntax error"]) {
      const { query, status, answer } = recorded.find((each) => each.name === name) ?? assert.fail();
      const reply = await post(api, JSON.stringify({ query }));
      assert.equal(reply.status, status);
      assert.deepEqual(json(reply), answer);
    }
    const reply = await post(api, "not json");
    assert.equal(reply.status, 400);
    const { errors, data } = json(reply);
    assert.equal(data, null);
    // How a text is not JSON is each decoder's own to say; the rest is zot's sentence.
    assert.match(errors[0].message, /^json request body could not be decoded: .+ body:not json$/);
  });

  const bad: [string, string, number, RegExp][] = [
    ["no query", "{}", 422, /^no operation provided$/],
    ["a list", "[]", 400, /not a JSON object/],
    ["a query that is a number", '{"query":1}', 400, /query is not a text/],
    ["variables that are a list", '{"query":"{__typename}","variables":[]}', 400, /variables could not be decoded/],
    ["a variable of another type", '{"query":"query($n:String!){ImageList(repo:$n){Page{TotalCount}}}"}', 422, /\$n/],
    ["a mutation", '{"query":"mutation{x}"}', 422, /mutation/i],
  ];
  for (const [what, body, status, message] of bad) {
    it(`answers ${status} to ${what}`, async (t) => {
      const { api } = await start(t);
      const reply = await post(api, body);
      assert.equal(reply.status, status, reply.body.toString());
      assert.match(json(reply).errors[0].message, message);
      assert.equal(json(reply).data, null);
    });
  }

  it("answers 413 to a body beyond all bounds, and 405 to a method it does not have", async (t) => {
    const { api } = await start(t);
    const large = await post(api, JSON.stringify({ query: COUNT, variables: { x: "x".repeat(300_000) } }));
    assert.equal(large.status, 413);
    assert.match(large.error?.message ?? "", /larger than 262144 bytes/);
    const reply = await api.call("DELETE", SEARCH);
    assert.equal(reply.status, 405);
    assert.equal(reply.headers["allow"], "GET, POST");
  });

  it("tells of a storage that is away within the answer, beside what can be told", async (t) => {
    const { api, source } = await start(t);
    source.fault = new OutriggerError("BACKEND_DOWN", "the store is away");
    const reply = await post(api, JSON.stringify({ query: COUNT }));
    assert.equal(reply.status, 200);
    const { errors, data } = json(reply);
    assert.equal(data, null);
    assert.equal(errors.length, 1);
    assert.equal(errors[0].extensions.code, "UNAVAILABLE");
    assert.deepEqual(errors[0].path, ["RepoListWithNewestImage"]);
  });

  it("is 404 where there are no searches, and does not stop the rest", async (t) => {
    const { api } = await start(t);
    api.backend.search = undefined;
    assert.equal((await post(api, "{}")).status, 404);
    assert.deepEqual(json(await api.call("GET", "/v2/_oci/ext/discover")), { extensions: [] });
    assert.equal((await api.call("GET", "/v2/_catalog")).status, 200);
  });

  it("asks for credentials like the rest of the API", async (t) => {
    const { api } = await start(t);
    api.backend.authenticator = { asksAtBase: true, authenticate: () => ({ challenge: "Basic" }) };
    for (const [method, path] of [
      ["GET", `${SEARCH}?query={__typename}`],
      ["POST", SEARCH],
      ["GET", "/v2/_oci/ext/discover"],
      ["PUT", "/v2/_zot/ext/userprefs?action=toggleStar&repo=zeta"],
    ] as const) {
      const reply = await api.call(method, path);
      assert.equal(reply.status, 401, path);
      assert.equal(reply.headers["www-authenticate"], "Basic");
    }
  });

  it("does not tell of repositories that who asks may not read: none, nor their number", async (t) => {
    const mayRead = (name: string) => !name.startsWith("team/");
    const { api } = await start(t, { ...ALICE, mayRead });
    const ask = async (query: string) => json(await post(api, JSON.stringify({ query })));
    const secret = "sha256:4510041ad4843f7c6b589e9fcbada4bb86087f9530c8ccf7f921d891acfe0fdd";
    const answers = await ask(`{
      a:RepoListWithNewestImage{Page{TotalCount}} b:ImageList(repo:""){Page{TotalCount}} c:ImageList(repo:"team/app"){Page{TotalCount}}
      d:GlobalSearch(query:"app"){Page{TotalCount}} e:GlobalSearch(query:":1."){Page{TotalCount}} f:GlobalSearch(query:"team/app:1"){Page{TotalCount}}
      g:ImageListForDigest(id:"${secret}"){Page{TotalCount}} h:DerivedImageList(image:"base/debian:12"){Page{TotalCount}}
      i:GlobalSearch(query:""){Page{TotalCount}} j:GlobalSearch(query:"${secret}"){Page{TotalCount}} k:RepoListWithNewestImage(requestedPage:{sortBy:DOWNLOADS limit:100}){Results{Name}}
    }`);
    const count = (key: string) => answers.data[key].Page.TotalCount;
    assert.deepEqual(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(count), [15, 16, 0, 0, 0, 0, 0, 0, 15, 0]);
    assert.ok(answers.data.k.Results.every(({ Name }: { Name: string }) => mayRead(Name)));
    for (const query of [
      '{ExpandedRepoInfo(repo:"team/app"){Summary{Name}}}',
      '{Image(image:"team/app:1.0"){Tag}}',
      `{Referrers(repo:"team/app" digest:"${secret}"){Digest}}`,
      '{BaseImageList(image:"team/app-worker:1.1"){Results{Tag}}}',
    ]) {
      const unreadable = await ask(query);
      assert.deepEqual(unreadable, await ask(query.replace("team/app", "team/none")), "as if it were not there");
      assert.match(unreadable.errors[0].message, /not found/);
    }
  });
});

describe("what extensions there are", () => {
  it("is told as the OCI extension _oci says, with zot's whole paths", async (t) => {
    const { api } = await start(t);
    const { extensions } = json(await api.call("GET", "/v2/_oci/ext/discover"));
    const zot = extensions.find(({ name }: { name: string }) => name === "_zot");
    assert.deepEqual(zot.endpoints, ["/v2/_zot/ext/search", "/v2/_zot/ext/userprefs"]);
    for (const each of extensions) {
      for (const key of ["name", "url", "description"]) assert.equal(typeof each[key], "string");
    }
  });
});

describe("preferences over HTTP", () => {
  const at = (query: string) => `/v2/_zot/ext/userprefs?${query}`;
  const STARRED = "{StarredRepos{Results{Name IsStarred IsBookmarked}} BookmarkedRepos{Page{TotalCount}}}";

  it("are toggled by who is logged in, and seen by them alone", async (t) => {
    const { api } = await start(t, { ...ALICE, readsAll: true });
    const set = await api.call("PUT", at("action=toggleStar&repo=team/app"));
    assert.deepEqual([set.status, set.body.length], [200, 0]);
    const seen = json(await post(api, JSON.stringify({ query: STARRED })));
    assert.deepEqual(seen.data, {
      StarredRepos: { Results: [{ Name: "team/app", IsStarred: true, IsBookmarked: false }] },
      BookmarkedRepos: { Page: { TotalCount: 0 } },
    });
    api.backend.authenticator = { asksAtBase: false, authenticate: () => ({ account: { ...ALICE, name: "bob" } }) };
    assert.deepEqual(json(await post(api, JSON.stringify({ query: STARRED }))).data.StarredRepos, { Results: [] });
    api.backend.authenticator = { asksAtBase: false, authenticate: () => ({ account: ALICE }) };
    await api.call("PUT", at("repo=team/app&action=toggleStar"));
    await api.call("PUT", at("repo=zeta&action=toggleBookmark"));
    const filtered = '{GlobalSearch(query:"" filter:{IsBookmarked:true}){Repos{Name IsStarred}}}';
    const after = json(await post(api, JSON.stringify({ query: filtered })));
    assert.deepEqual(after.data.GlobalSearch.Repos, [{ Name: "zeta", IsStarred: false }]);
  });

  it("need nothing but the right to read", async (t) => {
    const { api } = await start(t, { ...ALICE, mayWrite: () => false });
    assert.equal((await api.call("PUT", at("action=toggleStar&repo=zeta"))).status, 200);
  });

  const refused: [string, string, Account, number][] = [
    ["nobody in particular", "action=toggleStar&repo=zeta", NOBODY, 403],
    ["nobody who could log in", "action=toggleStar&repo=zeta", { ...NOBODY, challenge: "Basic" }, 401],
    ["no action", "repo=zeta", ALICE, 400],
    ["another action", "action=constructor&repo=zeta", ALICE, 400],
    ["no repository", "action=toggleStar", ALICE, 400],
    ["an empty repository", "action=toggleStar&repo=", ALICE, 404],
    ["a repository that is not there", "action=toggleStar&repo=no/such", ALICE, 404],
    ["one that they may not read", "action=toggleStar&repo=zeta", { ...ALICE, mayRead: () => false }, 404],
  ];
  for (const [what, query, account, status] of refused) {
    it(`answer ${status} to ${what}`, async (t) => {
      const { api, preferences } = await start(t, account);
      const reply = await api.call("PUT", at(query));
      assert.equal(reply.status, status, reply.body.toString());
      assert.ok(reply.error?.message);
      assert.equal((await preferences.of("alice")).starred.size, 0);
    });
  }

  it("are not changed where nothing may be", async (t) => {
    const { api } = await start(t, ALICE);
    api.backend.readOnly = true;
    assert.equal((await api.call("PUT", at("action=toggleStar&repo=zeta"))).status, 405);
    assert.deepEqual(json(await post(api, JSON.stringify({ query: COUNT }))), COUNTED, "and questions still are asked");
    const query = '{ExpandedRepoInfo(repo:"zeta"){Images{IsDeletable}}}';
    const { data } = json(await post(api, JSON.stringify({ query })));
    assert.deepEqual(data.ExpandedRepoInfo.Images, [{ IsDeletable: false }]);
  });
});
