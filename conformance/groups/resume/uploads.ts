/** Uploads and commits over kill -9. */
import assert from "node:assert/strict";
import type { AppendSession, Calls, Context, Test } from "../../contract.ts";
import { expectFault, Fault } from "../../faults.ts";
import { assertSame, commitAnswer, committed, digestOf, newSender, readAll, sizeOf } from "../uploads/steps.ts";
import { beforeTheKill, killAndStart } from "./lives.ts";

const KIB = 1024;
const requires = { store: "blob", capability: "DURABLE" } as const;

export const uploadTests: readonly Test[] = [
  {
    id: "blob.append.19",
    title: "what was told as persisted is there after kill -9, and the upload goes on from it to the right bytes",
    requires,
    timeoutMs: 120_000,
    async run(ctx) {
      const { persistStepBytes } = ctx.limits("blob");
      const stepped = Math.min(persistStepBytes, 40 * KIB * KIB) + 700 * KIB;
      // Short tails, whole steps and bits of both: what is lost most easily is what was told last.
      const lanes = [1, 1000, 300 * KIB, 1500 * KIB, stepped].map((flushBytes) => newLane(ctx, flushBytes));
      let calls: Calls = ctx;
      for (let life = 0; life < 2; life++) {
        await Promise.all(lanes.map((lane) => grow(ctx, lane)));
        // Killed while each of them sends on.
        const sending = lanes.map((lane) => beforeTheKill(lane.session.chunks(lane.sent, lane.rest(400 * KIB))));
        calls = await killAndStart(ctx);
        await Promise.all(sending);
        for (const lane of lanes) {
          lane.sent += 400 * KIB;
          await resume(ctx, calls, lane);
        }
      }
      for (const { session, sent, data } of lanes) {
        const key = ctx.key();
        const rest = data.subarray(sent);
        await session.chunks(sent, rest);
        await session.send({ commit: { key } });
        await commitAnswer(session);
        assertSame(await readAll(calls, key), data, "what was uploaded over two kills");
      }
    },
  },
  {
    id: "blob.append.19/half-closed",
    title: "also what was told at a half-close, with nobody there any more",
    requires,
    timeoutMs: 60_000,
    async run(ctx) {
      const uploads: { readonly uploadId: string; readonly told: number }[] = [];
      for (const size of [1, 5000, 2000 * KIB]) {
        const uploadId = ctx.uploadId();
        const session = ctx.blob.append();
        await session.open({ uploadId, sender: newSender(ctx) });
        await session.chunks(0, ctx.random.bytes(size));
        session.halfClose();
        const told = (await session.rest()).at(-1)?.progress?.persisted ?? 0;
        uploads.push({ uploadId, told });
      }
      const calls = await killAndStart(ctx);
      for (const { uploadId, told } of uploads) {
        const { upload } = await calls.blob.getUpload({ uploadId });
        assert.ok((upload?.persisted ?? 0) >= told, `GetUpload tells ${upload?.persisted} of ${told} told persisted`);
      }
    },
  },
  {
    id: "blob.durable.01",
    title: "Put, commit, Move and Delete that were answered survive kill -9",
    requires,
    timeoutMs: 60_000,
    async run(ctx) {
      const names = Array.from({ length: 8 }, () => ctx.key());
      const [put, over, commit, large, source, target, deleted, replaced] = names as [
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
      ];
      const data = Object.fromEntries(names.map((key) => [key, ctx.random.bytes(ctx.random.between(1, 90_000))]));
      const of = (key: string) => data[key] as Buffer;
      data[large] = ctx.random.bytes(3000 * KIB);
      await ctx.blob.put({ key: replaced, data: ctx.random.bytes(50) });
      await committed(ctx, over, ctx.random.bytes(50));
      await ctx.blob.put({ key: source, data: of(target) });
      await ctx.blob.put({ key: deleted, data: of(deleted) });
      // The last thing before the kill, and all at once: what has not reached the disk yet is lost now.
      await Promise.all([
        ctx.blob.put({ key: put, data: of(put) }),
        ctx.blob.put({ key: over, data: of(over) }),
        committed(ctx, commit, of(commit)),
        committed(ctx, large, of(large)),
        committed(ctx, replaced, of(replaced)),
        ctx.blob.move({ source, destination: target }).rest(),
        ctx.blob.delete({ keys: [deleted] }),
      ]);
      const calls = await killAndStart(ctx);
      for (const key of [put, over, commit, large, replaced, target]) {
        assertSame(await readAll(calls, key), of(key), "what was acknowledged before the kill");
      }
      for (const key of [source, deleted]) {
        assert.equal(await sizeOf(calls, key), undefined, "a key that was taken away is there again");
      }
    },
  },
  {
    id: "blob.visible.01/killed",
    title: "a commit that was killed at any moment is there whole, or not at all",
    requires,
    timeoutMs: 120_000,
    async run(ctx) {
      let calls: Calls = ctx;
      const seen = { answered: 0, there: 0, absent: 0 };
      for (let life = 0; life < 2; life++) {
        const commits = await committing(ctx, calls, life === 0 ? 8 : 40);
        calls = await killAndStart(ctx);
        for (const { key, data, ended } of commits) {
          const answer = await ended;
          const size = await sizeOf(calls, key);
          seen[answer !== undefined ? "answered" : size !== undefined ? "there" : "absent"]++;
          if (size === undefined) continue;
          assert.equal(size, data.length, "a commit that was killed is visible with this size");
          assertSame(await readAll(calls, key), data, "a commit that was killed");
        }
        const { items } = await calls.blob.list({ prefix: ctx.prefix });
        for (const { key, size } of items) {
          const made = commits.find((one) => one.key === key);
          if (made) assert.equal(size, made.data.length, "List after the kill: size");
        }
      }
      const { answered, there, absent } = seen;
      ctx.note(`killed after ${answered} answers; of the commits without one ${there} were there, ${absent} were not`);
    },
  },
  {
    id: "blob.append.03/killed",
    title: "a commit that the kill left without an answer can be tried again: done already, or the upload is as it was",
    requires,
    timeoutMs: 120_000,
    async run(ctx) {
      let calls: Calls = ctx;
      for (let life = 0; life < 2; life++) {
        const commits = await committing(ctx, calls, life === 0 ? 8 : 40);
        calls = await killAndStart(ctx);
        for (const { uploadId, key, data, ended } of commits) {
          await ended;
          const session = calls.blob.append();
          try {
            const { persisted } = await session.open({ uploadId, sender: newSender(ctx), create: false });
            assert.equal(persisted, data.length, "all of the upload was told persisted before its commit");
          } catch (error) {
            if (!(error instanceof Fault)) throw error;
            await expectFault(Promise.reject(error), "UPLOAD_NOT_FOUND");
            assert.equal(await sizeOf(calls, key), data.length, "the upload is unknown, and its commit is not there");
            continue;
          }
          await session.send({ commit: { key, size: data.length, digest: digestOf(data) } });
          await commitAnswer(session);
          assert.equal(await sizeOf(calls, key), data.length);
        }
      }
    },
  },
];

