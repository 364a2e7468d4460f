/** GetUpload, ListUploads, AbortUpload, expiry. */
import assert from "node:assert/strict";
import type { Test } from "../../contract.ts";
import { expectFault } from "../../faults.ts";
import { assertSame, commitAnswer, flushed, listed, newSender, readAll, reopen, uploaded, uploading } from "./steps.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** Backends that keep seconds. */
const CLOCK_STEP_MS = 1_100;

export const lifecycleTests: readonly Test[] = [
  {
    id: "blob.getupload.01",
    title: "an unknown upload is UPLOAD_NOT_FOUND, never one of size 0",
    async run(ctx) {
      await expectFault(ctx.blob.getUpload({ uploadId: ctx.uploadId() }), "UPLOAD_NOT_FOUND");
    },
  },
  {
    id: "blob.getupload.01/known",
    title: "a known one is answered with its persisted size",
    async run(ctx) {
      for (const size of [0, 1234]) {
        const uploadId = await uploaded(ctx, ctx.random.bytes(size));
        const { upload } = await ctx.blob.getUpload({ uploadId });
        assert.equal(upload?.uploadId, uploadId);
        assert.equal(upload?.persisted, size);
      }
    },
  },
  {
    id: "blob.listuploads.01",
    title: "idle_ms grows while nobody uses an upload, and begins anew when it is opened or grows",
    async run(ctx) {
      const resting = await uploaded(ctx, ctx.random.bytes(10));
      const { uploadId: growing, session } = await uploading(ctx, ctx.random.bytes(10));
      const usedMs = performance.now();
      // Only where a stream may be silent for so long.
      const { streamIdleMs } = ctx.limits("blob");
      const quiet = streamIdleMs === 0 || streamIdleMs > 4 * CLOCK_STEP_MS;
      const resumed = quiet ? [resting, growing] : [resting];
      await ctx.sleep(2 * CLOCK_STEP_MS);
      for (const uploadId of resumed) {
        const idleMs = (await listed(ctx, uploadId))?.idleMs ?? Number.NaN;
        const sinceMs = performance.now() - usedMs + CLOCK_STEP_MS;
        assert.ok(idleMs >= CLOCK_STEP_MS - 100, `idle_ms ${idleMs} after ${2 * CLOCK_STEP_MS} ms`);
        // What the upload took until it was told persisted is not counted: the driver may have begun to count there.
        assert.ok(idleMs <= sinceMs + 1_000, `idle_ms ${idleMs} after ${Math.round(sinceMs)} ms`);
      }
      const againMs = performance.now();
      await reopen(ctx, resting);
      if (quiet) {
        await session.chunks(10, ctx.random.bytes(10));
        await flushed(ctx, session, 20);
      }
      for (const uploadId of resumed) {
        const idleMs = (await listed(ctx, uploadId))?.idleMs ?? Number.NaN;
        const sinceMs = performance.now() - againMs + CLOCK_STEP_MS;
        assert.ok(idleMs <= sinceMs, `idle_ms ${idleMs} at most ${Math.round(sinceMs)} ms after it was used`);
      }
    },
  },
  {
    id: "blob.listuploads.02",
    title: "pages ascend, start_after is exclusive, more says whether to go on",
    async run(ctx) {
      const made = Array.from({ length: 7 }, () => ctx.uploadId()).sort();
      for (const uploadId of made) {
        const session = ctx.blob.append();
        await session.open({ uploadId, sender: newSender(ctx) });
        await session.chunks(0, Buffer.from("x"));
        session.halfClose();
        await session.rest();
      }
      const [first = "", last = ""] = [made[0], made.at(-1)];
      for (const limit of [1, 3, 1000]) {
        const seen: string[] = [];
        // Right below the first, so that a store with other uploads costs no more.
        let startAfter = first.slice(0, -1);
        for (let pages = 0; ; pages++) {
          assert.ok(pages < 10_000, "10,000 pages and no end");
          const { uploads, more } = await ctx.blob.listUploads({ startAfter, limit });
          const ids = uploads.map(({ uploadId }) => uploadId);
          assert.ok(ids.length <= limit, `${ids.length} uploads where ${limit} were asked`);
          assert.ok(ids.length > 0 || !more, "an empty page says more");
          for (const id of ids) {
            assert.ok(id > startAfter, `${id} follows ${startAfter}`);
            startAfter = id;
          }
          seen.push(...ids);
          if (!more || startAfter >= last) break;
        }
        assert.deepEqual(
          seen.filter((id) => made.includes(id)),
          made,
          `what pages of ${limit} show`,
        );
      }
    },
  },
  {
    id: "blob.abort.01",
    title: "aborting an unknown upload is OK",
    async run(ctx) {
      await ctx.blob.abortUpload({ uploadId: ctx.uploadId() });
      await ctx.blob.abortUpload({ uploadId: ctx.uploadId(), ifIdleMs: 60_000 });
    },
  },
  {
    id: "blob.abort.02",
    title: "with if_idle_ms an upload that was used more recently stays",
    async run(ctx) {
      const { uploadId, session } = await uploading(ctx, ctx.random.bytes(1000));
      for (const when of ["open", "closed"]) {
        await expectFault(ctx.blob.abortUpload({ uploadId, ifIdleMs: 3_600_000 }), "UPLOAD_BUSY");
        assert.ok(await listed(ctx, uploadId), `the upload is gone while its stream is ${when}`);
        session.halfClose();
        await session.rest();
      }
    },
  },
  {
    id: "blob.abort.02/idle",
    title: "and one that was not is no reason to refuse",
    async run(ctx) {
      const uploadId = await uploaded(ctx, ctx.random.bytes(1000));
      await ctx.sleep(CLOCK_STEP_MS + 50);
      await ctx.blob.abortUpload({ uploadId, ifIdleMs: 50 });
    },
  },
  {
    id: "blob.abort.03",
    title: "no byte stays behind an abort: the same id begins empty",
    async run(ctx) {
      const { uploadId, session: first } = await uploading(ctx, ctx.random.bytes(100_000));
      first.halfClose();
      await first.rest();
      await ctx.blob.abortUpload({ uploadId });
      assert.equal(await listed(ctx, uploadId), undefined, "an aborted upload is listed");
      const { session, persisted } = await reopen(ctx, uploadId, { create: true });
      assert.equal(persisted, 0, "persisted of a new upload under the same id");
      const data = ctx.random.bytes(10);
      const key = ctx.key();
      await session.chunks(0, data);
      await session.send({ commit: { key } });
      await commitAnswer(session);
      assertSame(await readAll(ctx, key), data, "the new upload");
    },
  },
  {
    id: "blob.abort.03/open",
    title: "a stream that is open ends with UPLOAD_FENCED",
    async run(ctx) {
      const { uploadId, session } = await uploading(ctx, ctx.random.bytes(1000));
      await ctx.blob.abortUpload({ uploadId });
      await session.send({ chunk: { offset: 1000, data: ctx.random.bytes(1000) } });
      session.halfClose();
      await expectFault(session.rest(), "UPLOAD_FENCED");
      assert.equal(await listed(ctx, uploadId), undefined, "a late chunk has made it again");
    },
  },
  {
    id: "blob.expiry.01",
    title: "upload_ttl_ms is told, and no upload is there that was idle for much longer",
    timeoutMs: 180_000,
    async run(ctx) {
      const { uploadTtlMs } = ctx.limits("blob");
      // A driver that was set up for this test; any other keeps uploads for a day at least.
      if (uploadTtlMs > 0 && uploadTtlMs <= 10_000) {
        const uploadId = await uploaded(ctx, ctx.random.bytes(1000));
        const deadlineMs = performance.now() + uploadTtlMs + 90_000;
        while ((await listed(ctx, uploadId)) !== undefined) {
          assert.ok(performance.now() < deadlineMs, `still there ${uploadTtlMs} ms and 90 s after it was used`);
          await ctx.sleep(250);
        }
        return;
      }
      assert.ok(uploadTtlMs >= DAY_MS, `upload_ttl_ms is ${uploadTtlMs}, not at least ${DAY_MS}`);
      ctx.note(`uploads expire after ${uploadTtlMs / DAY_MS} days: only looked for some that should be gone`);
      let startAfter = "";
      for (let pages = 0; pages < 100; pages++) {
        const { uploads, more } = await ctx.blob.listUploads({ startAfter, limit: 1000 });
        for (const { uploadId, idleMs } of uploads) {
          assert.ok(idleMs <= uploadTtlMs + DAY_MS, `upload ${uploadId} is idle for ${idleMs} ms`);
          startAfter = uploadId;
        }
        if (!more) break;
      }
    },
  },
];
