/**
 * A plain model of a store: keys that hold one content or none, changed by all-or-none writes. It follows every state the
 * real store could be in, given what its callers were told, and fails when an answer fits none of them: just-in-time
 * linearizability (Lowe 2017), kept small by distinct contents and a last moment for each write.
 */
import type { World } from "./world.ts";

/** What a key holds: 0 is nothing, each other number one content. */
export type Content = number;

export type Want = "absent" | "present" | "same or absent" | { readonly content: Content };

export interface Change {
  readonly key: number;
  readonly want?: Want;
  /** Absent: only looked at. From: what that key held just before. */
  readonly put?: Content | { readonly from: number };
}

interface PendingWrite {
  readonly changes: readonly Change[];
  readonly bit: number;
  /** Virtual ms past which it cannot take effect any more. */
  lastMs: number;
  open: boolean;
  /** It may take effect more than once before it is answered. */
  repeats: boolean;
  /** Which first failing condition earlier states would have answered; -1: none fails. */
  readonly past: Set<number>;
}

interface PendingRead {
  readonly keys: readonly number[];
  readonly past: Set<string>;
}

interface State {
  readonly contents: readonly Content[];
  /** Which pending writes have taken effect. */
  readonly done: number;
}

/** More states than this are not followed any further. */
const MOST_STATES = 1500;

export class History {
  readonly #world: World;
  readonly #rule: string;
  #states: State[];
  readonly #writes = new Map<number, PendingWrite>();
  readonly #reads = new Set<PendingRead>();
  /**
   * Contents ("key:content") that a repeated request may have put once more: the same content under a new etag, so that a
   * condition on the old one is rightly refused.
   */
  readonly #renewable = new Set<string>();
  /** The model lost count; it no longer judges. */
  gaveUp = false;

  constructor(world: World, rule: string, keys: number) {
    this.#world = world;
    this.#rule = rule;
    this.#states = [{ contents: new Array(keys).fill(0), done: 0 }];
  }

  /** States that the store may be in now. */
  get width(): number {
    return this.#states.length;
  }

  beginWrite(changes: readonly Change[], lastMs: number): WriteInHistory {
    this.#expire();
    let bit = 1;
    while (this.#writes.has(bit) && bit !== 0) bit = bit * 2;
    if (bit > 2 ** 29) {
      this.#giveUp();
      bit = 2 ** 29;
    }
    const write: PendingWrite = { changes, bit, lastMs, open: true, repeats: false, past: new Set() };
    this.#writes.set(bit, write);
    return new WriteInHistory(this, write);
  }

  beginRead(keys: readonly number[]): ReadInHistory {
    this.#expire();
    const read = { keys, past: new Set<string>() };
    this.#reads.add(read);
    return new ReadInHistory(this, read);
  }

  /** @internal The write took effect before now. */
  applied(write: PendingWrite, disturbed: boolean, lastMs: number): void {
    if (!this.#close(write)) return;
    write.lastMs = lastMs;
    this.#world.coverage.count(`rule ${this.#rule}`);
    const reached = this.#reachable();
    const kept = reached.filter((state) => (state.done & write.bit) !== 0);
    if (kept.length === 0) {
      this.#broken(`a write was acknowledged that no state allows: ${describe(write.changes)}`);
      return;
    }
    this.#replace(kept, reached);
    this.#states = kept.map((state) => without(state, write.bit));
    // It was applied; where it was disturbed a copy of the request may still be on its way.
    if (disturbed) this.#mayRenew(write);
    else this.#writes.delete(write.bit);
  }

  #mayRenew(write: PendingWrite): void {
    for (const { key, put } of write.changes) if (put !== undefined) this.#renewable.add(`${key}:${put}`);
  }

  #mayBeRenewed(change: Change | undefined): boolean {
    const want = change?.want;
    return typeof want === "object" && this.#renewable.has(`${change?.key}:${want.content}`);
  }

