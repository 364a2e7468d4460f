import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../../proto/limits.ts";
import type { BlobDriver, Driver } from "../../server/contract.ts";
import { bytes, failsWith, gate, rig, settle, sha256 } from "./kit.ts";

function changed(change: (blob: BlobDriver) => Partial<BlobDriver>): (driver: Driver) => Driver {
  return (driver) => {
    assert(driver.blob);
    return { ...driver, blob: { ...driver.blob, ...change(driver.blob) } };
  };
}

/** Without the driver's own put: the host makes an upload of it. */
const withoutPut = (driver: Driver): Driver => {
  assert(driver.blob);
  const { put: _, ...blob } = driver.blob;
  return { ...driver, blob };
};

test("[blob.key.01] bad keys are refused by every call", async () => {
  const { unary, stream, append } = await rig();
  for (const key of ["", "../x", "a//b", "a/./b", "a\n", "x".repeat(1025)]) {
    await failsWith(unary("blob.Stat", { keys: ["ok", key] }), "INVALID_KEY");
    await failsWith(unary("blob.Put", { key, data: bytes(1) }), "INVALID_KEY");
    await failsWith(unary("blob.Delete", { keys: [key] }), "INVALID_KEY");
    await failsWith(stream("blob.Read", { key }), "INVALID_KEY");
    await failsWith(stream("blob.Move", { source: key, destination: "b" }), "INVALID_KEY");
    await failsWith(stream("blob.Move", { source: "b", destination: key }), "INVALID_KEY");
    const upload = append();
    await upload.open({ uploadId: "a", create: true, sender: key.slice(0, 9) });
    upload.send({ commit: { key } });
    await upload.failsWith("INVALID_KEY");
  }
});

test("[blob.stat.01] [blob.stat.02] one result for each key in order", async () => {
  const { unary, upload } = await rig();
  await upload("b", bytes(5));
  const { results } = await unary("blob.Stat", { keys: ["c", "b", "b", "a"] });
  assert.deepEqual(
    results.map(({ key, info }) => [key, info?.size]),
    [
      ["c", undefined],
      ["b", 5],
      ["b", 5],
      ["a", undefined],
    ],
  );
  assert.equal((await unary("blob.Stat", { keys: Array.from({ length: 1000 }, () => "a") })).results.length, 1000);
  await failsWith(unary("blob.Stat", { keys: Array.from({ length: 1001 }, () => "a") }), "INVALID_FIELD", "keys");
});

test("[blob.read.01] to [blob.read.09] ranges, offsets and etags", async () => {
  const { stream, upload, unary } = await rig();
  await unary("blob.Put", { key: "empty", data: Buffer.alloc(0) });
  const etag = (await upload("small", bytes(100))).info?.etag ?? "";
  for (const [offset, limit, from, to] of [
    [undefined, undefined, 0, 100],
    [0, 10, 0, 10],
    [90, 10, 90, 100],
    [90, 11, 90, 100],
    [100, undefined, 100, 100],
    [100, 5, 100, 100],
    [5, 0, 5, 5],
    [99, 1, 99, 100],
  ] as const) {
    const range = { ...(offset === undefined ? {} : { offset }), ...(limit === undefined ? {} : { limit }) };
    const [first, ...rest] = await stream("blob.Read", { key: "small", ifEtag: etag, ...range });
    assert.deepEqual([first?.part, first?.start?.start, first?.start?.length], ["start", from, to - from]);
    assert.equal(first?.start?.info?.size, 100);
    let at = from;
    for (const { chunk } of rest) {
      assert.equal(chunk?.offset, at);
      at += chunk?.data.length ?? 0;
    }
    assert.equal(at, to);
    assert.deepEqual(Buffer.concat(rest.map(({ chunk }) => chunk?.data ?? bytes(0))), bytes(100).subarray(from, to));
  }
  assert.equal((await stream("blob.Read", { key: "empty" })).length, 1);
  await failsWith(stream("blob.Read", { key: "small", offset: 101 }), "OFFSET_MISMATCH");
  await failsWith(stream("blob.Read", { key: "small", offset: 2 ** 60 }), "INVALID_FIELD", "offset");
  await failsWith(stream("blob.Read", { key: "small", ifEtag: "other" }), "ETAG_MISMATCH");
  await failsWith(stream("blob.Read", { key: "absent" }), "KEY_NOT_FOUND");
});

