/** One Append stream on its own: how it takes bytes and tells progress. */
import assert from "node:assert/strict";
import type { AppendSession, Context, Test } from "../../contract.ts";
import { expectFault } from "../../faults.ts";
import { assertSame, commitAnswer, flushed, newSender, readAll, reopen, sizeOf, uploading } from "./steps.ts";

const MIB = 1024 * 1024;

export const streamTests: readonly Test[] = [
  {
    id: "blob.append.06",
    title: "a chunk without offset is refused; what was there stays",
    async run(ctx) {
      const data = ctx.random.bytes(2000);
      const { uploadId, session } = await uploading(ctx, data);
      await session.send({ chunk: { data: ctx.random.bytes(100) } });
      session.halfClose();
      await expectFault(session.rest(), "OFFSET_REQUIRED");
      await assertHolds(ctx, uploadId, data);
    },
  },
  {
    id: "blob.append.06/empty",
    title: "nor is an absent offset taken for 0 in an upload that holds nothing yet",
    async run(ctx) {
      const { session } = await uploading(ctx, Buffer.alloc(0));
      await session.send({ chunk: { data: ctx.random.bytes(100) } });
      session.halfClose();
      await expectFault(session.rest(), "OFFSET_REQUIRED");
    },
  },
  {
    id: "blob.append.07/below",
    title: "bytes below what was received are skipped, also where only a chunk's head is",
    async run(ctx) {
      const data = ctx.random.bytes(3000);
      const { session } = await uploading(ctx, data.subarray(0, 2000));
      const other = ctx.random.bytes(1000);
      await session.send({ chunk: { offset: 0, data: other } });
      await session.send({ chunk: { offset: 1000, data: other } });
      await session.send({
        chunk: { offset: 1500, data: Buffer.concat([other.subarray(0, 500), data.subarray(2000)]) },
      });
      await flushed(ctx, session, data.length);
      const key = ctx.key();
      await session.send({ commit: { key } });
      await commitAnswer(session);
      assertSame(await readAll(ctx, key), data, "the upload");
    },
  },
  {
    id: "blob.append.07/above",
    title: "a chunk above what was received is refused and told where to go on",
    async run(ctx) {
      const { session } = await uploading(ctx, ctx.random.bytes(2000));
      await session.send({ chunk: { offset: 2001, data: Buffer.from("x") } });
      session.halfClose();
      const { metadata } = await expectFault(session.rest(), "OFFSET_MISMATCH");
      assert.equal(metadata["persisted"], "2000", "metadata persisted of the error");
    },
  },
  {
    id: "blob.append.08",
    title: "progress is told every persist_step_bytes, and the sender need not wait for it",
    timeoutMs: 120_000,
    async run(ctx) {
      const stepBytes = stepOf(ctx);
      const session = ctx.blob.append();
      await session.open({ uploadId: ctx.uploadId(), sender: newSender(ctx) });
      const told = [0];
      await beside(session, somePersistSteps(stepBytes), (received) => told.push(received));
      const gaps = told.slice(1).map((received, index) => received - (told[index] ?? 0));
      const widest = Math.max(...gaps);
      assert.ok(widest <= stepBytes + SENT_BYTES, `${widest} bytes went by between two progress messages`);
    },
  },
  {
    id: "blob.append.09",
    title: "persisted never falls and is at most persist_step_bytes behind received",
    timeoutMs: 120_000,
    async run(ctx) {
      const stepBytes = stepOf(ctx);
      const session = ctx.blob.append();
      await session.open({ uploadId: ctx.uploadId(), sender: newSender(ctx) });
      let highest = 0;
      await beside(session, somePersistSteps(stepBytes), (received, persisted) => {
        assert.ok(persisted >= highest, `persisted fell from ${highest} to ${persisted}`);
        assert.ok(persisted <= received, `persisted ${persisted} of ${received} bytes received`);
        assert.ok(received - persisted <= stepBytes, `persisted ${persisted} is too far behind received ${received}`);
        highest = persisted;
      });
    },
  },
  {
    id: "blob.append.09/reopened",
    title: "nor does persisted fall when the upload is opened again, or after a refused chunk",
    async run(ctx) {
      const { uploadId, session: first } = await uploading(ctx, ctx.random.bytes(1000));
      let session = first;
      for (let told = 1000; told < 6000; told += 1000) {
        if (told % 2000 === 0) session.cancel();
        else {
          await session.send({ chunk: { offset: told + 1, data: Buffer.from("x") } });
          await session.rest().catch(() => {});
        }
        const again = await reopen(ctx, uploadId);
        assert.ok(again.persisted >= told, `opened tells ${again.persisted} after ${told} were told persisted`);
        session = again.session;
        await session.chunks(again.persisted, ctx.random.bytes(told + 1000 - again.persisted));
        await flushed(ctx, session, told + 1000);
      }
    },
  },
  {
    id: "blob.append.10/flush",
    title: "flush is answered with persisted = received",
    async run(ctx) {
      const session = ctx.blob.append();
      await session.open({ uploadId: ctx.uploadId(), sender: newSender(ctx) });
      let received = 0;
      for (const size of [1, 1000, 300_000, 0]) {
        await session.chunks(received, ctx.random.bytes(size));
        received += size;
        await flushed(ctx, session, received);
      }
    },
  },
  {
    id: "blob.append.10/half-close",
    title: "a half-close without commit is answered with persisted = received, then OK",
    async run(ctx) {
      const session = ctx.blob.append();
      await session.open({ uploadId: ctx.uploadId(), sender: newSender(ctx) });
      await session.chunks(0, ctx.random.bytes(300_000));
      session.halfClose();
      const last = (await session.rest()).at(-1);
      assert.deepEqual(last?.progress, { received: 300_000, persisted: 300_000 });
    },
  },
  {
    id: "blob.append.10/looked-up",
    title: "what a flush told as persisted, GetUpload tells, and whoever opens the upload next",
    async run(ctx) {
      const uploadId = ctx.uploadId();
      const session = ctx.blob.append();
      await session.open({ uploadId, sender: newSender(ctx) });
      await session.chunks(0, ctx.random.bytes(1000));
      await flushed(ctx, session, 1000);
      const { upload } = await ctx.blob.getUpload({ uploadId });
      assert.equal(upload?.persisted, 1000, "GetUpload tells");
      const again = await reopen(ctx, uploadId);
      assert.equal(again.persisted, 1000, "opened tells");
    },
  },
  {
    id: "blob.append.11",
    title: "nothing is visible under any key before the commit",
    async run(ctx) {
      const [key, held] = [ctx.key(), ctx.key()];
      const before = ctx.random.bytes(100);
      await ctx.blob.put({ key: held, data: before });
      const absent = async (when: string) => {
        assert.equal(await sizeOf(ctx, key), undefined, `Stat sees the key ${when}`);
        const { items } = await ctx.blob.list({ prefix: ctx.prefix });
        const keys = items.map((item) => item.key).filter((one) => one !== held);
        assert.deepEqual(keys, [], `List sees something ${when}`);
        assertSame(await readAll(ctx, held), before, `the key that was there already, ${when}`);
      };
      for (const hint of [key, held]) {
        const { session } = await uploading(ctx, ctx.random.bytes(100_000), { key: hint, size: 100_000 });
        await absent("while its stream is open");
        session.halfClose();
        await session.rest();
        await absent("once its stream has ended");
      }
    },
  },
  {
    id: "blob.append.18",
    title: "a chunk of 1 MiB is taken, a larger one refused",
    async run(ctx) {
      const session = ctx.blob.append();
      await session.open({ uploadId: ctx.uploadId(), sender: newSender(ctx) });
      await session.send({ chunk: { offset: 0, data: ctx.random.bytes(MIB) } });
      await flushed(ctx, session, MIB);
      await session.send({ chunk: { offset: MIB, data: ctx.random.bytes(MIB + 1) } });
      session.halfClose();
      await expectFault(session.rest(), "INVALID_FIELD");
    },
  },
];

