/**
 * Which keys of search were changed of late: each Write that touches some says so in a key of its own, in the same Write,
 * so that whoever holds them in memory (view.ts) learns of every change by one List. Why: docs/adr/search-view.md.
 */
import type { MetaItem, MetaOperation } from "../../client/contract.ts";
import type { Clock } from "../../proto/clock.ts";
import { limits } from "../../proto/limits.ts";
import { changesPrefix, searchPrefix } from "../repository/keys.ts";

/** How long after the time in its key an entry may still come to be seen, by the clock of its writer. */
const VISIBLE_WITHIN_MS = 2 * limits.unaryDeadlineMs;
/** The same by any other core's clock: both may be off by as much as the protocol allows, each way. */
export const LOOK_BACK_MS = VISIBLE_WITHIN_MS + 5 * limits.clockSkewMs;
const TIME_DIGITS = 13;

export interface ChangeEntry {
  readonly operation: MetaOperation;
  /** The Write must not take effect later: its time would be too old to be looked for. */
  readonly notAfterMs: number;
}

/** What an attempt of the Write says of what it changes; `undefined`: nothing that search tells of. */
export function changeEntry(
  operations: readonly MetaOperation[],
  clock: Pick<Clock, "now">,
  random: () => number,
): ChangeEntry | undefined {
  const keys = operations.flatMap(({ kind, key }) => (kind !== "check" && isSearched(key) ? [key] : []));
  if (keys.length === 0) return undefined;
  const now = Math.floor(clock.now());
  const own = Array.from({ length: 2 }, () =>
    Math.floor(random() * 2 ** 24)
      .toString(16)
      .padStart(6, "0"),
  ).join("");
  return {
    operation: {
      kind: "put",
      key: `${changesPrefix}${timePart(now)}-${own}`,
      // They all begin alike.
      value: Buffer.from(JSON.stringify(keys.map((key) => key.slice(searchPrefix.length)))),
      condition: { ifAbsent: true },
    },
    notAfterMs: now + VISIBLE_WITHIN_MS,
  };
}

export function isSearched(key: string): boolean {
  return key.startsWith(searchPrefix) && !key.startsWith(changesPrefix);
}

/** Entries above this key are of that time or later. */
export function changesSince(unixMs: number): string {
  return `${changesPrefix}${timePart(unixMs)}`;
}

/** What was changed; none for an entry that cannot be read. */
export function changedKeys({ value }: MetaItem): readonly string[] {
  try {
    const keys: unknown = JSON.parse(value.toString("utf8"));
    if (!Array.isArray(keys)) return [];
    return keys.filter((key) => typeof key === "string").map((key) => searchPrefix + key);
  } catch {
    return [];
  }
}

function timePart(unixMs: number): string {
  return String(Math.max(0, Math.floor(unixMs))).padStart(TIME_DIGITS, "0");
}
