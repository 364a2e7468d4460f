/** Counting for drivers that have no faster way. */
import { limits } from "../proto/limits.ts";
import type { CallContext, Page, PageRequest, Store } from "./contract.ts";

interface Listed extends Store {
  list(request: PageRequest, call: CallContext): Promise<Page<{ readonly key: string }>>;
}

/** Lists to the end. [blob.count.01], [meta.count.01]: a listing that may lag is not exact. */
export async function counted(
  store: Listed,
  prefix: string,
  call: CallContext,
): Promise<{ count: number; exact: boolean }> {
  let count = 0;
  let startAfter = "";
  for (;;) {
    call.signal.throwIfAborted();
    const { items, more } = await store.list({ prefix, startAfter, limit: limits.listItems }, call);
    count += items.length;
    const last = items.at(-1);
    if (!more || last === undefined) return { count, exact: (store.facts.limits.listLagMs ?? 0) === 0 };
    startAfter = last.key;
  }
}
