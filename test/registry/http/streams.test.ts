import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { test } from "node:test";
import { type Api, pushBlob, startApi } from "./api.ts";
import { sha256 } from "./fake-repositories.ts";

const blob = randomBytes(3_000_000);
const digest = sha256(blob);

function open(api: Api, method: string, path: string, headers: Record<string, string> = {}): ClientRequest {
  return httpRequest({ host: "127.0.0.1", port: api.port, method, path, headers, agent: false });
}

/** Resolves once the registry holds `sizeBytes` of some upload. */
function received(api: Api, sizeBytes: number): Promise<void> {
  return new Promise((resolve) => {
    api.repositories.onReceived = (_, size) => {
      if (size >= sizeBytes) resolve();
    };
  });
}

for (const length of ["with its length said", "without"]) {
  test(`a client that goes away in the middle of its body (${length}) goes on where the status says`, async (t) => {
    const api = await startApi(t);
    const location = (await api.call("POST", "/v2/a/blobs/uploads/")).headers.location ?? "";
    const headers: Record<string, string> = length === "without" ? {} : { "content-length": String(blob.length) };
    const request = open(api, "PATCH", location, headers);
    request.on("error", () => {});
    const half = received(api, 1_000_000);
    request.write(blob.subarray(0, 1_000_000));
    await half;
    request.destroy();
    await api.handler.idle();
    const status = await api.call("GET", location);
    assert.deepEqual([status.status, status.headers.range], [204, "0-999999"]);
    const put = await api.call("PUT", `${status.headers.location}&digest=${digest}`, {
      body: blob.subarray(1_000_000),
    });
    assert.equal(put.status, 201, put.body.toString());
    assert.ok(api.repositories.bytes.get(digest)?.equals(blob));
  });
}

test("a body shorter than its Content-Length is never taken for whole", async (t) => {
  const api = await startApi(t);
  const half = blob.subarray(0, 1_000_000);
  const request = open(api, "POST", `/v2/a/blobs/uploads/?digest=${sha256(half)}`, { "content-length": "1000001" });
  request.on("error", () => {});
  const came = received(api, half.length);
  request.write(half);
  await came;
  request.destroy();
  await api.handler.idle();
  assert.equal(api.repositories.bytes.size, 0);
});

test("a client that is silent is given up after the idle time, and what it sent is kept", async (t) => {
  const api = await startApi(t, { bodyLimits: { idleMs: 50 } });
  const location = (await api.call("POST", "/v2/a/blobs/uploads/")).headers.location ?? "";
  const request = open(api, "PATCH", location);
  request.write(blob.subarray(0, 1000));
  const [response] = (await once(request, "response")) as [IncomingMessage];
  assert.equal(response.statusCode, 408);
  response.resume();
  request.on("error", () => {});
  request.destroy();
  assert.equal((await api.call("GET", location)).headers.range, "0-999");
});

test("a body is read only as fast as the store takes it", async (t) => {
  const api = await startApi(t);
  const location = (await api.call("POST", "/v2/a/blobs/uploads/")).headers.location ?? "";
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { appendUpload } = api.repositories;
  Object.assign(api.repositories, {
    async appendUpload(...[session, body, context]: Parameters<typeof appendUpload>) {
      const bytes = (async function* () {
        for await (const chunk of body.bytes) {
          yield chunk;
          await held;
        }
      })();
      return appendUpload(session, { ...body, bytes }, context);
    },
  });
  const request = open(api, "PATCH", location);
  const size = 64 * 1024 * 1024;
  const piece = Buffer.alloc(1024 * 1024);
  // Loopback's buffers take some megabytes; then the registry's must not grow.
  let sent = 0;
  while (sent < size && request.write(piece)) sent += piece.length;
  while (sent < size) {
    const stalled = await Promise.race([
      once(request, "drain").then(() => false),
      new Promise<boolean>((resolve) => setTimeout(resolve, 500, true)),
    ]);
    if (stalled) break;
    do sent += piece.length;
    while (sent < size && request.write(piece));
  }
  assert.ok(sent < size, "the client is stopped");
  assert.ok(api.traffic.bytesIn < 1024 * 1024, `${api.traffic.bytesIn} bytes were read`);
  release();
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  assert.equal(response.statusCode, 202);
  response.resume();
});

