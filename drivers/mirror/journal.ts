/**
 * The keys whose two copies may differ: written into the primary before a change begins, taken away once both are known
 * to be alike. No name is written twice, so that a deletion that takes effect late takes away nothing that is newer.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Clock } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import type { Member } from "../composed/member.ts";

/** By how much the clocks of two machines that speak to one driver may differ. */
export const SKEW_MS = 2 * limits.clockSkewMs;
const COMMIT_LOOK_MS = 5_000;
const READS_AT_ONCE = 16;

export interface Pending {
  readonly key: string;
  /** The names of its entries in the primary. */
  readonly entries: Set<string>;
  /** Of this process's own entry: nothing that it sent for the key takes effect later (unix ms). */
  armedUntilMs: number;
  /** Until then something that nobody waits for any more may still take effect: looked at again after it. */
  doubtUntilMs: number;
  /** Uploads whose commit may still take effect, each until when: not any more once the upload is unknown. */
  readonly commits: Map<string, DoubtfulCommit>;
}

export interface DoubtfulCommit {
  readonly untilMs: number;
  /** Since when nobody is known to wait for it. */
  sinceMs: number;
}

/** A commit in the primary: what may take effect last, of all that is sent there. */
export interface ArmedCommit {
  readonly uploadId: string;
  readonly commitUntilMs: number;
}

export interface JournalOptions {
  readonly primary: Member;
  /** Ends with a slash. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly maxPending: number;
}

export class Journal {
  readonly #options: JournalOptions;
  readonly #life = randomBytes(8).toString("hex");
  readonly #pending = new Map<string, Pending>();
  /** Settled, and their entries not deleted yet: nobody waits for that. */
  readonly #done = new Map<string, Pending>();
  readonly #byUpload = new Map<string, Map<string, DoubtfulCommit>>();
  #written = 0;
  #loaded = false;

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  /** Whether what earlier processes left is known. */
  get isLoaded(): boolean {
    return this.#loaded;
  }

  get size(): number {
    return this.#pending.size;
  }

  get hasDone(): boolean {
    return this.#done.size > 0;
  }

  has(key: string): boolean {
    return this.#pending.has(key);
  }

  get(key: string): Pending | undefined {
    return this.#pending.get(key);
  }

