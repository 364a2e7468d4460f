/** Pages of several listings, of the same request, as one page. */
import type { Page } from "../client/contract.ts";
import { bytewise } from "../proto/keys.ts";
import { limits } from "../proto/limits.ts";

/**
 * Bytewise ascending, each key once, the first page's item where several have it; at most `limit`.
 * @param pages each in that order
 */
export function mergePages<Item>(
  pages: readonly Page<Item>[],
  keyOf: (item: Item) => string,
  limit: number = limits.listItems,
): Page<Item> {
  const heads = pages.map(({ items, more }) => ({ items, more, at: 0 }));
  const merged: Item[] = [];
  for (;;) {
    let least: string | undefined;
    let first: Item | undefined;
    for (const { items, more, at } of heads) {
      const item = items[at];
      // A page that goes on says nothing about what comes after its last key, nor about anything where it has none.
      if (item === undefined && more) return { items: merged, more: true };
      if (item === undefined) continue;
      const key = keyOf(item);
      if (least === undefined || bytewise(key, least) < 0) [least, first] = [key, item];
    }
    if (least === undefined || first === undefined) return { items: merged, more: false };
    if (merged.length === limit) return { items: merged, more: true };
    merged.push(first);
    for (const head of heads) {
      const item = head.items[head.at];
      if (item !== undefined && keyOf(item) === least) head.at += 1;
    }
  }
}
