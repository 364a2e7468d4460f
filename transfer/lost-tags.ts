/**
 * Tags of manifests that are not in the repository, as distribution leaves them where a manifest is deleted by its digest:
 * they answer 404, and no copy brings them, since it would bring the manifest back with them.
 */
import type { CallOptions, MetaItem, MetaStore } from "../client/contract.ts";
import { isDigest } from "../proto/keys.ts";
import { parseLink, revisionLink, tagLink } from "../registry/repository/keys.ts";
import type { Pair } from "./join.ts";
import type { Patience } from "./patience.ts";
import { KEYS_A_GET } from "./target.ts";

/** Why such a tag is not copied. */
export const LOST_AT_SOURCE = "is not in the repository at the source";

/** @returns keys of tags, and of their history, that the two sides do not both have with one value, and that are lost at `from` */
export async function lostTags(
  from: MetaStore,
  batch: readonly Pair<MetaItem>[],
  patience: Patience,
  call: CallOptions,
): Promise<ReadonlySet<string>> {
  const links = batch.flatMap(({ key, from: item, to }) => {
    const link = item === undefined || to?.value.equals(item.value) ? undefined : parseLink(key);
    return link?.kind === "tag" || link?.kind === "history" ? [{ key, link, tag: tagLink(link.name, link.tag) }] : [];
  });
  const tags = await getAll([...new Set(links.map(({ tag }) => tag))], KEYS_A_GET);
  const revisionOf = ({ link, tag }: (typeof links)[number]): string | undefined => {
    const digest = tags.get(tag);
    return digest === undefined || !isDigest(digest) ? undefined : revisionLink(link.name, digest);
  };
  // Both in one consistent read: a tag that moves meanwhile is not lost.
  const both = links.flatMap((one) => [one.tag, revisionOf(one) ?? one.tag]);
  const now = await getAll(both, KEYS_A_GET - (KEYS_A_GET % 2));
  const isLost = (one: (typeof links)[number]) => {
    const revision = revisionOf(one);
    // No copy brings the history of no tag.
    if (revision === undefined) return one.link.kind === "history" && !now.has(one.tag);
    return now.get(one.tag) === tags.get(one.tag) && !now.has(revision);
  };
  return new Set(links.filter(isLost).map(({ key }) => key));

  async function getAll(keys: readonly string[], atOnce: number): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    for (let at = 0; at < keys.length; at += atOnce) {
      const items = await patience.run(() => from.get(keys.slice(at, at + atOnce), call));
      for (const item of items) if (item !== undefined) found.set(item.key, item.value.toString("utf8"));
    }
    return found;
  }
}
