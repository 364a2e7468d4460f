/** What is kept for a while only: marks of cancelled uploads, and which keys of search were changed. */
import type { CallOptions, MetaItem } from "../../client/contract.ts";
import { changesSince } from "../search/changes.ts";
import type { Core } from "./core.ts";
import { cancelledPrefix, changesPrefix } from "./keys.ts";
import { WRITE_OPERATIONS } from "./ledger.ts";
import { SESSION_TTL_MS } from "./uploads.ts";

/** Twice a Location's life: cores' clocks differ by less. */
const CANCELLED_TTL_MS = 2 * SESSION_TTL_MS;

/** Longer than any view goes on after its last look (registry/search/view.ts). */
const CHANGES_KEPT_MS = 60 * 60 * 1000;

/** Once no Location of theirs can still be good. @returns how many were taken away */
export function removeOldCancellations(core: Core, signal: AbortSignal): Promise<number> {
  const isOld = ({ value }: MetaItem) => !(core.clock.now() - Number(value.toString("utf8")) < CANCELLED_TTL_MS);
  return removeItems(core, cancelledPrefix, isOld, { signal });
}

/** @returns how many were taken away */
export function removeOldChanges(core: Core, signal: AbortSignal): Promise<number> {
  const bound = changesSince(core.clock.now() - CHANGES_KEPT_MS);
  // Their keys are never used again: what another core takes away meanwhile is no race.
  return removeItems(core, changesPrefix, ({ key }) => key < bound, { signal }, false);
}

/**
 * @param isChecked whether each must still be as it was read, or its Write fails
 * @returns how many were taken away
 */
export async function removeItems(
  core: Core,
  prefix: string,
  isWanted: (item: MetaItem) => boolean,
  options: CallOptions,
  isChecked = true,
): Promise<number> {
  let removed = 0;
  for await (const page of core.ledger.pages(prefix, options)) {
    const wanted = page.filter(isWanted);
    for (let at = 0; at < wanted.length; at += WRITE_OPERATIONS) {
      const some = wanted.slice(at, at + WRITE_OPERATIONS);
      await core.ledger.write(
        some.map(({ key, etag }) => ({ kind: "delete", key, ...(isChecked ? { condition: { ifEtag: etag } } : {}) })),
        options,
      );
      removed += some.length;
    }
  }
  return removed;
}
