/** The meta store through two processes. */
import assert from "node:assert/strict";
import type { OperationInput } from "../../../proto/gen/outrigger/meta/v1/Operation.ts";
import type { Calls, Context, Test } from "../../contract.ts";
import { Fault } from "../../faults.ts";
import { replicaOf } from "./pair.ts";

const requires = { store: "meta", capability: "REPLICAS" } as const;

export const metaTests: readonly Test[] = [
  {
    id: "meta.seen.01/replica",
    title: "every acknowledged Write is seen by each later Get, List and Count through the replica",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      const keys = Array.from({ length: 6 }, () => ctx.key()).sort();
      for (let round = 0; round < 8; round++) {
        const [here, there] = round % 2 === 0 ? [ctx, other] : [other, ctx];
        const kept = keys.filter((_, index) => (index + round) % 3 !== 0);
        const value = `round ${round}`;
        const operations = keys.map(
          (key): OperationInput => (kept.includes(key) ? { key, put: Buffer.from(value) } : { key, delete: {} }),
        );
        await writeUntilDone(here, operations);
        const { results } = await there.meta.get({ keys });
        const due = keys.map((key) => (kept.includes(key) ? value : undefined));
        assert.deepEqual(
          results.map(({ item }) => (item ? Buffer.from(item.value).toString() : undefined)),
          due,
          "Get",
        );
        const { items } = await there.meta.list({ prefix: ctx.prefix });
        assert.deepEqual(
          items.map(({ key, value }) => `${key} ${Buffer.from(value)}`),
          kept.map((key) => `${key} ${value}`),
        );
        const { count, exact } = await there.meta.count({ prefix: ctx.prefix });
        if (exact) assert.equal(count, kept.length, "Count");
      }
    },
  },
  {
    id: "meta.write.03/replica",
    title: "of Writes that race for one condition through both exactly one wins",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      const key = ctx.key();
      let etag = "";
      for (let round = 0; round < 15; round++) {
        const condition = etag === "" ? { ifAbsent: {} } : { ifEtag: etag };
        const racers = [ctx, other, ctx, other].map((calls, index) =>
          raced(calls, { key, put: Buffer.from(`${round} by ${index}`), ...condition }),
        );
        const won = (await Promise.all(racers))
          .map((etag, index) => ({ etag, index }))
          .filter((one) => one.etag !== "");
        assert.equal(won.length, 1, `${won.length} of 4 Writes on one condition were done`);
        etag = won[0]?.etag ?? "";
        const { results } = await other.meta.get({ keys: [key] });
        assert.equal(results[0]?.item?.etag, etag, "the etag that is there is the winner's");
        assert.equal(Buffer.from(results[0]?.item?.value ?? "").toString(), `${round} by ${won[0]?.index}`);
      }
    },
  },
  {
    id: "meta.write.03/replica-count",
    title: "a number that both count up by etag at once loses no step",
    requires,
    timeoutMs: 60_000,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      const key = ctx.key();
      await ctx.meta.write({ operations: [{ key, put: Buffer.from("0") }] });
      const counters = [ctx, other, ctx, other].map((calls) => countUp(ctx, calls, key, 12));
      await Promise.all(counters);
      const { results } = await ctx.meta.get({ keys: [key] });
      assert.equal(Buffer.from(results[0]?.item?.value ?? "").toString(), "48");
    },
  },
  {
    id: "meta.get.03/replica",
    title: "one Get never sees half of a Write that came through the replica",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      const keys = Array.from({ length: 20 }, () => ctx.key());
      const put = (round: number) => keys.map((key) => ({ key, put: Buffer.from(String(round)) }));
      await writeUntilDone(other, put(0));
      let over = false;
      const writing = (async () => {
        for (let round = 1; !over && round < 10_000; round++) await writeUntilDone(other, put(round));
      })();
      writing.catch(() => {});
      try {
        for (let look = 0; look < 60; look++) {
          const { results } = await ctx.meta.get({ keys });
          const values = new Set(results.map(({ item }) => Buffer.from(item?.value ?? "").toString()));
          assert.equal(values.size, 1, `one Get shows keys of one Write as ${[...values].join(", ")}`);
        }
      } finally {
        over = true;
      }
      await writing;
    },
  },
  {
    id: "meta.etag.01/replica",
    title: "no etag of a key comes twice, through whichever process it was put or deleted",
    requires,
    async run(ctx) {
      const { other } = replicaOf(ctx);
      const key = ctx.key();
      const seen = new Set<string>();
      for (let round = 0; round < 20; round++) {
        const calls = ctx.random.pick([ctx, other]);
        if (ctx.random.between(0, 3) === 0) await writeUntilDone(calls, [{ key, delete: {} }]);
        const etag = (await writeUntilDone(calls, [{ key, put: Buffer.from("x") }]))[0] ?? "";
        assert.ok(!seen.has(etag), `etag ${etag} was given to this key before`);
        seen.add(etag);
      }
    },
  },
];

/** A Write that contention may refuse and a repetition may win. @returns the etags */
async function writeUntilDone(calls: Calls, operations: OperationInput[]): Promise<string[]> {
  for (let times = 0; ; times++) {
    try {
      const { results } = await calls.meta.write({ operations });
      return results.map(({ etag }) => etag);
    } catch (error) {
      if (!(error instanceof Fault) || error.reason !== "CONFLICT" || times === 50) throw error;
    }
  }
}

/** @returns the etag of the one that won, "" for one that lost */
async function raced(calls: Calls, operation: OperationInput): Promise<string> {
  try {
    return (await writeUntilDone(calls, [operation]))[0] ?? "";
  } catch (error) {
    if (error instanceof Fault && error.reason === "CONDITION_FAILED") return "";
    throw error;
  }
}

async function countUp(ctx: Context, calls: Calls, key: string, steps: number): Promise<void> {
  for (let done = 0, tries = 0; done < steps; tries++) {
    assert.ok(tries < 2000, `${tries} tries for ${done} steps: somebody never wins`);
    ctx.signal.throwIfAborted();
    const { results } = await calls.meta.get({ keys: [key] });
    const { value, etag } = results[0]?.item ?? { value: Buffer.from("0"), etag: "" };
    const next = Buffer.from(String(Number(Buffer.from(value).toString()) + 1));
    if ((await raced(calls, { key, put: next, ifEtag: etag })) !== "") done++;
  }
}
