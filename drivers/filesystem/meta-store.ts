/**
 * The atomic store: all of it in memory, every Write in the log before it is seen, links also as files. The log is what
 * counts; files of links follow it, and are compared with it at the next start.
 */
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import type {
  CallContext,
  MetaCondition,
  MetaDriver,
  MetaItem,
  MetaOperation,
  Page,
  PageRequest,
  StoreFacts,
} from "../../server/contract.ts";
import { mapLimited } from "./async.ts";
import type { Journal, JournalOptions } from "./journal.ts";
import { isLink } from "./layout.ts";
import type { LinkFiles } from "./links.ts";
import type { LinkState, LogRecord } from "./records.ts";
import type { Item, State } from "./state.ts";
import { kept } from "./values.ts";

const PARALLEL = 8;
/** Links are made durable as files once Writes have been quiet for so long: the disk is theirs first. */
const SETTLE_AFTER_MS = 2_000;
/** However busy it is: only so much has to be written again after a power loss. */
const SETTLE_AT_LATEST_MS = 30_000;
const MOST_UNSETTLED = 10_000;
const RETRY_AFTER_MS = 1_000;

export interface MetaDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly links: LinkFiles;
  readonly state: State;
}

interface Decision {
  readonly record: Extract<LogRecord, { readonly kind: "write" }>;
  readonly etags: string[];
}

/** The log and what it holds; the stores share it. */
export class Meta {
  readonly state: State;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #links: LinkFiles;
  readonly #journal: Journal;
  /** What the batch under way has decided and not yet made durable; undefined: taken away. */
  readonly #overlay = new Map<string, Item | undefined>();
  /** Links whose files do not show yet what the store holds. */
  readonly #unapplied = new Set<string>();
  /** Of the last Write that is in the log. */
  #committedSeq: number;
  #applying: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  #settling: Promise<void> | undefined;
  #closed = false;
  /** By the monotonic clock: the last Write over links. */
  #writtenMs = 0;
  #unsettledSinceMs: number | undefined;

  constructor(deps: MetaDeps, journal: Journal) {
    this.state = deps.state;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#links = deps.links;
    this.#journal = journal;
    this.#committedSeq = deps.state.seq;
  }

  static journalOptions(state: State, log: Logger, compactBytes: number): JournalOptions {
    return {
      compactBytes,
      snapshot: () => state.snapshot(),
      onCompactionFailed: (error) => log.warn({ err: error }, "the log could not be written anew; it goes on growing"),
    };
  }

  assertReadable(): void {
    this.#journal.assertReadable();
  }

  check(): Promise<void> {
    return this.#journal.check();
  }

  /** Keeps a modification time from ever being given again. */
  async reserveMark(micros: number): Promise<void> {
    await this.#submit({ kind: "mark", micros }, true);
  }