/** One upload over several lives of the driver. */
interface Lane {
  readonly uploadId: string;
  readonly data: Buffer;
  /** How much is sent before each flush. */
  readonly flushBytes: number;
  session: AppendSession;
  /** Up to where bytes were sent. */
  sent: number;
  told: number;
  /** So many bytes from `sent` on. */
  rest(bytes: number): Buffer;
}

function newLane(ctx: Context, flushBytes: number): Lane {
  const data = ctx.random.bytes(2 * flushBytes + 800 * KIB + 100);
  return {
    uploadId: ctx.uploadId(),
    data,
    flushBytes,
    session: ctx.blob.append(),
    sent: 0,
    told: -1,
    rest(bytes) {
      return data.subarray(this.sent, Math.min(data.length, this.sent + bytes));
    },
  };
}

/** Opens the lane's upload where it is new, sends, and flushes. */
async function grow(ctx: Context, lane: Lane): Promise<void> {
  const { session, uploadId, flushBytes } = lane;
  if (lane.told === -1) {
    await session.open({ uploadId, sender: newSender(ctx) });
    lane.told = 0;
  }
  const piece = lane.rest(flushBytes);
  await session.chunks(lane.sent, piece);
  lane.sent += piece.length;
  await session.send({ flush: {} });
  while (lane.told < lane.sent) {
    const { persisted, received } = await session.until("progress");
    // What is told counts, whatever is told: that a flush tells all is the rule of another id.
    lane.told = Math.max(lane.told, persisted);
    if (received === lane.sent) break;
  }
}

/** Opens the upload in the new life and takes up where it says. */
async function resume(ctx: Context, calls: Calls, lane: Lane): Promise<void> {
  lane.session = calls.blob.append();
  const { persisted } = await lane.session.open({ uploadId: lane.uploadId, sender: newSender(ctx), create: false });
  assert.ok(persisted >= lane.told, `opened tells ${persisted} after ${lane.told} were told persisted`);
  assert.ok(persisted <= lane.sent, `opened tells ${persisted} and only ${lane.sent} were sent`);
  lane.sent = persisted;
  lane.told = persisted;
}

interface Committing {
  readonly uploadId: string;
  readonly key: string;
  readonly data: Buffer;
  /** Never rejects. */
  readonly ended: Promise<unknown>;
}

/** Some uploads whose commits were just sent: the kill comes a moment later, each time another. */
async function committing(ctx: Context, calls: Calls, withinMs: number): Promise<Committing[]> {
  const sizes = [100, 20 * KIB, 300 * KIB, 1200 * KIB, 2500 * KIB, 2500 * KIB];
  const ready = await Promise.all(
    sizes.map(async (size) => {
      const data = ctx.random.bytes(size);
      const uploadId = ctx.uploadId();
      const session = calls.blob.append();
      await session.open({ uploadId, sender: newSender(ctx) });
      await session.chunks(0, data);
      await session.send({ flush: {} });
      for (let received = 0; received < size; ) ({ received } = await session.until("progress"));
      return { uploadId, key: ctx.key(), data, session };
    }),
  );
  const commits = ready.map(({ uploadId, key, data, session }) => {
    const sending = session.send({ commit: { key, size: data.length, digest: digestOf(data) } });
    return { uploadId, key, data, ended: beforeTheKill(sending.then(() => commitAnswer(session))) };
  });
  await ctx.sleep(ctx.random.between(0, withinMs));
  return commits;
}
