/** What two pairs of stores do not have in common. Nothing is changed; with `digest` every byte of both is read. */
import type { BlobInfo, BlobStore, CallOptions, MetaItem, Stores } from "../client/contract.ts";
import { hasReason } from "../proto/errors.ts";
import { algorithmOf } from "../proto/keys.ts";
import { blobKey, parseBlobKey, parseLink } from "../registry/repository/keys.ts";
import { DEFAULT_JOBS, type TransferOptions } from "./contract.ts";
import { BlobCopier, isSame } from "./copy-blob.ts";
import { blobPairs } from "./copy-blobs.ts";
import { kindOf, metaPairs, nameOf } from "./copy-meta.ts";
import type { Pair } from "./join.ts";
import { factsRange, otherRanges, passingRanges } from "./keys.ts";
import { lostTags } from "./lost-tags.ts";
import { Patience } from "./patience.ts";
import { forEach } from "./pool.ts";
import type { LinkKind } from "./tally.ts";

export interface DiffOptions extends TransferOptions {
  /** Reads and hashes every blob of both sides. */
  readonly digest?: boolean;
  readonly only?: "blobs" | "meta";
  /** Told of each difference as it is found. */
  readonly found?: (item: DiffItem) => void;
}

/** `missing`: FROM has it and TO does not; `extra`: the other way round; `differs`: both have it. */
export interface DiffItem {
  readonly kind: "blobs" | LinkKind;
  readonly what: "missing" | "extra" | "differs";
  /** A digest, `repository:tag`, `repository@digest`, or a key. */
  readonly name: string;
  /** Where it differs: how. */
  readonly detail?: string;
}

export interface DiffCounts {
  missing: number;
  extra: number;
  differs: number;
  same: number;
}

export interface DiffReport {
  readonly counts: Readonly<Record<DiffItem["kind"], DiffCounts>>;
  /**
   * Layer links at FROM whose bytes are absent there, and tags whose manifest is not in the repository there: no copy brings
   * them, and they are no difference.
   */
  readonly dangling: number;
  readonly differences: number;
}

/** @throws StoreAway, the signal's reason … */
export async function diffPairs(from: Stores, to: Stores, options: DiffOptions = {}): Promise<DiffReport> {
  const diff = new Diff(from, to, options);
  if (options.only !== "meta") await diff.blobs();
  if (options.only !== "blobs") await diff.meta();
  return diff.report();
}

