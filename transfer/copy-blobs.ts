/**
 * Every blob of a store to another. What is there already, with the same size and digest, is not read; so a copy that was
 * stopped is simply begun again. Safe beside pushes on either side, and beside another copy: blobs are put if absent.
 */
import type { BlobInfo, BlobStore, CallOptions } from "../client/contract.ts";
import { blobKey, parseBlobKey } from "../registry/repository/keys.ts";
import { DEFAULT_JOBS, type TransferOptions } from "./contract.ts";
import { BlobCopier, isSame } from "./copy-blob.ts";
import { CopyRefused, ending, isOfOneThing } from "./faults.ts";
import { joined, type Pair, pagesOf } from "./join.ts";
import { Patience } from "./patience.ts";
import { forEach } from "./pool.ts";
import { Tally } from "./tally.ts";

/** Of a link whose bytes are nowhere. */
export const ABSENT_AT_SOURCE = "its bytes are absent at the source";

export interface CopyBlobsOptions extends TransferOptions {
  /** Counts on here, and how much there is to come is counted as well; default: one of its own. */
  readonly tally?: Tally;
  readonly patience?: Patience;
  /** Changes nothing, counts what would be copied. */
  readonly dryRun?: boolean;
  /** Of some blobs that the target lacks, those that are to be copied: whoever moves a store leaves out what was deleted since. */
  readonly select?: (missing: readonly BlobInfo[]) => Promise<readonly BlobInfo[]>;
  /** Called when a blob was copied, before it is counted: whoever moves a store takes it back where it was deleted meanwhile. */
  readonly copied?: (info: BlobInfo) => Promise<void>;
}

/**
 * @returns the tally, with what could not be copied as its problems
 * @throws what ended it: TargetFull, StoreAway, the signal's reason, READ_ONLY …
 */
export async function copyBlobs(from: BlobStore, to: BlobStore, options: CopyBlobsOptions = {}): Promise<Tally> {
  if (from.facts.id === to.facts.id) {
    throw new CopyRefused(`FROM and TO are the same blob store, ${from.facts.id}: there is nothing to copy`);
  }
  const copy = new BlobsCopy(from, to, options);
  await (options.tally === undefined ? copy.all() : withPlan(copy, () => copy.all()));
  return copy.tally;
}

/** The listings of both, side by side, without what a copy keeps for itself. */
export function blobPairs(
  from: BlobStore,
  to: BlobStore,
  patience: Patience,
  call: CallOptions,
): AsyncIterable<readonly Pair<BlobInfo>[]> {
  const pages = (store: BlobStore) => pagesOf((request) => store.list(request, call), { prefix: "" }, patience);
  return joined(pages(from), pages(to));
}

export class BlobsCopy {
  readonly tally: Tally;
  readonly #from: BlobStore;
  readonly #to: BlobStore;
  readonly #options: CopyBlobsOptions;
  readonly #patience: Patience;
  readonly #copier: BlobCopier;
  readonly #call: CallOptions;
  /** Being copied now, by key. */
  readonly #underWay = new Map<string, Promise<boolean>>();