test("[blob.read.03] [blob.read.09] a driver that gives another length is an error, one piece too large is cut", async () => {
  const large = bytes(2 * limits.chunkBytes + 5);
  for (const [given, reason] of [
    [large.subarray(1), "STORED_CORRUPT"],
    [Buffer.concat([large, bytes(1)]), "STORED_CORRUPT"],
    [large, undefined],
  ] as const) {
    let returned = false;
    const { stream } = await rig({
      wrap: changed(() => ({
        async read(key) {
          return {
            info: { key, sizeBytes: large.length, etag: "e", modifiedMs: 0, digests: [] },
            startBytes: 0,
            lengthBytes: large.length,
            body: (async function* () {
              try {
                yield given;
              } finally {
                returned = true;
              }
            })(),
            async cancel() {},
          };
        },
      })),
    });
    const reading = stream("blob.Read", { key: "k" });
    if (reason === undefined) {
      const parts = await reading;
      assert(parts.every(({ chunk }) => (chunk?.data.length ?? 0) <= limits.chunkBytes));
      assert.deepEqual(Buffer.concat(parts.map(({ chunk }) => chunk?.data ?? bytes(0))), large);
    } else await failsWith(reading, reason);
    assert(returned, "the driver's body was not ended");
  }
});

test("[blob.read.08] a blob overwritten or deleted meanwhile is read as it was", async () => {
  const { transport, toBlob, upload, append, unary } = await rig();
  await upload("seed", bytes(1));
  const writer = append();
  await writer.open({ uploadId: "a", create: true });
  for (let at = 0; at < 10; at++) await writer.chunk(at * 1000, bytes(1000));
  await writer.commit({ key: "k" });
  const reading = transport.stream("blob.Read", { key: "k" }, { metadata: toBlob })[Symbol.asyncIterator]();
  await reading.next();
  await unary("blob.Put", { key: "k", data: bytes(10_000, 9) });
  await unary("blob.Delete", { keys: ["k"] });
  const parts: Buffer[] = [];
  for (let next = await reading.next(); !next.done; next = await reading.next()) {
    if (next.value.chunk) parts.push(next.value.chunk.data);
  }
  assert.deepEqual(Buffer.concat(parts), Buffer.concat(Array.from({ length: 10 }, () => bytes(1000))));
});

for (const [how, wrap] of [
  ["by the driver's put", (driver: Driver) => driver],
  ["by an upload", withoutPut],
] as const) {
  test(`[blob.put.01] to [blob.put.05] Put ${how}`, async () => {
    const { unary, read } = await rig({ wrap });
    const put = (request: object) => unary("blob.Put", { key: "k", ...request });
    await failsWith(put({ data: bytes(limits.putBytes + 1) }), "INVALID_FIELD", "data");
    await failsWith(put({ data: bytes(5), digest: sha256(bytes(6)) }), "DIGEST_MISMATCH");
    await failsWith(put({ data: bytes(5), digest: "md5:00" }), "INVALID_FIELD", "digest");
    await failsWith(put({ data: bytes(5), ifEtag: "e" }), "ETAG_MISMATCH");
    await failsWith(put({ data: bytes(5), ifEtag: "e", ifAbsent: true }), "INVALID_FIELD", "if_etag");
    assert.equal((await unary("blob.List", {})).items.length, 0);
    const race = await Promise.allSettled([1, 2, 3].map((seed) => put({ data: bytes(5, seed), ifAbsent: true })));
    assert.equal(race.filter(({ status }) => status === "fulfilled").length, 1);
    for (const one of race) if (one.status === "rejected") assert.equal(one.reason.reason, "KEY_EXISTS");
    const { info } = await put({ data: bytes(limits.putBytes), digest: sha256(bytes(limits.putBytes)) });
    assert.equal(info?.size, limits.putBytes);
    const again = await put({ data: Buffer.alloc(0), ifEtag: info?.etag ?? "" });
    assert.equal(again.info?.size, 0);
    assert.notEqual(again.info?.etag, info?.etag);
    assert.deepEqual(await read("k"), Buffer.alloc(0));
    assert.deepEqual((await unary("blob.ListUploads", {})).uploads, [], "an upload was left behind");
  });
}

test("[blob.move.01] to [blob.move.03] moving", async () => {
  const { stream, unary, upload, read } = await rig();
  await upload("a", bytes(10));
  await upload("b", bytes(20));
  const [moved] = await stream("blob.Move", { source: "a", destination: "b" });
  assert.deepEqual([moved?.step, moved?.info?.key, moved?.info?.size], ["info", "b", 10]);
  assert.deepEqual(await read("b"), bytes(10));
  await failsWith(stream("blob.Move", { source: "a", destination: "b" }), "KEY_NOT_FOUND");
  await failsWith(stream("blob.Move", { source: "a", destination: "a" }), "KEY_NOT_FOUND");
  assert.deepEqual(await read("b"), bytes(10));
  const [same] = await stream("blob.Move", { source: "b", destination: "b" });
  assert.equal(same?.info?.etag, moved?.info?.etag);
  assert.equal((await unary("blob.List", {})).items.length, 1);
});

