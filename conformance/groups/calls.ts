/** What belongs to every call: the metadata of both directions, errors, sizes. Runs last, and looks back at all answers. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { DescribeResponse } from "../../proto/gen/outrigger/handshake/v1/DescribeResponse.ts";
import { limits } from "../../proto/limits.ts";
import { headers } from "../../proto/metadata.ts";
import type { Answer, CallOptions, Calls, Context, Group, Test } from "../contract.ts";
import { expectFault, Fault } from "../faults.ts";

/** A call that a right driver answers, by the name of its RPC. */
type Valid = readonly (readonly [name: string, call: (options: CallOptions) => Promise<unknown>])[];

function openAppend({ blob }: Calls, ctx: Context, options: CallOptions): Promise<unknown> {
  return blob.append(options).open({ uploadId: ctx.uploadId() });
}

const blobReads = (ctx: Context): Valid => [
  ["Stat", (options) => ctx.blob.stat({ keys: [ctx.key("a")] }, options)],
  ["Read", (options) => ctx.blob.read({ key: ctx.key("a") }, options).rest()],
  ["GetUpload", (options) => ctx.blob.getUpload({ uploadId: ctx.uploadId() }, options)],
  ["ListUploads", (options) => ctx.blob.listUploads({ limit: 1 }, options)],
  ["List", (options) => ctx.blob.list({ prefix: ctx.prefix }, options)],
  ["Count", (options) => ctx.blob.count({ prefix: ctx.prefix }, options)],
];

const blobWrites = (ctx: Context): Valid => [
  ["Put", (options) => ctx.blob.put({ key: ctx.key("put"), data: Buffer.from("put") }, options)],
  ["Delete", (options) => ctx.blob.delete({ keys: [ctx.key("kept")] }, options)],
  ["Move", (options) => ctx.blob.move({ source: ctx.key("kept"), destination: ctx.key("moved") }, options).rest()],
];

const metaReads = (ctx: Context): Valid => [
  ["Get", (options) => ctx.meta.get({ keys: [ctx.key("a")] }, options)],
  ["List", (options) => ctx.meta.list({ prefix: ctx.prefix }, options)],
  ["Count", (options) => ctx.meta.count({ prefix: ctx.prefix }, options)],
];

const putOf = (key: string, value: string) => ({ key, action: "put" as const, put: Buffer.from(value) });

/** Leaves "kept" as it was, and makes neither "put" nor "moved". @throws AssertionError */
async function assertNoBlobEffect(ctx: Context, etag: string, why: string): Promise<void> {
  const { results } = await ctx.blob.stat({ keys: ["kept", "put", "moved"].map((name) => ctx.key(name)) });
  const [kept, put, moved] = results.map(({ info }) => info);
  assert.equal(kept?.etag, etag, `a Delete or Move ${why} changed the blob`);
  assert.ok(!put, `a Put ${why} took effect`);
  assert.ok(!moved, `a Move ${why} took effect`);
}

async function keptBlob(ctx: Context): Promise<string> {
  const { info } = await ctx.blob.put({ key: ctx.key("kept"), data: Buffer.from("kept") });
  return info?.etag ?? "";
}

