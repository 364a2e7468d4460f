/** What the meta store keeps, and what never comes again: after deletes, and after its process was killed. */
import assert from "node:assert/strict";
import type { Calls, Test } from "../contract.ts";
import { names } from "./key-sets.ts";
import { etagOf, get, put, putMany, remove, texts, write } from "./meta-calls.ts";

export const metaLastingTests: readonly Test[] = [
  {
    id: "meta.etag.01",
    title: "every put makes an etag that its key never had, also of the same value",
    async run(ctx) {
      const key = ctx.key();
      const seen = new Set<string>();
      for (let turn = 0; turn < 25; turn++) {
        await write(ctx, put(key, turn % 2 === 0 ? "same" : "other"));
        fresh(seen, await etagOf(ctx, key), `put ${turn}`);
      }
    },
  },
  {
    id: "meta.etag.01/deleted",
    title: "also after the key was deleted, alone and among others",
    async run(ctx) {
      const keys = names(ctx.prefix, 4);
      const seen = new Map(keys.map((key) => [key, new Set<string>()]));
      for (let turn = 0; turn < 10; turn++) {
        await putMany(ctx, keys, "same");
        for (const [key, { etag }] of await get(ctx, keys)) fresh(seen.get(key), etag, `${key}, turn ${turn}`);
        await write(ctx, ...(turn % 2 === 0 ? keys : keys.slice(0, 2)).map((key) => remove(key)));
      }
    },
  },
  {
    id: "meta.etag.01/at-once",
    title: "also where many put it at once",
    async run(ctx) {
      const key = ctx.key();
      const seen = new Set<string>();
      const work = async (peer: Calls) => {
        for (let turn = 0; turn < 8; turn++) {
          const { results } = await write(peer, put(key, "same"));
          // That there is one is meta.write.06's.
          if (results[0]?.etag) fresh(seen, results[0].etag, `put ${seen.size}`);
        }
      };
      await Promise.all([ctx.connect(), ctx.connect(), ctx.connect(), ctx.connect()].map(work));
    },
  },
  {
    id: "meta.etag.01/restarted",
    title: "also after the driver was killed and came back",
    requires: { start: true },
    timeoutMs: 90_000,
    async run(ctx) {
      const keys = names(ctx.prefix, 4);
      const seen = new Map(keys.map((key) => [key, new Set<string>()]));
      for (let life = 0; life < 3; life++) {
        const peer = ctx.connect();
        for (let turn = 0; turn < 4; turn++) {
          await putMany(peer, keys, "same");
          for (const [key, { etag }] of await get(peer, keys)) fresh(seen.get(key), etag, `${key}, life ${life}`);
          await write(peer, ...keys.slice(0, 1 + turn).map((key) => remove(key)));
        }
        await ctx.driver.kill();
        await ctx.driver.start();
      }
    },
  },
  {
    id: "meta.durable.01",
    title: "what was acknowledged is there after kill -9: puts, overwrites, deletes",
    requires: { capability: "DURABLE", start: true },
    timeoutMs: 90_000,
    async run(ctx) {
      const keys = names(ctx.prefix, 30);
      const due = new Map<string, string>();
      for (let life = 0; life < 3; life++) {
        const peer = ctx.connect();
        assert.deepEqual(await shown(peer, keys), shape(due), `after ${life} kills`);
        for (let turn = 0; turn < 12; turn++) {
          const some = ctx.random.shuffled(keys).slice(0, ctx.random.between(1, 8));
          const there = some.filter((key) => due.has(key));
          const gone = there.length > 0 && ctx.random.next() < 0.3;
          const chosen = gone ? there : some;
          const value = `life ${life} turn ${turn}`;
          await write(peer, ...chosen.map((key) => (gone ? remove(key) : put(key, value))));
          for (const key of chosen) {
            if (gone) due.delete(key);
            else due.set(key, value);
          }
        }
        await ctx.driver.kill();
        await ctx.driver.start();
      }
      assert.deepEqual(await shown(ctx.connect(), keys), shape(due), "after the last kill");

      function shape(values: ReadonlyMap<string, string>): (string | undefined)[] {
        return keys.map((key) => values.get(key));
      }
    },
  },
  {
    id: "meta.durable.01/under-way",
    title: "killed in the middle of Writes it keeps each whole or not at all, and every acknowledged one",
    requires: { capability: "DURABLE", start: true },
    timeoutMs: 90_000,
    async run(ctx) {
      const writers = 4;
      const keysOf = (writer: number) => names(ctx.prefix, 12, `w${writer}-`);
      const sent = Array<number>(writers).fill(0);
      const kept = Array<number>(writers).fill(0);
      const value = (turn: number) => `${turn} ${"x".repeat(2000)}`;
      for (let life = 0; life < 3; life++) {
        let enough: () => void = () => {};
        const busy = new Promise<void>((resolve) => {
          enough = resolve;
        });
        const from = Math.max(...kept);
        const work = async (writer: number) => {
          const peer = ctx.connect();
          for (;;) {
            const turn = (sent[writer] ?? 0) + 1;
            sent[writer] = turn;
            try {
              await peer.meta.write({ operations: keysOf(writer).map((key) => put(key, value(turn))) });
            } catch {
              return; // The kill: whether this one happened is open.
            }
            kept[writer] = turn;
            if (turn > from + 4 + 3 * life) enough();
          }
        };
        const working = Promise.all(sent.map((_, writer) => work(writer)));
        await Promise.race([busy, working]);
        await ctx.driver.kill();
        await working;
        await ctx.driver.start();
        const peer = ctx.connect();
        for (let writer = 0; writer < writers; writer++) {
          const found = new Set(await texts(peer, keysOf(writer)));
          const turns = [...found].map((text) => (text === undefined ? 0 : Number(text.split(" ")[0])));
          assert.equal(turns.length, 1, `a Write is there in part: of the turns ${turns} (0: nothing)`);
          const [turn = -1] = turns;
          const [least, most] = [kept[writer] ?? 0, sent[writer] ?? 0];
          assert.ok(turn >= least && turn <= most, `turn ${turn} is there; ${least} was acknowledged, ${most} sent`);
          kept[writer] = turn;
          sent[writer] = turn;
        }
      }
    },
  },
];

function fresh(seen: Set<string> | undefined, etag: string, what: string): void {
  assert.ok(!seen?.has(etag), `${what}: the etag "${etag}" was the key's before`);
  seen?.add(etag);
}

async function shown(peer: Calls, keys: readonly string[]): Promise<(string | undefined)[]> {
  return texts(peer, keys);
}
