/** The target's meta store, as facts are written to it: each Write in the copy's turn, and beside no core that is alone. */
import type { Logger } from "pino";
import type { CallOptions, MetaItem, MetaOperation, Stores } from "../client/contract.ts";
import { type Clock, sleep, systemClock } from "../proto/clock.ts";
import { hasReason, OutriggerError } from "../proto/errors.ts";
import type { Core } from "../registry/repository/core.ts";
import { DigestCache } from "../registry/repository/digest-cache.ts";
import { leaseHolderKey } from "../registry/repository/keys.ts";
import { NoLease } from "../registry/repository/lease.ts";
import { Ledger } from "../registry/repository/ledger.ts";
import { changeEntry } from "../registry/search/changes.ts";
import type { Patience } from "./patience.ts";
import type { CopyTurn } from "./turn.ts";

/** Beside the checks of the turn and of the lease, and what is said of changes to search's keys. */
export const FACTS_A_WRITE = 97;
export const KEYS_A_GET = 100;
const CONTENT_MEMORY_BYTES = 32 * 1024 * 1024;
const RACES = 24;
const LONGEST_PAUSE_MS = 200;

export interface TargetParts {
  readonly stores: Stores;
  /** Absent: nothing may be written. */
  readonly turn: CopyTurn | undefined;
  readonly patience: Patience;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class Target {
  /** For what is only read. */
  readonly core: Core;
  readonly signal: AbortSignal;
  readonly call: CallOptions;
  readonly patience: Patience;
  readonly #parts: TargetParts;

  constructor(parts: TargetParts) {
    const { stores, log, clock = systemClock, random = Math.random } = parts;
    this.#parts = parts;
    this.patience = parts.patience;
    this.signal = parts.signal ?? new AbortController().signal;
    this.call = { signal: this.signal };
    const lease = new NoLease({ meta: stores.meta, clock, log });
    const ledger = new Ledger(stores, lease, undefined, { clock, random });
    this.core = { stores, ledger, cache: new DigestCache(CONTENT_MEMORY_BYTES), clock, random, log };
  }

  get(keys: readonly string[]): Promise<(MetaItem | undefined)[]> {
    return this.patience.run(() => this.#parts.stores.meta.get(keys, this.call));
  }

  /** Any number of keys; each hundred is one consistent read. */
  async getAll(keys: readonly string[]): Promise<Map<string, MetaItem | undefined>> {
    const found = new Map<string, MetaItem | undefined>();
    for (let at = 0; at < keys.length; at += KEYS_A_GET) {
      const some = keys.slice(at, at + KEYS_A_GET);
      const items = await this.get(some);
      for (const [index, key] of some.entries()) found.set(key, items[index]);
    }
    return found;
  }

  /**
   * At most FACTS_A_WRITE operations.
   * @throws CONDITION_FAILED, CONFLICT: read again; TurnTaken; UNAVAILABLE (RegistryError) where a core is alone
   */
  async write(operations: readonly MetaOperation[]): Promise<string[]> {
    const { stores, turn } = this.#parts;
    if (turn === undefined) throw new Error("a dry run writes nothing");
    const alone: MetaOperation = { kind: "check", key: leaseHolderKey, condition: { ifAbsent: true } };
    try {
      const change = changeEntry(operations, this.core.clock, this.core.random);
      const told = change === undefined ? [] : [change.operation];
      const [, , ...etags] = await stores.meta.write([turn.check(), alone, ...operations, ...told], {
        ...this.call,
        ...(change === undefined ? {} : { notAfterMs: change.notAfterMs }),
      });
      return etags.slice(0, operations.length);
    } catch (error) {
      if (!hasReason(error, "CONDITION_FAILED")) throw error;
      const index = Number(error.metadata["index"]);
      if (index === 0) throw turn.lost(error);
      if (index === 1) {
        throw new OutriggerError(
          "UNREACHABLE",
          "a registry with cores: one holds the target alone: stop it, or let it run with cores: many",
          { side: "core", cause: error },
        );
      }
      throw error;
    }
  }

  /** Calls `attempt`, which must begin by reading, until it loses no race. Waits while the store is away. */
  async unraced<Result>(attempt: () => Promise<Result>): Promise<Result> {
    const { clock, random } = this.core;
    for (let lost = 1; ; lost += 1) {
      try {
        return await this.patience.run(attempt);
      } catch (error) {
        if (lost === RACES || !hasReason(error, "CONDITION_FAILED", "CONFLICT")) throw error;
        if (lost > 1) await sleep(clock, random() * Math.min(LONGEST_PAUSE_MS, 2 ** lost), this.signal);
      }
    }
  }
}
