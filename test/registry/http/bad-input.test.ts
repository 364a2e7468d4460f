import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { createOpenAuthenticator } from "../../../registry/auth/basic.ts";
import { RegistryError } from "../../../registry/errors.ts";
import { signUpload } from "../../../registry/http/upload-state.ts";
import { SECRET, startApi } from "./api.ts";
import { sha256 } from "./fake-repositories.ts";

const blob = randomBytes(10_000);
const digest = sha256(blob);
const HEX = "0".repeat(64);

test("malformed names, digests, tags: each its own code", async (t) => {
  const api = await startApi(t);
  for (const [method, path, status, code] of [
    ["GET", `/v2/UPPER/blobs/${digest}`, 400, "NAME_INVALID"],
    ["GET", `/v2/a//b/blobs/${digest}`, 400, "NAME_INVALID"],
    ["GET", `/v2/a/../b/blobs/${digest}`, 400, "NAME_INVALID"],
    ["GET", `/v2/${"a".repeat(256)}/blobs/${digest}`, 400, "NAME_INVALID"],
    ["GET", `/v2/%ff/blobs/${digest}`, 400, "NAME_INVALID"],
    ["GET", "/v2/-/tags/list", 400, "NAME_INVALID"],
    ["POST", "/v2/A/blobs/uploads/", 400, "NAME_INVALID"],
    ["GET", `/v2/a/blobs/sha256:${HEX}0`, 400, "DIGEST_INVALID"],
    ["GET", `/v2/a/blobs/sha256:${"A".repeat(64)}`, 400, "DIGEST_INVALID"],
    ["GET", `/v2/a/blobs/md5:${HEX}`, 400, "DIGEST_INVALID"],
    ["GET", "/v2/a/blobs/x", 400, "DIGEST_INVALID"],
    ["GET", "/v2/a/manifests/sha256:12", 400, "DIGEST_INVALID"],
    ["GET", "/v2/a/referrers/x", 400, "DIGEST_INVALID"],
    ["PUT", "/v2/a/manifests/-x", 400, "TAG_INVALID"],
    ["PUT", `/v2/a/manifests/${"x".repeat(129)}`, 400, "TAG_INVALID"],
    ["POST", "/v2/a/blobs/uploads/?digest=x", 400, "DIGEST_INVALID"],
    ["POST", "/v2/a/blobs/uploads/?mount=x", 400, "DIGEST_INVALID"],
    ["POST", `/v2/a/blobs/uploads/?mount=${digest}&from=A`, 400, "NAME_INVALID"],
    ["POST", `/v2/a/blobs/uploads/?digest=${digest}&digest=${digest}`, 400, "DIGEST_INVALID"],
    ["GET", "/v2/a/b", 404, "UNSUPPORTED"],
    ["GET", "/v2/blobs/uploads/x", 404, "UNSUPPORTED"],
    ["GET", "/elsewhere", 404, "UNSUPPORTED"],
    ["GET", "/v2x/", 404, "UNSUPPORTED"],
  ] as const) {
    const reply = await api.call(method, path, method === "PUT" ? { body: "{}" } : {});
    assert.deepEqual([reply.status, reply.error?.code], [status, code], `${method} ${path}`);
    assert.equal(reply.headers["content-type"], "application/json");
    assert.equal(typeof reply.error?.message, "string");
  }
});

test("a path that cannot be is refused before the manifest is asked for", async (t) => {
  const api = await startApi(t);
  for (const path of ["/v2/UPPER/manifests/v1", "/v2/a/manifests/-x", "/v2/a/manifests/sha256:1"]) {
    const socket = connect(api.port, "127.0.0.1");
    t.after(() => socket.destroy());
    socket.write(`PUT ${path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n`);
    const [first] = await once(socket, "data");
    assert.match(String(first), /^HTTP\/1\.1 400 /, path);
  }
});

test("a request target with scheme and host is taken for its path", async (t) => {
  const api = await startApi(t);
  assert.equal((await api.call("GET", "http://registry.example/v2/")).status, 200);
  const reply = await api.call("GET", "HTTP://registry.example:80/v2/none/tags/list?n=1");
  assert.deepEqual([reply.status, reply.error?.code], [404, "NAME_UNKNOWN"]);
  assert.equal((await api.call("OPTIONS", "*")).status, 404);
});

