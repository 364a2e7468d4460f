/** What an index run finds, and the small parts that its passes share. */
import { setMaxListeners } from "node:events";
import type { MetaItem } from "../../client/contract.ts";
import type { Core } from "../repository/core.ts";

/** Counts of one run. With verify nothing was changed, and each difference is one that holds at one moment. */
export interface IndexReport {
  /** Link facts read. */
  readonly links: number;
  /** Derived keys that were not there. */
  readonly missing: number;
  /** Derived keys with another value than the facts give. */
  readonly wrong: number;
  /** Derived keys of facts that are gone. */
  readonly stale: number;
  /** Layer links whose bytes are absent. */
  readonly withoutBytes: number;
  /** What no index can repair (such as bytes that are absent), or is none of ours; the first thousand. */
  readonly problems: readonly IndexProblem[];
}

export interface IndexProblem {
  readonly key: string;
  readonly what: string;
}

export interface IndexProgress extends Omit<IndexReport, "problems"> {
  /** Where it is. */
  readonly at: string;
}

const MAX_PROBLEMS = 1000;

/** One run's work and its counts. */
export class IndexRun {
  readonly core: Core;
  readonly signal: AbortSignal;
  /** Whether differences are repaired. */
  readonly repair: boolean;
  readonly counts = { links: 0, missing: 0, wrong: 0, stale: 0, withoutBytes: 0 };
  readonly problems: IndexProblem[] = [];
  readonly #progress: ((progress: IndexProgress) => void) | undefined;

  constructor(
    core: Core,
    repair: boolean,
    signal: AbortSignal,
    progress: ((progress: IndexProgress) => void) | undefined,
  ) {
    this.core = core;
    this.repair = repair;
    // Its own: each of the calls under way listens to it, and many are.
    this.signal = AbortSignal.any([signal]);
    setMaxListeners(0, this.signal);
    this.#progress = progress;
  }

  problem(key: string, what: string): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push({ key, what });
  }

  tell(at: string): void {
    this.#progress?.({ ...this.counts, at });
  }

  report(): IndexReport {
    return { ...this.counts, problems: this.problems };
  }

  /** Pages of a prefix, each as of its own moment. */
  pages(prefix: string): AsyncIterable<readonly MetaItem[]> {
    return this.core.ledger.pages(prefix, { signal: this.signal });
  }

  /** Any number of keys; each hundred is one consistent read. */
  async get(keys: readonly string[]): Promise<Map<string, MetaItem | undefined>> {
    const found = new Map<string, MetaItem | undefined>();
    await inParallel(chunked(keys, GET_KEYS), CALLS_AT_ONCE, async (some) => {
      const items = await this.core.ledger.get(some, { signal: this.signal });
      for (const [index, key] of some.entries()) found.set(key, items[index]);
    });
    return found;
  }
}

const GET_KEYS = 100;
export const CALLS_AT_ONCE = 8;

export function chunked<Item>(items: readonly Item[], size: number): Item[][] {
  const chunks: Item[][] = [];
  for (let at = 0; at < items.length; at += size) chunks.push(items.slice(at, at + size));
  return chunks;
}

/** Runs `work` on each, at most `width` at once; rejects with the first failure, after those under way have ended. */
export async function inParallel<Item>(
  items: readonly Item[],
  width: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  const worker = async () => {
    while (next < items.length && failure === undefined) {
      const item = items[next++] as Item;
      try {
        await work(item);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  if (failure !== undefined) throw failure.error;
}
