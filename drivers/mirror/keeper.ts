/** What the mirror does by itself: the journal read, pending keys settled, diffs made, as members come and go. */
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import { isDown } from "../composed/fault.ts";
import type { KeyLocks } from "../composed/locks.ts";
import type { Member } from "../composed/member.ts";
import type { PrivateKeys } from "../composed/private-keys.ts";
import type { Copies } from "./copies.ts";
import { diffMembers } from "./diff.ts";
import type { Journal } from "./journal.ts";

export interface KeeperOptions {
  readonly primary: Member;
  readonly secondary: Member;
  readonly journal: Journal;
  readonly copies: Copies;
  readonly locks: KeyLocks;
  readonly privateKeys: PrivateKeys;
  readonly clock: Clock;
  readonly log: Logger;
  readonly compare: "size" | "content";
  readonly diffEveryMs: number;
  readonly readOnly: boolean;
  /** Aborted by `close`; ends the copies too [process.drain.01]. */
  readonly ending: AbortController;
  /** Both members were there, and the journal was read: once, before anything is changed. */
  readonly onBoth: () => Promise<void>;
  /** A diff was made to its end. */
  readonly onAlike: () => Promise<void>;
}

const LOOK_MS = 500;
const SETTLES_AT_ONCE = 4;
const RETRY = { firstMs: 500, mostMs: 15_000 };
/** Settling something that a diff found may take so long before the entry is written anew. */
const REPAIR_MS = 15_000;

