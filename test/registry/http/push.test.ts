import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { startApi } from "./api.ts";
import { digestOf, sha256 } from "./fake-repositories.ts";

const blob = randomBytes(300_000);
const digest = sha256(blob);

test("end-4a, end-6: POST, then PUT with all bytes", async (t) => {
  const api = await startApi(t);
  const started = await api.call("POST", "/v2/a/b/blobs/uploads/");
  assert.equal(started.status, 202);
  assert.equal(started.headers.range, "0-0");
  const location = started.headers.location ?? "";
  assert.match(location, /^\/v2\/a\/b\/blobs\/uploads\/[0-9a-f-]{36}\?_state=/);
  assert.equal(started.headers["docker-upload-uuid"], /uploads\/([^?]+)/.exec(location)?.[1]);
  const put = await api.call("PUT", `${location}&digest=${digest}`, { body: blob });
  assert.equal(put.status, 201);
  assert.equal(put.headers["docker-content-digest"], digest);
  assert.equal(put.headers.location, `/v2/a/b/blobs/${digest}`);
  const got = await api.call("GET", put.headers.location ?? "");
  assert.deepEqual(got.body, blob);
});

test("end-4a also without the slash at its end", async (t) => {
  const api = await startApi(t);
  assert.equal((await api.call("POST", "/v2/a/blobs/uploads")).status, 202);
});

test("end-4b: POST with digest and all bytes", async (t) => {
  const api = await startApi(t);
  const reply = await api.call("POST", `/v2/a/blobs/uploads/?digest=${digest}`, { body: blob, chunked: true });
  assert.equal(reply.status, 201);
  assert.deepEqual(api.repositories.bytes.get(digest), blob);
  const wrong = await api.call("POST", `/v2/a/blobs/uploads/?digest=${digest}`, { body: "x" });
  assert.deepEqual([wrong.status, wrong.error?.code], [400, "DIGEST_INVALID"]);
});

test("end-4c: digest-algorithm", async (t) => {
  const api = await startApi(t);
  const started = await api.call("POST", "/v2/a/blobs/uploads/?digest-algorithm=sha512");
  assert.equal(started.status, 202);
  const sha512 = digestOf(blob, "sha512");
  const put = await api.call("PUT", `${started.headers.location}&digest=${sha512}`, { body: blob });
  assert.equal(put.status, 201);
  assert.equal(put.headers["docker-content-digest"], sha512);
  const unknown = await api.call("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5");
  assert.deepEqual([unknown.status, unknown.error?.code], [400, "DIGEST_INVALID"]);
});

test("end-5: chunks in order, out of order 416 with where it goes on", async (t) => {
  const api = await startApi(t);
  let location = (await api.call("POST", "/v2/a/blobs/uploads/")).headers.location ?? "";
  const chunk = (from: number, to: number) => ({
    headers: { "content-range": `${from}-${to - 1}` },
    body: blob.subarray(from, to),
  });
  const first = await api.call("PATCH", location, chunk(0, 100_000));
  assert.deepEqual([first.status, first.headers.range], [202, "0-99999"]);
  location = first.headers.location ?? "";

  for (const [from, to] of [
    [200_000, 300_000],
    [0, 100_000],
    [50_000, 150_000],
  ] as const) {
    const wrong = await api.call("PATCH", location, chunk(from, to));
    assert.deepEqual([wrong.status, wrong.error?.code], [416, "RANGE_INVALID"]);
    assert.equal(wrong.headers.range, "0-99999");
    assert.ok(wrong.headers.location);
    assert.equal(wrong.error?.detail?.["offset"], 100_000);
  }
  const second = await api.call("PATCH", location, chunk(100_000, 200_000));
  assert.deepEqual([second.status, second.headers.range], [202, "0-199999"]);
  const early = await api.call("PUT", `${second.headers.location}&digest=${digest}`, chunk(0, 100_000));
  assert.equal(early.status, 416);
  const last = await api.call("PUT", `${second.headers.location}&digest=${digest}`, chunk(200_000, 300_000));
  assert.equal(last.status, 201);
  assert.deepEqual(api.repositories.bytes.get(digest), blob);
});

test("end-5: a stream without length, then PUT without body", async (t) => {
  const api = await startApi(t);
  const started = await api.call("POST", "/v2/a/blobs/uploads/");
  const patched = await api.call("PATCH", started.headers.location ?? "", { body: blob, chunked: true });
  assert.deepEqual([patched.status, patched.headers.range], [202, `0-${blob.length - 1}`]);
  const put = await api.call("PUT", `${patched.headers.location}&digest=${digest}`);
  assert.equal(put.status, 201);
});

