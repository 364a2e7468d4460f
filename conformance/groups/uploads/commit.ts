/** Commit: what is checked, when it becomes visible, what is answered. */
import assert from "node:assert/strict";
import { headers } from "../../../proto/metadata.ts";
import type { Context, Test } from "../../contract.ts";
import { expectFault, Fault } from "../../faults.ts";
import {
  assertSame,
  commitAnswer,
  committed,
  digestOf,
  listed,
  newSender,
  readAll,
  reopen,
  sizeOf,
  uploaded,
  uploading,
} from "./steps.ts";

const MIB = 1024 * 1024;

export const commitTests: readonly Test[] = [
  {
    id: "blob.append.12/digest",
    title:
      "a commit under another digest than the bytes have is refused, under either algorithm, and nothing is visible",
    async run(ctx) {
      const data = ctx.random.bytes(70_000);
      for (const algorithm of ["sha256", "sha512"] as const) {
        const key = ctx.key();
        const { session } = await uploading(ctx, data);
        await session.send({ commit: { key, size: data.length, digest: digestOf(Buffer.from("other"), algorithm) } });
        await expectFault(session.rest(), "DIGEST_MISMATCH");
        assert.equal(await sizeOf(ctx, key), undefined, "what was refused is visible");
      }
    },
  },
  {
    id: "blob.append.12/taken-over",
    title: "also after the upload was opened again, when bytes of several streams are hashed",
    async run(ctx) {
      const data = ctx.random.bytes(70_000);
      const uploadId = await uploaded(ctx, data.subarray(0, 30_000));
      const { session } = await reopen(ctx, uploadId);
      await session.chunks(30_000, data.subarray(30_000));
      const key = ctx.key();
      // The digest of what this stream has carried by itself.
      await session.send({ commit: { key, digest: digestOf(data.subarray(30_000)) } });
      await expectFault(session.rest(), "DIGEST_MISMATCH");
      const again = await reopen(ctx, uploadId);
      await again.session.chunks(again.persisted, data.subarray(again.persisted));
      await again.session.send({ commit: { key, digest: digestOf(data) } });
      await commitAnswer(again.session);
    },
  },
  {
    id: "blob.append.12/size",
    title: "a commit of another size than the upload has is refused, and nothing is visible",
    async run(ctx) {
      const data = ctx.random.bytes(1000);
      for (const size of [0, 999, 1001]) {
        const key = ctx.key();
        const { session } = await uploading(ctx, data);
        await session.send({ commit: { key, size, digest: digestOf(data) } });
        await expectFault(session.rest(), "SIZE_MISMATCH");
        assert.equal(await sizeOf(ctx, key), undefined, "what was refused is visible");
      }
    },
  },
  {
    id: "blob.append.12/stays",
    title: "the upload stays as it was, and the right commit works",
    async run(ctx) {
      const data = ctx.random.bytes(70_000);
      const key = ctx.key();
      const { uploadId, session } = await uploading(ctx, data);
      await session.send({ commit: { key, digest: digestOf(Buffer.from("other")) } });
      await session.rest().catch(() => {});
      const again = await reopen(ctx, uploadId);
      assert.equal(again.persisted, data.length);
      await again.session.send({ commit: { key, size: data.length, digest: digestOf(data) } });
      await commitAnswer(again.session);
      assertSame(await readAll(ctx, key), data, "what was committed");
    },
  },
  {
    id: "blob.append.12/key-exists",
    title: "the upload's own bytes are checked also where the key holds the digest that is named",
    async run(ctx) {
      const data = ctx.random.bytes(5000);
      const key = ctx.key();
      await committed(ctx, key, data);
      for (const other of [ctx.random.bytes(data.length), Buffer.alloc(0)]) {
        for (const ifAbsent of [false, true]) {
          const { session } = await uploading(ctx, other);
          await session.send({ commit: { key, digest: digestOf(data), ifAbsent } });
          await expectFault(session.rest(), "DIGEST_MISMATCH");
        }
      }
    },
  },
  {
    id: "blob.append.12/before-visible",
    title: "the digest is checked before anything is visible: what the key held stays, and nobody sees anything else",
    async run(ctx) {
      const before = ctx.random.bytes(2000);
      const data = ctx.random.bytes(2 * MIB);
      const key = ctx.key();
      await ctx.blob.put({ key, data: before });
      const { session } = await uploading(ctx, data);
      await session.send({ commit: { key, digest: digestOf(Buffer.from("other")) } });
      let over = false;
      const looking = (async () => {
        const { blob } = ctx.connect();
        while (!over) {
          const { results } = await blob.stat({ keys: [key] });
          assert.equal(results[0]?.info?.size, before.length, "seen under the key while the commit was checked: size");
        }
      })();
      // Awaited only once the commit is over.
      looking.catch(() => {});
      try {
        // Refused or not is the test of another id's: here it is what was seen.
        await session.rest().catch(() => {});
      } finally {
        over = true;
      }
      await looking;
      assertSame(await readAll(ctx, key), before, "what the key held before");
    },
  },
  {
    id: "blob.append.13",
    title: "where the key holds that digest and size already, nothing is overwritten and its info is the answer",
    async run(ctx) {
      const data = ctx.random.bytes(5000);
      const key = ctx.key();
      const { info: first } = await committed(ctx, key, data);
      for (const ifAbsent of [false, true]) {
        const { info, digest } = await committed(ctx, key, data, { ifAbsent });
        assert.equal(digest, digestOf(data));
        assert.equal(info?.key, key);
        assert.equal(info?.size, data.length);
        assert.equal(info?.etag, first?.etag, "the etag of what was there");
      }
      const { results } = await ctx.blob.stat({ keys: [key] });
      assert.equal(results[0]?.info?.etag, first?.etag, "the etag by Stat");
    },
  },
  {
    id: "blob.append.14",
    title: "if_absent on a key that holds other content is refused and changes nothing",
    async run(ctx) {
      const before = ctx.random.bytes(5000);
      const key = ctx.key();
      await ctx.blob.put({ key, data: before });
      for (const data of [ctx.random.bytes(before.length), ctx.random.bytes(10)]) {
        await expectFault(committed(ctx, key, data, { ifAbsent: true }), "KEY_EXISTS");
        assertSame(await readAll(ctx, key), before, "what the key held before");
      }
    },
  },
  {
    id: "blob.append.14/race",
    title: "of several commits at once with if_absent and other bytes each, exactly one is done",
    async run(ctx) {
      for (let round = 0; round < 4; round++) {
        const key = ctx.key();
        const contents = Array.from({ length: 4 }, () => ctx.random.bytes(20_000));
        const outcomes = await Promise.allSettled(
          contents.map((data) => committed(ctx, key, data, { ifAbsent: true })),
        );
        const winners = contents.filter((_, index) => outcomes[index]?.status === "fulfilled");
        assert.equal(winners.length, 1, `${winners.length} of 4 commits were done`);
        for (const outcome of outcomes) {
          if (outcome.status === "rejected") await expectFault(Promise.reject(outcome.reason), "KEY_EXISTS");
        }
        assertSame(await readAll(ctx, key), winners[0] ?? Buffer.alloc(0), "the winner's bytes");
      }
    },
  },
  {
    id: "blob.append.15",
    title: "a commit without a digest is answered with the one computed, under the algorithm of its open",
    async run(ctx) {
      for (const algorithm of ["sha256", "sha512"] as const) {
        for (const data of [ctx.random.bytes(100_000), Buffer.alloc(0)]) {
          const { session } = await uploading(ctx, data, { algorithm });
          await session.send({ commit: { key: ctx.key() } });
          const { digest } = await commitAnswer(session);
          assert.equal(digest, digestOf(data, algorithm));
        }
      }
    },
  },
  {
    id: "blob.append.16/listed",
    title: "after its commit an upload is not listed any more",
    async run(ctx) {
      const data = ctx.random.bytes(1000);
      const { uploadId, session } = await uploading(ctx, data);
      assert.ok(await listed(ctx, uploadId), "an open upload is listed");
      await session.send({ commit: { key: ctx.key(), digest: digestOf(data) } });
      await commitAnswer(session);
      assert.equal(await listed(ctx, uploadId), undefined, "a committed upload is listed");
    },
  },
  {
    id: "blob.append.16/forgotten",
    title: "nothing of it is remembered: the same id begins anew, empty, with any attempt",
    async run(ctx) {
      const sender = newSender(ctx);
      const uploadId = ctx.uploadId();
      for (const [attempt, size] of [
        [7, 1000],
        [1, 10],
      ] as const) {
        const data = ctx.random.bytes(size);
        const session = ctx.blob.append();
        const { persisted } = await session.open({ uploadId, sender, attempt, create: true });
        assert.equal(persisted, 0);
        await session.chunks(0, data);
        await session.send({ commit: { key: ctx.key(), size, digest: digestOf(data) } });
        await commitAnswer(session);
      }
    },
  },
  {
    id: "blob.append.17",
    title: "while a commit is worked on, a message comes at least every 5 s",
    timeoutMs: 180_000,
    async run(ctx) {
      const data = ctx.random.bytes(8 * MIB);
      // Opened again, so that there is something to read and hash.
      const { session } = await reopen(ctx, await uploaded(ctx, data));
      await session.send({ commit: { key: ctx.key(), digest: digestOf(data) } });
      let widestMs = 0;
      for (let committed = false; !committed; ) {
        const waitedFromMs = performance.now();
        const message = await session.next(Math.max(ctx.timers.streamMs, 60_000));
        widestMs = Math.max(widestMs, performance.now() - waitedFromMs);
        assert.ok(message !== undefined, "the stream ended without committed");
        committed = message.step === "committed";
      }
      assert.ok(widestMs <= 5_000 + 1_500, `nothing was said for ${Math.round(widestMs)} ms`);
    },
  },
  {
    id: "blob.append.21/open",
    title: "an open past its not_after_ms is refused and makes nothing",
    async run(ctx) {
      const uploadId = ctx.uploadId();
      const notAfterMs = (await driverNow(ctx)) - 1000;
      await expectFault(ctx.blob.append().open({ uploadId, sender: newSender(ctx), notAfterMs }), "TOO_LATE");
      assert.equal(await listed(ctx, uploadId), undefined, "the upload was made");
    },
  },
  {
    id: "blob.append.21/commit",
    title: "a commit past its not_after_ms is refused and does nothing, also on a stream that was opened in time",
    async run(ctx) {
      const key = ctx.key();
      const { session } = await uploading(ctx, ctx.random.bytes(1000));
      await session.send({ commit: { key, notAfterMs: (await driverNow(ctx)) - 1000 } });
      await expectFault(session.rest(), "TOO_LATE");
      assert.equal(await sizeOf(ctx, key), undefined, "the key is there");
    },
  },
  {
    id: "blob.append.21/effect",
    title: "a commit does not take effect long after its not_after_ms, however long it is worked on",
    async run(ctx) {
      for (const inMs of [1, 20, 60]) await assertNoLateEffect(ctx, inMs);
    },
  },
];

