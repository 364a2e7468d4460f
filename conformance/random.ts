/** Random choices that can be made again from a seed. */
import { createHash } from "node:crypto";

export interface Random {
  /** In [0, 1). */
  next(): number;
  /** A whole number from `from` up to and with `to`. */
  between(from: number, to: number): number;
  pick<Item>(items: readonly Item[]): Item;
  /** In another order. */
  shuffled<Item>(items: readonly Item[]): Item[];
  bytes(size: number): Buffer;
  /** `length` of [0-9a-f]. */
  hex(length: number): string;
}

/** The same for the same seed and name, here and everywhere. */
export function randomOf(seed: number, name: string): Random {
  // mulberry32, started from a hash so that neighbouring seeds and names have nothing in common.
  let state = createHash("sha256").update(`${seed} ${name}`).digest().readUInt32LE(0);
  const word = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const next = () => word() / 2 ** 32;
  const between = (from: number, to: number) => from + Math.floor(next() * (to - from + 1));
  return {
    next,
    between,
    pick(items) {
      const item = items[between(0, items.length - 1)];
      if (item === undefined) throw new RangeError("nothing to pick from");
      return item;
    },
    shuffled(items) {
      return items
        .map((item) => ({ item, at: next() }))
        .sort((a, b) => a.at - b.at)
        .map(({ item }) => item);
    },
    bytes(size) {
      const words = new Uint32Array(Math.ceil(size / 4));
      for (let at = 0; at < words.length; at++) words[at] = word();
      return Buffer.from(words.buffer, 0, size);
    },
    hex(length) {
      let text = "";
      while (text.length < length) text += word().toString(16).padStart(8, "0");
      return text.slice(0, length);
    },
  };
}
