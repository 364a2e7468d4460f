/**
 * Facts that the source no longer has, taken away at the target: tags, then manifests, then layers, the repository last,
 * each under its guard. What changes meanwhile is left to the next run.
 */
import type { MetaItem, MetaOperation, Stores } from "../client/contract.ts";
import { hasReason } from "../proto/errors.ts";
import { loadManifest } from "../registry/repository/core.ts";
import { beginTaking, endTaking } from "../registry/repository/guard.ts";
import {
  catalogKey,
  imageKey,
  layerLink,
  parseLink,
  pullsKey,
  referrersKey,
  refsKey,
  repositoriesPrefix,
  revisionLink,
  revisionsPrefix,
  searchTagKey,
  tagHistoryPrefix,
  tagKey,
  tagLink,
  tagLinksPrefix,
} from "../registry/repository/keys.ts";
import { factOf, kindOf, metaPairs } from "./copy-meta.ts";
import { type Pair, pagesOf } from "./join.ts";
import { factsRange, otherRanges, passingRanges } from "./keys.ts";
import { lostTags } from "./lost-tags.ts";
import type { LinkKind, Tally } from "./tally.ts";
import { FACTS_A_WRITE, KEYS_A_GET, type Target } from "./target.ts";

/** Six operations each, beside the guard. */
const REVISIONS_AT_ONCE = 16;
/** Three each. */
const LAYERS_AT_ONCE = 32;

export interface MirrorMetaOptions {
  readonly tally: Tally;
  /** Both pairs have the same blob store: a mark of a blob that the source has taken back would hide the blob. */
  readonly sameBlobs: boolean;
}

export async function mirrorMeta(from: Stores, target: Target, options: MirrorMetaOptions): Promise<void> {
  await new MetaMirror(from, target, options).all();
}

interface Extras {
  readonly name: string;
  readonly tags: { readonly tag: string; readonly item: MetaItem }[];
  readonly history: { readonly tag: string; readonly digest: string; readonly item: MetaItem }[];
  readonly revisions: { readonly digest: string; readonly item: MetaItem }[];
  readonly layers: { readonly digest: string; readonly item: MetaItem }[];
}

class MetaMirror {
  readonly #from: Stores;
  readonly #target: Target;
  readonly #tally: Tally;
  readonly #sameBlobs: boolean;

  constructor(from: Stores, target: Target, { tally, sameBlobs }: MirrorMetaOptions) {
    this.#from = from;
    this.#target = target;
    this.#tally = tally;
    this.#sameBlobs = sameBlobs;
  }

