/**
 * The stores of a core as its rules see them: the client's, with blobs that may lie in two places while they are moved.
 * Which phases may be beside each other, and why: docs/guides/move-storage.md.
 */
import type { Logger } from "pino";
import type {
  BlobStore,
  ExchangedStores,
  ExchangeTargets,
  MetaStore,
  StoreFacts,
  StoreHealth,
  StoreLimits,
  Stores,
  StoreTarget,
} from "../../client/contract.ts";
import { type Clock, sleep } from "../../proto/clock.ts";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { MovingBlobs, type Place } from "./blobs.ts";
import { assertMayEnter, enterPhase, type MoveIntent } from "./record.ts";
import { Tombstones } from "./tombstones.ts";

export interface BlobMove {
  readonly phase: "read" | "write";
  /** No other core is there that would have to come along: phase write is entered at once. */
  readonly onlyCore: boolean;
}

export interface MovingParts {
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of the stores' ids before they are used. @throws Error when they are another pair's */
  readonly claim?: (ids: readonly string[]) => Claim;
}

/** Stores that no other pair may use. */
export interface Claim {
  /** They are this pair's, and others that it had no longer are. */
  keep(): void;
  /** Those that it did not have before may be another's again. */
  giveUp(): void;
}

export interface MoveOnOptions {
  /** After every check of this pair, before anything is written or exchanged. Rejects: nothing is. */
  readonly checked?: () => Promise<void>;
}

const RETRY_MS = 1_000;

export class MovingStores implements Stores {
  readonly blobs: BlobStore;
  readonly meta: MetaStore;
  readonly #inner: Stores;
  readonly #parts: MovingParts;
  readonly #tombstones: Tombstones;
  readonly #closing = new AbortController();
  #move: BlobMove | undefined;
  /** Ids of stores that this core has moved away from: uploads that began there still end there, and are then copied. */
  readonly #left = new Set<string>();
  #ready: Promise<void> | undefined;

