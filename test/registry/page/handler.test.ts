/** The page over HTTP: status, headers, who may see what, and what is said when something is wrong. */
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import type { Account, Authenticator } from "../../../registry/auth/contract.ts";
import type { Aside } from "../../../registry/http/handler.ts";
import { withPage } from "../../../registry/page/handler.ts";
import type { Reply } from "../../helpers/registry-client.ts";
import { startPage } from "../../page/page-server.ts";

const text = (reply: Reply) => reply.body.toString();
const CHALLENGE = 'Basic realm="Outrigger", charset="UTF-8"';

/** "Basic good" is an account that may read team-payments/, nobody is `nobody`. */
function authenticator(nobody: Account | undefined): Authenticator {
  const team: Account = {
    name: "jo",
    mayRead: (name) => name.startsWith("team-payments/"),
    mayWrite: () => false,
  };
  return {
    asksAtBase: true,
    authenticate: (authorization) => {
      if (authorization === "Basic good") return Promise.resolve({ account: team });
      return authorization === undefined && nobody ? { account: nobody } : { challenge: CHALLENGE };
    },
  };
}

test("every page is HTML that runs and loads nothing but the page's own files", async (t) => {
  const { client } = await startPage(t);
  for (const path of ["/", "/?q=node", "/r/library/node", "/r/library/node:22-bookworm", "/members", "/r/no/such"]) {
    const reply = await client.request("GET", path);
    assert.equal(reply.status, path === "/r/no/such" ? 404 : 200, path);
    assert.equal(reply.headers["content-type"], "text/html; charset=utf-8");
    assert.match(
      String(reply.headers["content-security-policy"]),
      /^default-src 'none'; style-src 'self'; script-src 'self';/,
    );
    assert.doesNotMatch(String(reply.headers["content-security-policy"]), /unsafe|\*|https?:/);
    assert.equal(reply.headers["x-content-type-options"], "nosniff");
    assert.doesNotMatch(text(reply), /<script(?![^>]* src=)|\son[a-z]+=|\sstyle=|<style/i, path);
    const head = await client.request("HEAD", path);
    assert.deepEqual([head.status, head.body.length], [reply.status, 0]);
    assert.equal(head.headers["content-length"], String(reply.body.length));
  }
});

test("other methods are refused, and paths that are not the page's are the API's", async (t) => {
  const { client } = await startPage(t);
  const reply = await client.request("POST", "/", { body: Buffer.from("q=x") });
  assert.deepEqual([reply.status, reply.headers.allow], [405, "GET, HEAD"]);
  const api = await client.request("GET", "/v2/");
  assert.equal(api.headers["content-type"], "application/json");
  assert.match(text(await client.request("GET", "/nowhere")), /there is no endpoint/);
});

test("a page that has not changed is not sent again; files are kept for as long as their address lasts", async (t) => {
  const { client, search } = await startPage(t);
  const first = await client.request("GET", "/");
  const etag = String(first.headers.etag);
  assert.equal(first.headers["cache-control"], "private, no-cache");
  assert.equal((await client.request("GET", "/", { headers: { "If-None-Match": etag } })).status, 304);
  search.images = search.images.slice(1);
  assert.equal((await client.request("GET", "/", { headers: { "If-None-Match": etag } })).status, 200);
  const addresses = [...text(first).matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map(([, address]) => address ?? "");
  assert.equal(new Set(addresses).size, 3);
  for (const address of addresses) {
    const file = await client.request("GET", address);
    assert.equal(file.status, 200, address);
    assert.match(String(file.headers["cache-control"]), /immutable/);
    const known = { "If-None-Match": String(file.headers.etag) };
    assert.equal((await client.request("GET", address, { headers: known })).status, 304);
    const other = await client.request("GET", address.replace(/v=.*/, "v=old"));
    assert.equal(other.headers["cache-control"], "public, no-cache");
  }
  for (const path of ["/assets/../handler.ts", "/assets/%2e%2e/handler.ts", "/assets/<b>", "/assets/"])
    assert.equal((await client.request("GET", path)).status, 404, path);
});

test("whoever must log in is asked as by the API; the style of the page that says so needs no login", async (t) => {
  const page = await startPage(t);
  page.authenticator = authenticator(undefined);
  const { client } = page;
  for (const path of ["/", "/r/library/node", "/members", "/login", "/r/no:such:thing"]) {
    const reply = await client.request("GET", path);
    assert.equal(reply.status, 401, path);
    assert.equal(reply.headers["www-authenticate"], CHALLENGE);
    assert.doesNotMatch(text(reply), /library\/node|22-bookworm/);
  }
  const style = /href="(\/assets\/style\.css[^"]*)"/.exec(text(await client.request("GET", "/")))?.[1] ?? "";
  assert.equal((await client.request("GET", style)).status, 200);
  assert.equal(page.search.requests.length, 0);
});