  /** @internal It never took effect, and never will; with `index` because that condition did not hold. */
  refused(write: PendingWrite, index: number | undefined): void {
    if (!this.#close(write)) return;
    this.#world.coverage.count(`rule ${this.#rule}`);
    const untouched = (states: readonly State[]) => states.filter((state) => (state.done & write.bit) === 0);
    let reached: readonly State[] = [];
    let kept = untouched(this.#states);
    if (index !== undefined && !write.past.has(index) && !this.#mayBeRenewed(write.changes[index])) {
      reached = this.#reachable();
      kept = untouched(reached).filter((state) => failing(state, write.changes) === index);
    }
    this.#writes.delete(write.bit);
    if (kept.length === 0) {
      this.#broken(`a write was refused (condition ${index}) that no state refuses: ${describe(write.changes)}`);
      return;
    }
    this.#replace(kept, reached);
  }

  /** @internal Nobody knows; until its last moment it may still take effect. */
  unknown(write: PendingWrite, lastMs: number): void {
    if (!this.#close(write)) return;
    write.lastMs = Math.max(write.lastMs, lastMs);
    this.#mayRenew(write);
  }

  /** @internal */
  saw(read: PendingRead, contents: readonly Content[]): void {
    if (!this.#reads.delete(read) || this.gaveUp) return;
    this.#expire();
    this.#world.coverage.count(`rule ${this.#rule}`);
    const wanted = contents.join();
    if (read.past.has(wanted)) return;
    const reached = this.#reachable();
    const kept = reached.filter((state) => project(state, read.keys) === wanted);
    if (kept.length === 0) {
      const now = [...new Set(this.#states.map((state) => project(state, read.keys)))].join(" or ");
      this.#broken(
        `keys ${read.keys.join()} were read as ${wanted}, but hold ${now} (earlier ${[...read.past].join(" or ")})`,
      );
      return;
    }
    this.#replace(kept, reached);
  }

  /** @internal */
  forget(read: PendingRead): void {
    this.#reads.delete(read);
  }

  #close(write: PendingWrite): boolean {
    if (!write.open) throw new Error("a write of the model was ended twice");
    write.open = false;
    if (this.gaveUp) return false;
    this.#expire();
    return true;
  }

  /** Writes that nobody waits for and that cannot take effect any more: done or not, both stay possible. */
  #expire(): void {
    if (this.gaveUp) return;
    for (const [bit, write] of this.#writes) {
      if (write.open || write.lastMs >= this.#world.nowMs) continue;
      const reached = this.#reachable();
      // Only the writes that the expired one needed to have gone before it are forced to have happened.
      const kept = reached.filter((state) => (state.done & bit) !== 0 || this.#states.includes(state));
      this.#replace(kept, reached);
      this.#states = kept.map((state) => without(state, bit));
      this.#writes.delete(bit);
    }
  }

  /** Every state that pending writes could have made of those known, these included. */
  #reachable(): readonly State[] {
    const found = new Map<string, State>();
    for (const state of this.#states) found.set(name(state), state);
    for (const state of found.values()) {
      for (const write of this.#writes.values()) {
        if ((state.done & write.bit) !== 0 && !write.repeats) continue;
        if (failing(state, write.changes) !== -1) continue;
        const next = apply(state, write);
        const id = name(next);
        if (!found.has(id)) found.set(id, next);
      }
      if (found.size > MOST_STATES) {
        this.#giveUp();
        break;
      }
    }
    return [...found.values()];
  }

  /** @param reached what lay between the states so far and the new ones, where anything did */
  #replace(states: readonly State[], reached: readonly State[] = []): void {
    const found = new Map<string, State>();
    for (const state of states) found.set(name(state), state);
    this.#remember(this.#states);
    if (reached.length > 0) {
      this.#remember(
        reached.filter((state) => states.some(({ done }) => done !== state.done && (done & state.done) === state.done)),
      );
    }
    this.#states = [...found.values()];
  }

  /** What a call under way may have met at a moment that is over. */
  #remember(states: readonly State[]): void {
    for (const write of this.#writes.values()) {
      if (write.open) for (const state of states) write.past.add(failing(state, write.changes));
    }
    for (const read of this.#reads) for (const state of states) read.past.add(project(state, read.keys));
  }

  #giveUp(): void {
    if (!this.gaveUp) this.#world.coverage.count("model gave up");
    this.gaveUp = true;
  }

  #broken(message: string): void {
    if (this.gaveUp) return;
    this.#world.fail(this.#rule, message);
    this.gaveUp = true;
  }
}

export class WriteInHistory {
  readonly #history: History;
  readonly #write: PendingWrite;

  constructor(history: History, write: PendingWrite) {
    this.#history = history;
    this.#write = write;
  }

  /** Acknowledged. Disturbed: the network may have repeated it, and it may take effect again until `lastMs`. */
  applied(disturbed: boolean, lastMs = 0): void {
    this.#history.applied(this.#write, disturbed, lastMs);
  }

  /** Its caller has begun it anew, not knowing whether it had taken effect. */
  repeats(): void {
    this.#write.repeats = true;
  }

  refused(index?: number): void {
    this.#history.refused(this.#write, index);
  }

  unknown(lastMs = 0): void {
    this.#history.unknown(this.#write, lastMs);
  }
}

export class ReadInHistory {
  readonly #history: History;
  readonly #read: PendingRead;

  constructor(history: History, read: PendingRead) {
    this.#history = history;
    this.#read = read;
  }

  saw(contents: readonly Content[]): void {
    this.#history.saw(this.#read, contents);
  }

  failed(): void {
    this.#history.forget(this.#read);
  }
}

/** Index of the first condition that does not hold; -1: all hold. */
function failing(state: State, changes: readonly Change[]): number {
  for (let i = 0; i < changes.length; i++) {
    const { key, want, put } = changes[i] as Change;
    if (want === undefined) continue;
    const content = state.contents[key] as Content;
    const holds =
      want === "absent"
        ? content === 0
        : want === "present"
          ? content !== 0
          : want === "same or absent"
            ? content === 0 || content === put
            : content === want.content;
    if (!holds) return i;
  }
  return -1;
}

function apply(state: State, write: PendingWrite): State {
  const contents = [...state.contents];
  for (const { key, put } of write.changes) {
    if (put !== undefined) contents[key] = typeof put === "number" ? put : (state.contents[put.from] as Content);
  }
  return { contents, done: state.done | write.bit };
}

function without(state: State, bit: number): State {
  return (state.done & bit) === 0 ? state : { contents: state.contents, done: state.done & ~bit };
}

function project(state: State, keys: readonly number[]): string {
  return keys.length === 1 ? String(state.contents[keys[0] as number]) : keys.map((key) => state.contents[key]).join();
}

function name(state: State): string {
  return `${state.done}:${state.contents.join()}`;
}

function describe(changes: readonly Change[]): string {
  return JSON.stringify(changes);
}
