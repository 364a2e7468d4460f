import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import { type Api, pushBlob, startApi } from "./api.ts";
import { sha256 } from "./fake-repositories.ts";

const blob = randomBytes(700_000);
const INDEX = "application/vnd.oci.image.index.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

function manifest(more: object = {}): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, ...more }));
}

async function pushManifest(api: Api, path: string, bytes: Buffer) {
  const reply = await api.call("PUT", path, { body: bytes, headers: { "content-type": MANIFEST } });
  assert.equal(reply.status, 201, reply.body.toString());
  return reply;
}

test("whatever was pushed is no document that runs in a browser", async (t) => {
  const api = await startApi(t);
  await pushManifest(api, "/v2/a/manifests/v1", manifest());
  for (const path of ["/v2/", "/v2/_catalog", "/v2/a/manifests/v1", "/v2/a/tags/list"]) {
    const { status, headers } = await api.call("GET", path);
    assert.equal(status, 200, path);
    assert.equal(headers["content-security-policy"], "default-src 'none'; sandbox", path);
    assert.equal(headers["x-content-type-options"], "nosniff", path);
  }
});

test("end-1: the base", async (t) => {
  const api = await startApi(t);
  for (const path of ["/v2/", "/v2"]) {
    const reply = await api.call("GET", path);
    assert.deepEqual([reply.status, reply.body.toString()], [200, "{}"]);
    assert.equal(reply.headers["docker-distribution-api-version"], "registry/2.0");
  }
});

for (const way of ["by stream", "by descriptor"]) {
  test(`end-2: GET and HEAD of a blob, ${way}`, async (t) => {
    const api = await startApi(t);
    if (way === "by descriptor") api.repositories.asFiles();
    for (const bytes of [blob, blob.subarray(0, 20_000)]) {
      const digest = await pushBlob(api, "a/b", bytes);
      const got = await api.call("GET", `/v2/a/b/blobs/${digest}`);
      assert.equal(got.status, 200);
      assert.ok(got.body.equals(bytes));
      const head = await api.call("HEAD", `/v2/a/b/blobs/${digest}`);
      assert.deepEqual([head.status, head.body.length], [200, 0]);
      for (const { headers } of [got, head]) {
        assert.equal(headers["content-security-policy"], "default-src 'none'; sandbox");
        assert.equal(headers["content-length"], String(bytes.length));
        assert.equal(headers["docker-content-digest"], digest);
        assert.equal(headers.etag, `"${digest}"`);
        assert.equal(headers["accept-ranges"], "bytes");
      }
    }
    await api.handler.idle();
    assert.equal(api.repositories.openFiles(), 0);
  });

  test(`end-2: ranges, ${way}`, async (t) => {
    const api = await startApi(t);
    if (way === "by descriptor") api.repositories.asFiles();
    const digest = await pushBlob(api, "a", blob);
    const size = blob.length;
    const get = (range: string, headers = {}) =>
      api.call("GET", `/v2/a/blobs/${digest}`, { headers: { range, ...headers } });
    for (const [range, from, to] of [
      ["bytes=500-1499", 500, 1500],
      ["bytes=500-", 500, size],
      ["bytes=-500", size - 500, size],
      ["bytes=0-0", 0, 1],
      [`bytes=${size - 1}-`, size - 1, size],
      [`bytes=600000-${size + 1000}`, 600_000, size],
      [`bytes=-${size + 5}`, 0, size],
    ] as const) {
      const reply = await get(range);
      assert.equal(reply.status, 206, range);
      assert.equal(reply.headers["content-range"], `bytes ${from}-${to - 1}/${size}`);
      assert.equal(reply.headers["content-length"], String(to - from));
      assert.ok(reply.body.equals(blob.subarray(from, to)), range);
    }
    for (const range of [
      "bytes=500-0",
      `bytes=${size}-`,
      `bytes=${size}-${size + 9}`,
      "bytes=-0",
      "bytes=abc",
      "bytes=-",
    ]) {
      const reply = await get(range);
      assert.deepEqual([reply.status, reply.error?.code], [416, "RANGE_INVALID"], range);
      assert.equal(reply.headers["content-range"], `bytes */${size}`);
    }
    for (const range of ["bytes=0-1,5-6", "lines=1-2", "nonsense"]) {
      const reply = await get(range);
      assert.deepEqual([reply.status, reply.body.length], [200, size], range);
    }
    assert.equal((await get("bytes=0-9", { "if-range": `"${digest}"` })).status, 206);
    assert.equal((await get("bytes=0-9", { "if-range": '"another"' })).status, 200);
    await api.handler.idle();
    assert.equal(api.repositories.openFiles(), 0);
  });
}