test("what an account may not read is not there", async (t) => {
  const page = await startPage(t);
  page.authenticator = authenticator(undefined);
  const { client } = page;
  const headers = { Authorization: "Basic good" };
  const list = text(await client.request("GET", "/", { headers }));
  assert.match(list, /team-payments\/ledger-service/);
  assert.match(list, /1 repository</);
  assert.match(list, /logged in as jo/);
  assert.doesNotMatch(list, /library\/node/);
  const hidden = await client.request("GET", "/r/library/node", { headers });
  const absent = await client.request("GET", "/r/library/nope", { headers });
  assert.deepEqual([hidden.status, absent.status], [404, 404]);
  assert.equal(text(hidden).replaceAll("library/node", "library/nope"), text(absent));
  assert.equal((await client.request("GET", "/r/library/node:22-bookworm", { headers })).status, 404);
});

test("/login asks for credentials, and then leads back to a path of the page and nowhere else", async (t) => {
  const page = await startPage(t);
  const nobody: Account = { name: "", mayRead: () => true, mayWrite: () => false, challenge: CHALLENGE };
  page.authenticator = authenticator(nobody);
  const { client } = page;
  assert.match(
    text(await client.request("GET", "/r/library/node?sort=name")),
    /href="\/login\?to=%2Fr%2Flibrary%2Fnode%3Fsort%3Dname"/,
  );
  assert.equal((await client.request("GET", "/login?to=/members")).status, 401);
  const places: [string, string][] = [
    ["/members", "/members"],
    ["/r/a/b:1?x=1", "/r/a/b:1?x=1"],
    ["//evil.example", "/"],
    ["/\\evil.example", "/"],
    ["https://evil.example/", "/"],
    ["/v2/", "/"],
    ["/login", "/"],
    ["/\r\nX-Evil: 1", "/"],
    ["/?q=\u00e9", "/"],
  ];
  for (const [to, place] of places) {
    const path = `/login?to=${encodeURIComponent(to)}`;
    const reply = await client.request("GET", path, { headers: { Authorization: "Basic good" } });
    assert.deepEqual([reply.status, reply.headers.location], [303, place], to);
  }
});

test("a wrong address is told what is wrong with it, and what would be right", async (t) => {
  const { client, search } = await startPage(t);
  const cases: [string, RegExp][] = [
    ["/?page=0", /page=0, which is no page number: write 1 to 1,000,000/],
    ["/?page=-1", /page=-1, which is no page number/],
    ["/?page=1e9", /page=1e9, which is no page number/],
    ["/?page=99999999999999999999", /which is no page number/],
    ["/?sort=size", /sort=size, which is no order: write one of relevance, updated, name, name-desc, downloads/],
    ["/?os=%3Cb%3E", /os=&lt;b&gt;, which is none: write lower-case letters and digits, such as linux/],
    [`/?q=${encodeURIComponent("é".repeat(129))}`, /The text is 258 bytes long: write at most 256/],
    ["/r/library/node?sort=size", /sort=size, which is no order/],
    ["/?q=a:b:c", /failed to parse search text/i],
  ];
  for (const [path, words] of cases) {
    const reply = await client.request("GET", path);
    assert.equal(reply.status, 400, path);
    assert.match(text(reply), words);
  }
  assert.equal(search.requests.length, 1);
});

test("a page beyond the last says which is the last", async (t) => {
  const { client } = await startPage(t);
  assert.match(text(await client.request("GET", "/?page=9")), /There is no page 9: the last one is page 3\./);
  const last = text(await client.request("GET", "/?page=3"));
  assert.match(last, /101–123 of 123 repositories/);
  assert.match(last, /href="\/\?page=2" rel="prev"/);
});