export class MirrorKeeper {
  readonly #options: KeeperOptions;
  readonly #ending: AbortController;
  /** When a pending key is due (monotonic ms) and how often it failed. */
  readonly #due = new Map<string, { atMs: number; failures: number }>();
  #running: Promise<void> = Promise.resolve();
  #metBoth = false;
  #diffWanted = true;
  #diffedMs = Number.NEGATIVE_INFINITY;
  #diffFailures = 0;
  #diffing: Promise<void> | undefined;
  #bothWereReady = false;
  /** Keys are pending for longer than their changes took. */
  #isBehind = false;
  /** Told already. */
  #trouble = "";
  #wake: (() => void) | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#ending = options.ending;
  }

  /** The first look, before anything is served. Never rejects: what fails is tried again. */
  async begin(): Promise<void> {
    await this.#attempt(() => this.#load());
    if (this.#bothReady) await this.#attempt(() => this.#meet());
  }

  start(): void {
    const { log } = this.#options;
    this.#running = this.#run().catch((err) => {
      if (!this.#ending.signal.aborted) log.error({ err }, "the mirror's keeper has ended");
    });
  }

  /** On demand. */
  diffSoon(): void {
    this.#diffWanted = true;
    this.#diffFailures = 0;
    this.#wake?.();
  }

  /** The key is settled soon, or at the time given (unix ms). */
  settleSoon(key: string, atUnixMs?: number): void {
    const { clock } = this.#options;
    if (atUnixMs !== undefined) this.#isBehind = true;
    const waitMs = atUnixMs === undefined ? 0 : Math.max(0, atUnixMs - clock.now());
    this.#due.set(key, { atMs: clock.monotonic() + waitMs, failures: 0 });
    if (waitMs === 0) this.#wake?.();
  }

  async close(): Promise<void> {
    this.#ending.abort(new Error("the mirror closes"));
    this.#wake?.();
    await this.#running;
    await this.#diffing;
    // What is settled need not be looked at again after the next start.
    while (this.#options.primary.isReady && this.#options.journal.hasDone) {
      try {
        await this.#options.journal.tidy();
      } catch {
        return;
      }
    }
  }

  get #bothReady(): boolean {
    return this.#options.primary.isReady && this.#options.secondary.isReady;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      await Promise.all([this.#options.primary.answers(), this.#options.secondary.answers()]);
      const ready = this.#bothReady;
      if (ready && !this.#bothWereReady) this.#returned();
      this.#bothWereReady = ready;
      if (this.#options.primary.isReady && !this.#options.journal.isLoaded) await this.#attempt(() => this.#load());
      if (ready && this.#options.journal.isLoaded && !this.#metBoth) {
        await this.#attempt(() => this.#meet());
      }
      if (ready && this.#metBoth && !this.#options.readOnly) {
        await this.#settleDue();
        await this.#attempt(() => this.#options.journal.tidy());
        if (this.#isBehind && this.#options.journal.size === 0) {
          this.#isBehind = false;
          this.#options.log.info("no key is pending any more: the secondary has caught up");
        }
        this.#diffIfDue();
      }
      await this.#nap();
    }
  }

  /** A member that was away: whatever it missed is looked at now. */
  #returned(): void {
    for (const due of this.#due.values()) {
      due.atMs = Math.min(due.atMs, due.failures > 0 ? 0 : due.atMs);
      due.failures = 0;
    }
    this.diffSoon();
  }

  async #load(): Promise<void> {
    const { journal, log } = this.#options;
    await journal.load();
    for (const key of journal.keys()) this.settleSoon(key);
    if (journal.size > 0) this.#isBehind = true;
    if (journal.size > 0) log.info({ pending: journal.size }, "keys are pending from before this start");
  }

  async #meet(): Promise<void> {
    // A sealed mirror changes nothing, and nothing of what it reads depends on what it would write.
    if (!this.#options.readOnly) await this.#options.onBoth();
    this.#metBoth = true;
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#trouble = "";
    } catch (err) {
      const trouble = String(err);
      if (trouble !== this.#trouble)
        this.#options.log.warn({ err }, "the mirror's entries could not be read or tidied; it is tried again");
      this.#trouble = trouble;
    }
  }

  async #settleDue(): Promise<void> {
    const nowMs = this.#options.clock.monotonic();
    const due = [...this.#due].filter(([, { atMs }]) => atMs <= nowMs).map(([key]) => key);
    const queue = due.values();
    const work = async () => {
      for (const key of queue) {
        if (this.#ending.signal.aborted || !this.#bothReady) return;
        await this.#settle(key);
      }
    };
    await Promise.all(Array.from({ length: Math.min(SETTLES_AT_ONCE, due.length) }, work));
  }

  /** Never rejects. */
  async #settle(key: string): Promise<void> {
    const { locks, copies, journal, log, clock } = this.#options;
    const before = this.#due.get(key);
    try {
      await locks.during([key], async () => {
        if (!journal.has(key)) {
          this.#due.delete(key);
          return;
        }
        const left = await copies.settle(key);
        if (left === undefined) this.#due.delete(key);
        else this.settleSoon(key, left.againMs);
      });
    } catch (err) {
      this.#isBehind = true;
      const failures = (before?.failures ?? 0) + 1;
      const waitMs = Math.min(RETRY.mostMs, RETRY.firstMs * 2 ** Math.min(failures, 10));
      this.#due.set(key, { atMs: clock.monotonic() + waitMs, failures });
      // A member that is away says so once, by its channel.
      if (!isDown(err) && !this.#ending.signal.aborted)
        log.error({ err, key }, "a key could not be brought to the secondary; it is tried again");
    }
  }

  #diffIfDue(): void {
    const { clock, diffEveryMs, log } = this.#options;
    const nowMs = clock.monotonic();
    if (this.#diffing !== undefined) return;
    if (!this.#diffWanted && nowMs - this.#diffedMs < diffEveryMs) return;
    if (this.#diffFailures > 0 && nowMs - this.#diffedMs < Math.min(60_000, 1_000 * 2 ** this.#diffFailures)) return;
    this.#diffWanted = false;
    this.#diffing = this.#diff()
      .then(() => {
        this.#diffFailures = 0;
      })
      .catch((err) => {
        this.#diffWanted = true;
        this.#diffFailures++;
        if (!this.#ending.signal.aborted) log.warn({ err }, "the diff was not made to its end; it is tried again");
      })
      .finally(() => {
        this.#diffedMs = clock.monotonic();
        this.#diffing = undefined;
      });
  }

  async #diff(): Promise<void> {
    const { primary, secondary, privateKeys, compare, locks, journal, copies, clock, log } = this.#options;
    const startMs = clock.monotonic();
    const result = await diffMembers({
      primary,
      secondary,
      privateKeys,
      compare,
      signal: this.#ending.signal,
      damaged: (key, err) =>
        err === undefined
          ? log.error({ key }, "the primary's bytes are not those of its digest: restore them from the secondary")
          : log.error({ err, key }, "the primary's bytes cannot be read: restore them from the secondary"),
      repair: (key, anew) =>
        locks.during([key], async () => {
          await journal.arm(key, clock.now() + REPAIR_MS);
          try {
            const left = await (anew ? copies.settleAnew(key) : copies.settle(key));
            if (left !== undefined) this.settleSoon(key, left.againMs);
            return true;
          } catch (err) {
            this.settleSoon(key, clock.now() + 1_000);
            if (isDown(err) || this.#ending.signal.aborted) throw err;
            log.error({ err, key }, "a key could not be brought to the secondary; it is tried again");
            return false;
          }
        }),
    });
    const seconds = ((clock.monotonic() - startMs) / 1000).toFixed(1);
    log.info({ ...result }, `the two stores were compared in ${seconds} s`);
    await this.#options.onAlike();
  }

  #nap(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(LOOK_MS, () => resolve());
      this.#wake = () => {
        cancel();
        resolve();
      };
      if (this.#ending.signal.aborted) this.#wake();
    });
  }
}