const SENT_BYTES = 256 * 1024;

function stepOf(ctx: Context): number {
  const { persistStepBytes } = ctx.limits("blob");
  assert.ok(persistStepBytes > 0, "Describe tells no persist_step_bytes");
  return persistStepBytes;
}

/** One step and a bit where a step is large; more of them the less they cost. */
function somePersistSteps(stepBytes: number): number {
  if (stepBytes > 16 * MIB) return stepBytes + 4 * MIB;
  return Math.max(3 * stepBytes, Math.min(20 * stepBytes, 16 * MIB)) + 100_000;
}

/** Sends so many bytes without ever waiting for an answer, and reads the answers beside it; then a half-close. */
async function beside(
  session: AppendSession,
  totalBytes: number,
  onProgress: (received: number, persisted: number) => void,
): Promise<void> {
  const data = Buffer.alloc(SENT_BYTES, 7);
  const reading = (async () => {
    for await (const { progress } of session) if (progress) onProgress(progress.received, progress.persisted);
  })();
  // Its failure is what counts, however the sending ends.
  reading.catch(() => session.cancel());
  for (let offset = 0; offset < totalBytes; offset += SENT_BYTES) {
    const chunk = { offset, data: data.subarray(0, Math.min(SENT_BYTES, totalBytes - offset)) };
    if (!(await session.send({ chunk }))) break;
  }
  session.halfClose();
  await reading;
}

/** The upload holds just these bytes, as a commit under a key shows. */
async function assertHolds(ctx: Context, uploadId: string, data: Buffer): Promise<void> {
  const { session } = await reopen(ctx, uploadId);
  const key = ctx.key();
  await session.send({ commit: { key } });
  await commitAnswer(session);
  assertSame(await readAll(ctx, key), data, "the upload");
}