/** The driver's clock, as it tells it. */
async function driverNow(ctx: Context): Promise<number> {
  const { metadata } = await ctx.answer("blob.Stat", { keys: [] });
  const now = Number(metadata.get(headers.now)[0]);
  return Number.isFinite(now) && now > 0 ? now : Date.now();
}

/** Between the last look at the clock and the effect lies what a backend takes for one change. */
const GRACE_MS = 1_500;

async function assertNoLateEffect(ctx: Context, inMs: number): Promise<void> {
  const data = ctx.random.bytes(4 * MIB);
  const key = ctx.key();
  const { session } = await reopen(ctx, await uploaded(ctx, data));
  const notAfterMs = (await driverNow(ctx)) + inMs;
  await session.send({ commit: { key, digest: digestOf(data), notAfterMs } });
  let ended = false;
  const ending = commitAnswer(session).then(
    () => undefined,
    (error: unknown) => error,
  );
  const marked = ending.finally(() => {
    ended = true;
  });
  // The time first, the look after it: what is absent then was absent at that time.
  let absentPast = false;
  while (!ended && !absentPast) {
    const past = (await driverNow(ctx)) > notAfterMs + GRACE_MS;
    if (past && (await sizeOf(ctx, key)) === undefined) absentPast = true;
    else await Promise.race([marked, ctx.sleep(20)]);
  }
  const error = await ending;
  if (error instanceof Fault) {
    assert.equal(error.reason, "TOO_LATE", error.message);
    assert.equal(await sizeOf(ctx, key), undefined, "the commit was refused as too late, and the key is there");
  } else if (error !== undefined) {
    throw error;
  } else {
    assert.ok(!absentPast, `the commit took effect more than ${GRACE_MS} ms after its not_after_ms`);
  }
}