  constructor(inner: Stores, move: BlobMove | undefined, parts: MovingParts) {
    this.#inner = inner;
    this.#parts = parts;
    this.#move = move;
    this.meta = inner.meta;
    this.#tombstones = new Tombstones(inner.meta, parts.clock);
    this.blobs = new MovingBlobs(() => this.#place());
  }

  get beside(): BlobStore | undefined {
    return this.#inner.beside;
  }

  /** `undefined`: nothing is moved. */
  get phase(): BlobMove["phase"] | undefined {
    return this.#move?.phase;
  }

  get uploadStoreId(): string {
    return this.#place().first.facts.id;
  }

  blobsById(storeId: string): BlobStore | undefined {
    const store = this.#inner.blobsById(storeId);
    return store && new MovingBlobs(() => this.#place(), store);
  }

  endsHere(storeId: string): boolean {
    const { first, second, leaving } = this.#place();
    return storeId === first.facts.id || storeId === second?.facts.id || leaving.has(storeId);
  }

  health(): StoreHealth[] {
    return this.#inner.health();
  }

  /** Also rejects when the phase is not one that this core may enter. */
  ready(): Promise<void> {
    this.#ready ??= this.#start().catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  async #start(): Promise<void> {
    const { clock, log } = this.#parts;
    await this.#inner.ready();
    for (;;) {
      try {
        await this.#enter();
        return;
      } catch (error) {
        if (!(error instanceof OutriggerError) || error.recovery === "never" || hasReason(error, "READ_ONLY"))
          throw error;
        log.warn({ err: error }, "how far the move of blobs is cannot be read yet; trying again");
        await sleep(clock, RETRY_MS, this.#closing.signal);
      }
    }
  }

  switchTo(kind: "blob" | "meta", target: StoreTarget): Promise<void> {
    return this.exchange({ [kind === "blob" ? "blobs" : "meta"]: target });
  }

  switchBoth(blobs: StoreTarget, meta: StoreTarget): Promise<void> {
    return this.exchange({ blobs, meta });
  }

  exchange(targets: ExchangeTargets): Promise<void> {
    return this.moveOn(targets, this.#move);
  }

  /**
   * Stores and phase in one step.
   * @throws UNAVAILABLE for a phase that this core must not enter; what else makes a store unusable. Nothing is changed then
   */
  async moveOn(targets: ExchangeTargets, move: BlobMove | undefined, options: MoveOnOptions = {}): Promise<void> {
    if (targets.meta !== undefined && (this.#move !== undefined || move !== undefined)) {
      throw new Error("stores.meta cannot be changed while stores.blobs.move is set: end the move of blobs first");
    }
    const { clock } = this.#parts;
    const signal = this.#closing.signal;
    const before = this.#move === undefined ? undefined : this.#inner.blobs.facts.id;
    let claim: Claim | undefined;
    try {
      await this.#inner.exchange(targets, {
        check: async (next) => {
          claim = this.#claim(next);
          await assertMayEnter(next.meta, intentOf(move, next), clock.now(), { signal });
          await options.checked?.();
        },
        record: (next) => enterPhase(next.meta, intentOf(move, next), clock.now(), { signal }),
        commit: () => {
          claim?.keep();
          claim = undefined;
          // The stores are the next ones already.
          const now = this.#inner.blobs.facts.id;
          if (move === undefined && before !== undefined && before !== now) this.#left.add(before);
          this.#left.delete(now);
          this.#move = move;
          if (move !== undefined)
            this.#parts.log.info({ phase: move.phase }, `blobs are being moved: ${meaning[move.phase]}`);
        },
      });
    } catch (error) {
      claim?.giveUp();
      throw error;
    }
  }

  /** Of the stores that it begins with. */
  async #enter(): Promise<void> {
    const { blobs, beside, meta } = this.#inner;
    const stores: ExchangedStores = { blobs: blobs.facts.id, beside: beside?.facts.id, meta };
    const claim = this.#claim(stores);
    try {
      const options = { signal: this.#closing.signal };
      await enterPhase(meta, intentOf(this.#move, stores), this.#parts.clock.now(), options);
      claim?.keep();
    } catch (error) {
      claim?.giveUp();
      throw error;
    }
  }

  #claim({ blobs, beside, meta }: ExchangedStores): Claim | undefined {
    return this.#parts.claim?.([blobs, ...(beside === undefined ? [] : [beside]), meta.facts.id]);
  }

  #place(): Place {
    const inner = this.#inner;
    const { beside } = inner;
    if (this.#move === undefined || beside === undefined) {
      return {
        facts: () => inner.blobs.facts,
        first: inner.blobs,
        second: undefined,
        leaving: this.#left,
        tombstones: undefined,
      };
    }
    // The drivers' own, so that a call that asks both asks the two of one moment.
    const from = inner.blobsById(inner.blobs.facts.id) ?? inner.blobs;
    const [first, second] = this.#move.phase === "write" ? [beside, from] : [from, beside];
    const leaving = this.#move.phase === "write" ? new Set([...this.#left, from.facts.id]) : this.#left;
    return { facts: () => together(from.facts, beside.facts), first, second, leaving, tombstones: this.#tombstones };
  }

  onChanged(listener: Parameters<Stores["onChanged"]>[0]): void {
    this.#inner.onChanged(listener);
  }

  close(): Promise<void> {
    this.#closing.abort(new Error("the stores were closed"));
    return this.#inner.close();
  }
}

function intentOf(move: BlobMove | undefined, { blobs, beside }: ExchangedStores): MoveIntent {
  return move === undefined || beside === undefined
    ? { from: blobs, phase: "none", unchecked: false }
    : { from: blobs, to: beside, phase: move.phase, unchecked: move.onlyCore };
}

const meaning: Readonly<Record<BlobMove["phase"], string>> = {
  read: "they are looked for in both stores, and written where they were",
  write: "they are written to the new store, and looked for in both",
};

/** Known by the store that the pair is recorded with; what both can do. */
function together(from: StoreFacts, to: StoreFacts): StoreFacts {
  const limits: StoreLimits = {
    persistStepBytes: Math.max(from.limits.persistStepBytes, to.limits.persistStepBytes),
    uploadTtlMs: Math.min(from.limits.uploadTtlMs, to.limits.uploadTtlMs),
    maxBlobBytes: Math.min(from.limits.maxBlobBytes, to.limits.maxBlobBytes),
    listLagMs: Math.max(from.limits.listLagMs, to.limits.listLagMs),
    maxValueBytes: Math.min(from.limits.maxValueBytes, to.limits.maxValueBytes),
  };
  return { ...from, limits, capabilities: new Set([...from.capabilities].filter((name) => to.capabilities.has(name))) };
}
