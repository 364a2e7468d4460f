import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { limits } from "../../proto/limits.ts";
import { Appending, bytes, failsWith, gate, lagging, rig, settle, sha256, silent, type UploadHooks } from "./kit.ts";

const MiB = 1024 * 1024;

test("[blob.append.01] open is the first message and no other one is", async () => {
  const { append } = await rig();
  const late = append();
  late.send({ chunk: { offset: 0, data: bytes(3) } });
  assert.equal((await late.failsWith("INVALID_FIELD")).metadata["field"], "open");

  const twice = append();
  await twice.open({ uploadId: "a", create: true });
  twice.send({ open: { uploadId: "a", sender: "core-1", attempt: 2 } });
  assert.equal((await twice.failsWith("INVALID_FIELD")).metadata["field"], "open");

  const empty = append();
  empty.stream.end();
  await empty.failsWith("INVALID_FIELD");

  const none = append();
  await none.open({ uploadId: "a", attempt: 2 });
  none.send({});
  await none.failsWith("INVALID_FIELD");
});

test("[blob.append.02] open is answered at once, with what is persisted", async () => {
  const { append } = await rig();
  const first = append();
  assert.equal((await first.open({ uploadId: "a", create: true })).persisted, 0);
  await first.chunk(0, bytes(100));
  await first.end();
  assert.equal((await append().open({ uploadId: "a", attempt: 2 })).persisted, 100);
});

test("[blob.append.03] an unknown upload is an error without create; with create one that is there is taken over", async () => {
  const { append } = await rig();
  const unknown = append();
  unknown.send({ open: { uploadId: "a", sender: "s", attempt: 1 } });
  await unknown.failsWith("UPLOAD_NOT_FOUND");

  const first = append();
  await first.open({ uploadId: "a", create: true });
  await first.chunk(0, bytes(10));
  await first.end();
  assert.equal((await append().open({ uploadId: "a", attempt: 2, create: true })).persisted, 10);
});

test("[blob.append.06] a chunk without offset", async () => {
  const { append, unary } = await rig();
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  await stream.chunk(0, bytes(4));
  stream.send({ chunk: { data: bytes(3) } });
  await stream.failsWith("OFFSET_REQUIRED");
  assert.equal((await unary("blob.GetUpload", { uploadId: "a" })).upload?.persisted, 4);
});

test("[blob.append.07] below what was received is skipped, above is a mismatch that tells persisted", async () => {
  const { append, read } = await rig({ wrap: lagging() });
  const data = bytes(100);
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  await stream.chunk(0, data.subarray(0, 50));
  await stream.chunk(0, data.subarray(0, 20));
  await stream.chunk(30, data.subarray(30, 70));
  await stream.chunk(70, Buffer.alloc(0));
  stream.send({ chunk: { offset: 71, data: bytes(1) } });
  assert.equal((await stream.failsWith("OFFSET_MISMATCH")).metadata["persisted"], "70");

  const again = append();
  assert.equal((await again.open({ uploadId: "a", attempt: 2 })).persisted, 70);
  await again.chunk(0, data);
  await again.commit({ key: "k", digest: sha256(data), size: 100 });
  assert.deepEqual(await read("k"), data);
});

test("[blob.append.08] [blob.append.09] progress each persist_step, never more than a step behind, without waiting for it", async () => {
  const step = 64 * 1024;
  const { append } = await rig({ persistStepBytes: step, wrap: lagging() });
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  const size = 10_000;
  let told = 0;
  let persisted = 0;
  for (let offset = 0; offset < 40 * size; offset += size) {
    await stream.chunk(offset, bytes(size));
    await settle();
    if (offset + size - told >= step) {
      const progress = await stream.progress(told + 1);
      assert(progress.received - progress.persisted <= step, `${progress.received - progress.persisted} behind`);
      assert(progress.persisted >= persisted, "persisted fell");
      ({ received: told, persisted } = progress);
    }
    assert(offset + size - told < step + size, "no progress for a step");
  }
  // Sent before a word of it was read.
  const eager = append();
  await eager.open({ uploadId: "b", create: true });
  for (let offset = 0; offset < 100 * size; offset += size) await eager.chunk(offset, bytes(size));
  assert.equal((await eager.end())?.persisted, 100 * size);
});