test("the search is asked for one page, in the order that was asked for", async (t) => {
  const { client, search } = await startPage(t);
  await client.request("GET", "/?page=2&sort=downloads");
  await client.request("GET", "/?q=Node&os=linux&arch=arm64&signed=1");
  await client.request("GET", "/r/library/node?q=22&sort=name");
  assert.deepEqual(
    search.requests.map(({ variables }) => variables),
    [
      { page: { limit: 50, offset: 50, sortBy: "DOWNLOADS" } },
      {
        query: "Node",
        filter: { Os: ["linux"], Arch: ["arm64"], HasToBeSigned: true },
        page: { limit: 50, offset: 0, sortBy: "RELEVANCE" },
      },
      { name: "library/node", query: "library/node:22", page: { limit: 50, offset: 0, sortBy: "ALPHABETIC_ASC" } },
    ],
  );
});

test("a member that is down is said, with the rest intact; its own repository is a 503 that names it", async (t) => {
  const { client, search } = await startPage(t);
  search.errors = [
    { message: "connection refused", path: ["RepoListWithNewestImage"], extensions: { member: "west" } },
  ];
  const list = await client.request("GET", "/");
  assert.equal(list.status, 200);
  assert.match(text(list), /Member west did not answer: connection refused\. What it owns is missing here\./);
  assert.match(text(list), /library\/node/);
  const said = "member west did not answer: member west of the cluster does not answer: it failed";
  search.failure = () => ({ data: null, errors: [{ message: said, extensions: { member: "west" } }] });
  const repository = await client.request("GET", "/r/library/node");
  assert.equal(repository.status, 503);
  assert.match(text(repository), />Member west of the cluster does not answer: it failed\. What it owns/);
});

test("a storage that is away is a 503 page, a fault of the registry a 500 one that tells nothing of it", async (t) => {
  const { client, search } = await startPage(t);
  search.failure = () => new OutriggerError("BACKEND_DOWN", "the driver at unix:///secret.sock does not answer");
  assert.equal((await client.request("GET", "/")).status, 503);
  search.failure = () => ({
    data: null,
    errors: [{ message: "the store is away", extensions: { code: "UNAVAILABLE" } }],
  });
  const away = await client.request("GET", "/?q=x");
  assert.equal(away.status, 503);
  assert.match(text(away), /The store is away\./);
  search.failure = () => new TypeError("secret is not a function");
  const fault = await client.request("GET", "/");
  assert.equal(fault.status, 500);
  assert.doesNotMatch(text(fault), /secret/);
  assert.equal((await client.request("GET", "/members")).status, 200);
});

test("answers that have not their shape cost what they say and no more", async (t) => {
  const { client, search } = await startPage(t);
  const shapes: unknown[] = [
    {},
    { data: null },
    { data: {}, errors: [] },
    { data: { RepoListWithNewestImage: null } },
    {
      data: { RepoListWithNewestImage: { Page: null, Results: [null, 3, "x", { Name: 7, Size: -1, Platforms: {} }] } },
    },
    { data: [], errors: [{ message: "" }] },
    { data: { RepoListWithNewestImage: { Page: { TotalCount: 1e300 }, Results: "no" } } },
  ];
  for (const shape of shapes) {
    search.failure = () => shape;
    for (const path of ["/", "/?q=x", "/r/library/node", "/r/library/node:22-bookworm"]) {
      const { status } = await client.request("GET", path);
      assert.ok([200, 400, 404, 503].includes(status), `${path} with ${JSON.stringify(shape)}: ${status}`);
    }
  }
});

test("a client that goes away ends the question", async (t) => {
  const page = await startPage(t);
  const leave = new AbortController();
  const ended = new Promise<void>((resolve) => {
    page.watch = (signal) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
      leave.abort();
    };
  });
  page.search.gate = () => new Promise(() => {});
  await assert.rejects(page.client.request("GET", "/", { signal: leave.signal }));
  await ended;
});

test("where the page is not wanted, its paths are whose they were before", () => {
  const seen: string[] = [];
  const take = (who: string, takes: boolean) => (path: string) => {
    seen.push(`${who} ${path}`);
    return takes;
  };
  let isWanted = true;
  const all = withPage(() => isWanted, take("page", true) as Aside, take("other", false) as Aside);
  const [request, response] = [{} as IncomingMessage, {} as ServerResponse];
  assert.equal(all("/", request, response), true);
  isWanted = false;
  assert.equal(all("/", request, response), false);
  assert.deepEqual(seen, ["page /", "other /"]);
});