test("end-2: If-None-Match, and what is not there", async (t) => {
  const api = await startApi(t);
  const digest = await pushBlob(api, "a", blob);
  const same = await api.call("GET", `/v2/a/blobs/${digest}`, { headers: { "if-none-match": `"x", W/"${digest}"` } });
  assert.deepEqual([same.status, same.body.length, same.headers.etag], [304, 0, `"${digest}"`]);
  const other = await api.call("GET", `/v2/a/blobs/${digest}`, { headers: { "if-none-match": '"x"' } });
  assert.equal(other.status, 200);
  const elsewhere = await api.call("GET", `/v2/b/blobs/${digest}`, { headers: { "if-none-match": `"${digest}"` } });
  assert.deepEqual([elsewhere.status, elsewhere.error?.code], [404, "BLOB_UNKNOWN"]);
  assert.deepEqual(elsewhere.error?.detail, { name: "b", digest });
  assert.equal((await api.call("HEAD", `/v2/b/blobs/${digest}`)).status, 404);
});

test("end-2: redirected to the storage where it can sign, only for what the repository has", async (t) => {
  const api = await startApi(t);
  const large = await pushBlob(api, "a", blob);
  const small = await pushBlob(api, "a", Buffer.from("small"));
  let url: string | undefined = "https://bucket.example.org/x?signature=y";
  const signed: string[] = [];
  api.backend.redirect = {
    minBytes: 1000,
    async sign(_name, digest) {
      signed.push(digest);
      return url;
    },
  };
  const reply = await api.call("GET", `/v2/a/blobs/${large}`);
  assert.deepEqual([reply.status, reply.headers.location, reply.headers["docker-content-digest"]], [307, url, large]);
  assert.equal((await api.call("GET", `/v2/a/blobs/${small}`)).status, 200);
  assert.equal((await api.call("GET", `/v2/b/blobs/${large}`)).status, 404);
  assert.deepEqual(signed, [large]);
  url = undefined;
  assert.equal((await api.call("GET", `/v2/a/blobs/${large}`)).status, 200);
});

test("end-3, end-7a: a manifest by tag and by digest, as it was pushed", async (t) => {
  const api = await startApi(t);
  const bytes = manifest();
  const digest = sha256(bytes);
  const pushed = await pushManifest(api, "/v2/a/manifests/v1", bytes);
  assert.equal(pushed.headers.location, `/v2/a/manifests/${digest}`);
  assert.equal(pushed.headers["docker-content-digest"], digest);
  for (const reference of ["v1", digest]) {
    for (const method of ["GET", "HEAD"]) {
      const reply = await api.call(method, `/v2/a/manifests/${reference}`, { headers: { accept: INDEX } });
      assert.equal(reply.status, 200);
      assert.equal(reply.headers["content-type"], MANIFEST);
      assert.equal(reply.headers["content-length"], String(bytes.length));
      assert.equal(reply.headers["docker-content-digest"], digest);
      assert.ok(reply.body.equals(method === "GET" ? bytes : Buffer.alloc(0)));
      const same = await api.call(method, `/v2/a/manifests/${reference}`, {
        headers: { "if-none-match": `"${digest}"` },
      });
      assert.equal(same.status, 304);
    }
  }
  for (const reference of ["v2", sha256(blob), "-not-a-tag"]) {
    const missing = await api.call("GET", `/v2/a/manifests/${reference}`);
    assert.deepEqual([missing.status, missing.error?.code], [404, "MANIFEST_UNKNOWN"], reference);
  }
});

test("end-7a: a subject is answered, another digest refused", async (t) => {
  const api = await startApi(t);
  const subject = sha256(blob);
  const reply = await pushManifest(api, "/v2/a/manifests/s", manifest({ subject: { digest: subject } }));
  assert.equal(reply.headers["oci-subject"], subject);
  const wrong = await api.call("PUT", `/v2/a/manifests/${subject}`, { body: manifest() });
  assert.deepEqual([wrong.status, wrong.error?.code], [400, "DIGEST_INVALID"]);
});

