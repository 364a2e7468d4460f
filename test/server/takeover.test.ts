import assert from "node:assert/strict";
import { test } from "node:test";
import { randomOf, seedOf } from "../helpers/random.ts";
import { type Appending, bytes, failsWith, gate, lagging, rig, settle, sha256, type UploadHooks } from "./kit.ts";

test("[blob.append.04] a newer open takes over: the older stream is fenced, what it had received stays", async () => {
  const { append, read } = await rig({ wrap: lagging() });
  const older = append();
  const first = await older.open({ uploadId: "a", create: true, sender: "core-1" });
  await older.chunk(0, bytes(100));
  await settle();
  const newer = append();
  const second = await newer.open({ uploadId: "a", sender: "core-2" });
  assert(second.fence > first.fence);
  assert.equal(second.persisted, 100);
  await older.failsWith("UPLOAD_FENCED");
  await newer.commit({ key: "k", digest: sha256(bytes(100)) });
  assert.deepEqual(await read("k"), bytes(100));
});

test("[blob.append.04] opened is a barrier: it waits for the older stream's write, and no byte follows it", async () => {
  const hooks: UploadHooks = {};
  const { append, unary } = await rig({ wrap: lagging(hooks) });
  const held = gate();
  const older = append();
  await older.open({ uploadId: "a", create: true, sender: "core-1" });
  hooks.write = (_data, next) => held.passed.then(next);
  older.send({ chunk: { offset: 0, data: bytes(10) } });
  older.send({ chunk: { offset: 10, data: bytes(10) } });
  older.send({ commit: { key: "k" } });
  await settle();
  const newer = append();
  let answered = false;
  const opening = newer.open({ uploadId: "a", sender: "core-2" }).then((opened) => {
    answered = true;
    return opened;
  });
  await settle();
  assert.equal(answered, false, "answered while a byte of the older stream was being written");
  held.open();
  assert.equal((await opening).persisted, 10);
  await older.failsWith("UPLOAD_FENCED");
  await settle();
  assert.equal((await unary("blob.GetUpload", { uploadId: "a" })).upload?.persisted, 10);
  assert.equal((await unary("blob.List", { prefix: "" })).items.length, 0);
});

test("[blob.append.04] a driver that is slow to open: of three opens only the newest is answered", async () => {
  const held = gate();
  const { append, unary } = await rig({
    wrap: (driver) => {
      const { blob } = driver;
      assert(blob);
      return {
        ...driver,
        blob: {
          ...blob,
          async open(...args) {
            await held.passed;
            return blob.open(...args);
          },
        },
      };
    },
  });
  const streams = [append(), append(), append()];
  for (const [index, stream] of streams.entries()) {
    stream.send({ open: { uploadId: "a", sender: `core-${index}`, attempt: 1, create: true } });
    await settle();
  }
  held.open();
  const [first, second, third] = streams as [Appending, Appending, Appending];
  // The very first message of each is its end: neither was ever answered `opened`.
  for (const stream of [first, second]) await failsWith(stream.next(), "UPLOAD_FENCED");
  assert.equal((await third.next())?.step, "opened");
  await third.chunk(0, bytes(5));
  await third.end();
  assert.equal((await unary("blob.GetUpload", { uploadId: "a" })).upload?.persisted, 5);
});

test("[blob.append.05] a late open of the same sender is fenced and disturbs nobody", async () => {
  const { append } = await rig();
  const newer = append();
  await newer.open({ uploadId: "a", create: true, sender: "core-1", attempt: 3 });
  for (const attempt of [1, 2, 3]) {
    const late = append();
    late.send({ open: { uploadId: "a", sender: "core-1", attempt, create: true } });
    await late.failsWith("UPLOAD_FENCED");
  }
  await newer.chunk(0, bytes(5));
  assert.equal((await newer.end())?.persisted, 5);
  const late = append();
  late.send({ open: { uploadId: "a", sender: "core-1", attempt: 3 } });
  await late.failsWith("UPLOAD_FENCED");
  await append().open({ uploadId: "a", sender: "core-1", attempt: 4 });
});

test("[blob.append.05] attempts are remembered while a driver that is down fails the opens between", async () => {
  let down = false;
  const { append } = await rig({
    wrap: (driver) => {
      const { blob } = driver;
      assert(blob);
      const open: typeof blob.open = (...args) => {
        if (down) throw new Error("down");
        return blob.open(...args);
      };
      return { ...driver, blob: { ...blob, open } };
    },
  });
  const first = append();
  await first.open({ uploadId: "a", create: true, sender: "s", attempt: 5 });
  await first.end();
  down = true;
  const failing = append();
  failing.send({ open: { uploadId: "a", sender: "s", attempt: 6 } });
  await failing.failsWith("INTERNAL");
  down = false;
  const late = append();
  late.send({ open: { uploadId: "a", sender: "s", attempt: 5 } });
  await late.failsWith("UPLOAD_FENCED");
});

