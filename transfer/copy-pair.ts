/**
 * A pair of stores to another: bytes, then links, then tags, so that the target can be pulled from at every moment, and
 * what the source no longer has in the opposite order. Simply run again after whatever ended it.
 */
import { pino } from "pino";
import type { MetaItem, MetaStore, Stores } from "../client/contract.ts";
import { systemClock } from "../proto/clock.ts";
import { ensureIndex } from "../registry/index/index.ts";
import { assertAllBlobs } from "../registry/moving/record.ts";
import { copySourceKey, repositoriesPrefix } from "../registry/repository/keys.ts";
import { NoLease } from "../registry/repository/lease.ts";
import { ensureLocationSecret } from "../registry/repository/secret.ts";
import type { TransferOptions } from "./contract.ts";
import { BlobsCopy, withPlan } from "./copy-blobs.ts";
import { copyMeta } from "./copy-meta.ts";
import { CopyRefused, ending } from "./faults.ts";
import { finishMarkers, mirrorBlobs } from "./mirror-blobs.ts";
import { mirrorMeta } from "./mirror-meta.ts";
import { Patience } from "./patience.ts";
import { Tally } from "./tally.ts";
import { Target } from "./target.ts";
import { CopyTurn } from "./turn.ts";

export interface CopyPairOptions extends TransferOptions {
  /** Default: both. "meta" links only what has its bytes at the target. */
  readonly only?: "meta";
  /** Changes nothing, counts what would be copied. */
  readonly dryRun?: boolean;
  /** Takes away at the target what the source does not have. */
  readonly delete?: boolean;
  /** Id of the target's meta store, where things may be deleted in it although it was not made by copies of this source. */
  readonly acceptTarget?: string;
  /** Counts here, for who shows it. */
  readonly tally?: Tally;
}

/**
 * Both pairs are ready.
 * @returns the tally, with what could not be copied as its problems
 * @throws CopyRefused, TurnTaken, TargetFull, StoreAway; UNAVAILABLE (RegistryError) while a core holds the target alone,
 * or some of its blobs lie in another store
 */
export async function copyPair(from: Stores, to: Stores, options: CopyPairOptions = {}): Promise<Tally> {
  if (from.meta.facts.id === to.meta.facts.id) {
    throw new CopyRefused(`FROM and TO have the same meta store, ${from.meta.facts.id}: there is nothing to copy`);
  }
  const { clock = systemClock, log = pino({ level: "silent" }), signal, dryRun = false } = options;
  const tally = options.tally ?? new Tally(options.changed);
  const patience = new Patience(options);
  const parts = { stores: to, patience, log, clock, random: options.random, signal };
  // As a registry does: a core that died must not keep the store for ever.
  if (!dryRun) await patience.run(() => new NoLease({ meta: to.meta, clock, log }).start(signal));
  const turn = dryRun ? undefined : await CopyTurn.take({ meta: to.meta, clock, patience, signal });
  try {
    await new PairCopy(from, new Target({ ...parts, turn }), { ...options, tally, patience, dryRun }).run();
    tally.phase = "end";
    return tally;
  } catch (error) {
    signal?.throwIfAborted();
    throw ending(error);
  } finally {
    await turn?.close();
  }
}

interface PairCopyOptions extends CopyPairOptions {
  readonly tally: Tally;
  readonly patience: Patience;
  readonly dryRun: boolean;
}

class PairCopy {
  readonly #from: Stores;
  readonly #target: Target;
  readonly #options: PairCopyOptions;

  constructor(from: Stores, target: Target, options: PairCopyOptions) {
    this.#from = from;
    this.#target = target;
    this.#options = options;
  }

  async run(): Promise<void> {
    const { tally, dryRun, only } = this.#options;
    const from = this.#from;
    const to = this.#target.core.stores;
    const sameBlobs = from.blobs.facts.id === to.blobs.facts.id;
    const recorded = await this.#checkTarget();
    if (!dryRun) {
      await this.#target.patience.run(() => ensureIndex(this.#target.core, this.#target.call));
      // A store that is the source's too is only its own collector's.
      if (!sameBlobs) await finishMarkers(this.#target, tally);
      // Its own, so that a registry finds all it needs where the target is sealed. The source's comes along in a move.
      if (!sameBlobs)
        await this.#target.patience.run(() => ensureLocationSecret(this.#target.core, this.#target.signal));
    }
    const blobs = new BlobsCopy(from.blobs, to.blobs, this.#options);
    if (only !== "meta" && !sameBlobs) {
      this.#phase("blobs");
      await withPlan(blobs, () => blobs.all());
    }
    this.#phase("links");
    const copiesBlobs = only !== "meta" && !sameBlobs;
    await copyMeta(from, this.#target, { ...this.#options, blobs, copiesBlobs, sameBlobs });
    if (this.#options.delete && !dryRun) {
      this.#phase("deletes");
      await mirrorMeta(from, this.#target, { tally, sameBlobs });
      if (copiesBlobs) await mirrorBlobs(from, this.#target, tally);
    }
    const isCopy = tally.problems.count === 0 && (this.#options.delete === true || tally.extras.count === 0);
    if (!dryRun && isCopy) await this.#record(recorded);
  }

  #phase(phase: Tally["phase"]): void {
    this.#options.tally.phase = phase;
    this.#options.tally.changed();
  }

  /** @returns the record of what the target is a copy of. @throws CopyRefused */
  async #checkTarget(): Promise<MetaItem | undefined> {
    const { stores } = this.#target.core;
    const { meta } = stores;
    await this.#target.patience.run(() => assertAllBlobs(stores, this.#target.call));
    const [record] = await this.#target.get([copySourceKey]);
    const source = this.#from.meta.facts.id;
    const recorded = record?.value.toString("utf8");
    const isEmpty = await this.#isEmpty(meta);
    if (this.#options.delete && !isEmpty && this.#options.acceptTarget !== meta.facts.id) {
      const ifMeant = `if its content may be deleted all the same, add --accept-target ${meta.facts.id}`;
      if (recorded !== source) {
        const is = recorded === undefined ? "was not made by copies of FROM" : `is a copy of ${recorded}, not of FROM`;
        throw new CopyRefused(`the target ${is}, so nothing is deleted in it: ${ifMeant}`);
      }
      if (await this.#isEmpty(this.#from.meta)) {
        throw new CopyRefused(
          `FROM has no repository at all, and a volume that is not mounted looks the same: ${ifMeant}`,
        );
      }
    }
    if (isEmpty && recorded !== source && !this.#options.dryRun) await this.#record(record);
    return record;
  }

  async #isEmpty(meta: MetaStore): Promise<boolean> {
    const { patience, call } = this.#target;
    return (await patience.run(() => meta.list({ prefix: repositoriesPrefix, limit: 1 }, call))).items.length === 0;
  }

  /** Says what the target is a copy of from here on: later copies may delete in it. */
  async #record(held: MetaItem | undefined): Promise<void> {
    const source = this.#from.meta.facts.id;
    if (held?.value.toString("utf8") === source) return;
    await this.#target.unraced(async () => {
      const [now] = await this.#target.get([copySourceKey]);
      const condition = now === undefined ? ({ ifAbsent: true } as const) : { ifEtag: now.etag };
      await this.#target.write([{ kind: "put", key: copySourceKey, value: Buffer.from(source), condition }]);
    });
  }
}