const storeTests: readonly Test[] = [
  {
    id: "call.store.01/handshake",
    title: "Version, Describe and health take no store id, and mind none",
    async run(ctx) {
      for (const metadata of [{}, { [headers.store]: randomUUID() }]) {
        await ctx.handshake.version({}, { metadata });
        await ctx.handshake.describe({ coreName: "outrigger-conformance" }, { metadata });
        assert.equal(await ctx.health("", { metadata }), "SERVING");
      }
    },
  },
  {
    id: "call.store.01/blob-wrong",
    title: "a blob call for another store is WRONG_STORE, and has no effect",
    requires: { store: "blob" },
    async run(ctx) {
      const etag = await keptBlob(ctx);
      const options = { store: randomUUID() };
      for (const [, call] of [...blobReads(ctx), ...blobWrites(ctx)]) await expectFault(call(options), "WRONG_STORE");
      await expectFault(openAppend(ctx, ctx, options), "WRONG_STORE");
      await expectFault(ctx.blob.abortUpload({ uploadId: ctx.uploadId() }, options), "WRONG_STORE");
      await assertNoBlobEffect(ctx, etag, "for another store");
    },
  },
  {
    id: "call.store.01/blob-missing",
    title: "a blob call without a store id is INVALID_FIELD, and has no effect",
    requires: { store: "blob" },
    async run(ctx) {
      const etag = await keptBlob(ctx);
      const options = { store: null };
      for (const [, call] of [...blobReads(ctx), ...blobWrites(ctx)]) await expectFault(call(options), "INVALID_FIELD");
      await expectFault(openAppend(ctx, ctx, options), "INVALID_FIELD");
      await assertNoBlobEffect(ctx, etag, "without a store id");
    },
  },
  {
    id: "call.store.01/meta-wrong",
    title: "a meta call for another store is WRONG_STORE, and has no effect",
    requires: { store: "meta" },
    run: (ctx) => metaWithout(ctx, { store: randomUUID() }, "WRONG_STORE"),
  },
  {
    id: "call.store.01/meta-missing",
    title: "a meta call without a store id is INVALID_FIELD, and has no effect",
    requires: { store: "meta" },
    run: (ctx) => metaWithout(ctx, { store: null }, "INVALID_FIELD"),
  },
];

async function metaWithout(ctx: Context, options: CallOptions, reason: "WRONG_STORE" | "INVALID_FIELD") {
  for (const [, call] of metaReads(ctx)) await expectFault(call(options), reason);
  const key = ctx.key("put");
  await expectFault(ctx.meta.write({ operations: [putOf(key, "value")] }, options), reason);
  const { results } = await ctx.meta.get({ keys: [key] });
  assert.ok(!results[0]?.item, `a Write that was refused with ${reason} took effect`);
}

const notAfterTests: readonly Test[] = [
  {
    id: "call.notafter.01",
    title: "a Put, Delete, Move or AbortUpload past its not-after is TOO_LATE, and has no effect",
    requires: { store: "blob" },
    async run(ctx) {
      const etag = await keptBlob(ctx);
      const uploadId = ctx.uploadId();
      const session = ctx.blob.append();
      await session.open({ uploadId });
      const options = { notAfter: Date.now() - 5_000 };
      for (const [, call] of blobWrites(ctx)) await expectFault(call(options), "TOO_LATE");
      await expectFault(ctx.blob.abortUpload({ uploadId }, options), "TOO_LATE");
      await ctx.blob.getUpload({ uploadId });
      await assertNoBlobEffect(ctx, etag, "past its not-after");
    },
  },
  {
    id: "call.notafter.01/absent",
    title: "without a not-after a change is made all the same",
    async run(ctx) {
      const options = { notAfter: null };
      if (served(ctx, "STORE_KIND_BLOB")) for (const [, call] of blobWrites(ctx).slice(0, 2)) await call(options);
      if (served(ctx, "STORE_KIND_META")) await ctx.meta.write({ operations: [putOf(ctx.key(), "value")] }, options);
    },
  },
  {
    id: "call.notafter.01/blob-no-number",
    title: "a blob call whose not-after is no number is INVALID_FIELD, and has no effect",
    requires: { store: "blob" },
    async run(ctx) {
      const etag = await keptBlob(ctx);
      for (const notAfter of ["soon", "12x"])
        for (const [, call] of blobWrites(ctx)) await expectFault(call({ notAfter }), "INVALID_FIELD");
      await assertNoBlobEffect(ctx, etag, "whose not-after is no number");
    },
  },
  {
    id: "call.notafter.01/meta-no-number",
    title: "a Write whose not-after is no number is INVALID_FIELD, and has no effect",
    requires: { store: "meta" },
    async run(ctx) {
      const key = ctx.key();
      for (const notAfter of ["soon", "tomorrow"])
        await expectFault(ctx.meta.write({ operations: [putOf(key, "value")] }, { notAfter }), "INVALID_FIELD");
      const { results } = await ctx.meta.get({ keys: [key] });
      assert.ok(!results[0]?.item, "a Write whose not-after is no number took effect");
    },
  },
];