test("[blob.append.20] an open during a commit waits for its end; then the upload is unknown, the older one committed", async () => {
  const hooks: UploadHooks = {};
  const { append, read } = await rig({ wrap: lagging(hooks) });
  const held = gate();
  hooks.commit = (next) => held.passed.then(next);
  const older = append();
  await older.open({ uploadId: "a", create: true, sender: "core-1" });
  await older.chunk(0, bytes(10));
  older.send({ commit: { key: "k" } });
  await settle();
  const newer = append();
  newer.send({ open: { uploadId: "a", sender: "core-2", attempt: 1 } });
  let ended = false;
  const failing = newer.failsWith("UPLOAD_NOT_FOUND").then(() => {
    ended = true;
  });
  await settle();
  assert.equal(ended, false, "answered while the commit was under way");
  held.open();
  await failing;
  assert.equal((await older.next())?.step, "committed");
  assert.deepEqual(await read("k"), bytes(10));
});

test("[blob.append.21] an open that arrives past not-after disturbs nobody; one that gets its turn past it makes nothing", async () => {
  const hooks: UploadHooks = {};
  const { append, clock, unary } = await rig({ wrap: lagging(hooks) });
  const held = gate();
  hooks.commit = (next) => held.passed.then(next);
  const current = append();
  await current.open({ uploadId: "a", create: true, sender: "core-1" });
  const late = append();
  late.send({ open: { uploadId: "a", sender: "core-2", attempt: 1, create: true, notAfterMs: clock.now() - 1 } });
  await late.failsWith("TOO_LATE");
  await current.chunk(0, bytes(10));
  current.send({ commit: { key: "k" } });
  await settle();
  const waiting = append();
  waiting.send({ open: { uploadId: "a", sender: "core-2", attempt: 2, create: true, notAfterMs: clock.now() + 1000 } });
  await settle();
  await clock.advance(1001);
  held.open();
  await waiting.failsWith("TOO_LATE");
  assert.deepEqual((await unary("blob.ListUploads", {})).uploads, []);
});

test("[blob.append.20] after a commit that failed the waiting open finds the upload as it was", async () => {
  const hooks: UploadHooks = {};
  const { append } = await rig({ wrap: lagging(hooks) });
  const held = gate();
  hooks.commit = async () => {
    await held.passed;
    throw new Error("the backend fell over");
  };
  const older = append();
  await older.open({ uploadId: "a", create: true, sender: "core-1" });
  await older.chunk(0, bytes(10));
  await older.flush(10);
  older.send({ commit: { key: "k" } });
  await settle();
  const newer = append();
  const opening = newer.open({ uploadId: "a", sender: "core-2" });
  await settle();
  held.open();
  assert.equal((await opening).persisted, 10);
  await older.failsWith("INTERNAL");
});

test("a reader that does not take its `committed` keeps no newer stream waiting", async () => {
  const { append, handlers, toBlob } = await rig();
  const stuck = gate();
  let sent = 0;
  const requests = (async function* () {
    const base = { sender: "s", attempt: 1, notAfterMs: 0 };
    yield { step: "open", open: { uploadId: "a", create: true, algorithm: "", key: "", ...base } } as const;
    yield { step: "chunk", chunk: { offset: 0, data: bytes(10) } } as const;
    yield { step: "commit", commit: { key: "k", digest: "", ifAbsent: false, notAfterMs: 0 } } as const;
  })();
  const running = handlers.append(
    requests,
    async (response) => {
      sent++;
      if (response.step === "committed") await stuck.passed;
    },
    { metadata: toBlob, signal: new AbortController().signal },
  );
  await settle();
  assert(sent >= 2);
  await append().open({ uploadId: "a", create: true, sender: "other" });
  stuck.open();
  await running;
});

test("[blob.abort.01] [blob.abort.03] abort: unknown is OK, an open stream is fenced, no bytes stay", async () => {
  const { append, unary } = await rig({ wrap: lagging() });
  await unary("blob.AbortUpload", { uploadId: "nobody" });
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  await stream.chunk(0, bytes(10));
  await unary("blob.AbortUpload", { uploadId: "a" });
  await stream.failsWith("UPLOAD_FENCED");
  await failsWith(unary("blob.GetUpload", { uploadId: "a" }), "UPLOAD_NOT_FOUND");
  assert.deepEqual((await unary("blob.ListUploads", {})).uploads, []);
  assert.equal((await append().open({ uploadId: "a", create: true })).persisted, 0);
});