test("[blob.append.08] a driver that persists by itself is never made to flush", async () => {
  let flushes = 0;
  const { append } = await rig({
    persistStepBytes: 1000,
    wrap: (driver) => {
      const { blob } = driver;
      assert(blob);
      return {
        ...driver,
        blob: {
          ...blob,
          open: async (...args) => {
            const upload = await blob.open(...args);
            const flush = async () => {
              flushes++;
            };
            return new Proxy(upload, { get: (target, name) => (name === "flush" ? flush : Reflect.get(target, name)) });
          },
        },
      };
    },
  });
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  for (let offset = 0; offset < 10_000; offset += 100) await stream.chunk(offset, bytes(100));
  await stream.end();
  assert.equal(flushes, 0);
});

test("[blob.append.10] flush and half-close are answered with persisted = received", async () => {
  const { append } = await rig({ wrap: lagging() });
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  await stream.chunk(0, bytes(10));
  assert.deepEqual(await stream.flush(10), { received: 10, persisted: 10 });
  await stream.chunk(10, bytes(5));
  assert.deepEqual(await stream.end(), { received: 15, persisted: 15 });
});

test("[blob.append.11] [blob.append.16] nothing is visible before commit, the upload unknown after", async () => {
  const { append, unary, read } = await rig();
  const data = bytes(300_000);
  const stream = append();
  await stream.open({ uploadId: "a", create: true, key: "x/y" });
  await stream.chunk(0, data);
  await stream.flush(data.length);
  assert.equal((await unary("blob.Stat", { keys: ["x/y"] })).results[0]?.info ?? undefined, undefined);
  assert.equal((await unary("blob.List", { prefix: "" })).items.length, 0);
  const { info, digest } = await stream.commit({ key: "x/y" });
  assert.equal(info?.size, data.length);
  assert.equal(digest, sha256(data));
  assert.deepEqual(await read("x/y"), data);
  await failsWith(unary("blob.GetUpload", { uploadId: "a" }), "UPLOAD_NOT_FOUND");
});

test("[blob.append.12] commit checks size and digest of the upload's own bytes, and the upload stays", async () => {
  const { append, unary, upload } = await rig({ wrap: lagging() });
  const data = bytes(1000);
  await upload("k", data);
  const first = append();
  await first.open({ uploadId: "a", create: true });
  await first.chunk(0, bytes(1000, 2));
  // Also when the key holds that very digest: having the digest is not having the bytes.
  first.send({ commit: { key: "k", digest: sha256(data), size: 1000 } });
  await first.failsWith("DIGEST_MISMATCH");
  const second = append();
  assert.equal((await second.open({ uploadId: "a", attempt: 2 })).persisted, 1000);
  second.send({ commit: { key: "k", digest: sha256(bytes(1000, 2)), size: 999 } });
  await second.failsWith("SIZE_MISMATCH");
  assert.equal((await unary("blob.GetUpload", { uploadId: "a" })).upload?.persisted, 1000);
});

test("[blob.append.13] [blob.append.14] a key that holds the same is kept, with if_absent other content is KEY_EXISTS", async () => {
  const { append, upload, unary, read } = await rig();
  const data = bytes(500);
  const before = await upload("k", data);
  // Once as the driver knows the digest, once by a Put of which it knows none.
  await unary("blob.Put", { key: "p", data });
  const [put] = (await unary("blob.Stat", { keys: ["p"] })).results;
  assert.deepEqual(put?.info?.digests, []);
  for (const [key, info] of [
    ["k", before.info],
    ["p", put?.info],
  ] as const) {
    for (const ifAbsent of [false, true]) {
      const stream = append();
      await stream.open({ uploadId: `again-${key}-${ifAbsent}`, create: true });
      await stream.chunk(0, data);
      assert.equal((await stream.commit({ key, digest: sha256(data), ifAbsent })).info?.etag, info?.etag);
    }
  }
  for (const other of [bytes(500, 3), bytes(499)]) {
    const stream = append();
    await stream.open({ uploadId: "other", create: true, attempt: other.length, sender: `s${other[0]}` });
    await stream.chunk(0, other);
    stream.send({ commit: { key: "p", ifAbsent: true } });
    await stream.failsWith("KEY_EXISTS");
    await unary("blob.AbortUpload", { uploadId: "other" });
  }
  assert.deepEqual(await read("p"), data);
  const overwriting = append();
  await overwriting.open({ uploadId: "o", create: true });
  await overwriting.chunk(0, bytes(7));
  await overwriting.commit({ key: "p" });
  assert.deepEqual(await read("p"), bytes(7));
});