test("end-7b: several tags with one push by digest", async (t) => {
  const api = await startApi(t);
  const bytes = manifest();
  const digest = sha256(bytes);
  const tags = Array.from({ length: 12 }, (_, index) => `1.${index}`);
  const reply = await pushManifest(
    api,
    `/v2/a/manifests/${digest}?${tags.map((tag) => `tag=${tag}`).join("&")}`,
    bytes,
  );
  assert.equal(reply.headers["oci-tag"], tags.join(", "));
  for (const tag of tags) assert.equal((await api.call("HEAD", `/v2/a/manifests/${tag}`)).status, 200);
  const plain = await pushManifest(api, `/v2/a/manifests/${digest}`, bytes);
  assert.equal(plain.headers["oci-tag"], undefined);

  const put = (path: string) => api.call("PUT", `/v2/b/manifests/${path}`, { body: bytes });
  assert.equal((await put("v1?tag=v2")).error?.code, "TAG_INVALID");
  assert.equal((await put(`${digest}?tag=good&tag=-bad`)).error?.code, "TAG_INVALID");
  const many = await put(`${digest}?${"tag=x&".repeat(51)}`);
  assert.equal(many.status, 414);
  assert.equal(api.repositories.repositories.has("b"), false);
});

test("end-8a, end-8b: tags, paged", async (t) => {
  const api = await startApi(t);
  const missing = await api.call("GET", "/v2/a/tags/list");
  assert.deepEqual([missing.status, missing.error?.code], [404, "NAME_UNKNOWN"]);
  for (const tag of ["b", "a", "1.0", "1.0-alpine", "B"]) await pushManifest(api, `/v2/a/manifests/${tag}`, manifest());
  const sorted = ["1.0", "1.0-alpine", "B", "a", "b"];
  const all = await api.call("GET", "/v2/a/tags/list");
  assert.deepEqual(JSON.parse(all.body.toString()), { name: "a", tags: sorted });
  assert.equal(all.headers["link"], undefined);
  const seen: string[] = [];
  let next: string | undefined = "/v2/a/tags/list?n=2";
  for (let pages = 0; next !== undefined && pages < 10; pages++) {
    const page = await api.call("GET", next);
    assert.equal(page.headers["content-type"], "application/json");
    seen.push(...JSON.parse(page.body.toString()).tags);
    next = /^<(.+)>; rel="next"$/.exec(String(page.headers["link"]))?.[1];
  }
  assert.deepEqual(seen, sorted);
  const none = await api.call("GET", "/v2/a/tags/list?n=0");
  assert.deepEqual([JSON.parse(none.body.toString()).tags, none.headers["link"]], [[], undefined]);
  const after = await api.call("GET", "/v2/a/tags/list?last=B");
  assert.deepEqual(JSON.parse(after.body.toString()).tags, ["a", "b"]);
  for (const n of ["-1", "x", "1.5", ""]) {
    const bad = await api.call("GET", `/v2/a/tags/list?n=${n}`);
    assert.deepEqual([bad.status, bad.error?.code], [400, "PAGINATION_NUMBER_INVALID"], n);
  }
});

test("the catalog, paged", async (t) => {
  const api = await startApi(t);
  for (const name of ["b/c", "a", "d"]) await pushManifest(api, `/v2/${name}/manifests/x`, manifest());
  const page = await api.call("GET", "/v2/_catalog?n=2");
  assert.deepEqual(JSON.parse(page.body.toString()), { repositories: ["a", "b/c"] });
  const next = /<(.+)>/.exec(String(page.headers["link"]))?.[1] ?? "";
  const last = await api.call("GET", next);
  assert.deepEqual(JSON.parse(last.body.toString()), { repositories: ["d"] });
  assert.equal(last.headers["link"], undefined);
});

test("end-9: manifests and tags are deleted", async (t) => {
  const api = await startApi(t);
  const bytes = manifest();
  await pushManifest(api, "/v2/a/manifests/one", bytes);
  await pushManifest(api, "/v2/a/manifests/two", bytes);
  assert.equal((await api.call("DELETE", "/v2/a/manifests/one")).status, 202);
  assert.equal((await api.call("GET", "/v2/a/manifests/one")).status, 404);
  assert.equal((await api.call("GET", "/v2/a/manifests/two")).status, 200);
  assert.equal((await api.call("DELETE", `/v2/a/manifests/${sha256(bytes)}`)).status, 202);
  assert.equal((await api.call("GET", "/v2/a/manifests/two")).status, 404);
  const again = await api.call("DELETE", `/v2/a/manifests/${sha256(bytes)}`);
  assert.deepEqual([again.status, again.error?.code], [404, "MANIFEST_UNKNOWN"]);
});