function served(ctx: Context, kind: string): boolean {
  return ctx.described.stores.some((store) => String(store.kind) === kind);
}

/** What a Describe's answer and its hash were. */
interface Told {
  readonly described: DescribeResponse;
  readonly contract: string;
}

async function told(calls: Calls): Promise<Told> {
  const answer = await calls.answer("handshake.Describe", { coreName: "outrigger-conformance" });
  return { described: answer.response, contract: contractOf(answer) };
}

function contractOf({ metadata }: Pick<Answer<unknown>, "metadata">): string {
  return metadata.get(headers.contract).map(String).join(", ");
}

/** Without what the hash leaves out. */
function hashed({ notices: _, stores, ...rest }: DescribeResponse): unknown {
  const sorted = stores.map((store) => ({ ...store, capabilities: [...store.capabilities].sort() }));
  return { ...rest, stores: sorted.sort((a, b) => (String(a.kind) < String(b.kind) ? -1 : 1)) };
}

function assertConsistent(one: Told, other: Told, when: string): void {
  const same = JSON.stringify(hashed(one.described)) === JSON.stringify(hashed(other.described));
  if (same)
    assert.equal(other.contract, one.contract, `the hash is another one ${when}, though Describe says the same`);
  else assert.notEqual(other.contract, one.contract, `Describe says something else ${when}, and the hash is the same`);
}

