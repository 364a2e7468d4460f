import assert from "node:assert/strict";
import { test } from "node:test";
import { headers } from "../../proto/metadata.ts";
import type { UnaryMethod, UnaryMethods } from "../../proto/transport.ts";
import type { Driver } from "../../server/contract.ts";
import { createHandlers } from "../../server/handlers.ts";
import { createInProcess } from "../helpers/in-process.ts";
import { bytes, FakeClock, failsWith, rig, silent } from "./kit.ts";

const mutations: { [Method in UnaryMethod]?: UnaryMethods[Method][0] } = {
  "blob.Put": { key: "k", data: bytes(3) },
  "blob.AbortUpload": { uploadId: "a" },
  "blob.Delete": { keys: ["kept"] },
  "meta.Write": { operations: [{ key: "k", put: bytes(3) }] },
};
const reads: { [Method in UnaryMethod]?: UnaryMethods[Method][0] } = {
  "blob.Stat": { keys: ["kept"] },
  "blob.List": {},
  "blob.Count": {},
  "blob.ListUploads": {},
  "meta.Get": { keys: ["kept"] },
  "meta.List": {},
  "meta.Count": {},
};

test("[call.store.01] every call but the handshake's names the store, before any effect", async () => {
  const { transport, unary, append, toBlob, toMeta } = await rig();
  for (const [method, request] of Object.entries({ ...mutations, ...reads })) {
    const call = (store: string | undefined) =>
      transport.unary(method as "blob.Stat", request as never, {
        metadata: store === undefined ? {} : { store },
      });
    await failsWith(call(undefined), "INVALID_FIELD", headers.store);
    await failsWith(call("00000000-0000-4000-8000-000000000000"), "WRONG_STORE");
    // The id of this very driver's other store is another store.
    const other = method.startsWith("blob.") ? toMeta.store : toBlob.store;
    await failsWith(call(other), "WRONG_STORE");
  }
  const stream = transport.stream("blob.Move", { source: "a", destination: "b" }, { metadata: {} });
  await failsWith(stream[Symbol.asyncIterator]().next(), "INVALID_FIELD", headers.store);
  const wrong = transport.append({ metadata: { store: "other" } });
  await failsWith(wrong.incoming[Symbol.asyncIterator]().next(), "WRONG_STORE");
  await append().open({ uploadId: "a", create: true });
  assert.equal((await unary("blob.List", {})).items.length, 0);
  await unary("handshake.Version", {}, {});
  await unary("handshake.Describe", {}, {});
});

test("[call.notafter.01] [meta.write.08] past not-after every mutation is TOO_LATE, and reads are not", async () => {
  const { unary, clock, toBlob, toMeta, stream } = await rig();
  await unary("blob.Put", { key: "kept", data: bytes(1) });
  for (const [method, request] of Object.entries(mutations)) {
    const base = method.startsWith("blob.") ? toBlob : toMeta;
    const call = (notAfterMs: number) => unary(method as "blob.Put", request as never, { ...base, notAfterMs });
    await failsWith(call(clock.now() - 1), "TOO_LATE");
    await failsWith(call(Number.NaN), "INVALID_FIELD", headers.notAfter);
  }
  assert.equal((await unary("blob.Stat", { keys: ["kept"] })).results[0]?.info?.size, 1);
  assert.equal((await unary("meta.Get", { keys: ["k"] })).results[0]?.item ?? undefined, undefined);
  await unary("blob.Stat", { keys: ["kept"] }, { ...toBlob, notAfterMs: clock.now() - 1 });
  await unary("blob.Delete", { keys: ["kept"] }, { ...toBlob, notAfterMs: clock.now() });
  assert.deepEqual(await stream("blob.Read", { key: "kept" }).catch((error) => error.reason), "KEY_NOT_FOUND");
});

test("[call.notafter.01] a write that wakes up past not-after has no effect", async () => {
  const clock = new FakeClock();
  const { driver } = await rig();
  const { meta } = driver;
  assert(meta);
  const slow: Driver = {
    ...driver,
    meta: {
      ...meta,
      async write(operations, call) {
        await clock.advance(2000);
        call.assertInTime();
        return meta.write(operations, call);
      },
    },
  };
  const transport = createInProcess(createHandlers(slow, { clock, log: silent }));
  const metadata = { store: meta.facts.id, notAfterMs: clock.now() + 1000 };
  const request = { operations: [{ key: "k", put: bytes(1) }] };
  await failsWith(transport.unary("meta.Write", request, { metadata }), "TOO_LATE");
  const { response } = await transport.unary("meta.Get", { keys: ["k"] }, { metadata });
  assert.equal(response.results[0]?.item ?? undefined, undefined);
});