test("[blob.append.14] two commits with if_absent at once: one content wins, the other is told", async () => {
  const hooks: UploadHooks = {};
  const { append, read } = await rig({ wrap: lagging(hooks) });
  const held = gate();
  let waiting = 0;
  hooks.commit = async (next) => {
    if (++waiting === 1) await held.passed;
    return next();
  };
  const [a, b] = [append(), append()];
  await a.open({ uploadId: "a", create: true });
  await b.open({ uploadId: "b", create: true });
  await a.chunk(0, bytes(10, 1));
  await b.chunk(0, bytes(10, 2));
  a.send({ commit: { key: "k", ifAbsent: true } });
  await settle();
  await b.commit({ key: "k", ifAbsent: true });
  held.open();
  await a.failsWith("KEY_EXISTS");
  assert.deepEqual(await read("k"), bytes(10, 2));
});

test("[blob.append.15] a commit without digest answers one under the algorithm of open; another one is computed", async () => {
  const { append } = await rig();
  const data = bytes(777);
  const sha512 = `sha512:${createHash("sha512").update(data).digest("hex")}`;
  const a = append();
  await a.open({ uploadId: "a", create: true, algorithm: "sha512" });
  await a.chunk(0, data);
  assert.equal((await a.commit({ key: "a" })).digest, sha512);
  const b = append();
  await b.open({ uploadId: "b", create: true, algorithm: "sha256" });
  await b.chunk(0, data);
  assert.equal((await b.commit({ key: "b", digest: sha512 })).digest, sha512);
});

test("[blob.append.17] a commit at work says progress at least every 5 s", async () => {
  const hooks: UploadHooks = {};
  const { append, clock } = await rig({ wrap: lagging(hooks) });
  const held = gate();
  hooks.commit = (next) => held.passed.then(next);
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  await stream.chunk(0, bytes(10));
  stream.send({ commit: { key: "k" } });
  await settle();
  for (let tick = 0; tick < 4; tick++) {
    const next = stream.next();
    await clock.advance(5_000);
    assert.equal((await next)?.step, "progress");
  }
  held.open();
  assert.equal((await stream.next())?.step, "committed");
});

test("[blob.append.18] a chunk above 1 MiB", async () => {
  const { append } = await rig();
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  await stream.chunk(0, bytes(MiB));
  stream.send({ chunk: { offset: MiB, data: bytes(MiB + 1) } });
  assert.equal((await stream.failsWith("INVALID_FIELD")).metadata["field"], "chunk.data");
});

test("[blob.append.21] open and commit past their not-after", async () => {
  const { append, clock, unary } = await rig();
  const late = append();
  late.send({ open: { uploadId: "a", sender: "s", attempt: 1, create: true, notAfterMs: clock.now() - 1 } });
  await late.failsWith("TOO_LATE");
  await failsWith(unary("blob.GetUpload", { uploadId: "a" }), "UPLOAD_NOT_FOUND");
  const stream = append();
  await stream.open({ uploadId: "a", create: true, notAfterMs: clock.now() });
  await stream.chunk(0, bytes(10));
  stream.send({ commit: { key: "k", notAfterMs: clock.now() - 1 } });
  await stream.failsWith("TOO_LATE");
  assert.equal((await unary("blob.GetUpload", { uploadId: "a" })).upload?.persisted, 10);
});

