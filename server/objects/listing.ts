/** Pages of a listing as the store gives them, and keys as the core sees them. */
import { OutriggerError } from "../../proto/errors.ts";
import { isKey } from "../../proto/keys.ts";
import type { Page, PageRequest } from "../contract.ts";
import type { ObjectFacts, ObjectStore } from "./contract.ts";
import { AFTER_PRIVATE } from "./names.ts";

/** Names that are no keys are somebody else's, or this driver's own. */
export async function listKeys(
  store: ObjectStore,
  request: PageRequest,
  signal: AbortSignal,
): Promise<Page<ObjectFacts>> {
  const beginning = [AFTER_PRIVATE, request.startAfter].sort().at(-1) ?? "";
  for (let startAfter = beginning; ; ) {
    const { items, more } = await store.list({ ...request, startAfter }, signal);
    const last = assertAscending(store, items, startAfter);
    if (last === undefined && more) {
      throw new OutriggerError("BACKEND_DOWN", `${store.place} lists nothing and says that more follows`);
    }
    const keys = items.filter(({ name }) => isKey(name) && name.startsWith(request.prefix));
    if (keys.length > 0 || !more || last === undefined) return { items: keys, more: more && keys.length > 0 };
    startAfter = last;
  }
}

/**
 * [blob.list.01] A backend that gives a page twice must not make a listing that never ends.
 * @returns the last name
 */
export function assertAscending(
  store: ObjectStore,
  items: readonly ObjectFacts[],
  startAfter: string,
): string | undefined {
  let last = startAfter;
  for (const { name } of items) {
    if (!isBelow(last, name)) {
      throw new OutriggerError(
        "BACKEND_DOWN",
        `${store.place} lists ${name} after ${last}: its listing is out of order`,
      );
    }
    last = name;
  }
  return items.length === 0 ? undefined : last;
}

/** Bytewise: names of others need not be ASCII. */
function isBelow(one: string, other: string): boolean {
  return one < other || Buffer.compare(Buffer.from(one), Buffer.from(other)) < 0;
}
