/** Random choices that can be made again: every one comes from a seed, which a failing test's report shows. */
import type { TestContext } from "node:test";

/** From OUTRIGGER_TEST_SEED, else a new one; for tests that tell it in their titles. */
export function newSeed(): number {
  const given = process.env["OUTRIGGER_TEST_SEED"];
  return given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
}

/** `newSeed`, told in the test's report. */
export function seedOf(t: Pick<TestContext, "diagnostic">): number {
  const seed = newSeed();
  t.diagnostic(`seed ${seed}: repeat with OUTRIGGER_TEST_SEED=${seed}`);
  return seed;
}

export interface Random {
  /** In [0, 1). */
  next(): number;
  /** A whole number from `from` up to and with `to`. */
  between(from: number, to: number): number;
  /** One of them. */
  pick<Item>(items: readonly Item[]): Item;
}

/** mulberry32: small, and the same everywhere. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (from: number, to: number) => from + Math.floor(next() * (to - from + 1));
  return {
    next,
    between,
    pick(items) {
      const item = items[between(0, items.length - 1)];
      if (item === undefined) throw new RangeError("nothing to pick from");
      return item;
    },
  };
}
