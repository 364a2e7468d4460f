/** A page out of what was found: never more than its end is kept, whatever is looked at. */
import { bytewise } from "../../proto/keys.ts";
import type { ImageView } from "./contract.ts";
import type { Found } from "./facts.ts";
import { countOn, MAX_ITEMS, type Order, type Page } from "./page.ts";

export interface Selected<Item> {
  readonly items: readonly Item[];
  readonly total: number;
}

/** The first `keep` in an order, of any number. */
class Foremost<Item> {
  readonly #keep: number;
  readonly #compare: (a: Item, b: Item) => number;
  #items: Item[] = [];

  constructor(keep: number, compare: (a: Item, b: Item) => number) {
    this.#keep = keep;
    this.#compare = compare;
  }

  add(item: Item): void {
    this.#items.push(item);
    if (this.#items.length >= 2 * this.#keep + 100) this.#cut();
  }

  sorted(): readonly Item[] {
    this.#cut();
    return this.#items;
  }

  #cut(): void {
    this.#items = this.#items.sort(this.#compare).slice(0, this.#keep);
  }
}

/** @throws QueryError */
export function selectBy<Item>(
  found: Iterable<Item>,
  page: Page<unknown>,
  compare: (a: Item, b: Item) => number,
): Selected<Item> {
  const foremost = new Foremost(page.everything ? MAX_ITEMS : page.offset + page.limit, compare);
  let total = 0;
  for (const item of found) {
    total += 1;
    foremost.add(item);
  }
  const count = countOn(page, total);
  return { items: foremost.sorted().slice(page.offset, page.offset + count), total };
}

/** Of what comes in the order asked for. @throws QueryError */
export function selectInOrder<Item>(found: Iterable<Item>, page: Page<unknown>): Selected<Item> {
  const items: Item[] = [];
  const end = page.everything ? MAX_ITEMS : page.offset + page.limit;
  let total = 0;
  for (const item of found) {
    if (total >= page.offset && total < end) items.push(item);
    total += 1;
  }
  countOn(page, total);
  return { items, total };
}

/** Equals by name, then tag. What they are ordered by is looked up once of each. @throws QueryError */
export function selectImages(found: Iterable<Found>, page: Page): Selected<Found> {
  const keyOf = KEYS[page.order];
  if (keyOf === undefined) {
    return selectBy(found, page, page.order === "ALPHABETIC_DSC" ? (a, b) => byName(b, a) : byName);
  }
  const { items, total } = selectBy(keyed(found, keyOf), page, (a, b) => b.key - a.key || byName(a.image, b.image));
  return { items: items.map(({ image }) => image), total };
}

function* keyed(
  found: Iterable<Found>,
  keyOf: (image: ImageView) => number,
): Iterable<{ readonly image: Found; readonly key: number }> {
  for (const image of found) {
    const view = image.repository.image(image.tag.digest);
    yield { image, key: view === undefined ? 0 : keyOf(view) };
  }
}

/** Absent: names alone. */
const KEYS: Partial<Record<Order, (image: ImageView) => number>> = {
  UPDATE_TIME: ({ createdMs }) => createdMs,
  DOWNLOADS: ({ downloads }) => downloads,
};

function byName(a: Found, b: Found): number {
  return bytewise(a.repository.name, b.repository.name) || bytewise(a.tag.tag, b.tag.tag);
}
