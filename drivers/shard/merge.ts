/** Pages of several shards as one, in order. */
import type { Page } from "../../server/contract.ts";

/**
 * Each page is what one shard has above the same start, as far as it goes. What lies above the end of a page that may go
 * on is not told yet: something of that shard may come before it.
 */
export function mergePages<Item>(
  pages: readonly Page<Item>[],
  limit: number,
  nameOf: (item: Item) => string,
): Page<Item> {
  let bound: string | undefined;
  for (const { items, more } of pages) {
    const last = items.at(-1);
    if (!more || last === undefined) continue;
    const name = nameOf(last);
    if (bound === undefined || name < bound) bound = name;
  }
  const all = pages.flatMap(({ items }) => [...items]);
  // Names are ASCII: comparing strings compares bytes.
  all.sort((one, other) => (nameOf(one) < nameOf(other) ? -1 : nameOf(one) > nameOf(other) ? 1 : 0));
  const told: Item[] = [];
  for (const item of all) {
    const name = nameOf(item);
    if (bound !== undefined && name > bound) break;
    const before = told.at(-1);
    // A key that is on its way to another shard may be met on both.
    if (before !== undefined && nameOf(before) === name) continue;
    if (told.length === limit) break;
    told.push(item);
  }
  const last = told.at(-1);
  const end = last === undefined ? "" : nameOf(last);
  return { items: told, more: bound !== undefined || all.some((item) => nameOf(item) > end) };
}
