/** List and Count of the blob store: the rules of both stores (lists.ts), and pages that anybody can serve. */
import assert from "node:assert/strict";
import type { Calls, Context, Test } from "../contract.ts";
import { putMany, remove } from "./blob-calls.ts";
import { names } from "./key-sets.ts";
import { type ListedStore, listTests } from "./lists.ts";

const store: ListedStore = {
  kind: "blob",
  put: (peer, keys) => putMany(peer, keys),
  remove: (peer, keys) => remove(peer, ...keys),
  list: (peer, request) => peer.blob.list(request),
  count: (peer, prefix) => peer.blob.count({ prefix }),
};

/** Page by page, each asked by another caller. */
async function pages(ctx: Context, peerOf: (page: number) => Promise<Calls>): Promise<void> {
  const keys = names(ctx.prefix, 24);
  await putMany(ctx, keys);
  await ctx.sleep(ctx.limits("blob").listLagMs);
  const listed = new Set<string>();
  for (let startAfter = "", page = 0; page < 24; page++) {
    const peer = await peerOf(page);
    const { items } = await peer.blob.list({ prefix: ctx.prefix, startAfter, limit: 5 });
    for (const { key } of items) listed.add(key);
    const last = items.at(-1)?.key ?? startAfter;
    if (last === startAfter) break;
    startAfter = last;
  }
  const missing = keys.filter((key) => !listed.has(key));
  assert.deepEqual(missing, [], "keys that were there all the time are on no page");
}

export const blobListTests: readonly Test[] = [
  ...listTests(store),
  {
    id: "blob.list.06",
    title: "the next page needs nothing of the one before: another connection gets it as well",
    async run(ctx) {
      await pages(ctx, async () => ctx.connect());
    },
  },
  {
    id: "blob.list.06/restarted",
    title: "also after the driver was killed and came back",
    requires: { start: true, capability: "DURABLE" },
    timeoutMs: 90_000,
    async run(ctx) {
      await pages(ctx, async (page) => {
        if (page % 3 === 1) {
          await ctx.driver.kill();
          await ctx.driver.start();
        }
        return ctx.connect();
      });
    },
  },
];
