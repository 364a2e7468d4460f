/** Two sorted listings side by side, in the memory of two pages. */
import type { Page, PageRequest } from "../client/contract.ts";
import type { Patience } from "./patience.ts";

export interface Keyed {
  readonly key: string;
}

/** A key of either side, or of both. */
export interface Pair<Item extends Keyed> {
  readonly key: string;
  readonly from: Item | undefined;
  readonly to: Item | undefined;
}

/** Above every key that begins with `prefix`: keys are ASCII below DEL. */
export function afterAll(prefix: string): string {
  return `${prefix}\x7f`;
}

/** Where a listing begins and ends. */
export interface Range {
  readonly prefix: string;
  /** Exclusive. */
  readonly startAfter?: string;
  /** Exclusive. */
  readonly endBefore?: string;
}

/** A range's pages; one that fails while its store is away is asked again. */
export async function* pagesOf<Item extends Keyed>(
  list: (request: PageRequest) => Promise<Page<Item>>,
  range: Range,
  patience: Patience,
): AsyncGenerator<readonly Item[], void, undefined> {
  let { startAfter } = range;
  for (;;) {
    const request = { prefix: range.prefix, ...(startAfter === undefined ? {} : { startAfter }) };
    const page = await patience.run(() => list(request));
    const { endBefore } = range;
    const items = endBefore === undefined ? page.items : page.items.filter(({ key }) => key < endBefore);
    if (items.length > 0) yield items;
    startAfter = page.items.at(-1)?.key;
    if (!page.more || startAfter === undefined || items.length < page.items.length) return;
  }
}

/** Batches of pairs, ascending by key over all. */
export async function* joined<Item extends Keyed>(
  from: AsyncIterable<readonly Item[]>,
  to: AsyncIterable<readonly Item[]>,
): AsyncGenerator<readonly Pair<Item>[], void, undefined> {
  const [left, right] = [new Side(from), new Side(to)];
  try {
    for (;;) {
      await Promise.all([left.fill(), right.fill()]);
      if (left.isEmpty && right.isEmpty) return;
      const batch: Pair<Item>[] = [];
      // Only as far as both sides are known.
      while (!left.isEmpty || !right.isEmpty) {
        if ((left.isEmpty && !left.ended) || (right.isEmpty && !right.ended)) break;
        const [one, other] = [left.first, right.first];
        const key = one === undefined || (other !== undefined && other.key < one.key) ? other?.key : one.key;
        if (key === undefined) break;
        batch.push({ key, from: left.take(key), to: right.take(key) });
      }
      if (batch.length > 0) yield batch;
    }
  } finally {
    await Promise.all([left.close(), right.close()]);
  }
}

class Side<Item extends Keyed> {
  readonly #pages: AsyncIterator<readonly Item[]>;
  #page: readonly Item[] = [];
  #at = 0;
  ended = false;

  constructor(pages: AsyncIterable<readonly Item[]>) {
    this.#pages = pages[Symbol.asyncIterator]();
  }

  get isEmpty(): boolean {
    return this.#at >= this.#page.length;
  }

  get first(): Item | undefined {
    return this.#page[this.#at];
  }

  async fill(): Promise<void> {
    while (this.isEmpty && !this.ended) {
      const next = await this.#pages.next();
      if (next.done) this.ended = true;
      else {
        this.#page = next.value;
        this.#at = 0;
      }
    }
  }

  take(key: string): Item | undefined {
    const { first } = this;
    if (first?.key !== key) return undefined;
    this.#at += 1;
    return first;
  }

  async close(): Promise<void> {
    await this.#pages.return?.();
  }
}