test("a digest may be escaped, and a name may look like an endpoint", async (t) => {
  const api = await startApi(t);
  const name = "a/blobs/uploads/tags/manifests";
  await api.call("POST", `/v2/${name}/blobs/uploads/?digest=${digest}`, { body: blob });
  assert.equal((await api.call("GET", `/v2/${name}/blobs/${digest.replace(":", "%3A")}`)).status, 200);
});

test("a method that an endpoint does not have: 405 with Allow", async (t) => {
  const api = await startApi(t);
  for (const [method, path, allow] of [
    ["POST", "/v2/", "GET, HEAD"],
    ["PUT", `/v2/a/blobs/${digest}`, "GET, HEAD, DELETE"],
    ["GET", "/v2/a/blobs/uploads/", "POST"],
    ["PATCH", "/v2/a/manifests/x", "GET, HEAD, PUT, DELETE"],
    ["DELETE", "/v2/a/tags/list", "GET, HEAD"],
    ["OPTIONS", "/v2/_catalog", "GET, HEAD"],
  ] as const) {
    const reply = await api.call(method, path);
    assert.deepEqual([reply.status, reply.error?.code, reply.headers.allow], [405, "UNSUPPORTED", allow], path);
  }
});

test("a blob that is in use: 405, and what is still allowed", async (t) => {
  const api = await startApi(t);
  api.repositories.faults.set("deleteBlob", new RegistryError("DENIED", "it is in use", { status: 405 }));
  const reply = await api.call("DELETE", `/v2/a/blobs/${digest}`);
  assert.deepEqual([reply.status, reply.error?.code, reply.headers.allow], [405, "DENIED", "GET, HEAD"]);
});

test("unknown query parameters are ignored", async (t) => {
  const api = await startApi(t);
  assert.equal((await api.call("GET", "/v2/_catalog?ns=docker.io&x=1&x=2")).status, 200);
  assert.equal((await api.call("POST", "/v2/a/blobs/uploads/?state=1")).status, 202);
});

test("an upload's address: changed, of another repository or upload, without state, too old", async (t) => {
  const api = await startApi(t);
  const location = (await api.call("POST", "/v2/a/blobs/uploads/")).headers.location ?? "";
  const state = /_state=(.+)$/.exec(location)?.[1] ?? "";
  const id = /uploads\/([^?]+)/.exec(location)?.[1] ?? "";
  assert.equal((await api.call("GET", location)).status, 204);
  for (let at = 0; at < state.length; at += 7) {
    const other = state[at] === "A" ? "B" : "A";
    const changed = `${state.slice(0, at)}${other}${state.slice(at + 1)}`;
    const reply = await api.call("GET", `/v2/a/blobs/uploads/${id}?_state=${changed}`);
    assert.deepEqual([reply.status, reply.error?.code], [400, "BLOB_UPLOAD_INVALID"], `byte ${at}`);
  }
  const session = { id, repository: "a", storeId: "s", algorithm: "sha256" as const, offsetBytes: 0 };
  const old = signUpload(SECRET, { ...session, startedMs: Date.now() - 25 * 60 * 60 * 1000 });
  const foreign = signUpload(randomBytes(32), { ...session, startedMs: Date.now() });
  for (const [path, status, code] of [
    [`/v2/b/blobs/uploads/${id}?_state=${state}`, 400, "BLOB_UPLOAD_INVALID"],
    [`/v2/a/blobs/uploads/other?_state=${state}`, 400, "BLOB_UPLOAD_INVALID"],
    [`/v2/a/blobs/uploads/${id}?_state=${foreign}`, 400, "BLOB_UPLOAD_INVALID"],
    [`/v2/a/blobs/uploads/${id}?_state=${state}A`, 400, "BLOB_UPLOAD_INVALID"],
    [`/v2/a/blobs/uploads/${id}?_state=${state}%20`, 400, "BLOB_UPLOAD_INVALID"],
    [`/v2/a/blobs/uploads/${id}`, 404, "BLOB_UPLOAD_UNKNOWN"],
    [`/v2/a/blobs/uploads/${id}?_state=${old}`, 404, "BLOB_UPLOAD_UNKNOWN"],
  ] as const) {
    const reply = await api.call("PATCH", path, { body: "x" });
    assert.deepEqual([reply.status, reply.error?.code], [status, code], path);
  }
  assert.equal(api.repositories.uploads.size, 0);
});