test("a move says working every 5 s", async () => {
  const held = gate();
  const { transport, toBlob, clock, upload } = await rig({
    wrap: changed((blob) => ({ move: (...args) => held.passed.then(() => blob.move(...args)) })),
  });
  await upload("a", bytes(10));
  const metadata = toBlob;
  const moving = transport.stream("blob.Move", { source: "a", destination: "b" }, { metadata })[Symbol.asyncIterator]();
  for (let tick = 0; tick < 3; tick++) {
    const next = moving.next();
    await settle();
    await clock.advance(5_000);
    assert.equal((await next).value?.step, "working");
  }
  held.open();
  assert.equal((await moving.next()).value?.step, "info");
  assert.equal((await moving.next()).done, true);
});

test("[blob.delete.01] [blob.delete.02] one result for each key, only the key itself, one failure is its own", async () => {
  const { unary, upload } = await rig({
    wrap: changed((blob) => ({
      async delete(key, call) {
        if (key === "bad") throw new Error("no");
        await blob.delete(key, call);
      },
    })),
  });
  for (const key of ["a", "ab", "bad"]) await upload(key, bytes(1));
  const { results } = await unary("blob.Delete", { keys: ["absent", "a", "bad", "a"] });
  assert.deepEqual(
    results.map(({ key, reason }) => [key, reason]),
    [
      ["absent", ""],
      ["a", ""],
      ["bad", "INTERNAL"],
      ["a", ""],
    ],
  );
  assert.deepEqual(
    (await unary("blob.List", {})).items.map(({ key }) => key),
    ["ab", "bad"],
  );
  await failsWith(unary("blob.Delete", { keys: Array.from({ length: 1001 }, () => "a") }), "INVALID_FIELD", "keys");
});

test("[blob.list.01] [blob.list.03] [blob.list.05] [blob.count.01] listing and counting", async () => {
  const { unary } = await rig();
  for (const key of ["b", "a/2", "a/1", "a-1"]) await unary("blob.Put", { key, data: bytes(2) });
  const page = await unary("blob.List", { limit: 3 });
  assert.deepEqual(
    [page.items.map(({ key, size }) => [key, size]), page.more],
    [
      [
        ["a-1", 2],
        ["a/1", 2],
        ["a/2", 2],
      ],
      true,
    ],
  );
  const last = await unary("blob.List", { startAfter: "a/2", limit: 1 });
  assert.deepEqual([last.items.map(({ key }) => key), last.more], [["b"], false]);
  await failsWith(unary("blob.List", { limit: 1001 }), "INVALID_FIELD", "limit");
  assert.deepEqual(await unary("blob.Count", { prefix: "a/" }), { count: 2, exact: true });
});

test("[blob.count.01] a count by a listing that lags is not exact", async () => {
  const { unary } = await rig({
    wrap: changed((blob) => ({ facts: { ...blob.facts, limits: { listLagMs: 1000 } } })),
  });
  assert.deepEqual(await unary("blob.Count", {}), { count: 0, exact: false });
});

test("[blob.signurl.01] [blob.locatefile.01] served only where claimed", async () => {
  const { unary } = await rig({
    // Served but not claimed is never used.
    wrap: changed(() => ({ signUrl: async () => ({ url: "http://x", expiresMs: 1 }) })),
  });
  await failsWith(unary("blob.SignUrl", { key: "k", ttlMs: 1000 }), "CAPABILITY_MISSING");
  await failsWith(unary("blob.LocateFile", { key: "k" }), "CAPABILITY_MISSING");
});

test("[blob.locatefile.02] a path out of the store is never answered; key and nonce are checked", async () => {
  let path = "blobs/k";
  const { unary } = await rig({
    wrap: changed((blob) => ({
      facts: { ...blob.facts, capabilities: ["LOCAL_FILE"] },
      locateFile: async () => ({ path, sizeBytes: 5, etag: "e" }),
    })),
  });
  assert.deepEqual(await unary("blob.LocateFile", { key: "k" }), { path: "blobs/k", size: 5, etag: "e" });
  await unary("blob.LocateFile", { nonce: "0".repeat(32) });
  await failsWith(unary("blob.LocateFile", { nonce: "../x" }), "INVALID_FIELD", "nonce");
  await failsWith(unary("blob.LocateFile", {}), "INVALID_KEY");
  for (path of ["/etc/passwd", "a/../../x", ".."]) await failsWith(unary("blob.LocateFile", { key: "k" }), "INTERNAL");
});
