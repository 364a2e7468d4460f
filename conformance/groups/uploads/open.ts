/** How a stream begins: its first message, the upload it names, and what it is answered. */
import assert from "node:assert/strict";
import type { Test } from "../../contract.ts";
import { expectFault } from "../../faults.ts";
import {
  assertSame,
  commitAnswer,
  digestOf,
  newSender,
  readAll,
  reopen,
  sizeOf,
  uploaded,
  uploading,
} from "./steps.ts";

/** Ids that name a file elsewhere, or nothing that an id may be. */
const badIds = [
  "",
  "..",
  ".",
  "../x",
  "a/b",
  "/a",
  "a\\b",
  "a.b",
  "a_b",
  "a b",
  "a%2fb",
  "é",
  "a\u0000b",
  "a".repeat(65),
];

export const openTests: readonly Test[] = [
  {
    id: "blob.append.01/first",
    title: "a first message that is not open is refused",
    async run(ctx) {
      for (const message of [
        { chunk: { offset: 0, data: Buffer.from("x") } },
        { flush: {} },
        { commit: { key: ctx.key() } },
      ]) {
        const session = ctx.blob.append();
        await session.send(message);
        session.halfClose();
        await expectFault(session.rest(), "INVALID_FIELD");
      }
      const empty = ctx.blob.append();
      empty.halfClose();
      await expectFault(empty.rest(), "INVALID_FIELD");
    },
  },
  {
    id: "blob.append.01/twice",
    title: "a second open on one stream is refused",
    async run(ctx) {
      const { uploadId, session } = await uploading(ctx, ctx.random.bytes(10));
      await session.send({ open: { uploadId, sender: newSender(ctx), attempt: 2, algorithm: "sha256" } });
      session.halfClose();
      await expectFault(session.rest(), "INVALID_FIELD");
    },
  },
  {
    id: "blob.append.02",
    title: "open is answered at once by opened, before anything else is sent; a new upload holds 0 bytes",
    async run(ctx) {
      const session = ctx.blob.append();
      await session.send({ open: { uploadId: ctx.uploadId(), sender: newSender(ctx), attempt: 1, create: true } });
      const first = await session.next(ctx.timers.unaryMs);
      assert.equal(first?.step, "opened", "the first answer is opened");
      assert.equal(first?.opened?.persisted, 0);
    },
  },
  {
    id: "blob.append.03",
    title: "an unknown upload is not opened without create, never as an empty one",
    async run(ctx) {
      const uploadId = ctx.uploadId();
      // Twice: the first must not have made it.
      for (let times = 0; times < 2; times++) await expectFault(reopen(ctx, uploadId), "UPLOAD_NOT_FOUND");
    },
  },
  {
    id: "blob.append.03/commit-again",
    title:
      "who lost the answer to a commit and opens again is told that the upload is unknown, and the key stays whole",
    async run(ctx) {
      const key = ctx.key();
      const data = ctx.random.bytes(5000);
      const { uploadId, session } = await uploading(ctx, data);
      await session.send({ commit: { key, digest: digestOf(data), size: data.length } });
      await commitAnswer(session);
      const again = ctx.blob.append();
      await again.send({ open: { uploadId, sender: newSender(ctx), attempt: 2, algorithm: "sha256" } });
      await again.send({ commit: { key } });
      await expectFault(again.rest(), "UPLOAD_NOT_FOUND");
      assert.equal(await sizeOf(ctx, key), data.length);
    },
  },
  {
    id: "blob.append.03/create",
    title: "create takes an upload that is there over as it is",
    async run(ctx) {
      const data = ctx.random.bytes(3000);
      const uploadId = await uploaded(ctx, data);
      const { session, persisted } = await reopen(ctx, uploadId, { create: true });
      assert.equal(persisted, data.length);
      const key = ctx.key();
      await session.send({ commit: { key } });
      await commitAnswer(session);
      assertSame(await readAll(ctx, key), data, "what was uploaded before");
    },
  },
  {
    id: "blob.append.22",
    title: "an upload id that is none is refused, whatever it would name",
    async run(ctx) {
      for (const uploadId of badIds) {
        const session = ctx.blob.append();
        const opening = session.open({ uploadId, sender: newSender(ctx) });
        await expectFault(opening, "INVALID_FIELD");
      }
      const longest = `${ctx.uploadId()}${"x".repeat(64)}`.slice(0, 64);
      const session = ctx.blob.append();
      await session.open({ uploadId: longest, sender: newSender(ctx) });
      await ctx.blob.abortUpload({ uploadId: longest });
    },
  },
  {
    id: "blob.append.22/named",
    title: "nor is such an id looked up or aborted",
    async run(ctx) {
      for (const uploadId of badIds) {
        await expectFault(ctx.blob.getUpload({ uploadId }), "INVALID_FIELD");
        await expectFault(ctx.blob.abortUpload({ uploadId }), "INVALID_FIELD");
      }
    },
  },
];
