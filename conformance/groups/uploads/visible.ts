/** What readers see of a change: all of it or nothing, at once, and nothing else. */
import assert from "node:assert/strict";
import type { Calls, Context, Test } from "../../contract.ts";
import { Fault } from "../../faults.ts";
import {
  assertSame,
  commitAnswer,
  committed,
  digestOf,
  readAll,
  reopen,
  sizeOf,
  uploaded,
  uploading,
} from "./steps.ts";

const MIB = 1024 * 1024;

export const visibleTests: readonly Test[] = [
  {
    id: "blob.visible.01/upload",
    title: "a commit becomes visible whole or not at all, to Stat, Read, List and Count",
    async run(ctx) {
      for (let round = 0; round < 3; round++) {
        const key = ctx.key();
        const data = ctx.random.bytes(3 * MIB);
        const { session } = await reopen(ctx, await uploaded(ctx, data));
        await session.send({ commit: { key, digest: digestOf(data) } });
        await whileLooking(ctx, key, [data], () => commitAnswer(session));
      }
    },
  },
  {
    id: "blob.visible.01/over",
    title: "and so does one over a key that holds something else, and a Put",
    async run(ctx) {
      const key = ctx.key();
      const [first, second, third] = [
        ctx.random.bytes(2 * MIB),
        ctx.random.bytes(3 * MIB),
        ctx.random.bytes(MIB),
      ] as const;
      await committed(ctx, key, first);
      const { session } = await reopen(ctx, await uploaded(ctx, second));
      await session.send({ commit: { key, digest: digestOf(second) } });
      await whileLooking(ctx, key, [first, second], () => commitAnswer(session));
      await whileLooking(ctx, key, [second, third], () => ctx.blob.put({ key, data: third }));
    },
  },
  {
    id: "blob.visible.02/upload",
    title: "a Stat or Read that starts after a change was acknowledged sees it",
    async run(ctx) {
      const other = ctx.connect();
      for (let round = 0; round < 5; round++) {
        const key = ctx.key();
        const destination = ctx.key();
        const seen = async (what: string, at: string, data: Buffer | undefined) => {
          assert.equal(await sizeOf(other, at), data?.length, `Stat after ${what}: size`);
          const bytes = await readOrAbsent(other, at);
          if (data === undefined || bytes === undefined) assert.equal(bytes, data, `Read after ${what}`);
          else assertSame(bytes, data, `Read after ${what}`);
        };
        const [first, second, third] = [
          ctx.random.bytes(1000),
          ctx.random.bytes(2000),
          ctx.random.bytes(3000),
        ] as const;
        await ctx.blob.put({ key, data: first });
        await seen("a Put", key, first);
        await ctx.blob.put({ key, data: second });
        await seen("a Put over it", key, second);
        await committed(ctx, key, third);
        await seen("a commit", key, third);
        await ctx.blob.move({ source: key, destination }).rest();
        await seen("a Move, at its source,", key, undefined);
        await seen("a Move", destination, third);
        await ctx.blob.delete({ keys: [destination] });
        await seen("a Delete", destination, undefined);
      }
    },
  },
  {
    id: "blob.visible.03/upload",
    title: "bytes under a key stay as they are whatever happens to other keys and uploads of the same bytes",
    async run(ctx) {
      const data = ctx.random.bytes(300_000);
      const [key, twin, moved] = [ctx.key(), ctx.key(), ctx.key()];
      const { info } = await committed(ctx, key, data);
      const unchanged = async (what: string) => {
        const { results } = await ctx.blob.stat({ keys: [key] });
        assert.equal(results[0]?.info?.etag, info?.etag, `the etag after ${what}`);
        assertSame(await readAll(ctx, key), data, `the bytes after ${what}`);
      };
      await committed(ctx, twin, data);
      await unchanged("a commit of the same bytes to another key");
      await ctx.blob.put({ key: twin, data: ctx.random.bytes(10) });
      await unchanged("that key was overwritten");
      await committed(ctx, twin, data);
      await ctx.blob.move({ source: twin, destination: moved }).rest();
      await ctx.blob.delete({ keys: [moved] });
      await unchanged("that key was moved and deleted");
      const { uploadId, session } = await uploading(ctx, data.subarray(0, 1000));
      await unchanged("an upload of its first bytes was begun");
      session.halfClose();
      await session.rest();
      await ctx.blob.abortUpload({ uploadId });
      await unchanged("that upload was aborted");
    },
  },
];

/** Looks at the key by every call until `change` is done: each look must show one of the contents whole, or nothing. */
async function whileLooking(
  ctx: Context,
  key: string,
  contents: readonly Buffer[],
  change: () => Promise<unknown>,
): Promise<void> {
  const sizes = contents.map((data) => data.length);
  const fits = (size: number | undefined, how: string) =>
    assert.ok(
      size === undefined || sizes.includes(size),
      `${how} shows ${size} bytes; whole are ${sizes.join(" or ")}`,
    );
  let over = false;
  const looking = (async () => {
    const calls = ctx.connect();
    while (!over) {
      fits(await sizeOf(calls, key), "Stat");
      const { items } = await calls.blob.list({ prefix: key });
      fits(items.find((item) => item.key === key)?.size, "List");
      const { count, exact } = await calls.blob.count({ prefix: key });
      if (exact) assert.ok(count <= 1, `Count shows ${count} where there is one key at most`);
      const bytes = await readOrAbsent(calls, key);
      const whole = bytes === undefined || contents.some((data) => data.equals(bytes));
      assert.ok(whole, `Read gave ${bytes?.length} bytes that are none of the contents`);
    }
  })();
  // Heard at the end, or at once when it fails first.
  looking.catch(() => {});
  try {
    await change();
  } finally {
    over = true;
  }
  await looking;
}

/** @returns `undefined` where the key is absent, or a Read was ended because its content went away */
async function readOrAbsent(calls: Calls, key: string): Promise<Buffer | undefined> {
  try {
    return await readAll(calls, key);
  } catch (error) {
    if (error instanceof Fault && error.reason !== undefined) return undefined;
    throw error;
  }
}
