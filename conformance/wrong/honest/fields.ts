/** Checks of request fields that both stores share. Each throws INVALID_FIELD that names the field, or INVALID_KEY. */
import { assertDigest, invalidField } from "../../../proto/keys.ts";
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
  { list, fields }: Pick<Habits, "list" | "fields">,
  itemOf: (key: string) => { item: Item; bytes: number },
): Page<Item> {
  fields.bound("prefix", request.prefix);
  fields.bound("start_after", request.startAfter);
  const limit = list.limit(request.limit);
  const inPrefix = [...keys].filter((key) => key.startsWith(request.prefix)).sort(list.order);
  const following = list.following(inPrefix, request.startAfter);
  const items: Item[] = [];
  let bytes = 0;
  for (const key of following) {
    const next = itemOf(key);
    bytes += next.bytes;
    if (items.length === limit || (items.length > 0 && bytes > list.pageBytes)) break;
    items.push(next.item);
  }
  return { items, more: list.more(items.length, following.length) };
}
