/** Many keys looked at: one by one, or by the listing where they lie close together. */

import { eachAtOnce } from "./at-once.ts";
import type { ObjectFacts, ObjectStore } from "./contract.ts";
import { assertAscending } from "./listing.ts";

const HEADS_AT_ONCE = 32;
/** From here on a page of the listing is tried first: it costs as much as a few heads. */
const MANY = 48;
const PAGE = 1000;
/** A page that tells of fewer keys than this was not worth it: the rest are looked at one by one. */
const WORTH = 24;

export async function statMany(
  store: ObjectStore,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ObjectFacts>> {
  const found = new Map<string, ObjectFacts>();
  let left: readonly string[] = [...new Set(keys)].sort();
  while (left.length >= MANY) {
    const [first = ""] = left;
    const prefix = commonPrefix(first, left.at(-1) ?? "");
    const startAfter = below(first);
    const page = await store.list({ prefix, startAfter, limit: PAGE }, signal);
    const last = assertAscending(store, page.items, startAfter);
    for (const facts of page.items) found.set(facts.name, facts);
    const rest = page.more && last !== undefined ? left.filter((key) => key > last) : [];
    const told = left.length - rest.length;
    left = rest;
    if (told < WORTH) break;
  }
  await eachAtOnce(HEADS_AT_ONCE, left, async (key) => {
    const facts = await store.head(key, signal);
    if (facts !== undefined) found.set(key, facts);
  });
  return found;
}

function commonPrefix(first: string, last: string): string {
  let length = 0;
  while (length < first.length && first[length] === last[length]) length++;
  return first.slice(0, length);
}

/** Some text below the key, above everything that is far below it. */
function below(key: string): string {
  return `${key.slice(0, -1)}${String.fromCharCode(key.charCodeAt(key.length - 1) - 1)}~`;
}