  async all(): Promise<void> {
    const { core, patience, call } = this.#target;
    let extras: Extras | undefined;
    for (const range of [factsRange, ...otherRanges, ...(this.#sameBlobs ? passingRanges : [])]) {
      for await (const batch of metaPairs(this.#from.meta, core.stores.meta, range, patience, call)) {
        const alone = batch.flatMap(({ from, to }) => (from === undefined && to !== undefined ? [to] : []));
        const items = [...(await this.#stillExtra(alone)), ...(await this.#outlived(batch))].sort(byKey);
        const others: MetaItem[] = [];
        // All keys of a repository follow one another.
        for (const item of items) {
          const fact = factOf(item);
          if (fact === undefined) {
            others.push(item);
            continue;
          }
          if (extras?.name !== fact.name) {
            if (extras !== undefined) await this.#repository(extras);
            extras = { name: fact.name, tags: [], history: [], revisions: [], layers: [] };
          }
          if (fact.kind === "tag") extras.tags.push(fact);
          else if (fact.kind === "history") extras.history.push(fact);
          else if (fact.kind === "revision") extras.revisions.push(fact);
          else extras.layers.push(fact);
        }
        await this.#deleted(others);
      }
      if (extras !== undefined) await this.#repository(extras);
      extras = undefined;
    }
  }

  /** Those that the source does not have now either. */
  async #stillExtra(items: readonly MetaItem[]): Promise<readonly MetaItem[]> {
    const extra: MetaItem[] = [];
    for (let at = 0; at < items.length; at += KEYS_A_GET) {
      const some = items.slice(at, at + KEYS_A_GET);
      const { patience, call } = this.#target;
      const found = await patience.run(() =>
        this.#from.meta.get(
          some.map(({ key }) => key),
          call,
        ),
      );
      extra.push(...some.filter((_, index) => found[index] === undefined));
    }
    return extra;
  }

  /** Tags that name at the source what is no longer in the repository, and something older at the target. */
  async #outlived(batch: readonly Pair<MetaItem>[]): Promise<readonly MetaItem[]> {
    const { patience, call } = this.#target;
    const lost = await lostTags(this.#from.meta, batch, patience, call);
    const isLost = (key: string) => lost.has(key) && parseLink(key)?.kind === "tag";
    return batch.flatMap(({ key, to }) => (to !== undefined && isLost(key) ? [to] : []));
  }

  async #repository({ name, tags, history, revisions, layers }: Extras): Promise<void> {
    for (const { tag, item } of tags) await this.#tag(name, tag, item);
    for (const entry of history) await this.#history(name, entry);
    for (let at = 0; at < revisions.length; at += REVISIONS_AT_ONCE) {
      await this.#revisions(name, revisions.slice(at, at + REVISIONS_AT_ONCE));
    }
    for (let at = 0; at < layers.length; at += LAYERS_AT_ONCE) {
      await this.#layers(name, layers.slice(at, at + LAYERS_AT_ONCE));
    }
    await this.#target.unraced(() => this.#emptied(name));
  }

  /** Only as it was seen: pushed again meanwhile, it stays. */
  async #tag(name: string, tag: string, item: MetaItem): Promise<void> {
    const history: MetaItem[] = [];
    for await (const page of this.#pages(tagHistoryPrefix(name, tag))) history.push(...page);
    await this.#ifUnchanged("tags", 1, async () => {
      const [derived] = await this.#target.get([tagKey(name, tag)]);
      const last: MetaOperation[] = [
        deletion(item),
        ...(derived === undefined ? [] : [deletion(derived)]),
        { kind: "delete", key: searchTagKey(name, tag) },
      ];
      // What does not fit beside the tag goes before it: distribution would take what is left of it for a tag.
      const room = FACTS_A_WRITE - last.length;
      const still: MetaOperation = { kind: "check", key: item.key, condition: { ifEtag: item.etag } };
      for (let at = room; at < history.length; at += FACTS_A_WRITE - 1) {
        await this.#target.write([still, ...history.slice(at, at + FACTS_A_WRITE - 1).map(deletion)]);
      }
      await this.#target.write([...last, ...history.slice(0, room).map(deletion)]);
    });
  }