test("a stalled pull holds little, and ends with its client", async (t) => {
  const api = await startApi(t);
  const large = randomBytes(32 * 1024 * 1024);
  const largeDigest = await pushBlob(api, "a", large);
  for (const files of [false, true]) {
    if (files) api.repositories.asFiles();
    const sentBefore = api.traffic.bytesOut;
    const request = open(api, "GET", `/v2/a/blobs/${largeDigest}`);
    request.end();
    const [response] = (await once(request, "response")) as [IncomingMessage];
    let last = -1;
    // Until nothing moves any more: sockets' buffers are full.
    while (api.traffic.bytesOut !== last) {
      last = api.traffic.bytesOut;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.ok(api.traffic.bytesOut - sentBefore < 16 * 1024 * 1024, `${api.traffic.bytesOut - sentBefore} were sent`);
    assert.equal(api.traffic.pullsOpen, 1);
    response.destroy();
    await api.handler.idle();
    assert.equal(api.traffic.pullsOpen, 0);
    assert.equal(api.repositories.openFiles(), 0);
  }
});

test("a pull whose store fails half-way is cut off, never completed", async (t) => {
  const api = await startApi(t);
  const blobDigest = await pushBlob(api, "a", blob);
  const { readBlob } = api.repositories;
  Object.assign(api.repositories, {
    async readBlob(...args: Parameters<typeof readBlob>) {
      const read = await readBlob(...args);
      if (!read) return read;
      const body = (async function* () {
        let sent = 0;
        for await (const chunk of read.body) {
          yield chunk;
          sent += chunk.length;
          if (sent > 1_000_000) throw new Error("the driver is gone");
        }
      })();
      return { ...read, body };
    },
  });
  await assert.rejects(api.call("GET", `/v2/a/blobs/${blobDigest}`), /aborted|hang up|ECONNRESET/);
});

test("a pull whose store gives too few bytes is cut off, never left hanging", async (t) => {
  const api = await startApi(t);
  const blobDigest = await pushBlob(api, "a", blob);
  const { readBlob } = api.repositories;
  Object.assign(api.repositories, {
    async readBlob(...args: Parameters<typeof readBlob>) {
      const read = await readBlob(...args);
      return read && { ...read, lengthBytes: read.lengthBytes + 1 };
    },
  });
  await assert.rejects(api.call("GET", `/v2/a/blobs/${blobDigest}`), /aborted|hang up|ECONNRESET/);
});

test("Expect: 100-continue: a refusal comes before the body, a body is asked for", async (t) => {
  const api = await startApi(t);
  const expecting = { expect: "100-continue", "content-length": String(blob.length) };
  const refused = open(api, "POST", "/v2/a/blobs/uploads/?digest=bad", expecting);
  let continued = false;
  refused.on("continue", () => {
    continued = true;
  });
  refused.flushHeaders();
  const [answer] = (await once(refused, "response")) as [IncomingMessage];
  assert.equal(answer.statusCode, 400);
  assert.equal(continued, false);
  refused.destroy();

  const taken = open(api, "POST", `/v2/a/blobs/uploads/?digest=${digest}`, expecting);
  taken.flushHeaders();
  await once(taken, "continue");
  taken.end(blob);
  const [created] = (await once(taken, "response")) as [IncomingMessage];
  assert.equal(created.statusCode, 201);
  created.resume();
});

test("an early refusal is readable although its body is still being sent, and the connection goes on", async (t) => {
  const api = await startApi(t);
  for (let round = 0; round < 5; round++) {
    const reply = await api.call("POST", "/v2/UPPER/blobs/uploads/", { body: Buffer.alloc(8 * 1024 * 1024) });
    assert.deepEqual([reply.status, reply.error?.code], [400, "NAME_INVALID"]);
  }
});

test("whoever sends on and on after a refusal is cut off", { timeout: 30_000 }, async (t) => {
  const api = await startApi(t);
  const request = open(api, "POST", "/v2/UPPER/blobs/uploads/");
  request.on("response", (response) => response.resume());
  const ended = new Promise<void>((resolve) => {
    request.on("error", () => resolve());
    request.on("close", () => resolve());
  });
  const piece = Buffer.alloc(1024 * 1024);
  let sent = 0;
  let over = false;
  void ended.then(() => {
    over = true;
  });
  while (!over && sent < 512 * 1024 * 1024) {
    sent += piece.length;
    if (!request.write(piece)) await Promise.race([once(request, "drain").catch(() => {}), ended]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(sent < 256 * 1024 * 1024, `${sent} bytes were taken`);
});