  async write(operations: readonly MetaOperation[], call: CallContext): Promise<readonly string[]> {
    let etags: string[] = [];
    let decided: Decision["record"] | undefined;
    const links = operations.filter(({ kind, key }) => kind !== "check" && isLink(key)).map(({ key }) => key);
    await this.#journal.submit({
      durable: true,
      record: () => {
        call.signal.throwIfAborted();
        call.assertInTime();
        const decision = this.#decide(operations);
        etags = decision.etags;
        decided = decision.record;
        return decided;
      },
      done: () => {
        if (decided === undefined) return;
        this.state.apply(decided);
        this.#committedSeq = decided.seq;
        for (const { key } of operations) this.#overlay.delete(key);
        for (const key of links) this.#unapplied.add(key);
      },
      lost: () => this.#overlay.clear(),
    });
    if (links.length === 0) return etags;
    this.#writtenMs = this.#clock.monotonic();
    await this.#applyLinks();
    return etags;
  }

  #look(key: string): Item | undefined {
    return this.#overlay.has(key) ? this.#overlay.get(key) : this.state.items.get(key);
  }

  #decide(operations: readonly MetaOperation[]): Decision {
    const found = operations.map(({ key, condition }, index) => {
      const item = this.#look(key);
      assertHolds(key, condition, item, index);
      return item;
    });
    this.#assertNoConflict(operations);
    const firstEtag = this.state.nextEtag;
    const changes: { key: string; value?: Buffer }[] = [];
    const etags = operations.map((operation, index) => {
      if (operation.kind === "check") {
        const item = found[index];
        return item === undefined ? "" : etagOf(item);
      }
      if (operation.kind === "delete") {
        changes.push({ key: operation.key });
        this.#overlay.set(operation.key, undefined);
        return "";
      }
      // A copy: the caller's buffer is part of a larger message.
      const item = { value: kept(operation.value), etag: this.state.nextEtag++ };
      changes.push({ key: operation.key, value: item.value });
      this.#overlay.set(operation.key, item);
      return etagOf(item);
    });
    const seq = ++this.state.seq;
    return { record: { kind: "write", seq, timeMs: this.#clock.now(), firstEtag, changes }, etags };
  }

  /** A link is a file: nothing can lie below it. */
  #assertNoConflict(operations: readonly MetaOperation[]): void {
    for (const { kind, key } of operations) {
      if (kind !== "put" || !isLink(key)) continue;
      const deleted = new Set(operations.flatMap((other) => (other.kind === "delete" ? [other.key] : [])));
      const puts = new Set(operations.flatMap((other) => (other.kind === "put" ? [other.key] : [])));
      for (let slash = key.indexOf("/link/"); slash >= 0; slash = key.indexOf("/link/", slash + 1)) {
        const above = key.slice(0, slash + "/link".length);
        if (isLink(above) && !deleted.has(above) && (puts.has(above) || this.#look(above) !== undefined)) {
          throw keyConflict(key, above);
        }
      }
      for (const [below] of this.state.range(`${key}/`, "")) {
        if (isLink(below) && !deleted.has(below) && this.#look(below) !== undefined) throw keyConflict(key, below);
      }
      for (const [below, item] of this.#overlay) {
        if (item !== undefined && isLink(below) && below.startsWith(`${key}/`)) throw keyConflict(key, below);
      }
    }
  }

  /**
   * Brings the files to what the store holds. What fails is tried again later: the log has it. Resolves once a round that
   * began after the call has ended.
   */
  async #applyLinks(): Promise<void> {
    // The round under way may have begun before; the one after it has not.
    if (this.#applying !== undefined) await this.#applying;
    if (this.#unapplied.size === 0) return;
    this.#applying ??= this.#applyRound().finally(() => {
      this.#applying = undefined;
    });
    await this.#applying;
  }

  async #applyRound(): Promise<void> {
    // As of one moment: what changes meanwhile has another seq.
    const work = [...this.#unapplied].map((key) => ({
      key,
      item: this.state.items.get(key),
      seq: this.state.links.get(key)?.seq,
    }));
    const applied: { key: string; seq: number; known: LinkState }[] = [];
    const apply = async ({ key, item, seq }: (typeof work)[number]) => {
      try {
        const known = item === undefined ? "absent" : await this.#links.put(key, item.value);
        if (item === undefined) await this.#links.remove(key);
        if (seq === undefined) return;
        applied.push({ key, seq, known });
        // Changed again meanwhile: it waits for the next round.
        if (this.state.links.get(key)?.seq === seq) this.#unapplied.delete(key);
      } catch (error) {
        this.#log.error({ err: error, key }, "a link's file could not be brought up to date; tried again");
      }
    };
    // First what goes: a link in the way of a new one's folder may be among it.
    for (const change of work) if (change.item === undefined) await apply(change);
    await mapLimited(
      work.filter(({ item }) => item !== undefined),
      PARALLEL,
      apply,
    );
    if (applied.length > 0) {
      // Not awaited and not synced: lost only with the machine's memory, and then the files are looked at themselves.
      this.#submit({ kind: "facts", links: applied }, false).catch((error) =>
        this.#log.warn({ err: error }, "what links look like could not be noted"),
      );
    }
    this.#schedule();
  }

  #schedule(): void {
    if (this.#cancelTimer !== undefined || this.#closed) return;
    const retry = this.#unapplied.size > 0;
    if (!retry && this.#links.unsettled === 0) return;
    this.#unsettledSinceMs ??= this.#clock.monotonic();
    this.#cancelTimer = this.#clock.after(retry ? RETRY_AFTER_MS : SETTLE_AFTER_MS, () => {
      this.#cancelTimer = undefined;
      if (!retry && this.#mayWait()) return this.#schedule();
      this.settle().catch((error) => {
        this.#log.warn({ err: error }, "links could not be made durable as files; tried again");
        this.#schedule();
      });
    });
  }

  #mayWait(): boolean {
    const nowMs = this.#clock.monotonic();
    const quiet = nowMs - this.#writtenMs >= SETTLE_AFTER_MS;
    const late = nowMs - (this.#unsettledSinceMs ?? nowMs) >= SETTLE_AT_LATEST_MS;
    return !quiet && !late && this.#links.unsettled < MOST_UNSETTLED;
  }

  /** Makes the files of links durable, and says so in the log. */
  async settle(): Promise<void> {
    this.#settling ??= this.#settle().finally(() => {
      this.#settling = undefined;
      this.#schedule();
    });
    await this.#settling;
  }

  async #settle(): Promise<void> {
    await this.#applyLinks();
    if (this.#links.unsettled === 0) return;
    const seq = this.#appliedSeq();
    this.#unsettledSinceMs = undefined;
    await this.#links.settle();
    if (seq > this.state.settledSeq) await this.#submit({ kind: "settled", seq }, false);
  }

  /** The Write up to which every link's file shows what the store holds. */
  #appliedSeq(): number {
    let seq = this.#committedSeq;
    for (const key of this.#unapplied) seq = Math.min(seq, (this.state.links.get(key)?.seq ?? 1) - 1);
    return seq;
  }

  /** Should it be lost, the next start trusts unsynced files less than it might: safe. */
  async noteBoot(bootId: string): Promise<void> {
    if (this.#unapplied.size > 0) return;
    await this.#submit({ kind: "boot", bootId }, false).catch((error) =>
      this.#log.warn({ err: error }, "the start of the machine could not be noted"),
    );
  }

  /** Every key that its file must be brought up to, as found at start. */
  redo(keys: Iterable<string>): Promise<void> {
    for (const key of keys) this.#unapplied.add(key);
    return this.#applyLinks();
  }

  #submit(record: LogRecord, durable: boolean): Promise<void> {
    return this.#journal.submit({
      durable,
      record: () => record,
      done: () => this.state.apply(record),
      lost: () => {},
    });
  }

  /** @param markMicros the last modification time given */
  async close(markMicros: number): Promise<void> {
    this.#closed = true;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    await this.#settling?.catch(() => {});
    try {
      await this.settle();
      await this.#submit({ kind: "clean", markMicros }, true);
    } catch (error) {
      this.#log.warn({ err: error }, "the store could not be left in order; the next start looks more closely");
    }
    await this.#journal.close();
  }
}

