/** The HTTP fault proxy does to a request what it says, and nothing to those it should leave alone. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, afterEach, before, describe, it } from "node:test";
import { HttpFaults } from "./http-faults.ts";
import { Scope } from "./processes.ts";

describe("the HTTP fault proxy", () => {
  const scope = new Scope();
  let proxy: HttpFaults;
  let served: string[] = [];
  let came = () => {};

  before(async () => {
    const server = createServer(async (incoming, outgoing) => {
      const pieces: Buffer[] = [];
      for await (const piece of incoming) pieces.push(piece as Buffer);
      served.push(`${incoming.method} ${incoming.url} ${incoming.headers["x-name"] ?? "-"} ${Buffer.concat(pieces)}`);
      outgoing.writeHead(201, { "x-host": incoming.headers.host, "content-length": 8 });
      outgoing.end(incoming.method === "HEAD" ? undefined : "answered");
      came();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    scope.defer(() => server.close());
    const address = server.address();
    assert.ok(address !== null && typeof address === "object");
    proxy = await HttpFaults.start(scope, `127.0.0.1:${address.port}`);
  });
  after(scope.close);
  afterEach(() => {
    proxy.clear();
    served = [];
  });

  /** "status body", or "cut". */
  async function ask(method: string, path: string, init: RequestInit = {}): Promise<string> {
    try {
      const reply = await fetch(`http://${proxy.address}${path}`, { method, ...init });
      return `${reply.status} ${await reply.text()}`;
    } catch {
      return "cut";
    }
  }

  it("passes what no rule names: line, headers, body, and the Host that was signed", async () => {
    const reply = await fetch(`http://${proxy.address}/a?b=c`, {
      method: "PUT",
      headers: { "x-name": "n" },
      body: "bytes",
    });
    assert.equal(await reply.text(), "answered");
    assert.equal(reply.status, 201);
    assert.equal(reply.headers.get("x-host"), proxy.address);
    assert.deepEqual(served, ["PUT /a?b=c n bytes"]);
    assert.deepEqual(
      { ...proxy.seen.at(-1), headers: undefined },
      { method: "PUT", path: "/a?b=c", headers: undefined },
    );
    const head = await fetch(`http://${proxy.address}/a`, { method: "HEAD" });
    assert.equal(head.headers.get("content-length"), "8");
  });

  it("answers in the server's place", async () => {
    proxy.add({}, { answer: { status: 503, headers: { "retry-after": "1" }, body: "slow down" } });
    assert.equal(await ask("POST", "/", { body: "b" }), "503 slow down");
    assert.deepEqual(served, []);
  });

  it("answers otherwise after the work was done, or not at all", async () => {
    proxy.add({}, { answerAfter: { status: 500 } });
    assert.equal(await ask("POST", "/1", { body: "b" }), "500 ");
    proxy.clear();
    proxy.add({}, "cut-after");
    assert.equal(await ask("POST", "/2", { body: "b" }), "cut");
    assert.deepEqual(served, ["POST /1 - b", "POST /2 - b"]);
  });

  it("cuts before the server sees anything, and in the middle of an answer", async () => {
    proxy.add({ path: /before/ }, "cut-before");
    proxy.add({ path: /middle/ }, { cutAnswerAtBytes: 3 });
    assert.equal(await ask("GET", "/before"), "cut");
    assert.deepEqual(served, []);
    const reply = await fetch(`http://${proxy.address}/middle`);
    assert.equal(reply.status, 201);
    await assert.rejects(reply.text());
  });

  it("holds a request, which goes on though its client has gone", async () => {
    let release = () => {};
    const hold = new Promise<void>((resolve) => {
      release = resolve;
    });
    const rule = proxy.add({}, { hold, of: "request" });
    const gone = new AbortController();
    const asked = ask("PUT", "/held", { body: "b", signal: gone.signal });
    await rule.reached(1);
    gone.abort();
    assert.equal(await asked, "cut");
    assert.deepEqual(served, []);
    const arrived = new Promise<void>((resolve) => {
      came = resolve;
    });
    release();
    await arrived;
    assert.deepEqual(served, ["PUT /held - b"]);
  });

  it("delays both ways, and rewrites an answer", async () => {
    for (const of of ["request", "answer"] as const) {
      proxy.add({}, { delayMs: 60, of });
      const started = performance.now();
      assert.equal(await ask("GET", "/"), "201 answered");
      assert.ok(performance.now() - started >= 55, of);
    }
    proxy.add({}, { rewrite: ({ body, status }) => ({ status: status + 1, body: `${body} twice` }) });
    assert.equal(await ask("GET", "/"), "202 answered twice");
  });

  it("strikes only what matches, after `skip`, `times` often; the newest rule first", async () => {
    const older = proxy.add({}, { answer: { status: 418 } });
    const match = { method: "GET", path: /^\/x/, headers: { "x-name": /^n$/ }, skip: 1, times: 1 };
    const rule = proxy.add(match, { answer: { status: 429 } });
    const named = { headers: { "x-name": "n" } };
    assert.equal(await ask("GET", "/x", named), "418 ");
    assert.equal(await ask("GET", "/x"), "418 ");
    assert.equal(await ask("PUT", "/x", named), "418 ");
    assert.equal(await ask("GET", "/y", named), "418 ");
    assert.equal(await ask("GET", "/x", named), "429 ");
    assert.equal(await ask("GET", "/x", named), "418 ");
    assert.equal(rule.struck, 1);
    older.remove();
    assert.equal(await ask("GET", "/x", named), "201 answered");
  });
});
