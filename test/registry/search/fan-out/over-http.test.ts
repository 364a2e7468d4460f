/** Members that ask each other by requests: the whole way from a client's document to another member's endpoint and back. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { it } from "node:test";
import { explainBy } from "../../../../registry/http/errors.ts";
import { answerSearch } from "../../../../registry/http/search.ts";
import type { Asker } from "../../../../registry/search/asking.ts";
import type { GraphQlRequest } from "../../../../registry/search/document.ts";
import { askOverHttp, type PeerPost } from "../../../../registry/search/fan-out/over-http.ts";
import { createSearchService } from "../../../../registry/search/service.ts";
import { silent } from "../../repository/world.ts";
import { FakeSource } from "../fake-source.ts";
import { ALICE, askerOf, FakePreferences, pushWorld, searching } from "../world.ts";

const ownerOf = (name: string) => (name.startsWith("many/") || name === "base/debian" ? "far" : "here");

function service(member: string, ask?: Parameters<typeof askOverHttp>[0]) {
  const source = new FakeSource();
  pushWorld(source, (name) => ownerOf(name) === member);
  const parts = { source, holders: source, preferences: new FakePreferences() };
  const local = createSearchService(parts, explainBy(silent));
  if (ask === undefined) return local;
  const cluster = { self: member, members: () => ["here", "far"], ownerOf, askMember: askOverHttp(ask) };
  return { ...local, answer: (request: GraphQlRequest, asker: Asker) => local.answerOfAll(request, asker, cluster) };
}

/** The endpoint, as a peer's request reaches it. */
async function endpoint(far: ReturnType<typeof service>, { body }: PeerPost, byPeer = true) {
  const answer = { status: 0, body: Buffer.alloc(0) };
  const stream = new Readable({ read() {} });
  stream.push(body);
  stream.push(null);
  const request = Object.assign(stream, { method: "POST", headers: { "content-length": String(body.length) } });
  const exchange = {
    request,
    response: {
      writeHead: (status: number) => Object.assign(answer, { status }),
      end: (given: Buffer | string) =>
        Object.assign(answer, { body: Buffer.from(given as string, typeof given === "string" ? "latin1" : undefined) }),
    },
    shared: {
      search: far,
      readOnly: false,
      traffic: { bytesIn: 0, bytesOut: 0 },
      bodyLimits: { idleMs: 1000 },
      clock: { after: () => () => {} },
    },
    account: { ...ALICE, readsAll: true },
    query: new URLSearchParams(),
    context: askerOf(ALICE).context,
    ended: { signal: new AbortController().signal },
  };
  await answerSearch(exchange as never, byPeer);
  return answer;
}

it("a document is answered over the members' endpoints, layers of another's image among it", async () => {
  const far = service("far");
  const asked: string[] = [];
  const here = service("here", async (member, post, { account }) => {
    asked.push(`${member} ${post.path} ${account}`);
    return endpoint(far, post);
  });
  const query = `{
    a:RepoListWithNewestImage(requestedPage:{sortBy:ALPHABETIC_ASC}){Page{TotalCount} Results{Name}}
    b:ImageList(repo:"base/debian"){Results{Tag Title}}
    c:BaseImageList(image:"team/app-worker:1.1"){Page{TotalCount} Results{RepoName Tag}}
    d:DerivedImageList(image:"base/debian:12"){Results{RepoName Tag}}
  }`;
  const { answer } = await here.answer({ query }, askerOf(ALICE));
  const { data } = await searching().ask(query);
  assert.deepEqual(JSON.parse(JSON.stringify(answer)), { data });
  assert.deepEqual(asked, Array(4).fill("far /v2/_outrigger/search alice"));
});

it("a client cannot say what only members may", async () => {
  const far = service("far");
  const body = Buffer.from(
    JSON.stringify({ query: '{BaseImageList(image:"no/such:1"){Page{TotalCount}}}', extensions: { layers: {} } }),
  );
  const post = { path: "", body, maxBytes: 1 };
  assert.match((await endpoint(far, post, false)).body.toString(), /repository not found/);
  assert.match((await endpoint(far, post, true)).body.toString(), /"TotalCount":0/);
});

const wrong: [number, string, RegExp][] = [
  [503, '{"errors":[{"code":"UNAVAILABLE","message":"the storage is away"}]}', /it answered 503: the storage is away$/],
  [200, "<html>", /it answered 200$/],
  [404, '{"data":{}}', /it answered 404$/],
  [200, "null", /it answered 200$/],
];
for (const [status, body, message] of wrong) {
  it(`${status} ${body} is no answer`, async () => {
    const here = service("here", async () => ({ status, body: Buffer.from(body) }));
    const { answer } = await here.answer({ query: '{ImageList(repo:"many/r00"){Page{TotalCount}}}' }, askerOf(ALICE));
    assert.match(answer.errors?.[0]?.message ?? "", message);
    assert.equal(answer.errors?.[0]?.extensions?.["member"], "far");
  });
}