class Diff {
  readonly #from: Stores;
  readonly #to: Stores;
  readonly #options: DiffOptions;
  readonly #patience: Patience;
  readonly #hasher: BlobCopier;
  readonly #call: CallOptions;
  readonly #counts: Record<DiffItem["kind"], DiffCounts> = {
    blobs: none(),
    layers: none(),
    manifests: none(),
    tags: none(),
    history: none(),
    other: none(),
  };
  #dangling = 0;

  constructor(from: Stores, to: Stores, options: DiffOptions) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
    this.#patience = new Patience(options);
    this.#call = options.signal === undefined ? {} : { signal: options.signal };
    this.#hasher = new BlobCopier({ ...options, from: from.blobs, to: to.blobs, patience: this.#patience });
  }

  report(): DiffReport {
    const differences = Object.values(this.#counts).reduce((sum, it) => sum + it.missing + it.extra + it.differs, 0);
    return { counts: this.#counts, dangling: this.#dangling, differences };
  }

  async blobs(): Promise<void> {
    const { jobs = DEFAULT_JOBS } = this.#options;
    const pairs = blobPairs(this.#from.blobs, this.#to.blobs, this.#patience, this.#call);
    async function* each() {
      for await (const batch of pairs) yield* batch;
    }
    await forEach(each(), jobs, async ({ key, from, to }) => {
      const name = parseBlobKey(key) ?? key;
      if (to === undefined) this.#found({ kind: "blobs", what: "missing", name });
      else if (from === undefined) this.#found({ kind: "blobs", what: "extra", name });
      else {
        const detail = await this.#differenceOf(from, to);
        if (detail === undefined) this.#same("blobs");
        else this.#found({ kind: "blobs", what: "differs", name, detail });
      }
    });
  }

  async #differenceOf(from: BlobInfo, to: BlobInfo): Promise<string | undefined> {
    if (from.sizeBytes !== to.sizeBytes) return `${from.sizeBytes} bytes at FROM, ${to.sizeBytes} at TO`;
    if (this.#options.digest !== true && isSame(from, to)) return undefined;
    const digest = parseBlobKey(from.key);
    if (this.#options.digest !== true && digest !== undefined) return "TO says that it has another digest";
    const algorithm = digest === undefined ? "sha256" : algorithmOf(digest);
    const one = await this.#hash(this.#from.blobs, from, algorithm);
    const other = await this.#hash(this.#to.blobs, to, algorithm);
    const wanted = digest ?? one;
    const damaged = [
      ...(one === wanted ? [] : [`at FROM it is ${one}`]),
      ...(other === wanted ? [] : [`at TO it is ${other}`]),
    ];
    return damaged.length === 0 ? undefined : damaged.join(", ");
  }

  async #hash(store: BlobStore, info: BlobInfo, algorithm: string): Promise<string> {
    try {
      return await this.#patience.run(() => this.#hasher.hash(store, info, algorithm));
    } catch (error) {
      if (hasReason(error, "STORED_CORRUPT")) return `damaged (${error.message})`;
      if (hasReason(error, "KEY_NOT_FOUND", "ETAG_MISMATCH")) return "changing now";
      throw error;
    }
  }

  async meta(): Promise<void> {
    const sameBlobs = this.#from.blobs.facts.id === this.#to.blobs.facts.id;
    for (const range of [factsRange, ...otherRanges, ...(sameBlobs ? passingRanges : [])]) {
      for await (const batch of metaPairs(this.#from.meta, this.#to.meta, range, this.#patience, this.#call)) {
        await this.#links(batch);
      }
    }
  }

  async #links(batch: readonly Pair<MetaItem>[]): Promise<void> {
    const dangling = await this.#danglingOf(batch);
    for (const { key, from, to } of batch) {
      const kind = kindOf(parseLink(key));
      const name = nameOf(key);
      if (dangling.has(key)) this.#dangling += 1;
      else if (to === undefined) this.#found({ kind, what: "missing", name });
      else if (from === undefined) this.#found({ kind, what: "extra", name });
      else if (from.value.equals(to.value)) this.#same(kind);
      else if (kind === "tags") {
        this.#found({ kind, what: "differs", name, detail: `${from.value} at FROM, ${to.value} at TO` });
      } else this.#found({ kind, what: "differs", name, detail: "the values differ" });
    }
  }

  /** Of the links that TO lacks, those that no copy could bring. */
  async #danglingOf(batch: readonly Pair<MetaItem>[]): Promise<ReadonlySet<string>> {
    const absent = batch.filter(({ to }) => to === undefined);
    const tags = await lostTags(this.#from.meta, absent, this.#patience, this.#call);
    return new Set([...tags, ...(await this.#layersWithoutBytes(batch))]);
  }

  async #layersWithoutBytes(batch: readonly Pair<MetaItem>[]): Promise<ReadonlySet<string>> {
    const missing = batch.flatMap(({ key, from, to }) => {
      const link = from === undefined || to !== undefined ? undefined : parseLink(key);
      return link?.kind === "layer" ? [{ key, digest: link.digest }] : [];
    });
    if (missing.length === 0) return new Set();
    const infos = await this.#patience.run(() =>
      this.#from.blobs.stat(
        missing.map(({ digest }) => blobKey(digest)),
        this.#call,
      ),
    );
    return new Set(missing.filter((_, index) => infos[index] === undefined).map(({ key }) => key));
  }

  #same(kind: DiffItem["kind"]): void {
    this.#counts[kind].same += 1;
    this.#options.changed?.();
  }

  #found(item: DiffItem): void {
    this.#counts[item.kind][item.what] += 1;
    this.#options.found?.(item);
    this.#options.changed?.();
  }
}

function none(): DiffCounts {
  return { missing: 0, extra: 0, differs: 0, same: 0 };
}
