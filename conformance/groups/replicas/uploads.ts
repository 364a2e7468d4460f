/** Uploads that go on through another process than they came by. */
import assert from "node:assert/strict";
import type { Calls, Context, Test } from "../../contract.ts";
import { expectFault, Fault } from "../../faults.ts";
import { beforeTheKill } from "../resume/lives.ts";
import {
  assertSame,
  commitAnswer,
  committed,
  digestOf,
  flushed,
  newSender,
  readAll,
  reopen,
  sizeOf,
  uploading,
} from "../uploads/steps.ts";
import { lateBytes, meetCommit } from "../uploads/takeover.ts";
import { replicaOf } from "./pair.ts";

const KIB = 1024;
const requires = { store: "blob", capability: "REPLICAS" } as const;

export const uploadTests: readonly Test[] = [
  {
    id: "blob.append.02/replica",
    title: "what was told persisted, a short tail too, can be gone on from through the replica",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      for (const size of [1, 1000, 300 * KIB + 1]) {
        const data = ctx.random.bytes(size + 500);
        const { uploadId } = await uploading(ctx, data.subarray(0, size));
        const { session, persisted } = await reopen(ctx, uploadId, {}, other);
        assert.equal(persisted, size, "opened tells through the replica");
        const key = ctx.key();
        await session.chunks(size, data.subarray(size));
        await session.send({ commit: { key } });
        await commitAnswer(session);
        assertSame(await readAll(ctx, key), data, "begun here, ended there");
      }
    },
  },
  {
    id: "blob.append.02/replica-gone",
    title: "also once the process that took it was killed",
    requires: { ...requires, start: true },
    timeoutMs: 60_000,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      const lanes = await Promise.all(
        [1, 1000, 700 * KIB + 1].map(async (size) => {
          const data = ctx.random.bytes(size + 500);
          return { size, data, ...(await uploading(ctx, data.subarray(0, size))) };
        }),
      );
      await ctx.driver.kill();
      for (const { size, data, uploadId } of lanes) {
        const { session, persisted } = await reopen(ctx, uploadId, {}, other);
        assert.ok(
          persisted >= size,
          `opened tells ${persisted} after ${size} were told persisted by the killed replica`,
        );
        const key = ctx.key();
        await session.chunks(persisted, data.subarray(persisted));
        await session.send({ commit: { key } });
        await commitAnswer(session);
        assertSame(await readAll(other, key), data, "begun by the killed replica");
      }
    },
  },
  {
    id: "blob.append.10/replica",
    title: "what a flush told persisted, the replica tells too",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      const { uploadId, session } = await uploading(ctx, ctx.random.bytes(1000));
      for (let size = 1000; size < 4000; size += 1000) {
        const { upload } = await other.blob.getUpload({ uploadId });
        assert.ok((upload?.persisted ?? 0) >= size, `the replica tells ${upload?.persisted} of ${size} flushed`);
        await session.chunks(size, ctx.random.bytes(1000));
        await flushed(ctx, session, size + 1000);
      }
    },
  },
  {
    id: "blob.append.04/replica",
    title: "an open through the replica fences the older stream, and none of its late bytes counts",
    requires,
    timeoutMs: 60_000,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      // Past a step, and so past a part of a backend that has parts: a late one must not take the newer one's place.
      const large = Math.min(2 * ctx.limits("blob").persistStepBytes + 3000 * KIB, 24 * KIB * KIB);
      for (const size of [2048 * KIB, 2048 * KIB, large]) {
        await lateBytes(ctx, other, size);
        await lateBytes({ ...ctx, blob: other.blob }, ctx, size);
      }
    },
  },
  {
    id: "blob.append.04/replica-ends",
    title: "and the older stream ends with UPLOAD_FENCED, whether it goes on, flushes or commits",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      const data = ctx.random.bytes(2000);
      const key = ctx.key();
      for (const last of ["flush", "commit", "half-close"] as const) {
        const { uploadId, session: older } = await uploading(ctx, data.subarray(0, 1000));
        const { persisted } = await reopen(ctx, uploadId, {}, other);
        assert.equal(persisted, 1000);
        await older.chunks(1000, data.subarray(1000));
        if (last === "flush") await older.send({ flush: {} });
        else if (last === "commit") await older.send({ commit: { key, digest: digestOf(data) } });
        else older.halfClose();
        await expectFault(older.rest(), "UPLOAD_FENCED");
        assert.equal(await sizeOf(other, key), undefined, "the older stream's commit took effect");
        const { upload } = await other.blob.getUpload({ uploadId });
        assert.equal(upload?.persisted, 1000, `persisted after the older stream's ${last}`);
      }
    },
  },
  {
    id: "blob.append.05/replica",
    title: "a late attempt of the same sender is refused through the replica too",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      const sender = newSender(ctx);
      const { uploadId } = await uploading(ctx, ctx.random.bytes(100), { sender, attempt: 5 });
      for (const attempt of [5, 4]) {
        await expectFault(reopen(ctx, uploadId, { sender, attempt }, other), "UPLOAD_FENCED");
      }
      await reopen(ctx, uploadId, { sender, attempt: 6 }, other);
    },
  },
  {
    id: "blob.append.20/replica",
    title: "an open through the replica that meets a commit: it is done, or it never will be",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      for (let round = 0; round < 8; round++) {
        await meetCommit(ctx, other);
        await meetCommit({ ...ctx, blob: other.blob }, ctx);
      }
    },
  },
  {
    id: "blob.append.20/replica-gone",
    title: "an open through the replica finishes or undoes a commit whose process was killed",
    requires: { ...requires, start: true },
    timeoutMs: 90_000,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      const commits = await Promise.all(
        [100, 300 * KIB, 1500 * KIB, 2500 * KIB].map(async (size) => {
          const data = ctx.random.bytes(size);
          return { data, key: ctx.key(), ...(await uploading(ctx, data)) };
        }),
      );
      const ended = commits.map(({ session, key, data }) => {
        const sending = session.send({ commit: { key, digest: digestOf(data) } });
        return beforeTheKill(sending.then(() => commitAnswer(session)));
      });
      await ctx.sleep(ctx.random.between(0, 15));
      await ctx.driver.kill();
      await Promise.all(ended);
      for (const { uploadId, key, data } of commits) {
        if (!(await finishedBy(ctx, other, uploadId, key, data))) continue;
        assertSame(await readAll(other, key), data, "a commit whose process was killed");
      }
    },
  },
  {
    id: "blob.append.14/replica",
    title: "of commits with if_absent through both, exactly one is done",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      for (let round = 0; round < 5; round++) {
        const key = ctx.key();
        const contents = Array.from({ length: 4 }, () => ctx.random.bytes(10_000));
        const outcomes = await Promise.allSettled(
          contents.map((data, index) => {
            const through = index % 2 === 0 ? ctx : { ...ctx, blob: other.blob };
            return committed(through, key, data, { ifAbsent: true });
          }),
        );
        const winners = contents.filter((_, index) => outcomes[index]?.status === "fulfilled");
        assert.equal(winners.length, 1, `${winners.length} of 4 commits were done`);
        assertSame(await readAll(other, key), winners[0] ?? Buffer.alloc(0), "the winner's bytes");
      }
    },
  },
  {
    id: "blob.abort.03/replica",
    title: "an abort through the replica ends the stream here, and leaves nothing",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      const { uploadId, session } = await uploading(ctx, ctx.random.bytes(1000));
      await other.blob.abortUpload({ uploadId });
      await session.chunks(1000, ctx.random.bytes(1000));
      await session.send({ flush: {} });
      await expectFault(session.rest(), "UPLOAD_FENCED");
      const again = await reopen(ctx, uploadId, { create: true }, other);
      assert.equal(again.persisted, 0, "persisted of a new upload under the same id");
    },
  },
];

/** Opens the upload through the replica. @returns whether the commit is done: by itself, or now */
async function finishedBy(ctx: Context, calls: Calls, uploadId: string, key: string, data: Buffer): Promise<boolean> {
  const session = calls.blob.append();
  try {
    const { persisted } = await session.open({ uploadId, sender: newSender(ctx), create: false });
    assert.equal(persisted, data.length, "the upload as it was before its commit");
    assert.equal(await sizeOf(calls, key), undefined, "the commit is visible, and its upload is still there");
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    await expectFault(Promise.reject(error), "UPLOAD_NOT_FOUND");
    assert.equal(await sizeOf(calls, key), data.length, "the upload is unknown, and its commit is not there");
    return true;
  }
  await session.send({ commit: { key, digest: digestOf(data) } });
  await commitAnswer(session);
  return true;
}