test("end-10: blobs are deleted", async (t) => {
  const api = await startApi(t);
  const digest = await pushBlob(api, "a", blob);
  assert.equal((await api.call("DELETE", `/v2/a/blobs/${digest}`)).status, 202);
  assert.equal((await api.call("HEAD", `/v2/a/blobs/${digest}`)).status, 404);
  const again = await api.call("DELETE", `/v2/a/blobs/${digest}`);
  assert.deepEqual([again.status, again.error?.code], [404, "BLOB_UNKNOWN"]);
});

test("end-12a, end-12b: referrers, filtered and paged", async (t) => {
  const api = await startApi(t);
  const subject = sha256(blob);
  const none = await api.call("GET", `/v2/a/referrers/${subject}`);
  assert.equal(none.status, 200);
  assert.equal(none.headers["content-type"], INDEX);
  assert.deepEqual(JSON.parse(none.body.toString()), { schemaVersion: 2, mediaType: INDEX, manifests: [] });
  const digests: string[] = [];
  for (const artifactType of ["x/sbom", "x/sig", "x/sig"]) {
    const bytes = manifest({ subject: { digest: subject }, artifactType, nonce: digests.length });
    await pushManifest(api, `/v2/a/manifests/${sha256(bytes)}`, bytes);
    digests.push(sha256(bytes));
  }
  const all = await api.call("GET", `/v2/a/referrers/${subject}`);
  assert.deepEqual(
    JSON.parse(all.body.toString()).manifests.map((each: { digest: string }) => each.digest),
    [...digests].sort(),
  );
  assert.equal(all.headers["oci-filters-applied"], undefined);
  const seen: string[] = [];
  let next: string | undefined = `/v2/a/referrers/${subject}?artifactType=x%2Fsig&n=1`;
  for (let pages = 0; next !== undefined && pages < 5; pages++) {
    const page = await api.call("GET", next);
    assert.equal(page.headers["oci-filters-applied"], "artifactType");
    for (const each of JSON.parse(page.body.toString()).manifests) {
      assert.equal(each.artifactType, "x/sig");
      seen.push(each.digest);
    }
    next = /<(.+)>/.exec(String(page.headers["link"]))?.[1];
  }
  assert.deepEqual(seen, digests.slice(1).sort());
});

test("a driver's failure has its code, status and Retry-After, and no inner words", async (t) => {
  const api = await startApi(t);
  const digest = await pushBlob(api, "a", blob);
  for (const [reason, status, code, retryAfter] of [
    ["UNREACHABLE", 503, "UNAVAILABLE", "2"],
    ["BREAKER_OPEN", 503, "UNAVAILABLE", "2"],
    ["WRONG_STORE", 503, "UNAVAILABLE", "30"],
    ["QUOTA", 507, "UNAVAILABLE", "60"],
    ["THROTTLED", 429, "TOOMANYREQUESTS", "5"],
    ["STORED_CORRUPT", 500, "UNKNOWN", undefined],
    ["INTERNAL", 500, "UNKNOWN", undefined],
  ] as const) {
    api.repositories.faults.set("readBlob", new OutriggerError(reason, "the secret socket /run/x.sock"));
    const reply = await api.call("GET", `/v2/a/blobs/${digest}`);
    assert.deepEqual(
      [reply.status, reply.error?.code, reply.headers["retry-after"]],
      [status, code, retryAfter],
      reason,
    );
    assert.deepEqual(reply.error?.detail, { reason });
    assert.doesNotMatch(reply.body.toString(), /x\.sock/);
  }
  api.repositories.faults.set("readBlob", new OutriggerError("THROTTLED", "slow", { retryAfterMs: 12_345 }));
  assert.equal((await api.call("GET", `/v2/a/blobs/${digest}`)).headers["retry-after"], "13");
  api.repositories.faults.set("readBlob", new TypeError("a fault of ours"));
  const fault = await api.call("GET", `/v2/a/blobs/${digest}`);
  assert.deepEqual([fault.status, fault.error?.code], [500, "UNKNOWN"]);
  assert.doesNotMatch(fault.body.toString(), /fault of ours/);
});
