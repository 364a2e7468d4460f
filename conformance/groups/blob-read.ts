/** Read: a blob's bytes and ranges of them. */
import assert from "node:assert/strict";
import { limits } from "../../proto/limits.ts";
import type { Context, Test } from "../contract.ts";
import { expectFault, Fault } from "../faults.ts";
import { etagOf, move, put, read, remove, upload } from "./blob-calls.ts";
import { naming } from "./naming.ts";

/** More than one chunk of any size that is allowed, and no round number. */
const LARGE = 3 * 1024 * 1024 + 7;

async function large(ctx: Context, size = LARGE): Promise<{ readonly key: string; readonly bytes: Buffer }> {
  const key = ctx.key();
  const bytes = ctx.random.bytes(size);
  await upload(ctx, ctx.uploadId(), key, bytes);
  return { key, bytes };
}

/** Ranges of a blob of so many bytes: offset and limit. */
function ranges(size: number): readonly { readonly offset?: number; readonly limit?: number }[] {
  return [
    {},
    { offset: 0 },
    { offset: 1 },
    { offset: Math.floor(size / 2) },
    { offset: size - 1 },
    { offset: 262_144 },
    { offset: 262_143, limit: 2 },
    { offset: 1_048_575, limit: 1_048_578 },
    { offset: 5, limit: size - 10 },
    { limit: 1 },
    { limit: 1_048_576 },
    { limit: 1_048_577 },
    { offset: 99, limit: 1 },
  ];
}

const words = ({ offset, limit }: { offset?: number; limit?: number }) =>
  `offset ${offset ?? "absent"}, limit ${limit ?? "absent"}`;

