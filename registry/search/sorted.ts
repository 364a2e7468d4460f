/** Lists that are kept in order: looked up by halving, changed by moving what follows, which costs next to nothing. */

/** Where the item is, or would be. */
export function placeOf<Item>(items: readonly Item[], compare: (item: Item) => number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compare(items[middle] as Item) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
