/**
 * What search tells of one pair of stores: a copy of `outrigger/search/` in memory, loaded once and kept true by the changes
 * that each Write tells of. Before each answer the store is asked what was changed, so nothing that was acknowledged before
 * is missing, by whichever core. Why, and what it costs: docs/adr/search-view.md.
 */
import { setMaxListeners } from "node:events";
import type { MetaStore } from "../../client/contract.ts";
import { hasReason } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import type { RequestContext } from "../repository/contract.ts";
import { type Core, loadManifest } from "../repository/core.ts";
import {
  allImagesPrefix,
  allPullsPrefix,
  allSearchTagsPrefix,
  allStarsPrefix,
  changesPrefix,
  imageKey,
} from "../repository/keys.ts";
import { changedKeys, changesSince, isSearched, LOOK_BACK_MS } from "./changes.ts";
import type { RepositoryOrder, RepositoryView, SearchSource, SearchView } from "./contract.ts";
import { describeImage } from "./describe.ts";
import { decodeRecord, type ImageRecord, pushedOf } from "./record.ts";
import { Replica } from "./replica.ts";

/** After so long without a look it is loaded anew: entries of changes are kept for an hour. */
const STALE_MS = 10 * 60 * 1000;
/** Also while nobody asks, so that whoever does need not wait for that. */
const LOOK_EVERY_MS = 2 * 60 * 1000;
/** With more changed at once, loading anew is quicker. */
const MOST_CHANGED = 50_000;
const GETS_AT_ONCE = 8;

export interface SearchIndexParts {
  readonly core: Core;
  /** Whether a repository of that name is this pair's. */
  readonly owns: (name: string) => boolean;
}

interface Loaded {
  readonly replica: Replica;
  readonly view: SearchView;
  /** Entries of changes that are applied, of the last moments. */
  readonly applied: Set<string>;
  /** Unix ms, as of which it is whole; and the same by the clock that only grows. */
  lookedMs: number;
  lookedAt: number;
}

export class SearchIndex implements SearchSource {
  readonly #parts: SearchIndexParts;
  readonly #closing = new AbortController();
  #loaded: Loaded | undefined;
  #generation = 0;
  #running: Promise<unknown> = Promise.resolve();
  #next: Promise<SearchView> | undefined;
  #cancelLook: (() => void) | undefined;

  constructor(parts: SearchIndexParts) {
    this.#parts = parts;
    // Each of the calls under way listens to it, and a load makes many.
    setMaxListeners(0, this.#closing.signal);
  }

  /** Those who ask while a look is under way share the next one. */
  view(context: RequestContext): Promise<SearchView> {
    context.signal.throwIfAborted();
    if (this.#next === undefined) {
      const next = this.#running.then(() => {
        this.#next = undefined;
        return this.#lookNow();
      });
      this.#next = next;
      this.#running = next.catch(() => undefined);
    }
    return unlessAborted(this.#next, context.signal);
  }

