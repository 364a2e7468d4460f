/** Streams that follow, overtake and race each other on one upload. */
import assert from "node:assert/strict";
import type { AppendSession, Context, Test } from "../../contract.ts";
import { expectFault, Fault } from "../../faults.ts";
import { assertSame, commitAnswer, digestOf, flushed, newSender, readAll, reopen, sizeOf, uploading } from "./steps.ts";

const KIB = 1024;

export const takeoverTests: readonly Test[] = [
  {
    id: "blob.append.04/older-ends",
    title: "a newer open takes over: the older stream ends with UPLOAD_FENCED, whoever opened it",
    async run(ctx) {
      const { uploadId, session: older } = await uploading(ctx, ctx.random.bytes(1000));
      const sender = newSender(ctx);
      const { session: second } = await reopen(ctx, uploadId, { sender, attempt: 1 });
      await expectFault(older.rest(), "UPLOAD_FENCED");
      await reopen(ctx, uploadId, { sender, attempt: 2 });
      await expectFault(second.rest(), "UPLOAD_FENCED");
    },
  },
  {
    id: "blob.append.04/late-bytes",
    title: "no byte of an older stream changes the upload once the newer one was answered",
    async run(ctx) {
      for (let round = 0; round < 6; round++) await lateBytes(ctx, ctx);
    },
  },
  {
    id: "blob.append.04/late-commit",
    title: "nor is a commit of an older stream done",
    async run(ctx) {
      const data = ctx.random.bytes(50_000);
      const { uploadId, session: older } = await uploading(ctx, data);
      const { session: newer, persisted } = await reopen(ctx, uploadId);
      const key = ctx.key();
      await older.send({ commit: { key, digest: digestOf(data) } });
      await older.rest().catch(() => {});
      await flushed(ctx, newer, persisted);
      assert.equal(await sizeOf(ctx, key), undefined, "the older stream's commit is visible");
    },
  },
  {
    id: "blob.append.04/at-once",
    title: "of many opens at once exactly one stream goes on",
    async run(ctx) {
      const { uploadId } = await uploading(ctx, ctx.random.bytes(100));
      const sessions = Array.from({ length: 8 }, () => ctx.blob.append());
      const open = (session: AppendSession) =>
        session.send({ open: { uploadId, sender: newSender(ctx), attempt: 1, algorithm: "sha256" } });
      await Promise.all(sessions.map(open));
      const ends = sessions.map((session) =>
        session.rest().then(
          () => undefined,
          (error: unknown) => error,
        ),
      );
      // The one that is left has nothing to do but to end.
      for (const session of sessions) session.halfClose();
      const errors = (await Promise.all(ends)).filter((error) => error !== undefined);
      for (const error of errors) await expectFault(Promise.reject(error), "UPLOAD_FENCED");
      assert.ok(errors.length < sessions.length, "every one was fenced, the newest too");
    },
  },
  {
    id: "blob.append.05",
    title: "an open whose attempt is not above the highest of its sender is refused",
    async run(ctx) {
      const sender = newSender(ctx);
      const { uploadId } = await uploading(ctx, ctx.random.bytes(1000), { sender, attempt: 5 });
      for (const attempt of [5, 4, 0]) await expectFault(reopen(ctx, uploadId, { sender, attempt }), "UPLOAD_FENCED");
      await reopen(ctx, uploadId, { sender, attempt: 6 });
    },
  },
  {
    id: "blob.append.05/current-stays",
    title: "and the stream that has the upload goes on",
    async run(ctx) {
      const sender = newSender(ctx);
      const { uploadId, session } = await uploading(ctx, ctx.random.bytes(1000), { sender, attempt: 5 });
      await reopen(ctx, uploadId, { sender, attempt: 4 }).catch(() => {});
      await session.chunks(1000, ctx.random.bytes(1000));
      await flushed(ctx, session, 2000);
    },
  },
  {
    id: "blob.append.20",
    title:
      "an open that meets a commit waits for its end: then the upload is unknown, or as it was and never committed",
    async run(ctx) {
      for (let round = 0; round < 12; round++) await meetCommit(ctx, ctx);
    },
  },
  {
    id: "blob.append.23",
    title: "a stream whose sender is silent for longer than stream_idle_ms is ended, what was received is persisted",
    requires: { slow: true },
    timeoutMs: 300_000,
    async run(ctx) {
      const { streamIdleMs } = ctx.limits("blob");
      assert.ok(streamIdleMs > 0, "Describe tells no stream_idle_ms");
      const uploadId = ctx.uploadId();
      const session = ctx.blob.append();
      await session.open({ uploadId, sender: newSender(ctx) });
      await session.chunks(0, ctx.random.bytes(1000));
      const ended = (async () => {
        while ((await session.next(streamIdleMs + ctx.timers.streamMs)) !== undefined);
      })();
      await expectFault(ended, "STREAM_IDLE");
      const { persisted } = await reopen(ctx, uploadId);
      assert.equal(persisted, 1000);
    },
  },
];