test("[blob.abort.02] abort with if_idle_ms: an upload used more recently stays, with its stream", async () => {
  const { append, unary, clock } = await rig({ wrap: lagging() });
  const stream = append();
  await stream.open({ uploadId: "a", create: true });
  await clock.advance(30_000);
  // Received and not persisted: a use that the driver itself has not seen.
  await stream.chunk(0, bytes(10));
  await settle();
  await clock.advance(5_000);
  await failsWith(unary("blob.AbortUpload", { uploadId: "a", ifIdleMs: 6_000 }), "UPLOAD_BUSY");
  assert.equal((await stream.end())?.persisted, 10);
  await clock.advance(6_000);
  await unary("blob.AbortUpload", { uploadId: "a", ifIdleMs: 6_000 });
  await failsWith(unary("blob.GetUpload", { uploadId: "a" }), "UPLOAD_NOT_FOUND");
});

test("[blob.expiry.01] uploads idle for longer than upload_ttl_ms are expired, others not", async () => {
  const ttl = 24 * 60 * 60 * 1000;
  const { append, unary, clock, handlers } = await rig({ uploadTtlMs: ttl });
  for (const uploadId of ["a", "b"]) {
    const stream = append();
    await stream.open({ uploadId, create: true });
    await stream.end();
  }
  await clock.advance(ttl);
  const stream = append();
  await stream.open({ uploadId: "b", attempt: 2 });
  await stream.chunk(0, bytes(1));
  await stream.end();
  assert.equal(await handlers.expireUploads(), 0);
  await clock.advance(1);
  assert.equal(await handlers.expireUploads(), 1);
  assert.deepEqual(
    (await unary("blob.ListUploads", {})).uploads.map((upload) => upload.uploadId),
    ["b"],
  );
});

test("[blob.expiry.01] a sealed store expires nothing", async () => {
  const ttl = 1000;
  const { append, clock, driver } = await rig({ uploadTtlMs: ttl });
  await append().open({ uploadId: "a", create: true });
  await clock.advance(2000);
  const { createHandlers } = await import("../../server/handlers.ts");
  const { silent } = await import("./kit.ts");
  assert.equal(await createHandlers(driver, { clock, log: silent, readOnly: true }).expireUploads(), 0);
});

test("[blob.getupload.01] [blob.listuploads.01] [blob.listuploads.02] uploads with their idle time, in pages", async () => {
  const { append, unary, clock } = await rig();
  await failsWith(unary("blob.GetUpload", { uploadId: "a" }), "UPLOAD_NOT_FOUND");
  await failsWith(unary("blob.GetUpload", { uploadId: "a/b" }), "INVALID_FIELD", undefined);
  for (const uploadId of ["c", "a", "b"]) {
    const stream = append();
    await stream.open({ uploadId, create: true });
    await stream.chunk(0, bytes(3));
    await stream.end();
    await clock.advance(1000);
  }
  assert.deepEqual((await unary("blob.GetUpload", { uploadId: "a" })).upload, {
    uploadId: "a",
    persisted: 3,
    idleMs: 2000,
  });
  const page = await unary("blob.ListUploads", { limit: 2 });
  assert.deepEqual([page.uploads.map((upload) => upload.uploadId), page.more], [["a", "b"], true]);
  const rest = await unary("blob.ListUploads", { startAfter: "b", limit: 2 });
  assert.deepEqual([rest.uploads.map((upload) => upload.uploadId), rest.more], [["c"], false]);
  await failsWith(unary("blob.ListUploads", { limit: 1001 }), "INVALID_FIELD", "limit");
});

test("random takeovers: what is committed is what one stream was told, whoever interrupts it", async (t) => {
  const random = randomOf(seedOf(t));
  const data = bytes(5000);
  for (let round = 0; round < 40; round++) {
    const hooks: UploadHooks = {};
    const { append, unary, read } = await rig({ wrap: lagging(hooks), persistStepBytes: random.between(100, 3000) });
    hooks.write = async (_data, next) => {
      for (let pause = random.between(0, 3); pause > 0; pause--) await new Promise(setImmediate);
      await next();
    };
    let committed = 0;
    const attempts = Array.from({ length: random.between(2, 6) }, async (_, index) => {
      for (let pause = random.between(0, 20); pause > 0; pause--) await new Promise(setImmediate);
      const stream = append();
      try {
        const { persisted } = await stream.open({ uploadId: "a", create: true, sender: `core-${index}` });
        let offset = persisted;
        while (offset < data.length) {
          const end = Math.min(data.length, offset + random.between(1, 700));
          await stream.chunk(offset, data.subarray(offset, end));
          offset = end;
        }
        await stream.commit({ key: "k", digest: sha256(data), size: data.length });
        committed++;
      } catch (error) {
        const { reason } = error as { reason?: string };
        assert(["UPLOAD_FENCED", "STREAM_BROKEN"].includes(reason ?? ""), String(error));
      }
    });
    await Promise.all(attempts);
    assert(committed > 0, "nobody came through");
    assert.deepEqual(await read("k"), data);
    const left = (await unary("blob.ListUploads", {})).uploads;
    assert(left.length <= 1);
  }
});