test("end-5: an old Location goes on where the store is, once the client knows where", async (t) => {
  const api = await startApi(t);
  const old = (await api.call("POST", "/v2/a/blobs/uploads/")).headers.location ?? "";
  await api.call("PATCH", old, { body: blob.subarray(0, 1000), headers: { "content-range": "0-999" } });
  const again = await api.call("PATCH", old, { body: blob.subarray(0, 1000), headers: { "content-range": "0-999" } });
  assert.deepEqual([again.status, again.headers.range], [416, "0-999"]);
  const on = await api.call("PATCH", old, {
    body: blob.subarray(1000, 2000),
    headers: { "content-range": "1000-1999" },
  });
  assert.deepEqual([on.status, on.headers.range], [202, "0-1999"]);
});

test("end-13: status", async (t) => {
  const api = await startApi(t);
  const location = (await api.call("POST", "/v2/a/blobs/uploads/")).headers.location ?? "";
  const empty = await api.call("GET", location);
  assert.deepEqual([empty.status, empty.headers.range], [204, "0-0"]);
  await api.call("PATCH", location, { body: blob.subarray(0, 5000) });
  const status = await api.call("GET", location);
  assert.deepEqual([status.status, status.headers.range], [204, "0-4999"]);
  const rest = await api.call("PUT", `${status.headers.location}&digest=${digest}`, { body: blob.subarray(5000) });
  assert.equal(rest.status, 201);
});

test("end-14: cancel", async (t) => {
  const api = await startApi(t);
  const location = (await api.call("POST", "/v2/a/blobs/uploads/")).headers.location ?? "";
  assert.equal((await api.call("DELETE", location)).status, 204);
  const after = await api.call("GET", location);
  assert.deepEqual([after.status, after.error?.code], [404, "BLOB_UPLOAD_UNKNOWN"]);
});

test("end-11: mount, from a repository and from any", async (t) => {
  const api = await startApi(t);
  await api.call("POST", `/v2/source/blobs/uploads/?digest=${digest}`, { body: blob });
  const mounted = await api.call("POST", `/v2/one/blobs/uploads/?mount=${digest}&from=source`);
  assert.equal(mounted.status, 201);
  assert.equal(mounted.headers.location, `/v2/one/blobs/${digest}`);
  assert.equal(mounted.headers["docker-content-digest"], digest);
  assert.equal((await api.call("POST", `/v2/two/blobs/uploads/?mount=${digest}`)).status, 201);
  const missing = await api.call("POST", `/v2/three/blobs/uploads/?mount=${digest}&from=nowhere`);
  assert.equal(missing.status, 202);
  const put = await api.call("PUT", `${missing.headers.location}&digest=${digest}`, { body: blob });
  assert.equal(put.status, 201);
});

test("end-11: what may not be read is not mounted", async (t) => {
  const api = await startApi(t);
  await api.call("POST", `/v2/secret/blobs/uploads/?digest=${digest}`, { body: blob });
  const account = { name: "eve", mayRead: (name: string) => name !== "secret", mayWrite: () => true };
  api.backend.authenticator = { asksAtBase: false, authenticate: () => ({ account }) };
  assert.equal((await api.call("POST", `/v2/eve/blobs/uploads/?mount=${digest}&from=secret`)).status, 202);
  assert.equal((await api.call("POST", `/v2/eve/blobs/uploads/?mount=${digest}`)).status, 202);
  assert.equal(api.repositories.repositories.get("eve")?.blobs.size ?? 0, 0);
});

test("a session of sha256 is finished by a sha512 digest while nothing was sent", async (t) => {
  const api = await startApi(t);
  const location = (await api.call("POST", "/v2/a/blobs/uploads/")).headers.location ?? "";
  const put = await api.call("PUT", `${location}&digest=${digestOf(blob, "sha512")}`, { body: blob });
  assert.equal(put.status, 201);
});

test("the empty blob", async (t) => {
  const api = await startApi(t);
  const empty = sha256(Buffer.alloc(0));
  const location = (await api.call("POST", "/v2/a/blobs/uploads/")).headers.location ?? "";
  assert.equal((await api.call("PUT", `${location}&digest=${empty}`)).status, 201);
  const got = await api.call("GET", `/v2/a/blobs/${empty}`);
  assert.deepEqual([got.status, got.body.length, got.headers["content-length"]], [200, 0, "0"]);
});