test("[blob.append.21] a commit that gets its turn past not-after has no effect", async () => {
  const hooks: UploadHooks = {};
  const { append, clock, unary } = await rig({ wrap: lagging(hooks) });
  const held = gate();
  hooks.commit = (next) => held.passed.then(next);
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  await stream.chunk(0, bytes(10));
  stream.send({ commit: { key: "k", notAfterMs: clock.now() + 1000 } });
  await settle();
  await clock.advance(1001);
  held.open();
  await stream.failsWith("TOO_LATE");
  assert.equal((await unary("blob.Stat", { keys: ["k"] })).results[0]?.info ?? undefined, undefined);
});

test("[blob.append.22] upload ids", async () => {
  const { append } = await rig();
  for (const uploadId of ["", "a/b", "a.b", "ä", "x".repeat(65)]) {
    const stream = append();
    stream.send({ open: { uploadId, sender: "s", attempt: 1, create: true } });
    assert.equal((await stream.failsWith("INVALID_FIELD")).metadata["field"], "upload_id");
  }
  await append().open({ uploadId: "A-z-9".padEnd(64, "x"), create: true });
});

test("[blob.append.23] a sender that owes the next message too long: persisted, and STREAM_IDLE", async () => {
  const { append, clock, unary } = await rig({ wrap: lagging() });
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  await stream.chunk(0, bytes(10));
  await settle();
  await clock.advance(limits.streamIdleMs - 1);
  await stream.chunk(10, bytes(10));
  await settle();
  await clock.advance(limits.streamIdleMs);
  await stream.failsWith("STREAM_IDLE");
  assert.equal((await unary("blob.GetUpload", { uploadId: "a" })).upload?.persisted, 20);
});

test("[blob.append.23] a driver at work is not the sender's debt", async () => {
  const hooks: UploadHooks = {};
  const { append, clock } = await rig({ wrap: lagging(hooks) });
  const held = gate();
  hooks.write = (_data, next) => held.passed.then(next);
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  await stream.chunk(0, bytes(10));
  await settle();
  await clock.advance(10 * limits.streamIdleMs);
  held.open();
  stream.stream.end();
  assert.equal((await stream.progress(10)).persisted, 10);
});

test("a client that goes mid stream: what was received is persisted and the handle closed", async () => {
  let closed = 0;
  const { append, unary } = await rig({ wrap: lagging({ onClose: () => closed++ }) });
  const abort = new AbortController();
  const stream = append(abort.signal);
  await stream.open({ uploadId: "a", create: true });
  await stream.chunk(0, bytes(1000));
  await settle();
  abort.abort(new Error("gone"));
  await assert.rejects(stream.next());
  await settle();
  assert.equal(closed, 1);
  assert.equal((await unary("blob.GetUpload", { uploadId: "a" })).upload?.persisted, 1000);
});

test("a write that fails: INTERNAL, the handle is closed and not flushed, the next open goes on", async () => {
  const hooks: UploadHooks = {};
  let closed = 0;
  hooks.onClose = () => closed++;
  const { append, read } = await rig({ wrap: lagging(hooks) });
  const first = append();
  await first.open({ uploadId: "a", create: true });
  await first.chunk(0, bytes(100));
  await first.flush(100);
  hooks.write = async () => {
    throw new Error("the disk is gone");
  };
  await first.chunk(100, bytes(50));
  await first.failsWith("INTERNAL");
  assert.equal(closed, 1);
  delete hooks.write;
  const second = append();
  assert.equal((await second.open({ uploadId: "a", attempt: 2 })).persisted, 100);
  const data = Buffer.concat([bytes(100), bytes(50)]);
  await second.chunk(100, bytes(50));
  await second.commit({ key: "k", digest: sha256(data) });
  assert.deepEqual(await read("k"), data);
});

test("a full disk is QUOTA, whichever driver met it", async () => {
  const { append } = await rig({
    wrap: lagging({
      async write() {
        throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
      },
    }),
  });
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  await stream.chunk(0, bytes(1));
  await stream.failsWith("QUOTA");
});

