/** The one source of chance: sfc32, seeded by a number. The same seed gives the same schedule, on any machine. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d = 1;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 0x1_0000_0000) | 0;
    this.#c = 0x9e3779b9 | 0;
    for (let i = 0; i < 12; i++) this.next();
  }

  /** 0 to 2^32 - 1. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + sum) | 0;
    return sum >>> 0;
  }

  /** 0 to just below 1. */
  fraction(): number {
    return this.next() / 0x1_0000_0000;
  }

  /** 0 to below - 1. */
  below(below: number): number {
    return Math.floor(this.fraction() * below);
  }

  /** Both ends included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(probability: number): boolean {
    return probability > 0 && this.fraction() < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error("pick from nothing");
    return item;
  }

  /** By weight; at least one weight is above 0. */
  weighted<Name extends string>(weights: Readonly<Record<Name, number>>): Name {
    const names = Object.keys(weights) as Name[];
    let left = this.fraction() * names.reduce((sum, name) => sum + weights[name], 0);
    for (const name of names) {
      left -= weights[name];
      if (left < 0) return name;
    }
    return names[names.length - 1] as Name;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let i = 0; i < length; i++) bytes[i] = this.next() & 0xff;
    return bytes;
  }

  /** Another stream of chance that this one's later use does not change. */
  fork(): Random {
    return new Random(this.next() * 0x10_0000 + (this.next() & 0xf_ffff));
  }
}

/** Spreads neighbouring numbers over the whole range, so that schedule n and n + 1 have nothing in common. */
export function mixSeed(seed: number, index: number): number {
  const random = new Random(seed * 0x1_0000 + index);
  return random.next() * 0x10_0000 + (random.next() & 0xf_ffff);
}
