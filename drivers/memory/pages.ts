/** A page of a tree in key order. */
import sortedBtree from "sorted-btree";
import type { Page, PageRequest } from "../../server/contract.ts";

export const SortedMap = sortedBtree.default;
export type SortedMap<Value> = sortedBtree.default<string, Value>;

/** Keys are ASCII, so that the order of strings is the order of bytes. */
export function pageOf<Value>(tree: SortedMap<Value>, { prefix, startAfter, limit }: PageRequest): Page<Value> {
  const items: Value[] = [];
  for (const [key, value] of tree.entries(startAfter > prefix ? startAfter : prefix)) {
    if (key <= startAfter) continue;
    if (!key.startsWith(prefix)) break;
    if (items.length === limit) return { items, more: true };
    items.push(value);
  }
  return { items, more: false };
}
