/** Pages of several listings, of the same request, as one page. */
import type { Page } from "../client/contract.ts";
import { bytewise } from "../proto/keys.ts";
import { limits } from "../proto/limits.ts";

/** Bytewise ascending, each key once, the first page's item where several have it; at most `limit`. */
export function mergePages<Item>(
  pages: readonly Page<Item>[],
  keyOf: (item: Item) => string,
  limit: number = limits.listItems,
): Page<Item> {
  // A page that goes on says nothing about what comes after its last key, nor about anything where it has none.
  const ends = pages.filter(({ more }) => more).map(({ items }) => items.map(keyOf).at(-1) ?? "");
  const [end] = ends.sort(bytewise);
  const byKey = new Map<string, Item>();
  for (const { items } of [...pages].reverse()) for (const item of items) byKey.set(keyOf(item), item);
  const keys = [...byKey.keys()].filter((key) => end === undefined || key <= end).sort(bytewise);
  const items = keys.slice(0, limit).map((key) => byKey.get(key) as Item);
  const more = end !== undefined || keys.length > limit;
  return { items, more };
}
