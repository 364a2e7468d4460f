/**
 * A repository's guard: its catalog key (architecture.md, "What the registry keeps, and where").
 *
 * Whoever adds something reads it before looking, and the Write that adds checks it: `open` is checked by its etag, so
 * that adders never conflict with each other. Whoever takes something away that an adder may depend on first puts it anew
 * as `taking`, then looks, then takes away in a Write that puts it `open` (or deletes it, with the repository) on
 * condition of the etag it put. An adder that finds `taking` puts it `open` itself. So of an adder and a taker that
 * overlap one always loses: an adder that read before the taker's look finds another etag, and one that came after it
 * has changed the etag that the taker needs.
 */
import type { MetaItem, MetaOperation } from "../../client/contract.ts";
import { catalogKey } from "./keys.ts";

const OPEN = Buffer.from("open");
const TAKING = Buffer.from("taking");

/** What an adder's Write says of the guard it has read. */
export function addingUnder(name: string, guard: MetaItem | undefined): MetaOperation {
  const key = catalogKey(name);
  if (guard === undefined) return { kind: "put", key, value: OPEN, condition: { ifAbsent: true } };
  return isTaking(guard)
    ? { kind: "put", key, value: OPEN, condition: { ifEtag: guard.etag } }
    : { kind: "check", key, condition: { ifEtag: guard.etag } };
}

export function isTaking(guard: MetaItem | undefined): boolean {
  return guard?.value.equals(TAKING) ?? false;
}

/** A taker's first Write. */
export function beginTaking(name: string, guard: MetaItem | undefined): MetaOperation {
  const condition = guard === undefined ? ({ ifAbsent: true } as const) : { ifEtag: guard.etag };
  return { kind: "put", key: catalogKey(name), value: TAKING, condition };
}

/** In a taker's last Write. `emptied`: nothing is left in the repository. */
export function endTaking(name: string, etag: string, emptied: boolean): MetaOperation {
  const key = catalogKey(name);
  return emptied
    ? { kind: "delete", key, condition: { ifEtag: etag } }
    : { kind: "put", key, value: OPEN, condition: { ifEtag: etag } };
}