test("Content-Range: malformed, or not as long as the body", async (t) => {
  const api = await startApi(t);
  const location = (await api.call("POST", "/v2/a/blobs/uploads/")).headers.location ?? "";
  for (const range of ["x", "5-4", "-1", "1-", "0-1,2-3", "bytes 0-9/10"]) {
    const reply = await api.call("PATCH", location, { body: blob, headers: { "content-range": range } });
    assert.deepEqual([reply.status, reply.error?.code], [400, "BLOB_UPLOAD_INVALID"], range);
  }
  const lies = await api.call("PATCH", location, { body: blob, headers: { "content-range": "0-99" } });
  assert.deepEqual([lies.status, lies.error?.code], [400, "SIZE_INVALID"]);
  for (const range of ["0-99", `0-${blob.length}`]) {
    const streamed = await api.call("PATCH", location, {
      body: blob,
      chunked: true,
      headers: { "content-range": range },
    });
    assert.equal(streamed.error?.code, "SIZE_INVALID", range);
  }
});

test("PUT of an upload without a digest", async (t) => {
  const api = await startApi(t);
  const location = (await api.call("POST", "/v2/a/blobs/uploads/")).headers.location ?? "";
  const reply = await api.call("PUT", location, { body: blob });
  assert.deepEqual([reply.status, reply.error?.code], [400, "DIGEST_INVALID"]);
});

test("a manifest too large: 413, whether its length is said or not", async (t) => {
  const api = await startApi(t);
  const large = Buffer.alloc(4 * 1024 * 1024 + 1, " ");
  for (const chunked of [false, true]) {
    const reply = await api.call("PUT", "/v2/a/manifests/x", { body: large, chunked });
    assert.deepEqual([reply.status, reply.error?.code], [413, "MANIFEST_INVALID"]);
    assert.deepEqual(reply.error?.detail, { limit: 4 * 1024 * 1024 });
  }
  const fits = Buffer.from(JSON.stringify({ pad: "x".repeat(4 * 1024 * 1024 - 20) }));
  assert.equal((await api.call("PUT", "/v2/a/manifests/x", { body: fits })).status, 201);
});

test("read-only: every change is refused, every read works", async (t) => {
  const api = await startApi(t);
  await api.call("POST", `/v2/a/blobs/uploads/?digest=${digest}`, { body: blob });
  const location = (await api.call("POST", "/v2/a/blobs/uploads/")).headers.location ?? "";
  api.backend.readOnly = true;
  for (const [method, path] of [
    ["POST", "/v2/a/blobs/uploads/"],
    ["PATCH", location],
    ["PUT", `${location}&digest=${digest}`],
    ["DELETE", location],
    ["PUT", "/v2/a/manifests/x"],
    ["DELETE", "/v2/a/manifests/x"],
    ["DELETE", `/v2/a/blobs/${digest}`],
  ] as const) {
    const reply = await api.call(method, path, { body: blob });
    assert.deepEqual([reply.status, reply.error?.code], [405, "UNSUPPORTED"], `${method} ${path}`);
    assert.match(reply.error?.message ?? "", /read-only/);
  }
  assert.equal((await api.call("GET", `/v2/a/blobs/${digest}`)).status, 200);
});

test("before the stores were reached: 503, but the base answers", async (t) => {
  const api = await startApi(t);
  api.backend.serving = undefined;
  const reply = await api.call("GET", "/v2/_catalog");
  assert.deepEqual([reply.status, reply.error?.code, reply.headers["retry-after"]], [503, "UNAVAILABLE", "2"]);
  assert.equal((await api.call("GET", "/v2/")).status, 200);
});

test("who may only pull is told so", async (t) => {
  const api = await startApi(t);
  api.backend.authenticator = createOpenAuthenticator("pull");
  const reply = await api.call("POST", "/v2/a/blobs/uploads/");
  assert.deepEqual([reply.status, reply.error?.code], [403, "DENIED"]);
  assert.equal((await api.call("GET", "/v2/_catalog")).status, 200);
});

test("what is no HTTP gets an answer that can be read", async (t) => {
  const api = await startApi(t);
  const text = await new Promise<string>((resolve, reject) => {
    const socket = connect(api.port, "127.0.0.1", () => socket.write("\x16\x03\x01 TLS here\r\n\r\n"));
    let received = "";
    socket.on("data", (chunk) => {
      received += chunk;
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(received));
  });
  assert.match(text, /^HTTP\/1\.1 400 /);
  assert.match(text, /"code":"UNSUPPORTED"/);
});
