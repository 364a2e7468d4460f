/**
 * The meta store as the rules use it: every Write carries the lease's check; reads for pulls may come from memory while the
 * lease lets them; reads that a Write depends on never do (architecture.md, rule 10).
 */
import type {
  CallOptions,
  MetaItem,
  MetaOperation,
  MetaStore,
  Page,
  PageRequest,
  Stores,
} from "../../client/contract.ts";
import type { Clock } from "../../proto/clock.ts";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import { changeEntry } from "../search/changes.ts";
import type { FactsMemory } from "./facts-memory.ts";
import type { Lease } from "./lease.ts";
import type { MemberListOfCores } from "./member-list.ts";
import type { Patience } from "./patience.ts";

/**
 * Operations that a caller has in one Write, beside checks of the lease and the list of members, one that the context adds,
 * and what it says of changes to search's keys.
 */
export const WRITE_OPERATIONS = limits.writeOperations - 4;

export interface LedgerParts {
  readonly clock: Pick<Clock, "now">;
  /** 0 to 1. */
  readonly random: () => number;
  /** Absent: a sealed store refuses at once. */
  readonly patience?: Patience;
  /** Absent: what is written concerns no list of members. */
  readonly list?: Pick<MemberListOfCores, "check" | "refused">;
}

/** How a request, or work of the registry's own, writes. */
export interface WriteOptions extends CallOptions {
  /** Called for each Write: goes with it; `undefined`: nothing does. Throws where it may not be written any more. */
  readonly alsoCheck?: () => MetaOperation | undefined;
}

export class Ledger {
  readonly #stores: Stores;
  readonly #meta: MetaStore;
  readonly #lease: Lease;
  /** `cores: one` only. */
  readonly #memory: FactsMemory | undefined;
  readonly #parts: LedgerParts;

  constructor(stores: Stores, lease: Lease, memory: FactsMemory | undefined, parts: LedgerParts) {
    this.#stores = stores;
    this.#meta = stores.meta;
    this.#lease = lease;
    this.#memory = memory;
    this.#parts = parts;
  }

  /**
   * Which stores answer at this moment. What was read from, or written to, other ones is no ground for a Write: an address
   * may come to stand for other data at any time.
   */
  basis(): string {
    return `${this.#stores.blobs.facts.id} ${this.#meta.facts.id}`;
  }

  /** What the store says now: one call, at most 100 keys, one consistent read. */
  get(keys: readonly string[], options: CallOptions): Promise<(MetaItem | undefined)[]> {
    return this.#meta.get(keys, options);
  }

  list(request: PageRequest, options: CallOptions): Promise<Page<MetaItem>> {
    return this.#meta.list(request, options);
  }

  /** Pages of a prefix, each as of its own moment. */
  async *pages(prefix: string, options: CallOptions): AsyncIterable<readonly MetaItem[]> {
    for (let startAfter: string | undefined; ; ) {
      options.signal?.throwIfAborted();
      const request = startAfter === undefined ? { prefix } : { prefix, startAfter };
      const page = await this.#meta.list(request, options);
      if (page.items.length > 0) yield page.items;
      startAfter = page.items.at(-1)?.key;
      if (!page.more || startAfter === undefined) return;
    }
  }

  async *each(prefix: string, options: CallOptions): AsyncIterable<MetaItem> {
    for await (const page of this.pages(prefix, options)) yield* page;
  }

  /** For pulls: from memory where the lease allows it. */
  async look(keys: readonly string[], options: CallOptions): Promise<readonly (MetaItem | undefined)[]> {
    const memory = this.#memory;
    if (memory === undefined || !this.#lease.isFresh()) return this.#meta.get(keys, options);
    return memory.items(keys) ?? memory.fillItems(keys, () => this.#meta.get(keys, options));
  }

  /** For pulls: from memory where the lease allows it. */
  async lookList(request: PageRequest, options: CallOptions): Promise<Page<MetaItem>> {
    const memory = this.#memory;
    if (memory === undefined || !this.#lease.isFresh()) return this.#meta.list(request, options);
    return memory.page(request) ?? memory.fillPage(request, () => this.#meta.list(request, options));
  }

  /**
   * At most WRITE_OPERATIONS operations, each key once. Waits while the store is sealed. @returns their etags
   * @param basis as it was before what the Write was decided by was read: another one by now is CONFLICT
   * @throws CONDITION_FAILED (metadata index, of these operations), CONFLICT; UNAVAILABLE when another core holds the store,
   * or it stays sealed
   */
  async write(operations: readonly MetaOperation[], options: WriteOptions, basis = this.basis()): Promise<string[]> {
    const attempt = async () => {
      if (basis !== this.basis()) {
        throw new OutriggerError("CONFLICT", "the stores were exchanged for others meanwhile", { side: "core" });
      }
      return this.#writeOnce(operations, options);
    };
    const { patience } = this.#parts;
    return patience === undefined ? attempt() : patience.whileSealed(options, attempt);
  }

  async #writeOnce(operations: readonly MetaOperation[], options: WriteOptions): Promise<string[]> {
    const { clock, random, list } = this.#parts;
    const check = this.#lease.check();
    const ofList = list?.check();
    const also = options.alsoCheck?.();
    const checks = [check, ofList, also].filter((one) => one !== undefined);
    // Made at each attempt: readers look for entries of the last moments only.
    const change = changeEntry(operations, clock, random);
    const ended = this.#memory?.beginWrite(operations);
    let outcome: "written" | "refused" | "unknown" = "unknown";
    try {
      const all = await (change === undefined
        ? this.#meta.write([...checks, ...operations], options)
        : this.#meta.write([...checks, ...operations, change.operation], {
            ...options,
            notAfterMs: Math.min(options.notAfterMs ?? Number.POSITIVE_INFINITY, change.notAfterMs),
          }));
      const etags = all.slice(checks.length, checks.length + operations.length);
      outcome = "written";
      ended?.(outcome, etags);
      return etags;
    } catch (error) {
      if (hasReason(error, "CONDITION_FAILED", "CONFLICT", "READ_ONLY")) outcome = "refused";
      if (!hasReason(error, "CONDITION_FAILED")) throw error;
      const failed = Number(error.metadata["index"]);
      if (checks[failed] === check) throw this.#lease.lost(check, error);
      if (list && ofList && checks[failed] === ofList) return await list.refused(error);
      const index = failed - checks.length;
      if (index < 0 || index >= operations.length)
        throw new OutriggerError("CONFLICT", error.message, { cause: error });
      throw new OutriggerError("CONDITION_FAILED", error.message, {
        metadata: { ...error.metadata, index: String(index) },
        side: error.side,
        cause: error,
      });
    } finally {
      if (outcome !== "written") ended?.(outcome, []);
    }
  }
}