  keys(): string[] {
    return [...this.#pending.keys()];
  }

  /** Reads what earlier processes left. @throws BACKEND_DOWN */
  async load(): Promise<void> {
    const { primary, prefix } = this.#options;
    for (let startAfter = ""; ; ) {
      const page = await primary.list({ prefix, startAfter, limit: limits.listItems });
      const names = page.items.map((item) => item.key);
      for (let at = 0; at < names.length; at += READS_AT_ONCE) {
        await Promise.all(names.slice(at, at + READS_AT_ONCE).map((name) => this.#read(name)));
      }
      const last = names.at(-1);
      if (!page.more || last === undefined) break;
      startAfter = last;
    }
    this.#loaded = true;
  }

  async #read(name: string): Promise<void> {
    const value = await this.#options.primary.getValue(name);
    if (value === undefined) return;
    const { key, untilMs, uploadId, commitUntilMs } = parse(value.text, name);
    const pending = this.#of(key);
    pending.entries.add(name);
    if (uploadId !== undefined && commitUntilMs !== undefined) this.#note(pending, uploadId, commitUntilMs);
    pending.doubtUntilMs = Math.max(pending.doubtUntilMs, untilMs + SKEW_MS);
  }

  #note({ commits }: Pending, uploadId: string, commitUntilMs: number): void {
    const untilMs = Math.max(commits.get(uploadId)?.untilMs ?? 0, commitUntilMs + SKEW_MS);
    commits.set(uploadId, { untilMs, sinceMs: this.#options.clock.now() });
    this.#byUpload.set(uploadId, commits);
  }

  /** No commit of the upload that was begun before can take effect any more: it is over, or was opened anew. */
  commitOver(uploadId: string, key?: string): void {
    this.#byUpload.get(uploadId)?.delete(uploadId);
    // One that was begun for another key as well is known by the newest alone.
    if (key !== undefined) this.#pending.get(key)?.commits.delete(uploadId);
    this.#byUpload.delete(uploadId);
  }

  #of(key: string): Pending {
    let pending = this.#pending.get(key) ?? this.#done.get(key);
    this.#done.delete(key);
    if (pending !== undefined) this.#pending.set(key, pending);
    else {
      pending = { key, entries: new Set(), armedUntilMs: 0, doubtUntilMs: 0, commits: new Map() };
      this.#pending.set(key, pending);
    }
    return pending;
  }

  /**
   * Before anything is sent that changes the key in either store: once this resolves, the key is looked at after every
   * crash. What is sent must not take effect past the answer.
   * @throws BACKEND_DOWN
   */
  async arm(key: string, untilMs: number, commit?: ArmedCommit): Promise<number> {
    const { primary, prefix, maxPending } = this.#options;
    const known = this.#pending.get(key) ?? this.#done.get(key);
    if (known !== undefined && commit === undefined && known.armedUntilMs >= untilMs) {
      this.#done.delete(key);
      this.#pending.set(key, known);
      return known.armedUntilMs;
    }
    if (known === undefined && this.#pending.size >= maxPending)
      throw new OutriggerError(
        "BACKEND_DOWN",
        `${maxPending} keys wait for the secondary already: bring it back, or give a larger --max-pending`,
      );
    const pending = this.#of(key);
    const name = `${prefix}${createHash("sha256").update(key).digest("hex")}.${this.#life}.${++this.#written}`;
    // Known before it is written: an answer that is lost leaves an entry that must be found again.
    pending.entries.add(name);
    if (commit !== undefined) this.#note(pending, commit.uploadId, commit.commitUntilMs);
    await primary.putValue(name, { key, untilMs, ...commit });
    pending.armedUntilMs = untilMs;
    return untilMs;
  }

  /** What was sent for the key until now may take effect until it is told not to. */
  doubt(key: string, untilMs: number): void {
    const pending = this.#of(key);
    pending.doubtUntilMs = Math.max(pending.doubtUntilMs, untilMs + SKEW_MS);
    for (const commit of pending.commits.values()) commit.sinceMs = this.#options.clock.now();
  }

  /** Whether nothing that was sent for the key before can take effect any more: what is seen from now on stays so. */
  isQuiet(key: string): boolean {
    const pending = this.#pending.get(key);
    if (pending === undefined) return true;
    const nowMs = this.#options.clock.now();
    for (const [uploadId, { untilMs }] of pending.commits) if (untilMs < nowMs) this.commitOver(uploadId, key);
    return nowMs > pending.doubtUntilMs && pending.commits.size === 0;
  }

  /** Both copies were seen, or made, alike since the key was quiet, and nobody changes it now: it is done. */
  settled(key: string): undefined {
    const pending = this.#pending.get(key);
    if (pending === undefined) return;
    this.#pending.delete(key);
    this.#done.set(key, pending);
  }

  /** The copies are alike, but the key was not quiet. @returns when it has to be looked at once more (unix ms) */
  unsettled(key: string): { readonly againMs: number } {
    const nowMs = this.#options.clock.now();
    const { doubtUntilMs, commits } = this.#of(key);
    if (nowMs <= doubtUntilMs) return { againMs: doubtUntilMs };
    // An upload that is still there may be committed or taken up again at any moment.
    return { againMs: commits.size > 0 ? nowMs + COMMIT_LOOK_MS : nowMs };
  }

  /** Deletes the entries of what is settled. @throws BACKEND_DOWN: what is left is looked at again after the next start */
  async tidy(): Promise<void> {
    const names: string[] = [];
    for (const [key, { entries }] of this.#done) {
      if (names.length + entries.size > limits.deleteKeys && names.length > 0) break;
      names.push(...entries);
      // Whoever changes the key from now on writes an entry of another name.
      this.#done.delete(key);
    }
    if (names.length > 0) await this.#options.primary.deleteAll(names);
  }
}

interface Written extends Partial<ArmedCommit> {
  readonly key: string;
  readonly untilMs: number;
}

function parse(text: string, name: string): Written {
  try {
    const written = JSON.parse(text) as Written;
    if (typeof written.key === "string" && typeof written.untilMs === "number") return written;
  } catch {
    // Told below.
  }
  throw new OutriggerError(
    "STORED_CORRUPT",
    `the mirror's entry ${name} cannot be read: delete it, and the diff repairs its key`,
  );
}
