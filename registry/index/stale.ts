/** Second pass: derived keys whose facts are gone. */
import type { MetaItem, MetaOperation } from "../../client/contract.ts";
import { hasReason } from "../../proto/errors.ts";
import { isDigest } from "../../proto/keys.ts";
import { loadManifest } from "../repository/core.ts";
import { beginTaking, endTaking } from "../repository/guard.ts";
import {
  allImagesPrefix,
  allPullsPrefix,
  allReferrersPrefix,
  allRefsPrefix,
  allSearchTagsPrefix,
  allStarsPrefix,
  allTagsPrefix,
  catalogPrefix,
  layerLink,
  parseCatalogKey,
  parseReferrersKey,
  parseRefsKey,
  parseSearchKey,
  parseTagKey,
  preferenceOfStar,
  repositoriesPrefix,
  revisionLink,
  tagLink,
} from "../repository/keys.ts";
import { untilNotRaced } from "../repository/races.ts";
import { decodePulls, decodeTagRecord } from "../search/record.ts";
import { CALLS_AT_ONCE, type IndexRun, inParallel } from "./differences.ts";

/** What a derived key needs: it is stale when `isStale` says so of these facts. */
interface Need {
  readonly item: MetaItem;
  readonly facts: readonly string[];
  readonly isStale: (facts: readonly (MetaItem | undefined)[]) => boolean | Promise<boolean>;
}

export async function removeStale(run: IndexRun): Promise<void> {
  for (const [prefix, needOf] of [
    [allTagsPrefix, tagNeed],
    [allRefsPrefix, refsNeed],
    [allReferrersPrefix, referrerNeed],
    [allImagesPrefix, searchNeed],
    [allPullsPrefix, searchNeed],
    [allSearchTagsPrefix, searchNeed],
    [allStarsPrefix, searchNeed],
  ] as const) {
    for await (const page of run.pages(prefix)) {
      const needs = page.map((item) => needOf(run, item));
      const facts = await run.get([...new Set(needs.flatMap((need) => need.facts))]);
      await inParallel(needs, CALLS_AT_ONCE, async (need) => {
        if (await need.isStale(need.facts.map((key) => facts.get(key)))) await remove(run, need);
      });
      run.tell(page.at(-1)?.key ?? "");
    }
  }
  for await (const page of run.pages(catalogPrefix)) {
    await inParallel(page, CALLS_AT_ONCE, (item) => removeEmptyRepository(run, item));
    run.tell(page.at(-1)?.key ?? "");
  }
}

function tagNeed(run: IndexRun, item: MetaItem): Need {
  const at = parseTagKey(item.key);
  return at === undefined ? malformed(item) : needOfTag(run, item, at, item.value.toString("utf8"));
}

function searchNeed(run: IndexRun, item: MetaItem): Need {
  const at = parseSearchKey(item.key);
  switch (at?.kind) {
    case "tag":
      return needOfTag(run, item, at, decodeTagRecord(item.value)?.digest ?? "");
    case "image":
      return { item, facts: [revisionLink(at.name, at.digest)], isStale: ([revision]) => revision === undefined };
    case "pulls": {
      const isCount = decodePulls(item.value) !== undefined;
      const facts = [revisionLink(at.name, at.digest)];
      return { item, facts, isStale: ([revision]) => revision === undefined || !isCount };
    }
    case "star":
      return { item, facts: [preferenceOfStar(item.key)], isStale: ([preference]) => preference === undefined };
    case undefined:
      return malformed(item);
  }
}

/** @param digest what the derived key says */
function needOfTag(
  run: IndexRun,
  item: MetaItem,
  at: { readonly name: string; readonly tag: string },
  digest: string,
): Need {
  if (!isDigest(digest)) return malformed(item);
  return {
    item,
    facts: [tagLink(at.name, at.tag), revisionLink(at.name, digest)],
    async isStale([link, revision]) {
      if (link === undefined) return true;
      const named = link.value.toString("utf8");
      if (named === digest) return revision === undefined;
      // Wrong rather than stale, and the first pass's business, if the tag names a manifest at all.
      if (!isDigest(named)) return true;
      const [other] = await run.core.ledger.get([revisionLink(at.name, named)], { signal: run.signal });
      return other === undefined;
    },
  };
}

function refsNeed(_run: IndexRun, item: MetaItem): Need {
  const at = parseRefsKey(item.key);
  if (at === undefined) return malformed(item);
  return {
    item,
    facts: [layerLink(at.name, at.digest), revisionLink(at.name, at.digest)],
    isStale: ([layer, revision]) => layer === undefined && revision === undefined,
  };
}

function referrerNeed(run: IndexRun, item: MetaItem): Need {
  const at = parseReferrersKey(item.key);
  if (at === undefined) return malformed(item);
  return {
    item,
    facts: [revisionLink(at.name, at.digest)],
    async isStale([revision]) {
      if (revision === undefined) return true;
      try {
        const loaded = await loadManifest(run.core, at.digest, { signal: run.signal, requestId: "index" });
        return loaded?.manifest.subject !== at.subject;
      } catch (error) {
        if (!hasReason(error, "STORED_CORRUPT")) throw error;
        return true;
      }
    },
  };
}

function malformed(item: MetaItem): Need {
  return { item, facts: [], isStale: () => true };
}

/** Looked at again in one read, and taken away only while that still holds. */
async function remove(run: IndexRun, need: Need): Promise<void> {
  await untilNotRaced(run.core, run.signal, async () => {
    const [item, ...facts] = await run.core.ledger.get([need.item.key, ...need.facts], { signal: run.signal });
    // Written since by somebody who knew the facts of that moment.
    if (item?.etag !== need.item.etag || !(await need.isStale(facts))) return;
    if (run.repair) {
      const checks = need.facts.map(
        (key, index): MetaOperation => ({
          kind: "check",
          key,
          condition: facts[index] === undefined ? { ifAbsent: true } : { ifEtag: facts[index].etag },
        }),
      );
      await run.core.ledger.write([...checks, { kind: "delete", key: item.key, condition: { ifEtag: item.etag } }], {
        signal: run.signal,
      });
    }
    run.counts.stale += 1;
  });
}

async function removeEmptyRepository(run: IndexRun, item: MetaItem): Promise<void> {
  const name = parseCatalogKey(item.key);
  if (name === undefined) return remove(run, malformed(item));
  const { ledger } = run.core;
  const options = { signal: run.signal };
  const isEmpty = async () =>
    // Everything that a repository has lies under a component that begins with "_", which no name does.
    (await ledger.list({ prefix: `${repositoriesPrefix}${name}/_`, limit: 1 }, options)).items.length === 0;
  if (!(await isEmpty())) return;
  await untilNotRaced(run.core, run.signal, async () => {
    const [guard] = await ledger.get([item.key], options);
    if (guard === undefined) return;
    if (run.repair) {
      const [taking = ""] = await ledger.write([beginTaking(name, guard)], options);
      const emptied = await isEmpty();
      await ledger.write([endTaking(name, taking, emptied)], options);
      if (emptied) run.counts.stale += 1;
    } else if (await isEmpty()) {
      run.counts.stale += 1;
    }
  });
}
