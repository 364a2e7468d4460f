/** Checks of request fields that both stores share. Each throws INVALID_FIELD that names the field, or INVALID_KEY. */
import { assertAscii, assertDigest, invalidField } from "../../../proto/keys.ts";
import type { Habits } from "../habits.ts";

export interface PageRequest {
  readonly prefix: string;
  readonly startAfter: string;
  /** 0: the most there is. */
  readonly limit: number;
}

export interface Page<Item> {
  readonly items: Item[];
  readonly more: boolean;
}

export function assertSize(field: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw invalidField(field, `${value} is not from 0 to 2^53-1`);
  return value;
}

/** "" is "not given". */
export function digestField(digest: string): string | undefined {
  if (digest === "") return undefined;
  assertDigest(digest);
  return digest;
}

/** One page of `keys`: what follows start_after, as far as `limit` and one message reach. */
export function pageOf<Item>(
  keys: Iterable<string>,
  request: PageRequest,
  habits: Habits["list"],
  itemOf: (key: string) => { item: Item; bytes: number },
): Page<Item> {
  assertAscii("prefix", request.prefix);
  assertAscii("start_after", request.startAfter);
  const limit = habits.limit(request.limit);
  const inPrefix = [...keys].filter((key) => key.startsWith(request.prefix)).sort(habits.order);
  const following = habits.following(inPrefix, request.startAfter);
  const items: Item[] = [];
  let bytes = 0;
  for (const key of following) {
    const next = itemOf(key);
    bytes += next.bytes;
    if (items.length === limit || (items.length > 0 && bytes > habits.pageBytes)) break;
    items.push(next.item);
  }
  return { items, more: habits.more(items.length, following.length) };
}
