/** Writes over kill -9. */
import assert from "node:assert/strict";
import type { Calls, Context, Test } from "../../contract.ts";
import { beforeTheKill, killAndStart } from "./lives.ts";

const requires = { store: "meta", capability: "DURABLE" } as const;

export const metaTests: readonly Test[] = [
  {
    id: "meta.durable.01/killed",
    title: "a Write or delete that was answered survives kill -9, and no Write is there by half",
    requires,
    timeoutMs: 60_000,
    async run(ctx) {
      const gone = Array.from({ length: 10 }, () => ctx.key());
      await ctx.meta.write({ operations: gone.map((key) => ({ key, put: Buffer.from("x") })) });
      await ctx.meta.write({ operations: gone.map((key) => ({ key, delete: {} })) });
      const sets = Array.from({ length: 4 }, (_, set) => newSet(ctx, set));
      let calls: Calls = ctx;
      for (let life = 0; life < 2; life++) {
        const writing = new AbortController();
        const writers = sets.map((set) => write(calls, set, writing.signal));
        await ctx.sleep(ctx.random.between(80, 250));
        const next = killAndStart(ctx);
        await Promise.all(writers);
        writing.abort();
        calls = await next;
        for (const set of sets) await assertWhole(calls, set);
        const { results } = await calls.meta.get({ keys: gone });
        const back = results.filter(({ item }) => item).map(({ key }) => key);
        assert.deepEqual(back, [], "keys that were taken away before");
      }
    },
  },
];

/** Keys that are always written together. */
interface KeySet {
  readonly keys: readonly string[];
  /** Of the last Write that was sent, and of the last that was answered. */
  sent: number;
  answered: number;
}

function newSet(ctx: Context, set: number): KeySet {
  return { keys: Array.from({ length: 12 }, (_, index) => ctx.key(`s${set}-${index}`)), sent: 0, answered: 0 };
}

/** One Write after another until the driver is gone. */
async function write(calls: Calls, set: KeySet, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const value = Buffer.from(String(++set.sent).padEnd(200, " "));
    const operations = set.keys.map((key) => ({ key, put: value }));
    if ((await beforeTheKill(calls.meta.write({ operations }))) === undefined) return;
    set.answered = set.sent;
  }
}

async function assertWhole(calls: Calls, set: KeySet): Promise<void> {
  const { results } = await calls.meta.get({ keys: [...set.keys] });
  const values = results.map(({ item }) => (item ? Number(Buffer.from(item.value).toString()) : 0));
  const [first = 0] = values;
  assert.ok(
    values.every((value) => value === first),
    `keys that are only written together hold ${values.join(", ")}: half a Write`,
  );
  assert.ok(first >= set.answered, `Write ${set.answered} was answered, and Write ${first} is what is there`);
  assert.ok(first <= set.sent, `Write ${first} is there, and ${set.sent} was the last one sent`);
  set.sent = Math.max(set.sent, first);
  set.answered = first;
}
