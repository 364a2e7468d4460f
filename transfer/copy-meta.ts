/**
 * Every fact of a meta store to another: layers, then manifests, then tags, as their keys are sorted, each after the bytes
 * and links that it needs. Derived keys are the target's own. A fact that is there already is only read, so a copy that
 * was stopped is begun again; what changes at the source meanwhile comes with the next run, whole or not at all.
 */
import type { MetaItem, MetaStore, Stores } from "../client/contract.ts";
import { isDigest } from "../proto/keys.ts";
import { addingUnder } from "../registry/repository/guard.ts";
import { catalogKey, type Link, parseLink, tagLink } from "../registry/repository/keys.ts";
import { DEFAULT_JOBS } from "./contract.ts";
import { ABSENT_AT_SOURCE, type BlobsCopy } from "./copy-blobs.ts";
import { joined, type Pair, pagesOf, type Range } from "./join.ts";
import { factsRange, otherRanges, sessionRanges, unknownPrefixes } from "./keys.ts";
import { Links } from "./links.ts";
import { LOST_AT_SOURCE } from "./lost-tags.ts";
import type { Patience } from "./patience.ts";
import { forEach } from "./pool.ts";
import type { LinkKind, Tally } from "./tally.ts";
import { FACTS_A_WRITE, type Target } from "./target.ts";

export interface CopyMetaOptions {
  readonly blobs: BlobsCopy;
  readonly tally: Tally;
  readonly jobs?: number;
  readonly dryRun?: boolean;
  /** Bytes that links need are copied where they are missing. */
  readonly copiesBlobs: boolean;
  /** Both pairs have the same blob store: what belongs to the bytes comes along. */
  readonly sameBlobs: boolean;
}

/** A tag that moves again and again while it is copied is left to the next run. */
const MOVES = 3;
/** Below the protocol's 3.5 MiB, beside the checks. */
const MOST_WRITE_BYTES = 3 * 1024 * 1024;

export async function copyMeta(from: Stores, target: Target, options: CopyMetaOptions): Promise<void> {
  await new MetaCopy(from, target, options).all();
}

/** Both stores' keys of a range, side by side. */
export function metaPairs(
  from: MetaStore,
  to: MetaStore,
  range: Range,
  patience: Patience,
  call: { readonly signal?: AbortSignal },
): AsyncIterable<readonly Pair<MetaItem>[]> {
  const pages = (meta: MetaStore) => pagesOf((request) => meta.list(request, call), range, patience);
  return joined(pages(from), pages(to));
}

export type WellFormed = Link & { readonly item: MetaItem };

/** A link that says what it should; `undefined`: copied as it is. */
export function factOf(item: MetaItem): WellFormed | undefined {
  const link = parseLink(item.key);
  const value = item.value.toString("utf8");
  if (link === undefined || (link.kind === "tag" ? !isDigest(value) : value !== link.digest)) return undefined;
  return { ...link, item };
}

export function kindOf(link: Link | undefined): LinkKind {
  switch (link?.kind) {
    case "layer":
      return "layers";
    case "revision":
      return "manifests";
    case "tag":
      return "tags";
    case "history":
      return "history";
    case undefined:
      return "other";
  }
}

class MetaCopy {
  readonly #from: Stores;
  readonly #target: Target;
  readonly #options: CopyMetaOptions;
  readonly #links: Links;

  constructor(from: Stores, target: Target, options: CopyMetaOptions) {
    this.#from = from;
    this.#target = target;
    this.#options = options;
    const { blobs, copiesBlobs } = options;
    this.#links = new Links({ from, target, blobs, copiesBlobs });
  }