/**
 * An older stream sends on through `ctx` while a newer one opens through `other`, writes other bytes and commits.
 * What is committed must be the older one's bytes up to the newer one's `persisted`, and the newer one's from there.
 */
export async function lateBytes(ctx: Context, other: Pick<Context, "blob">, size = 2048 * KIB): Promise<void> {
  const olderBytes = ctx.random.bytes(size);
  const newerBytes = ctx.random.bytes(size);
  const uploadId = ctx.uploadId();
  const older = ctx.blob.append();
  await older.open({ uploadId, sender: newSender(ctx) });
  const takeOverAt = ctx.random.between(1, Math.floor((size * 0.75) / (64 * KIB))) * 64 * KIB;
  let reached = () => {};
  const halfWay = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const sending = (async () => {
    for (let at = 0; at < size; at += 64 * KIB) {
      if (at === takeOverAt) reached();
      if (!(await older.send({ chunk: { offset: at, data: olderBytes.subarray(at, at + 64 * KIB) } }))) return;
    }
  })();
  // Also where the driver ended the stream before: then the open says how things stand.
  sending.then(reached, reached);
  await halfWay;
  const newer = other.blob.append();
  const { persisted } = await newer.open({ uploadId, sender: newSender(ctx), create: false });
  assert.ok(persisted <= size);
  // Still the older one's, and in its own order: only the barrier stands between them and the upload.
  await sending;
  await older.send({ chunk: { offset: persisted, data: olderBytes.subarray(persisted, persisted + 64 * KIB) } });
  for (let at = persisted; at < size; at += 64 * KIB) {
    await newer.send({ chunk: { offset: at, data: newerBytes.subarray(at, Math.min(size, at + 64 * KIB)) } });
  }
  const key = ctx.key();
  await newer.send({ commit: { key } });
  await commitAnswer(newer);
  await older.rest().catch(() => {});
  const right = Buffer.concat([olderBytes.subarray(0, persisted), newerBytes.subarray(persisted)]);
  assertSame(await readAll(ctx, key), right, `the upload, taken over at ${persisted}`);
}

/** A commit through `ctx`, and at about the same time an open through `other`. */
export async function meetCommit(ctx: Context, other: Pick<Context, "blob">): Promise<void> {
  const data = ctx.random.bytes(ctx.random.between(1, 512 * KIB));
  const key = ctx.key();
  const { uploadId, session } = await uploading(ctx, data);
  const committing = session.send({ commit: { key, digest: digestOf(data) } }).then(() => commitAnswer(session));
  committing.catch(() => {});
  if (ctx.random.between(0, 1) === 1) await ctx.sleep(ctx.random.between(0, 5));
  const opener = other.blob.append();
  let opened: { persisted: number } | undefined;
  try {
    opened = await opener.open({ uploadId, sender: newSender(ctx), create: false });
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    await expectFault(Promise.reject(error), "UPLOAD_NOT_FOUND");
    assert.equal(await sizeOf(ctx, key), data.length, "the upload is said to be unknown, and its commit is not there");
  }
  if (opened === undefined) return;
  assert.equal(opened.persisted, data.length);
  const outcome = await committing.then(
    () => "committed",
    () => "refused",
  );
  assert.equal(outcome, "refused", "the older stream's commit was answered after a newer open had been");
  assert.equal(
    await sizeOf(ctx, key),
    undefined,
    "the older stream's commit took effect after a newer open was answered",
  );
}
