/** Answers that stay below a message's 4 MiB. */
import { OutriggerError } from "../proto/errors.ts";
import { limits } from "../proto/limits.ts";
import type { BlobInfo, MetaItem, Page } from "./contract.ts";

// What is left for the message's own fields and for trailing metadata's sake.
const FULL_BYTES = limits.messageBytes - 64 * 1024;
// Tags and lengths around the fields of one item, generously.
const ITEM_OVERHEAD_BYTES = 64;

export function metaItemBytes(key: string, item: MetaItem | undefined): number {
  return ITEM_OVERHEAD_BYTES + 2 * key.length + (item === undefined ? 0 : item.value.length + item.etag.length);
}

export function blobInfoBytes(info: BlobInfo): number {
  let bytes = ITEM_OVERHEAD_BYTES + 2 * info.key.length + info.etag.length;
  for (const digest of info.digests) bytes += digest.length + 4;
  return bytes;
}

/** How many of `items`, from the first, fit into one answer; at least one. */
export function fitting<Item>(items: readonly Item[], bytesOf: (item: Item, index: number) => number): number {
  let total = 0;
  for (const [index, item] of items.entries()) {
    total += bytesOf(item, index);
    if (total > FULL_BYTES && index > 0) return index;
  }
  return items.length;
}

/** The page as far as it fits into one answer. */
export function cutPage<Item>(page: Page<Item>, limit: number, bytesOf: (item: Item) => number): Page<Item> {
  if (page.more && page.items.length === 0) {
    throw new OutriggerError("INTERNAL", "the driver's page is empty and says that more follows");
  }
  const most = Math.min(limit, fitting(page.items, bytesOf));
  return most < page.items.length ? { items: page.items.slice(0, most), more: true } : page;
}