  async all(): Promise<void> {
    const { sameBlobs, tally } = this.#options;
    const { patience, call } = this.#target;
    for await (const batch of this.#pairs(factsRange)) await this.#facts(batch);
    for (const range of sameBlobs ? [...otherRanges, ...sessionRanges] : otherRanges) {
      for await (const batch of this.#pairs(range)) await this.#verbatim(batch);
    }
    for (const prefix of await unknownPrefixes(this.#from.meta, patience, call)) {
      tally.problems.add(prefix, "is of a newer release than this one, and was not copied: copy with that release");
    }
  }

  #pairs(range: Range): AsyncIterable<readonly Pair<MetaItem>[]> {
    const { core, patience, call } = this.#target;
    return metaPairs(this.#from.meta, core.stores.meta, range, patience, call);
  }

  async #facts(batch: readonly Pair<MetaItem>[]): Promise<void> {
    const { jobs = DEFAULT_JOBS, dryRun } = this.#options;
    const byName = new Map<string, WellFormed[]>();
    const verbatim: Pair<MetaItem>[] = [];
    for (const pair of batch) {
      const { from, to } = pair;
      const link = from === undefined ? undefined : factOf(from);
      if (from === undefined || link === undefined) {
        verbatim.push(pair);
        continue;
      }
      if (to?.value.equals(from.value)) this.#count(kindOf(link), "same", 1);
      else if (dryRun) this.#count(kindOf(link), "copied", 1);
      else byName.set(link.name, [...(byName.get(link.name) ?? []), link]);
    }
    await forEach(byName.entries(), jobs, ([name, links]) => this.#repository(name, links));
    await this.#verbatim(verbatim);
  }

  async #repository(name: string, facts: readonly WellFormed[]): Promise<void> {
    const layers = facts.flatMap((fact) => (fact.kind === "layer" ? [fact] : []));
    const revisions = facts.flatMap((fact) => (fact.kind === "revision" ? [fact] : []));
    const linkedLayers = await this.#links.layers(
      name,
      layers.map(({ digest }) => digest),
    );
    await this.#account("layers", layers, linkedLayers, ({ digest }) => digest);
    const linkedRevisions = await this.#links.manifests(
      name,
      revisions.map(({ digest }) => digest),
    );
    await this.#account("manifests", revisions, linkedRevisions, ({ digest }) => digest);
    await this.#tags(
      name,
      facts.flatMap((fact) => (fact.kind === "tag" ? [fact] : [])),
    );
    await this.#history(
      name,
      facts.flatMap((fact) => (fact.kind === "history" ? [fact] : [])),
    );
  }

  /** What could not be linked counts only while the source still has it. */
  async #account<Fact extends WellFormed>(
    kind: "layers" | "manifests",
    facts: readonly Fact[],
    refused: ReadonlyMap<string, string>,
    digestOf: (fact: Fact) => string,
  ): Promise<void> {
    const { tally } = this.#options;
    this.#count(kind, "copied", facts.length - refused.size);
    const doubtful = facts.filter((fact) => refused.has(digestOf(fact)));
    const now = await this.#source(doubtful.map(({ item }) => item.key));
    for (const fact of doubtful) {
      const why = refused.get(digestOf(fact)) ?? "";
      if (now.get(fact.item.key) === undefined) continue;
      if (kind === "layers" && why === ABSENT_AT_SOURCE) tally.dangling += 1;
      else tally.problems.add(`${fact.name}@${digestOf(fact)}`, why);
    }
  }

  async #tags(name: string, facts: readonly (WellFormed & { readonly kind: "tag" })[]): Promise<void> {
    const { tally } = this.#options;
    let wanted = new Map(facts.map(({ tag, item }) => [tag, item.value.toString("utf8")]));
    for (let moves = 0; wanted.size > 0; moves += 1) {
      const refused = await this.#links.tags(name, wanted);
      this.#count("tags", "copied", wanted.size - refused.size);
      const now = await this.#source([...refused.keys()].map((tag) => tagLink(name, tag)));
      const moved = new Map<string, string>();
      for (const [tag, why] of refused) {
        const digest = now.get(tagLink(name, tag))?.value.toString("utf8");
        // Deleted meanwhile: nothing to copy. Moved: its new manifest is to be tried.
        if (digest === undefined || !isDigest(digest)) continue;
        if (digest !== wanted.get(tag) && moves < MOVES) moved.set(tag, digest);
        else if (why === LOST_AT_SOURCE) tally.dangling += 1;
        else tally.problems.add(`${name}:${tag}`, why);
      }
      wanted = moved;
    }
  }

  /** What the tag once named; nothing depends on it. */
  async #history(name: string, facts: readonly (WellFormed & { readonly kind: "history" })[]): Promise<void> {
    for (let at = 0; at < facts.length; at += FACTS_A_WRITE - 1) {
      const some = facts.slice(at, at + FACTS_A_WRITE - 1);
      await this.#target.unraced(async () => {
        const held = await this.#target.getAll([
          catalogKey(name),
          ...some.flatMap(({ tag, item }) => [tagLink(name, tag), item.key]),
        ]);
        // Without its tag, distribution would take what is left for one.
        const tagged = some.filter(({ tag }) => held.get(tagLink(name, tag)) !== undefined);
        if (tagged.length === 0) return;
        await this.#target.write([
          addingUnder(name, held.get(catalogKey(name))),
          ...tagged.map(({ item }) => as(item.key, item.value, held.get(item.key))),
        ]);
      });
      this.#count("history", "copied", some.length);
    }
  }

  /** Keys that mean nothing to the index. */
  async #verbatim(batch: readonly Pair<MetaItem>[]): Promise<void> {
    const differing: MetaItem[] = [];
    for (const { key, from, to } of batch) {
      const kind = kindOf(parseLink(key));
      if (from === undefined) {
        this.#count(kind, "extra", 1);
        this.#options.tally.extras.add(nameOf(key), "is at the target alone");
      } else if (to?.value.equals(from.value)) this.#count(kind, "same", 1);
      else differing.push(from);
    }
    for (const some of writable(differing)) {
      if (!this.#options.dryRun) {
        await this.#target.unraced(async () => {
          const held = await this.#target.getAll(some.map(({ key }) => key));
          await this.#target.write(some.map(({ key, value }) => as(key, value, held.get(key))));
        });
      }
      for (const { key } of some) this.#count(kindOf(parseLink(key)), "copied", 1);
    }
  }

  async #source(keys: readonly string[]): Promise<Map<string, MetaItem | undefined>> {
    const { patience, call } = this.#target;
    const found = new Map<string, MetaItem | undefined>();
    for (let at = 0; at < keys.length; at += 100) {
      const some = keys.slice(at, at + 100);
      const items = await patience.run(() => this.#from.meta.get(some, call));
      for (const [index, key] of some.entries()) found.set(key, items[index]);
    }
    return found;
  }

  #count(kind: LinkKind, what: "copied" | "same" | "extra", count: number): void {
    const { tally } = this.#options;
    tally.links[kind][what] += count;
    tally.changed();
  }
}

/** As many as fit into one Write. */
function* writable(items: readonly MetaItem[]): Iterable<readonly MetaItem[]> {
  let some: MetaItem[] = [];
  let bytes = 0;
  for (const item of items) {
    const own = item.key.length + item.value.length;
    if (some.length === FACTS_A_WRITE || (some.length > 0 && bytes + own > MOST_WRITE_BYTES)) {
      yield some;
      [some, bytes] = [[], 0];
    }
    some.push(item);
    bytes += own;
  }
  if (some.length > 0) yield some;
}

function as(key: string, value: Buffer, held: MetaItem | undefined) {
  const condition = held === undefined ? ({ ifAbsent: true } as const) : { ifEtag: held.etag };
  return { kind: "put", key, value, condition } as const;
}

/** A link as people name it. */
export function nameOf(key: string): string {
  const link = parseLink(key);
  switch (link?.kind) {
    case "tag":
      return `${link.name}:${link.tag}`;
    case "layer":
    case "revision":
      return `${link.name}@${link.digest}`;
    case "history":
      return `${link.name}:${link.tag}@${link.digest}`;
    case undefined:
      return key;
  }
}