export const blobReadTests: readonly Test[] = [
  {
    id: "blob.read.01",
    title: "start comes first, exactly once, also for an empty range and an empty blob",
    async run(ctx) {
      const { key } = await large(ctx);
      const [small, empty] = [ctx.key("small"), ctx.key("empty")];
      await put(ctx, small, "twelve bytes");
      await put(ctx, empty, "");
      for (const request of [
        { key },
        { key, offset: LARGE - 10 },
        { key: small },
        { key: small, offset: 12 },
        { key: small, limit: 0 },
        { key: small, offset: 3, limit: 0 },
        { key: empty },
        { key: empty, limit: 5 },
      ]) {
        const messages = await ctx.blob.read(request).rest();
        const starts = messages.map(({ start }, index) => (start ? index : -1)).filter((index) => index >= 0);
        assert.deepEqual(starts, [0], `${words(request)}: start is at ${starts} of ${messages.length} messages`);
        const start = messages[0]?.start;
        assert.equal(start?.start, "offset" in request ? request.offset : 0, `${words(request)}: start.start`);
        assert.equal(start?.info?.key, request.key, `${words(request)}: start.info.key`);
      }
    },
  },
  {
    id: "blob.read.02",
    title: "every chunk has its absolute offset, contiguous from the offset asked, and the bytes that are there",
    async run(ctx) {
      const { key, bytes } = await large(ctx);
      for (const range of ranges(LARGE)) {
        let at = range.offset ?? 0;
        for (const { chunk } of await ctx.blob.read({ key, ...range }).rest()) {
          if (!chunk) continue;
          assert.equal(chunk.offset, at, `${words(range)}: the next byte is ${at}, the chunk's offset ${chunk.offset}`);
          const same = chunk.data.equals(bytes.subarray(at, at + chunk.data.length));
          assert.ok(same, `${words(range)}: the ${chunk.data.length} bytes at ${at} are others than were put`);
          at += chunk.data.length;
        }
      }
    },
  },
  {
    id: "blob.read.03",
    title: "OK comes only after every byte of the range",
    async run(ctx) {
      const { key, bytes } = await large(ctx);
      for (const range of ranges(LARGE)) {
        const due = bytes.subarray(range.offset ?? 0, (range.offset ?? 0) + (range.limit ?? LARGE));
        const got = await read(ctx, { key, ...range });
        assert.equal(got.bytes.length, due.length, `${words(range)}: ended with OK after so many bytes`);
      }
      for (const size of [0, 1, 262_143, 262_144, 262_145, 524_288, 1_048_576]) {
        const other = ctx.key(`of-${size}`);
        await put(ctx, other, ctx.random.bytes(size));
        const got = await read(ctx, { key: other });
        assert.equal(got.bytes.length, size, `a blob of ${size} bytes: ended with OK after so many`);
      }
    },
  },
  {
    id: "blob.read.03/slow",
    title: "also to a reader that stops in between",
    async run(ctx) {
      const { key, bytes } = await large(ctx, 12 * 1024 * 1024);
      const reading = ctx.blob.read({ key });
      let at = 0;
      for (let message = await reading.next(); message !== undefined; message = await reading.next()) {
        const data = message.chunk?.data ?? Buffer.alloc(0);
        if (at <= bytes.length / 2 && at + data.length > bytes.length / 2) await ctx.sleep(150);
        assert.ok(data.equals(bytes.subarray(at, at + data.length)), `other bytes than were put, from ${at} on`);
        at += data.length;
      }
      assert.equal(at, bytes.length, "ended with OK after so many bytes");
    },
  },
  {
    id: "blob.read.04",
    title: "an offset at the end is an empty range, one beyond it OFFSET_MISMATCH",
    async run(ctx) {
      const [some, empty] = [ctx.key("some"), ctx.key("empty")];
      await put(ctx, some, "ten  bytes");
      await put(ctx, empty, "");
      for (const [key, size] of [
        [some, 10],
        [empty, 0],
      ] as const) {
        for (const limit of [undefined, 0, 5]) {
          const range = limit === undefined ? {} : { limit };
          const got = await naming(`offset ${size} of ${size}`, read(ctx, { key, offset: size, ...range }));
          assert.deepEqual([got.length, got.bytes.length], [0, 0], `offset ${size} of ${size}`);
          for (const offset of [size + 1, size + 1_000_000, 2 ** 40]) {
            const reading = ctx.blob.read({ key, offset, ...range }).rest();
            await naming(`offset ${offset} of ${size}`, expectFault(reading, "OFFSET_MISMATCH"));
          }
        }
      }
    },
  },
  {
    id: "blob.read.05",
    title: "a limit past the end is cut to the end; 0 is an empty range, absent is to the end",
    async run(ctx) {
      const key = ctx.key();
      const text = "0123456789";
      await put(ctx, key, text);
      for (const offset of [undefined, 0, 4, 9]) {
        for (const limit of [undefined, 0, 1, 6, 10, 11, 1000, 2 ** 40]) {
          const range = { ...(offset === undefined ? {} : { offset }), ...(limit === undefined ? {} : { limit }) };
          const got = await naming(words(range), read(ctx, { key, ...range }));
          const due = text.slice(offset ?? 0, (offset ?? 0) + (limit ?? 10));
          assert.equal(got.length, due.length, `${words(range)}: start.length`);
          assert.ok(got.bytes.length <= due.length, `${words(range)}: ${got.bytes.length} bytes are more than asked`);
        }
      }
    },
  },
  {
    id: "blob.read.06",
    title: "another etag than if_etag is ETAG_MISMATCH before any byte",
    async run(ctx) {
      const key = ctx.key();
      await put(ctx, key, "first");
      const first = await etagOf(ctx, key);
      await naming("the blob's own etag", read(ctx, { key, ifEtag: first }));
      await put(ctx, key, "second");
      for (const [ifEtag, what] of [
        [first, "the etag of the content before"],
        ["an-etag-never-given", "an etag that is none"],
      ] as const) {
        for (const range of [{}, { offset: 2 }, { offset: 5 }, { limit: 0 }]) {
          const reading = ctx.blob.read({ key, ifEtag, ...range });
          const early = reading.next().then((message) => message && { ...message, what: "a message came first" });
          await naming(`${what}, ${words(range)}`, expectFault(early, "ETAG_MISMATCH"));
        }
      }
      await naming("the new etag", read(ctx, { key, ifEtag: await etagOf(ctx, key), offset: 1 }));
    },
  },
  {
    id: "blob.read.07",
    title: "an absent key is KEY_NOT_FOUND",
    async run(ctx) {
      const [never, deleted, above, moved] = ["never", "deleted", "above", "moved"].map((name) => ctx.key(name)) as [
        string,
        string,
        string,
        string,
      ];
      await put(ctx, deleted, "x");
      await put(ctx, moved, "x");
      await put(ctx, `${above}/below`, "x");
      await remove(ctx, deleted);
      await move(ctx, moved, ctx.key("elsewhere"));
      for (const key of [never, deleted, above, moved, `${above}/below2`]) {
        for (const range of [{}, { offset: 7 }, { limit: 0 }]) {
          const reading = ctx.blob.read({ key, ...range }).rest();
          await naming(`${key}, ${words(range)}`, expectFault(reading, "KEY_NOT_FOUND"));
        }
      }
    },
  },
  ...(["overwritten", "deleted", "moved"] as const).map(
    (how): Test => ({
      id: `blob.read.08/${how}`,
      title: `a blob that is ${how} meanwhile is read as it was, or ends in an error`,
      timeoutMs: 60_000,
      async run(ctx) {
        const { key, bytes } = await large(ctx, 12 * 1024 * 1024);
        const other = ctx.key("other");
        if (how === "overwritten") await upload(ctx, ctx.uploadId(), other, ctx.random.bytes(bytes.length));
        const reading = ctx.connect().blob.read({ key });
        let at = 0;
        let ended = "OK";
        try {
          for (let messages = 0; ; messages++) {
            const message = await reading.next();
            if (message === undefined) break;
            // The driver is ahead by what the connection holds, and no further.
            if (messages === 1) await change();
            const data = message.chunk?.data ?? Buffer.alloc(0);
            const same = data.equals(bytes.subarray(at, at + data.length));
            assert.ok(same, `from ${at} on the bytes are not those of the content that was begun with`);
            at += data.length;
          }
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
          ended = `${error.code} / ${error.reason}`;
        }
        ctx.note(`ended with ${ended} after ${at} of ${bytes.length} bytes`);

        async function change(): Promise<void> {
          if (how === "overwritten") await move(ctx, other, key);
          else if (how === "moved") await move(ctx, key, other);
          else await remove(ctx, key);
          if (how !== "overwritten") await put(ctx, key, "short");
        }
      },
    }),
  ),
  {
    id: "blob.read.09",
    title: "no chunk holds more than 1 MiB",
    async run(ctx) {
      const { key } = await large(ctx, 5 * 1024 * 1024);
      for (const range of [{}, { limit: 2 * 1024 * 1024 }, { offset: 1, limit: 1_048_577 }]) {
        for (const { chunk } of await ctx.blob.read({ key, ...range }).rest()) {
          const size = chunk?.data.length ?? 0;
          assert.ok(size <= limits.chunkBytes, `${words(range)}: a chunk of ${size} bytes`);
        }
      }
    },
  },
];