const answerTests: readonly Test[] = [
  {
    id: "call.now.01",
    title: "answers tell the driver's clock, and it is within 2 s of the kit's",
    async run(ctx) {
      const before = Date.now();
      const { metadata, tookMs } = await ctx.answer("handshake.Version", {});
      const text = String(metadata.get(headers.now)[0] ?? "");
      assert.match(text, /^\d+$/, `${headers.now} is ${JSON.stringify(text)}`);
      const off = Math.max(before - Number(text), Number(text) - (before + tookMs), 0);
      assert.ok(off <= limits.clockSkewMs, `the driver's clock is ${Math.round(off)} ms off: a core refuses it`);
    },
  },
  {
    id: "call.now.01/everywhere",
    title: "every answer of this run, errors and streams too, told the driver's clock",
    run: (ctx) => assertObserved(ctx, "call.now.01"),
  },
  {
    id: "call.contract.01",
    title: "the hash is the same on answers, errors and streams",
    async run(ctx) {
      const due = (await told(ctx)).contract;
      assert.match(due, /^[\x20-\x7e]{1,128}$/, `${headers.contract} is ${JSON.stringify(due)}`);
      assert.equal(contractOf(await ctx.answer("handshake.Version", {})), due, "Version has another hash");
      if (served(ctx, "STORE_KIND_META")) {
        const { metadata } = await ctx.answer("meta.Count", { prefix: ctx.prefix });
        assert.equal(contractOf({ metadata }), due, "meta.Count has another hash");
      }
      if (!served(ctx, "STORE_KIND_BLOB")) return;
      const stream = ctx.blob.read({ key: ctx.key("absent") });
      await stream.rest().catch(() => {});
      assert.equal(contractOf(await stream.head()), due, "a Read that fails has another hash");
    },
  },
  {
    id: "call.contract.01/restart",
    title: "after a new start the hash is another one exactly if Describe says something else",
    requires: { start: true },
    async run(ctx) {
      const before = await told(ctx);
      await ctx.driver.kill();
      await ctx.driver.start();
      assertConsistent(before, await told(ctx.connect()), "after a new start");
    },
  },
  {
    id: "call.contract.01/replica",
    title: "the hash is the same on every replica",
    requires: { replicas: true, capability: "REPLICAS" },
    async run(ctx) {
      const [one, other] = ctx.peers;
      if (other !== undefined) assertConsistent(await told(one), await told(other), "on the replica");
    },
  },
  {
    id: "call.contract.01/everywhere",
    title: "every answer of this run, errors and streams too, carried a well-formed hash",
    run: (ctx) => assertObserved(ctx, "call.contract.01"),
  },
  {
    id: "call.error.01",
    title: "an error of each store has a reason in domain outrigger, under the code that belongs to it",
    async run(ctx) {
      if (served(ctx, "STORE_KIND_BLOB")) {
        await assertTold(ctx.blob.read({ key: ctx.key("absent") }).rest());
        await assertTold(ctx.blob.getUpload({ uploadId: ctx.uploadId() }));
        await assertTold(ctx.blob.put({ key: "../outside", data: Buffer.from("no") }));
      }
      if (served(ctx, "STORE_KIND_META")) {
        await assertTold(ctx.meta.get({ keys: ["../outside"] }));
        await assertTold(ctx.meta.write({ operations: [{ ...putOf(ctx.key(), "v"), ifEtag: "none-such" }] }));
      }
      await assertObserved(ctx, "call.error.01");
    },
  },
  {
    id: "call.size.01",
    title: "no answer to a call that asks for 5 MiB of values is larger than 4 MiB",
    requires: { store: "meta" },
    async run(ctx) {
      const keys = await largeValues(ctx);
      const got = await ctx.answer("meta.Get", { keys });
      const listed = await ctx.answer("meta.List", { prefix: ctx.prefix });
      for (const { sizeBytes } of [got, listed])
        assert.ok(sizeBytes <= limits.messageBytes, `a message has ${sizeBytes} bytes`);
    },
  },
  {
    id: "call.size.01/blob",
    title: "no message of a Read is larger than 4 MiB",
    requires: { store: "blob" },
    async run(ctx) {
      const key = ctx.key();
      const uploadId = ctx.uploadId();
      const data = ctx.random.bytes(5 * 1024 * 1024);
      const session = ctx.blob.append();
      await session.open({ uploadId });
      await session.chunks(0, data, limits.chunkBytes);
      await session.send({ step: "commit", commit: { key, size: data.length } });
      await session.until("committed");
      const reading = ctx.blob.read({ key });
      await reading.rest().catch(() => {});
      assert.ok(reading.largestBytes <= limits.messageBytes, `a message has ${reading.largestBytes} bytes`);
    },
  },
  {
    id: "call.size.01/everywhere",
    title: "no message of this run was larger than 4 MiB",
    run: (ctx) => assertObserved(ctx, "call.size.01"),
  },
];

/** 20 keys whose values together pass 4 MiB. */
async function largeValues(ctx: Context): Promise<string[]> {
  const value = ctx.random.bytes(limits.valueBytes);
  const keys = Array.from({ length: 20 }, (_, at) => ctx.key(`v${String(at).padStart(2, "0")}`));
  for (let at = 0; at < keys.length; at += 10) {
    const operations = keys.slice(at, at + 10).map((key) => ({ key, action: "put" as const, put: value }));
    await ctx.meta.write({ operations });
  }
  return keys;
}

async function assertTold(call: Promise<unknown>): Promise<void> {
  const fault = await call.then(
    () => undefined,
    (error) => error,
  );
  if (fault === undefined) return;
  if (!(fault instanceof Fault)) throw fault;
  assert.ok(fault.reason !== undefined, `an error has no reason: ${fault.message}`);
}

async function assertObserved(ctx: Context, id: string): Promise<void> {
  const wrong = ctx.observed(id).map(({ test, method, what }) => `${method} during ${test}: ${what}`);
  assert.equal(wrong.length, 0, `${wrong.length} answers of this run break it: ${wrong.slice(0, 5).join("; ")}`);
  ctx.note(`${ctx.observedCount(id)} answers were looked at`);
}

export const calls: Group = {
  name: "calls",
  profile: "handshake",
  summary: "What every call carries: store, not-after, the driver's clock, its contract's hash, errors, sizes.",
  requires: {},
  tests: [...storeTests, ...notAfterTests, ...answerTests],
};