test("[process.readonly.01] a sealed store refuses every mutation and answers every read", async () => {
  const { driver, clock, upload } = await rig();
  await upload("kept", bytes(10));
  const sealed = await rig({ wrap: () => driver, readOnly: true });
  for (const [method, request] of Object.entries(mutations)) {
    await failsWith(sealed.unary(method as "blob.Put", request as never), "READ_ONLY");
  }
  await failsWith(sealed.stream("blob.Move", { source: "kept", destination: "x" }), "READ_ONLY");
  const stream = sealed.append();
  stream.send({ open: { uploadId: "a", sender: "s", attempt: 1, create: true, notAfterMs: clock.now() + 1000 } });
  await stream.failsWith("READ_ONLY");
  for (const [method, request] of Object.entries(reads)) await sealed.unary(method as "blob.Stat", request as never);
  assert.deepEqual(await sealed.read("kept"), bytes(10));
});

test("what a driver throws that is no OutriggerError is INTERNAL, and the log has its cause", async () => {
  const logged: unknown[] = [];
  const { pino } = await import("pino");
  const log = pino({ level: "error" }, { write: (line: string) => void logged.push(JSON.parse(line)) });
  const { unary } = await rig({
    log,
    wrap: (driver) => {
      const { meta } = driver;
      assert(meta);
      const list = async () => {
        throw new TypeError("cannot read the secret");
      };
      return { ...driver, meta: { ...meta, list } };
    },
  });
  const error = await failsWith(unary("meta.List", {}), "INTERNAL");
  assert.doesNotMatch(error.message, /secret/);
  assert.equal((logged[0] as { err: { message: string } }).err.message, "cannot read the secret");
});

test("[call.now.01] [call.contract.01] the answer's metadata; the hash differs with what Describe says", async () => {
  const { driver, handlers, clock } = await rig();
  assert.equal(handlers.answerMetadata().nowMs, clock.now());
  const { blob, meta } = driver;
  assert(blob && meta);
  const hashOf = (changed: Driver) => createHandlers(changed, { clock, log: silent }).answerMetadata().contract;
  const base = hashOf(driver);
  assert.match(base, /^[0-9a-f]{32}$/);
  assert.equal(hashOf({ ...driver, notices: ["another"] }), base);
  const withFacts = (facts: object) => ({ ...driver, blob: { ...blob, facts: { ...blob.facts, ...facts } } });
  const hashes = [
    base,
    hashOf({ ...driver, version: "9.9.9" }),
    hashOf({ blob, name: driver.name, version: driver.version, close: driver.close }),
    hashOf(withFacts({ id: "11111111-1111-4111-8111-111111111111" })),
    hashOf(withFacts({ capabilities: ["DURABLE"] })),
    hashOf(withFacts({ limits: { maxBlobBytes: 5 } })),
    hashOf(withFacts({ outside: 1 })),
  ];
  assert.equal(new Set(hashes).size, hashes.length);
  assert.equal(
    hashOf(withFacts({ capabilities: ["REPLICAS", "DURABLE"] })),
    hashOf(withFacts({ capabilities: ["DURABLE", "REPLICAS"] })),
  );
});

test("[handshake.version.02] [handshake.describe.01] [handshake.describe.02] versions and stores", async () => {
  const { unary, driver, transport } = await rig();
  const version = await unary("handshake.Version", {}, {});
  assert.deepEqual(version.api, {
    "outrigger.blob": { versions: [{ major: 1, minor: 0 }] },
    "outrigger.meta": { versions: [{ major: 1, minor: 0 }] },
  });
  const described = await unary("handshake.Describe", { coreName: "one" }, {});
  assert.deepEqual(await unary("handshake.Describe", { coreName: "other", coreVersion: "9" }, {}), described);
  assert.deepEqual(described.apis, version.api);
  assert.deepEqual(
    described.stores.map(({ kind, id }) => [kind, id]),
    [
      ["STORE_KIND_BLOB", driver.blob?.facts.id],
      ["STORE_KIND_META", driver.meta?.facts.id],
    ],
  );
  assert.equal(described.stores[0]?.limits?.uploadTtlMs, 24 * 60 * 60 * 1000);
  assert.equal(described.stores[0]?.limits?.streamIdleMs, 60_000);
  assert(described.stores[0]?.limits?.persistStepBytes);
  transport.close();
});

test("a driver of one kind serves the other's methods not at all", async () => {
  const { driver, clock } = await rig();
  const { blob: _, ...metaOnly } = driver;
  const transport = createInProcess(createHandlers(metaOnly, { clock, log: silent }));
  await failsWith(transport.unary("blob.Stat", {}, { metadata: { store: "x" } }), "CAPABILITY_MISSING");
  const { response } = await transport.unary("handshake.Version", {}, { metadata: {} });
  assert.deepEqual(Object.keys(response.api), ["outrigger.meta"]);
});

test("[handshake.describe.03] a claim without its function fails the start", async () => {
  const { driver, clock, blob } = await rig();
  for (const capability of ["SIGN_URL", "LOCAL_FILE"]) {
    const claiming = { ...driver, blob: { ...blob, facts: { ...blob.facts, capabilities: [capability] } } };
    assert.throws(() => createHandlers(claiming, { clock, log: silent }), new RegExp(capability));
  }
});