  constructor(from: BlobStore, to: BlobStore, options: CopyBlobsOptions) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
    this.tally = options.tally ?? new Tally(options.changed);
    this.#patience = options.patience ?? new Patience(options);
    this.#call = options.signal === undefined ? {} : { signal: options.signal };
    this.#copier = new BlobCopier({
      ...options,
      from,
      to,
      patience: this.#patience,
      passed: (bytes) => {
        this.tally.blobs.passedBytes += bytes;
        this.tally.changed();
      },
    });
  }

  async all(): Promise<void> {
    const { jobs = DEFAULT_JOBS, dryRun = false } = this.#options;
    await forEach(this.#differing(), dryRun ? 1 : jobs, async ({ from, to }) => {
      if (from === undefined) return;
      if (dryRun) this.#counted(from);
      else await this.#copied(from, to);
    });
  }

  /** What all() would copy, counted ahead of it, for who wants to know how much there is to come. */
  async plan(signal: AbortSignal): Promise<{ readonly objects: number; readonly bytes: number }> {
    const planned = { objects: 0, bytes: 0 };
    for await (const batch of blobPairs(this.#from, this.#to, this.#patience, { signal })) {
      for (const { from, to } of batch) {
        if (from === undefined || (to !== undefined && isSame(from, to))) continue;
        planned.objects += 1;
        planned.bytes += from.sizeBytes;
      }
    }
    return planned;
  }

  /**
   * Copies those of the digests that the target lacks: for links made since the blobs were listed.
   * @returns which are not at the target now, and why
   */
  async ensure(digests: readonly string[], mayCopy: boolean): Promise<Map<string, string>> {
    const missing = new Map<string, string>();
    const keys = digests.map(blobKey);
    const held = await this.#patience.run(() => this.#to.stat(keys, this.#call));
    const absent = keys.filter((_, index) => held[index] === undefined);
    if (absent.length === 0) return missing;
    const infos = await this.#patience.run(() => this.#from.stat(absent, this.#call));
    await forEach(absent.entries(), this.#options.jobs ?? DEFAULT_JOBS, async ([index, key]) => {
      const info = infos[index];
      const digest = parseBlobKey(key) ?? key;
      if (info === undefined) missing.set(digest, ABSENT_AT_SOURCE);
      else if (!mayCopy) missing.set(digest, "its bytes are absent at the target, and only meta is copied");
      else if (!(await this.#copied(info, undefined))) missing.set(digest, "its bytes could not be copied");
    });
    return missing;
  }

  async *#differing(): AsyncGenerator<Pair<BlobInfo>, void, undefined> {
    const { blobs, extras } = this.tally;
    for await (const batch of blobPairs(this.#from, this.#to, this.#patience, this.#call)) {
      const missing: Pair<BlobInfo>[] = [];
      for (const pair of batch) {
        const { key, from, to } = pair;
        if (from === undefined) {
          blobs.extra += 1;
          extras.add(parseBlobKey(key) ?? key, "is at the target alone");
        } else if (to === undefined) missing.push(pair);
        else if (isSame(from, to)) this.#same(from);
        else if (parseBlobKey(key) !== undefined || !(await this.#hasSameBytes(from, to))) yield pair;
        else this.#same(from);
      }
      yield* await this.#selected(await this.#reallyMissing(missing));
    }
  }

  /** A listing may lag behind. */
  async #reallyMissing(missing: readonly Pair<BlobInfo>[]): Promise<readonly Pair<BlobInfo>[]> {
    if (missing.length === 0 || this.#to.facts.limits.listLagMs === 0) return missing;
    const keys = missing.map(({ key }) => key);
    const held = await this.#patience.run(() => this.#to.stat(keys, this.#call));
    return missing.filter(({ from }, index) => {
      const there = held[index];
      if (there === undefined || from === undefined || !isSame(from, there)) return true;
      this.#same(from);
      return false;
    });
  }

  async #selected(missing: readonly Pair<BlobInfo>[]): Promise<readonly Pair<BlobInfo>[]> {
    const { select } = this.#options;
    if (select === undefined || missing.length === 0) return missing;
    const infos = missing.flatMap(({ from }) => (from === undefined ? [] : [from]));
    const chosen = new Set((await select(infos)).map(({ key }) => key));
    return missing.filter(({ key }) => chosen.has(key));
  }

  /** Of a key that is no digest's, only the bytes say it. */
  async #hasSameBytes(from: BlobInfo, to: BlobInfo): Promise<boolean> {
    if (from.sizeBytes !== to.sizeBytes) return false;
    const [one, other] = await Promise.all([
      this.#patience.run(() => this.#copier.hash(this.#from, from, "sha256")),
      this.#patience.run(() => this.#copier.hash(this.#to, to, "sha256")),
    ]);
    return one === other;
  }

  #same(info: BlobInfo): void {
    this.tally.blobs.same += 1;
    this.tally.blobs.sameBytes += info.sizeBytes;
    this.tally.changed();
  }

  #counted(info: BlobInfo): void {
    this.tally.blobs.copied += 1;
    this.tally.blobs.copiedBytes += info.sizeBytes;
    this.tally.changed();
  }

  /** @returns whether the target has it now */
  #copied(info: BlobInfo, held: BlobInfo | undefined): Promise<boolean> {
    const other = this.#underWay.get(info.key);
    if (other !== undefined) return other;
    const own = this.#copy(info, held).finally(() => this.#underWay.delete(info.key));
    this.#underWay.set(info.key, own);
    return own;
  }

  async #copy(info: BlobInfo, held: BlobInfo | undefined): Promise<boolean> {
    try {
      const outcome = await this.#copier.copy(info, held);
      if (outcome === "copied") {
        await this.#options.copied?.(info);
        this.#counted(info);
      } else if (outcome === "same") this.#same(info);
      else this.tally.blobs.gone += 1;
      this.tally.changed();
      return outcome !== "gone";
    } catch (error) {
      if (!isOfOneThing(error)) throw ending(error);
      this.tally.problems.add(parseBlobKey(info.key) ?? info.key, error.message);
      this.tally.changed();
      return false;
    }
  }
}

/** Counts how much there is to come while the copying has begun. */
export async function withPlan(blobs: BlobsCopy, work: () => Promise<void>): Promise<void> {
  const stop = new AbortController();
  // Only for who looks on: what fails here fails there too.
  const planning = blobs.plan(stop.signal).then(
    (planned) => {
      blobs.tally.planned = planned;
    },
    () => undefined,
  );
  try {
    await work();
  } finally {
    stop.abort(new Error("nobody looks on any more"));
    await planning;
  }
}