/** MetaDriver over the shared log. */
export class MetaStore implements MetaDriver {
  readonly facts: StoreFacts;
  readonly #meta: Meta;

  constructor(meta: Meta, facts: StoreFacts) {
    this.#meta = meta;
    this.facts = facts;
  }

  check(): Promise<void> {
    return this.#meta.check();
  }

  async get(keys: readonly string[]): Promise<readonly (MetaItem | undefined)[]> {
    this.#meta.assertReadable();
    return keys.map((key) => {
      const item = this.#meta.state.items.get(key);
      return item && metaItem(key, item);
    });
  }

  async list({ prefix, startAfter, limit }: PageRequest): Promise<Page<MetaItem>> {
    this.#meta.assertReadable();
    const items: MetaItem[] = [];
    let bytes = 0;
    for (const [key, item] of this.#meta.state.range(prefix, startAfter)) {
      if (items.length === limit || (items.length > 0 && bytes + item.value.byteLength > limits.writeBytes)) {
        return { items, more: true };
      }
      items.push(metaItem(key, item));
      bytes += item.value.byteLength + key.length + 64;
    }
    return { items, more: false };
  }

  write(operations: readonly MetaOperation[], call: CallContext): Promise<readonly string[]> {
    return this.#meta.write(operations, call);
  }

  async count(prefix: string): Promise<{ readonly count: number; readonly exact: boolean }> {
    this.#meta.assertReadable();
    let count = 0;
    for (const _ of this.#meta.state.range(prefix, "")) count++;
    return { count, exact: true };
  }
}

function metaItem(key: string, item: Item): MetaItem {
  return { key, value: item.value, etag: etagOf(item) };
}

function etagOf(item: Item): string {
  return item.etag.toString(36);
}

function assertHolds(key: string, condition: MetaCondition | undefined, item: Item | undefined, index: number): void {
  if (condition === undefined) return;
  const failed = (found: string) =>
    new OutriggerError("CONDITION_FAILED", `operation ${index}: ${key} ${found}`, {
      metadata: { index: String(index) },
    });
  if ("ifAbsent" in condition) {
    if (item !== undefined) throw failed("exists");
  } else if (item === undefined) {
    throw failed("is absent");
  } else if ("ifEtag" in condition && etagOf(item) !== condition.ifEtag) {
    throw failed(`has etag ${etagOf(item)}, not ${condition.ifEtag}`);
  }
}

function keyConflict(key: string, other: string): OutriggerError {
  return new OutriggerError("KEY_CONFLICT", `${key} cannot lie beside ${other}: one is a path-prefix of the other`);
}