  /** The stores are others, or were changed from outside. */
  reset(): void {
    this.#generation += 1;
    this.#loaded = undefined;
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error("closing"));
    this.#cancelLook?.();
    await this.#running;
  }

  async #lookNow(): Promise<SearchView> {
    for (;;) {
      this.#closing.signal.throwIfAborted();
      const generation = this.#generation;
      const current = this.#current();
      const loaded = current ?? (await this.#load());
      const isWhole = await this.#catchUp(loaded, current === undefined ? Number.POSITIVE_INFINITY : MOST_CHANGED);
      if (generation !== this.#generation) continue;
      this.#loaded = isWhole ? loaded : undefined;
      if (!isWhole) continue;
      this.#lookLater();
      return loaded.view;
    }
  }

  /** `undefined`: too old, or the clock was set back since. */
  #current(): Loaded | undefined {
    const { clock } = this.#parts.core;
    const loaded = this.#loaded;
    if (loaded === undefined || clock.monotonic() - loaded.lookedAt > STALE_MS) return undefined;
    // By both clocks: one of them stands still while the machine sleeps.
    const agoMs = clock.now() - loaded.lookedMs;
    return agoMs < -limits.clockSkewMs || agoMs > STALE_MS ? undefined : loaded;
  }

  async #load(): Promise<Loaded> {
    const { core, owns } = this.#parts;
    const { clock, log } = core;
    const [lookedMs, lookedAt] = [clock.now(), clock.monotonic()];
    const replica = new Replica(owns);
    const prefixes = [allImagesPrefix, allPullsPrefix, allSearchTagsPrefix, allStarsPrefix];
    await Promise.all(
      prefixes.map(async (prefix) => {
        for await (const page of core.ledger.pages(prefix, { signal: this.#closing.signal })) {
          for (const { key, value } of page) replica.set(key, value);
        }
      }),
    );
    replica.sumUp();
    const tookMs = Math.round(clock.monotonic() - lookedAt);
    log.debug({ repositories: replica.repositoryCount, tookMs }, "the index of images is in memory");
    return { replica, view: new View(core, replica), applied: new Set(), lookedMs, lookedAt };
  }

  /** Applies what was changed since the last look. @returns false: more than `most` keys, so that it must be loaded anew */
  async #catchUp(loaded: Loaded, most: number): Promise<boolean> {
    const { core } = this.#parts;
    const { clock, ledger } = core;
    const options = { signal: this.#closing.signal };
    const [beganMs, beganAt] = [clock.now(), clock.monotonic()];
    const entries = new Set<string>();
    const keys = new Set<string>();
    for (let startAfter = changesSince(loaded.lookedMs - LOOK_BACK_MS); ; ) {
      const page = await ledger.list({ prefix: changesPrefix, startAfter }, options);
      for (const item of page.items) {
        if (loaded.applied.has(item.key)) continue;
        entries.add(item.key);
        for (const key of changedKeys(item)) if (isSearched(key)) keys.add(key);
      }
      if (keys.size > most) return false;
      startAfter = page.items.at(-1)?.key ?? startAfter;
      if (!page.more) break;
    }
    await this.#read([...keys], loaded.replica);
    loaded.replica.sumUp();
    const bound = changesSince(beganMs - LOOK_BACK_MS);
    for (const key of loaded.applied) if (key < bound) loaded.applied.delete(key);
    for (const key of entries) if (key >= bound) loaded.applied.add(key);
    loaded.lookedMs = beganMs;
    loaded.lookedAt = beganAt;
    return true;
  }

  async #read(keys: readonly string[], replica: Replica): Promise<void> {
    let at = 0;
    const reader = async () => {
      while (at < keys.length) {
        const some = keys.slice(at, at + limits.getKeys);
        at += limits.getKeys;
        const items = await this.#parts.core.ledger.get(some, { signal: this.#closing.signal });
        for (const [index, key] of some.entries()) replica.set(key, items[index]?.value);
      }
    };
    await Promise.all(Array.from({ length: GETS_AT_ONCE }, reader));
  }

  #lookLater(): void {
    this.#cancelLook?.();
    this.#cancelLook = this.#parts.core.clock.after(LOOK_EVERY_MS, () => {
      const { signal } = this.#closing;
      this.view({ requestId: "search", signal }).catch((error: unknown) => {
        if (signal.aborted) return;
        this.#parts.core.log.debug({ err: error }, "the index of images could not be looked at");
        this.#lookLater();
      });
    });
  }
}

/** One pair's, as it is. */
class View implements SearchView {
  readonly #core: Core;
  readonly #replica: Replica;

  constructor(core: Core, replica: Replica) {
    this.#core = core;
    this.#replica = replica;
  }

  get repositoryCount(): number {
    return this.#replica.repositoryCount;
  }

  get tagCount(): number {
    return this.#replica.tagCount;
  }

  repository(name: string): RepositoryView | undefined {
    return this.#replica.repository(name);
  }

  repositories(order: RepositoryOrder, offset?: number): Iterable<RepositoryView> {
    return this.#replica.repositories(order, offset);
  }

  repositoriesWith(manifestDigest: string): readonly string[] {
    return this.#replica.repositoriesWith(manifestDigest);
  }

  async records(
    name: string,
    digests: readonly string[],
    context: RequestContext,
  ): Promise<ReadonlyMap<string, ImageRecord>> {
    const wanted = [...new Set(digests)];
    const items = await getAll(
      this.#core.stores.meta,
      wanted.map((digest) => imageKey(name, digest)),
      context,
    );
    const records = new Map<string, ImageRecord>();
    for (const [index, digest] of wanted.entries()) {
      const value = items[index]?.value;
      const record = value && decodeRecord(value);
      if (record === undefined) continue;
      records.set(digest, record.cut === undefined ? record : await this.#whole(digest, record, context));
    }
    return records;
  }

  /** What did not fit into the record is read from the bytes; as it is where they are not there any more. */
  async #whole(digest: string, record: ImageRecord, context: RequestContext): Promise<ImageRecord> {
    const loaded = await loadManifest(this.#core, digest, context).catch((error: unknown) => {
      if (!hasReason(error, "STORED_CORRUPT")) throw error;
    });
    if (loaded === undefined) return record;
    return { ...(await describeImage(this.#core, loaded, context)), ...pushedOf(record) };
  }
}

async function getAll(meta: MetaStore, keys: readonly string[], context: RequestContext) {
  const items: Awaited<ReturnType<MetaStore["get"]>> = [];
  for (let at = 0; at < keys.length; at += limits.getKeys) {
    items.push(...(await meta.get(keys.slice(at, at + limits.getKeys), context)));
  }
  return items;
}

/** The work goes on for the others. */
function unlessAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