test("the hash goes on over takeovers, and is read again only where it must be", async () => {
  const hooks: UploadHooks = {};
  let reads = 0;
  hooks.onRead = () => reads++;
  const { append, read } = await rig({ wrap: lagging(hooks) });
  const data = bytes(3000);
  for (let part = 0; part < 3; part++) {
    const stream = append();
    await stream.open({ uploadId: "a", create: part === 0, attempt: part + 1 });
    await stream.chunk(part * 1000, data.subarray(part * 1000, part * 1000 + 1000));
    if (part < 2) await stream.end();
    else await stream.commit({ key: "k", digest: sha256(data) });
  }
  assert.equal(reads, 0);
  assert.deepEqual(await read("k"), data);

  const first = append();
  await first.open({ uploadId: "b", create: true, algorithm: "sha256" });
  await first.chunk(0, data.subarray(0, 1500));
  await first.end();
  const second = append();
  await second.open({ uploadId: "b", attempt: 2, algorithm: "sha512" });
  await second.chunk(1500, data.subarray(1500));
  await second.commit({ key: "b", digest: sha256(data) });
  assert.equal(reads, 1);
});

test("a hash of bytes that are no more is not used", async () => {
  const { append, blob } = await rig({ wrap: lagging() });
  const before = append();
  await before.open({ uploadId: "a", create: true });
  await before.chunk(0, bytes(100));
  await before.end();
  // Behind the host's back, as a backend that lost them.
  const call = { signal: new AbortController().signal, log: silent, notAfterMs: undefined, assertInTime() {} };
  await blob.abort("a", call);
  const after = append();
  assert.equal((await after.open({ uploadId: "a", create: true, attempt: 2 })).persisted, 0);
  await after.chunk(0, bytes(100, 5));
  await after.commit({ key: "k", digest: sha256(bytes(100, 5)) });
});

test("an upload that outlived its process is read again for its digest", async () => {
  const { append, driver, clock } = await rig({ wrap: lagging() });
  const data = bytes(2000);
  const before = append();
  await before.open({ uploadId: "a", create: true });
  await before.chunk(0, data.subarray(0, 1200));
  await before.end();
  // Other handlers over the same driver: what a restarted process knows.
  const { createHandlers } = await import("../../server/handlers.ts");
  const { createInProcess } = await import("../helpers/in-process.ts");
  const later = createInProcess(createHandlers(driver, { clock, log: silent }));
  const after = new Appending(later.append({ metadata: { store: driver.blob?.facts.id ?? "" } }));
  assert.equal((await after.open({ uploadId: "a" })).persisted, 1200);
  await after.chunk(1200, data.subarray(1200));
  assert.equal((await after.commit({ key: "k" })).digest, sha256(data));
});

test("the driver's writes hold the sender back", async () => {
  const hooks: UploadHooks = {};
  const { append } = await rig({ wrap: lagging(hooks) });
  const held = gate();
  hooks.write = (_data, next) => held.passed.then(next);
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  let taken = 0;
  const sending = (async () => {
    for (let i = 0; i < 10; i++, taken++) await stream.chunk(i * 10, bytes(10));
  })();
  await settle();
  assert(taken <= 2, `${taken} chunks were taken while the first one is being written`);
  held.open();
  await sending;
  assert.equal((await stream.end())?.persisted, 100);
});

test("an upload that passes max_blob_bytes is refused", async () => {
  const { append } = await rig({
    wrap: (driver) => {
      const { blob } = driver;
      assert(blob);
      return { ...driver, blob: { ...blob, facts: { ...blob.facts, limits: { maxBlobBytes: 100 } } } };
    },
  });
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  await stream.chunk(0, bytes(100));
  await stream.chunk(100, bytes(1));
  await stream.failsWith("INVALID_FIELD");
});

test("an open that tells a size beyond max_blob_bytes is refused, and makes no upload", async () => {
  const { append, unary } = await rig({
    wrap: (driver) => {
      const { blob } = driver;
      assert(blob);
      return { ...driver, blob: { ...blob, facts: { ...blob.facts, limits: { maxBlobBytes: 100 } } } };
    },
  });
  const larger = append();
  larger.send({ open: { uploadId: "a", create: true, size: 101 } });
  assert.equal((await larger.failsWith("INVALID_FIELD")).metadata["field"], "open.size");
  await failsWith(unary("blob.GetUpload", { uploadId: "a" }), "UPLOAD_NOT_FOUND");
  await append().open({ uploadId: "a", create: true, size: 100 });
});
