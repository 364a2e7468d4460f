/** Blobs seen and changed through two processes. */
import assert from "node:assert/strict";
import type { Test } from "../../contract.ts";
import { expectFault } from "../../faults.ts";
import { assertSame, committed, readAll, sizeOf } from "../uploads/steps.ts";
import { replicaOf } from "./pair.ts";

const requires = { store: "blob", capability: "REPLICAS" } as const;

export const blobTests: readonly Test[] = [
  {
    id: "blob.visible.02/replica",
    title: "a Stat or Read through the replica that starts after a change was acknowledged sees it",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      for (let round = 0; round < 6; round++) {
        const [here, there] = round % 2 === 0 ? [ctx, other] : [other, ctx];
        const [key, destination] = [ctx.key(), ctx.key()];
        const seen = async (what: string, at: string, data: Buffer | undefined) => {
          assert.equal(await sizeOf(there, at), data?.length, `Stat through the other replica after ${what}: size`);
          if (data !== undefined) assertSame(await readAll(there, at), data, `Read through it after ${what}`);
        };
        const [first, second, third] = [200, 300, 400].map((size) => ctx.random.bytes(size)) as [
          Buffer,
          Buffer,
          Buffer,
        ];
        await here.blob.put({ key, data: first });
        await seen("a Put", key, first);
        await here.blob.put({ key, data: second });
        await seen("a Put over it", key, second);
        await committed({ ...ctx, blob: here.blob }, key, third);
        await seen("a commit", key, third);
        await here.blob.move({ source: key, destination }).rest();
        await seen("a Move, at its source,", key, undefined);
        await seen("a Move", destination, third);
        await here.blob.delete({ keys: [destination] });
        await seen("a Delete", destination, undefined);
      }
    },
  },
  {
    id: "blob.put.03/replica",
    title: "of Puts with if_absent through both at once exactly one succeeds",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      for (let round = 0; round < 10; round++) {
        const key = ctx.key();
        const contents = Array.from({ length: 4 }, () => ctx.random.bytes(100));
        const outcomes = await Promise.allSettled(
          contents.map((data, index) => (index % 2 === 0 ? ctx : other).blob.put({ key, data, ifAbsent: true })),
        );
        const winners = contents.filter((_, index) => outcomes[index]?.status === "fulfilled");
        assert.equal(winners.length, 1, `${winners.length} of 4 Puts succeeded`);
        for (const outcome of outcomes) {
          if (outcome.status === "rejected") await expectFault(Promise.reject(outcome.reason), "KEY_EXISTS");
        }
        assertSame(await readAll(other, key), winners[0] ?? Buffer.alloc(0), "the winner's bytes");
      }
    },
  },
  {
    id: "blob.list.06/replica",
    title: "pages of one listing may come from either process",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      const keys = Array.from({ length: 23 }, () => ctx.key()).sort();
      for (const [index, key] of keys.entries()) {
        await (index % 2 === 0 ? ctx : other).blob.put({ key, data: Buffer.from("x") });
      }
      const { listLagMs } = ctx.limits("blob");
      if (listLagMs > 0) await ctx.sleep(Math.min(listLagMs, 60_000));
      const seen: string[] = [];
      for (let page = 0, more = true, startAfter = ""; more; page++) {
        assert.ok(page <= keys.length, "more pages than keys");
        const answer = await (page % 2 === 0 ? ctx : other).blob.list({ prefix: ctx.prefix, startAfter, limit: 5 });
        seen.push(...answer.items.map(({ key }) => key));
        startAfter = seen.at(-1) ?? "";
        more = answer.more;
      }
      assert.deepEqual(seen, keys);
    },
  },
];
