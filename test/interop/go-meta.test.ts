/** The contract meets another language: a meta driver in Go, written from the .proto files alone, over the wire. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { status as Code } from "@grpc/grpc-js";
import { pino } from "pino";
import { connect } from "../../client/index.ts";
import { hasReason, type Reason } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import { headers } from "../../proto/metadata.ts";
import { goMetaStoreId, startGoMeta } from "../helpers/go-meta.ts";
import { image } from "../helpers/oci.ts";
import { startDriver, startRegistry } from "../helpers/outrigger.ts";
import { launch, Scope } from "../helpers/processes.ts";
import { type RawAnswer, RawClient } from "../helpers/raw-client.ts";
import { missing, tool } from "../helpers/tools.ts";

const store = { [headers.store]: goMetaStoreId };

interface Item {
  key: string;
  value: Buffer;
  etag: string;
}

describe("the Go meta driver over the wire", { skip: missing("go-meta") }, () => {
  const scope = new Scope();
  let address: string;
  let client: RawClient;

  before(async () => {
    ({ address } = await startGoMeta(scope));
    client = new RawClient(address);
    scope.defer(() => client.close());
  });
  after(scope.close);

  const inTime = () => ({ ...store, [headers.notAfter]: String(Date.now() + 10_000) });
  const write = (operations: object[], metadata: Record<string, string> = inTime()) =>
    client.call("meta.Write", { operations }, metadata);
  const get = (...keys: string[]) => client.call("meta.Get", { keys }, store);
  const list = (request: object) => client.call("meta.List", request, store);

  it("tells its versions and describes one meta store [handshake.version.02, handshake.describe.02]", async () => {
    const version = await client.call("handshake.Version", {});
    assert.deepEqual(succeeded(version)["api"], { "outrigger.meta": { versions: [{ major: 1, minor: 0 }] } });
    const described = succeeded(
      await client.call("handshake.Describe", { coreName: "test", coreVersion: "0", apis: {} }),
    );
    const [only, ...others] = described["stores"] as { kind: string; id: string; limits: { maxValueBytes: number } }[];
    assert.equal(others.length, 0);
    assert.equal(only?.kind, "STORE_KIND_META");
    assert.equal(only?.id, goMetaStoreId);
    assert.equal(only?.limits.maxValueBytes, limits.valueBytes);
  });

  it("describes itself in the same words to everybody [handshake.describe.01]", async () => {
    const first = await client.call("handshake.Describe", { coreName: "a", coreVersion: "1", apis: {} });
    const second = await client.call("handshake.Describe", { coreName: "b", coreVersion: "2", apis: {} });
    assert.deepEqual(succeeded(first), succeeded(second));
  });

  it("carries its clock and one contract hash with every answer, failures too [call.now.01, call.contract.01]", async () => {
    const answers = [
      await client.call("handshake.Version", {}),
      await get("a"),
      await get("no//key"),
      await client.call("meta.Get", { keys: ["a"] }, {}),
    ];
    const hashes = answers.map(({ metadata }) => metadata.get(headers.contract)[0]);
    assert.ok(typeof hashes[0] === "string" && hashes[0] !== "");
    assert.deepEqual(new Set(hashes).size, 1);
    for (const { metadata } of answers) {
      const now = Number(metadata.get(headers.now)[0]);
      assert.ok(Math.abs(now - Date.now()) < limits.clockSkewMs, `outrigger-now is ${now}`);
    }
  });

  it("refuses another store, and none, before any effect [call.store.01]", async () => {
    const operation = [{ key: "wrong-store", put: Buffer.from("x") }];
    const other = { ...inTime(), [headers.store]: "00000000-0000-4000-8000-000000000000" };
    refused(await write(operation, other), "WRONG_STORE");
    refused(await write(operation, { [headers.notAfter]: String(Date.now() + 10_000) }), "INVALID_FIELD");
    assert.equal(itemOf(await get("wrong-store")), undefined);
  });

  it("keeps what was written, byte for byte, the empty value too", async () => {
    const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const written = succeeded(
      await write([
        { key: "bytes/all", put: value },
        { key: "bytes/none", put: Buffer.alloc(0) },
      ]),
    );
    const answer = succeeded(await get("bytes/none", "bytes/absent", "bytes/all"));
    const results = answer["results"] as { key: string; item?: Item }[];
    assert.deepEqual(
      results.map(({ key }) => key),
      ["bytes/none", "bytes/absent", "bytes/all"],
    );
    assert.equal(results[0]?.item?.value.length, 0);
    assert.equal(results[1]?.item ?? undefined, undefined);
    assert.deepEqual(results[2]?.item?.value, value);
    const [all, none] = written["results"] as { key: string; etag: string }[];
    assert.equal(results[2]?.item?.etag, all?.etag);
    assert.equal(results[0]?.item?.etag, none?.etag);
    assert.match(all?.etag ?? "", /^[\x20-\x7e]{1,128}$/);
  });

  it("does all of a Write or nothing, and names the condition that failed [meta.write.01, meta.write.02]", async () => {
    succeeded(await write([{ key: "cond/there", put: Buffer.from("1") }]));
    const lost = refused(
      await write([
        { key: "cond/new", put: Buffer.from("2"), ifAbsent: {} },
        { key: "cond/there", delete: {}, ifAbsent: {} },
        { key: "cond/other", check: {}, ifPresent: {} },
      ]),
      "CONDITION_FAILED",
    );
    assert.equal(lost.metadata["index"], "1");
    assert.equal(itemOf(await get("cond/new")), undefined);
    assert.equal(itemOf(await get("cond/there"))?.value.toString(), "1");
  });

  it("compares etags, and answers each operation in order [meta.write.06, meta.write.07]", async () => {
    const [first] = succeeded(await write([{ key: "etag/a", put: Buffer.from("1") }]))["results"] as { etag: string }[];
    const results = succeeded(
      await write([
        { key: "etag/gone", delete: {} },
        { key: "etag/a", check: {}, ifEtag: first?.etag },
        { key: "etag/none", check: {}, ifAbsent: {} },
        { key: "etag/b", put: Buffer.from("2"), ifAbsent: {} },
      ]),
    )["results"] as { key: string; etag: string }[];
    assert.deepEqual(
      results.map(({ key, etag }) => [key, key === "etag/b" ? etag !== "" : etag]),
      [
        ["etag/gone", ""],
        ["etag/a", first?.etag],
        ["etag/none", ""],
        ["etag/b", true],
      ],
    );
    refused(await write([{ key: "etag/a", put: Buffer.from("3"), ifEtag: "another" }]), "CONDITION_FAILED");
    refused(await write([{ key: "etag/none", put: Buffer.from("3"), ifEtag: first?.etag }]), "CONDITION_FAILED");
    refused(await write([{ key: "etag/none", put: Buffer.from("3"), ifPresent: {} }]), "CONDITION_FAILED");
  });

  it("never gives an etag twice, not after a delete either [meta.etag.01]", async () => {
    const etags: string[] = [];
    for (let round = 0; round < 5; round++) {
      const [put] = succeeded(await write([{ key: "etag/again", put: Buffer.from("same") }]))["results"] as Item[];
      etags.push(put?.etag ?? "");
      if (round % 2 === 0) succeeded(await write([{ key: "etag/again", delete: {} }]));
    }
    assert.equal(new Set(etags).size, etags.length);
  });

  it("lets exactly one of many racing Writes win a condition [meta.write.03]", async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, racer) => write([{ key: "race", put: Buffer.from(String(racer)), ifAbsent: {} }])),
    );
    const winners = answers.flatMap((answer, racer) => (answer.code === undefined ? [racer] : []));
    assert.equal(winners.length, 1);
    for (const answer of answers) if (answer.code !== undefined) refused(answer, "CONDITION_FAILED");
    assert.equal(itemOf(await get("race"))?.value.toString(), String(winners[0]));
  });

  it("does nothing past not-after [meta.write.08, call.notafter.01]", async () => {
    const late = { ...store, [headers.notAfter]: String(Date.now() - 1) };
    refused(await write([{ key: "late", put: Buffer.from("x") }], late), "TOO_LATE");
    assert.equal(itemOf(await get("late")), undefined);
  });

  it("lists bytewise, within prefix and start, whole pages and exact more [meta.list.01, .02, .03, .04]", async () => {
    // "-" and "." sort before "/": bytes, not path components.
    const keys = ["l/1.0-alpine/x", "l/1.0/x", "l/1.0", "l/2", "l/A", "l/a", "l/_", "lz", "k"].sort((a, b) =>
      a < b ? -1 : 1,
    );
    succeeded(await write(keys.map((key) => ({ key, put: Buffer.from(key) }))));
    const wanted = keys.filter((key) => key.startsWith("l/"));
    for (const limit of [1, 2, 3, 7, 0]) {
      const seen: string[] = [];
      for (let more = true, startAfter = ""; more; startAfter = seen.at(-1) ?? "") {
        const page = succeeded(await list({ prefix: "l/", startAfter, limit }));
        const items = page["items"] as Item[];
        more = page["more"] as boolean;
        assert.ok(items.length > 0 && (limit === 0 || items.length <= limit));
        for (const item of items) assert.equal(item.value.toString(), item.key);
        seen.push(...items.map(({ key }) => key));
      }
      assert.deepEqual(seen, wanted, `limit ${limit}`);
    }
    const from = succeeded(await list({ prefix: "l/", startAfter: "l/1.0 not a key" }))["items"] as Item[];
    assert.deepEqual(
      from.map(({ key }) => key),
      wanted.filter((key) => key > "l/1.0 not a key"),
    );
    assert.deepEqual(succeeded(await list({ prefix: "l//" })), { items: [], more: false });
    assert.deepEqual(succeeded(await client.call("meta.Count", { prefix: "l/" }, store)), {
      count: wanted.length,
      exact: true,
    });
  });

  it("refuses what is no key [meta.key.01]", async () => {
    for (const key of ["", "/a", "a/", "a//b", "a/../b", ".", "ä", "a b", "x".repeat(256), `${"y/".repeat(512)}z`]) {
      refused(
        await write([
          { key: "fine", put: Buffer.from("x") },
          { key, put: Buffer.from("x") },
        ]),
        "INVALID_KEY",
      );
      refused(await get(key), "INVALID_KEY");
    }
    assert.equal(itemOf(await get("fine")), undefined);
  });

  it("refuses what is too much [meta.get.04, meta.list.05, meta.write.05]", async () => {
    const operations = (count: number, bytes: number) =>
      Array.from({ length: count }, (_, n) => ({ key: `much/${n}`, put: Buffer.alloc(bytes) }));
    refused(await get(...operations(101, 0).map(({ key }) => key)), "INVALID_FIELD");
    refused(await list({ prefix: "", limit: 1001 }), "INVALID_FIELD");
    refused(await write([]), "INVALID_FIELD");
    refused(await write(operations(101, 1)), "INVALID_FIELD");
    refused(await write(operations(1, limits.valueBytes + 1)), "INVALID_FIELD");
    refused(await write(operations(15, limits.valueBytes)), "INVALID_FIELD");
    refused(await write([...operations(1, 1), ...operations(1, 1)]), "INVALID_FIELD");
    refused(await write([{ key: "much/check", check: {} }]), "INVALID_FIELD");
    assert.deepEqual(succeeded(await list({ prefix: "much/" })), { items: [], more: false });
  });

  it("ends a page, and a Get, before 4 MiB [meta.get.02, meta.list.03]", async () => {
    const keys = Array.from({ length: 20 }, (_, n) => `big/${String(n).padStart(2, "0")}`);
    for (const half of [keys.slice(0, 10), keys.slice(10)]) {
      succeeded(await write(half.map((key) => ({ key, put: Buffer.alloc(limits.valueBytes, key) }))));
    }
    const answer = succeeded(await get(...keys));
    const read = (answer["results"] as { key: string }[]).map(({ key }) => key);
    assert.deepEqual([...read, ...(answer["unread"] as string[])], keys);
    assert.ok(read.length >= 10 && read.length < keys.length, `${read.length} values in one answer`);
    const page = succeeded(await list({ prefix: "big/" }));
    assert.equal(page["more"], true);
    assert.ok((page["items"] as Item[]).length < keys.length);
    succeeded(await write(keys.map((key) => ({ key, delete: {} }))));
  });

  it("says which services are well [process.health.01]", async () => {
    for (const service of ["", "outrigger.meta.v1.MetaService"]) {
      assert.equal(succeeded(await client.call("health.Check", { service }))["status"], "SERVING", service);
    }
    assert.equal(
      (await client.call("health.Check", { service: "outrigger.blob.v1.BlobService" })).code,
      Code.NOT_FOUND,
    );
  });

  it("refuses a Write when it is sealed [process.readonly.01]", async () => {
    const sealed = await startGoMeta(scope, { flags: ["--read-only"] });
    const raw = new RawClient(sealed.address);
    scope.defer(() => raw.close());
    refused(await raw.call("meta.Write", { operations: [{ key: "a", put: Buffer.from("x") }] }, inTime()), "READ_ONLY");
    succeeded(await raw.call("meta.Get", { keys: ["a"] }, store));
  });

  it("refuses a live socket, replaces a dead one, ends with 0 [process.listen.02, process.drain.01]", async () => {
    const first = await startGoMeta(scope);
    const second = scope.add(launch("go-meta", tool("go-meta"), ["--listen", first.address]));
    assert.equal((await second.exited).code, 1);
    assert.equal(second.lines.length, 1, "one line");
    assert.match(second.lines[0] ?? "", /another process listens on unix:/);
    await first.process.kill();
    const third = await startGoMeta(scope, { address: first.address });
    assert.deepEqual(await third.process.stop(), { code: 0, signal: null });
  });
});

describe("a core with the Go meta driver", { skip: missing("go-meta") }, () => {
  const scope = new Scope();
  let blobs: string;
  let meta: string;
  before(async () => {
    ({ address: meta } = await startGoMeta(scope));
    ({ address: blobs } = await startDriver(scope, { driver: "memory" }));
  });
  after(scope.close);

  it("uses it through client/ as any other meta store", async () => {
    const stores = connect({ blobs: { address: blobs }, meta: { address: meta } }, { log: pino({ level: "silent" }) });
    scope.defer(() => stores.close());
    await stores.ready();
    assert.equal(stores.meta.facts.id, goMetaStoreId);
    assert.equal(stores.meta.facts.driver, "io.outrigger.test.go-meta");
    const [etag = ""] = await stores.meta.write([
      { kind: "put", key: "client/a", value: Buffer.from("1"), condition: { ifAbsent: true } },
    ]);
    const [item, absent] = await stores.meta.get(["client/a", "client/b"]);
    assert.equal(item?.value.toString(), "1");
    assert.equal(item?.etag, etag);
    assert.equal(absent, undefined);
    await assert.rejects(
      stores.meta.write([{ kind: "put", key: "client/a", value: Buffer.from("2"), condition: { ifEtag: "other" } }]),
      (error) => hasReason(error, "CONDITION_FAILED") && error.metadata["index"] === "0",
    );
    const { items } = await stores.meta.list({ prefix: "client/" });
    assert.deepEqual(
      items.map(({ key }) => key),
      ["client/a"],
    );
  });

  it("pushes and pulls images whose tags and links lie in it", async () => {
    const { client } = await startRegistry(scope, { blobs, meta });
    const pushed = image({ seed: "go", layerBytes: [300_000, 5] });
    await client.pushImage("go/image", pushed, "v1", "v2");
    await client.pullImage("go/image", "v1", pushed);
    assert.deepEqual(await client.tags("go/image"), ["v1", "v2"]);
    assert.deepEqual(await client.catalog(), ["go/image"]);
    await client.expect(202, "DELETE", "/v2/go/image/manifests/v1");
    assert.deepEqual(await client.tags("go/image"), ["v2"]);
    const raw = new RawClient(meta);
    scope.defer(() => raw.close());
    const key = "docker/registry/v2/repositories/go/image/_manifests/tags/v2/current/link";
    assert.equal(itemOf(await raw.call("meta.Get", { keys: [key] }, store))?.value.toString(), pushed.manifest.digest);
  });
});

function succeeded(answer: RawAnswer): Record<string, unknown> {
  assert.equal(answer.code, undefined, answer.message);
  assert.ok(answer.response);
  return answer.response;
}

/** `fromStatus` has compared reason and code with the table. */
function refused(answer: RawAnswer, reason: Reason) {
  assert.ok(answer.error, `no error details; code ${answer.code}, ${answer.message}`);
  assert.equal(answer.error.reason, reason, answer.error.message);
  assert.ok(answer.error.message.length > 10);
  return answer.error;
}

/** Of a Get of one key. */
function itemOf(answer: RawAnswer): Item | undefined {
  const [result, ...others] = succeeded(answer)["results"] as { item?: Item }[];
  assert.equal(others.length, 0);
  return result?.item ?? undefined;
}