  /** What a tag no longer names. */
  async #history(name: string, { tag, digest, item }: Extras["history"][number]): Promise<void> {
    await this.#ifUnchanged("history", 0, async () => {
      const [link, now] = await this.#target.get([tagLink(name, tag), item.key]);
      if (now?.etag !== item.etag || link?.value.toString("utf8") === digest) return;
      const condition = link === undefined ? ({ ifAbsent: true } as const) : { ifEtag: link.etag };
      await this.#target.write([{ kind: "check", key: tagLink(name, tag), condition }, deletion(item)]);
      this.#tally.links.history.deleted += 1;
    });
  }

  async #revisions(name: string, extras: Extras["revisions"]): Promise<void> {
    await this.#ifUnchanged("manifests", 0, async () => {
      const taking = await this.#begin(name);
      const tagged = new Set<string>();
      for await (const page of this.#pages(tagLinksPrefix(name))) {
        for (const { key, value } of page) if (parseLink(key)?.kind === "tag") tagged.add(value.toString("utf8"));
      }
      const free = extras.filter(({ digest }) => !tagged.has(digest));
      const held = await this.#target.getAll(
        free.flatMap(({ digest }) => [refsKey(digest, name), layerLink(name, digest)]),
      );
      const operations: MetaOperation[] = [];
      for (const { digest, item } of free) {
        const subject = await this.#subjectOf(digest);
        operations.push(
          deletion(item),
          ...withoutRefs(held, refsKey(digest, name), layerLink(name, digest)),
          ...(subject === undefined ? [] : [{ kind: "delete", key: referrersKey(name, subject, digest) } as const]),
          { kind: "delete", key: imageKey(name, digest) },
          { kind: "delete", key: pullsKey(name, digest) },
        );
      }
      await this.#target.write([...operations, endTaking(name, taking, false)]);
      this.#tally.links.manifests.deleted += free.length;
    });
  }

  async #layers(name: string, extras: Extras["layers"]): Promise<void> {
    await this.#ifUnchanged("layers", 0, async () => {
      const taking = await this.#begin(name);
      const mentioned = await this.#mentioned(name);
      const free = extras.filter(({ digest }) => !mentioned.has(digest));
      const held = await this.#target.getAll(
        free.flatMap(({ digest }) => [refsKey(digest, name), revisionLink(name, digest)]),
      );
      const operations = free.flatMap(({ digest, item }) => [
        deletion(item),
        ...withoutRefs(held, refsKey(digest, name), revisionLink(name, digest)),
      ]);
      await this.#target.write([...operations, endTaking(name, taking, false)]);
      this.#tally.links.layers.deleted += free.length;
    });
  }

  /** Blobs that the repository's manifests need at the target. */
  async #mentioned(name: string): Promise<ReadonlySet<string>> {
    const { core, signal } = this.#target;
    const mentioned = new Set<string>();
    for await (const page of this.#pages(revisionsPrefix(name))) {
      for (const { key } of page) {
        const link = parseLink(key);
        if (link?.kind !== "revision") continue;
        const loaded = await loadManifest(core, link.digest, { signal, requestId: "copy" });
        for (const digest of loaded?.manifest.mentions ?? []) mentioned.add(digest);
      }
    }
    return mentioned;
  }

  async #subjectOf(digest: string): Promise<string | undefined> {
    const { core, signal } = this.#target;
    try {
      return (await loadManifest(core, digest, { signal, requestId: "copy" }))?.manifest.subject;
    } catch (error) {
      if (!hasReason(error, "STORED_CORRUPT")) throw error;
      return undefined;
    }
  }

  async #begin(name: string): Promise<string> {
    const [guard] = await this.#target.get([catalogKey(name)]);
    const [taking = ""] = await this.#target.write([beginTaking(name, guard)]);
    return taking;
  }

  async #emptied(name: string): Promise<void> {
    // Everything that a repository has lies under a component that begins with "_", which no name does.
    const isEmpty = async () => {
      const { core, call } = this.#target;
      const request = { prefix: `${repositoriesPrefix}${name}/_`, limit: 1 };
      return (await core.stores.meta.list(request, call)).items.length === 0;
    };
    if (!(await isEmpty())) return;
    const taking = await this.#begin(name);
    await this.#target.write([endTaking(name, taking, await isEmpty())]);
  }

  /** Links that mean nothing to the index. */
  async #deleted(items: readonly MetaItem[]): Promise<void> {
    for (const item of items) {
      await this.#ifUnchanged(kindOf(parseLink(item.key)), 1, async () => {
        await this.#target.write([deletion(item)]);
      });
    }
  }

  /** Pushes at the target beside it are no failure of the copy. */
  async #ifUnchanged(kind: LinkKind, count: number, work: () => Promise<void>): Promise<void> {
    try {
      await this.#target.patience.run(work);
      this.#tally.links[kind].deleted += count;
      this.#tally.changed();
    } catch (error) {
      if (!hasReason(error, "CONDITION_FAILED", "CONFLICT")) throw error;
    }
  }

  #pages(prefix: string) {
    const { core, patience, call } = this.#target;
    return pagesOf((request) => core.stores.meta.list(request, call), { prefix }, patience);
  }
}

/** Bytewise: keys are ASCII. */
function byKey(a: MetaItem, b: MetaItem): number {
  return a.key < b.key ? -1 : 1;
}

function deletion({ key, etag }: MetaItem): MetaOperation {
  return { kind: "delete", key, condition: { ifEtag: etag } };
}

/** The `refs/` key goes with the last of the two links that need it. */
function withoutRefs(
  held: ReadonlyMap<string, MetaItem | undefined>,
  refs: string,
  otherLink: string,
): MetaOperation[] {
  const item = held.get(refs);
  if (item === undefined || held.get(otherLink) !== undefined) return [];
  return [{ kind: "check", key: otherLink, condition: { ifAbsent: true } }, deletion(item)];
}
