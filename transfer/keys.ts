/** Which keys of a meta store are content, and which are of that store itself. */
import type { CallOptions, MetaStore } from "../client/contract.ts";
import {
  allReferrersPrefix,
  allRefsPrefix,
  allStarsPrefix,
  allTagsPrefix,
  cancelledPrefix,
  catalogPrefix,
  condemnedPrefix,
  handoversPrefix,
  locationSecretKey,
  memberListKey,
  preferencesPrefix,
  repositoriesPrefix,
  searchPrefix,
} from "../registry/repository/keys.ts";
import { afterAll, type Range } from "./join.ts";
import type { Patience } from "./patience.ts";

/** All that the registry keeps beside facts. */
export const ownPrefix = "outrigger/";

export const factsRange: Range = { prefix: repositoriesPrefix };

/** Everything that is neither a link nor the registry's own, and what people have chosen with what follows from it: copied as it is. */
export const otherRanges: readonly Range[] = [
  { prefix: "", endBefore: repositoriesPrefix },
  { prefix: "", startAfter: afterAll(repositoriesPrefix), endBefore: ownPrefix },
  { prefix: preferencesPrefix },
  { prefix: allStarsPrefix },
  { prefix: "", startAfter: afterAll(ownPrefix) },
];

/**
 * What belongs to the bytes rather than to the store: uploads under way, what the collector is about to take, and which list
 * of members the cores go by. Copied only to a meta store of the same blob store, which is to take the source's place.
 */
export const sessionRanges: readonly Range[] = [
  { prefix: cancelledPrefix },
  { prefix: condemnedPrefix },
  { prefix: locationSecretKey },
  { prefix: memberListKey },
];

/** Of those: what the source no longer has must not stay. A secret more does no harm. */
export const passingRanges: readonly Range[] = [{ prefix: cancelledPrefix }, { prefix: condemnedPrefix }];

/** Derived (written anew with each fact), copied apart, or of the store itself: its pair, its lease, its marker, its secrets. */
const known: ReadonlySet<string> = new Set([
  ...[catalogPrefix, allTagsPrefix, allRefsPrefix, allReferrersPrefix, cancelledPrefix, condemnedPrefix],
  ...[searchPrefix, preferencesPrefix, handoversPrefix],
  ...[
    "outrigger/copy/",
    "outrigger/index/",
    "outrigger/lease/",
    "outrigger/members/",
    "outrigger/move/",
    "outrigger/pair",
    "outrigger/secrets/",
  ],
]);

/** First components under `outrigger/` that this release does not know: of a newer one, and not copied. */
export async function unknownPrefixes(meta: MetaStore, patience: Patience, call: CallOptions): Promise<string[]> {
  const unknown: string[] = [];
  for (let startAfter = ownPrefix; ; ) {
    const request = { prefix: ownPrefix, startAfter, limit: 1 };
    const { items } = await patience.run(() => meta.list(request, call));
    const [, prefix] = /^(outrigger\/[^/]+\/?)/.exec(items[0]?.key ?? "") ?? [];
    if (prefix === undefined) return unknown;
    if (!known.has(prefix)) unknown.push(prefix);
    startAfter = afterAll(prefix);
  }
}
