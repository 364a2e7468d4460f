/**
 * The fast store: found, taken as this cache's own, and used while it is there. Nothing depends on it: every failure here
 * is a miss.
 */
import { OutriggerError } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import type { OpenContext } from "../../server/contract.ts";
import { connectMember, type Wanted } from "../composed/connect.ts";
import { isDown } from "../composed/fault.ts";
import type { Member } from "../composed/member.ts";
import { PrivateKeys } from "../composed/private-keys.ts";
import { findRecord, writeRecord } from "../composed/records.ts";
import { costOf, dataKey, type Entry, parseName, sumsKey, sumsLength } from "./entry.ts";
import { EntryIndex } from "./index-of-entries.ts";

export const KIND = "cache";
/** What uploads of the fast store are called. */
export const UPLOADS = "outrigger-cache-";

export interface FastOptions {
  readonly id: string;
  readonly wanted: Wanted;
  readonly maxBytes: number;
  readonly context: OpenContext;
}

const LOOK_MS = 1_000;
/** Hashes kept in memory, of the blobs read last. */
const MOST_SUMS = 256;
const MOST_ENTRIES = 500_000;
/** Entries that could not be deleted yet. */
const MOST_OWED = 100_000;

/** Takes an empty store, or one that is this cache's already. @throws WRONG_STORE with one sentence */
export async function adopt(member: Member, id: string): Promise<void> {
  if (!(await isTaken(member, id))) await writeRecord(KIND, member, { id, members: {}, state: {} });
}

/** Whether the store is this cache's already. @throws WRONG_STORE where it cannot become it */
export async function isTaken(member: Member, id: string): Promise<boolean> {
  const record = await findRecord(KIND, member);
  if (record !== undefined && record.id !== id)
    throw new OutriggerError(
      "WRONG_STORE",
      `${member.who} is the fast store of cache ${record.id}: give each cache one of its own`,
    );
  if (record !== undefined) return true;
  const page = await member.list({ prefix: "", startAfter: "", limit: 1 });
  if (page.items.length > 0)
    throw new OutriggerError(
      "WRONG_STORE",
      `${member.who} holds ${page.items[0]?.key}, which no cache wrote: --fast needs an empty store of its own`,
    );
  return false;
}

export class Fast {
  readonly prefix: string;
  readonly #options: FastOptions;
  readonly #index = new EntryIndex();
  readonly #sums = new Map<string, Buffer>();
  /** Data and hashes that have to go once the store is there. */
  readonly #owed = new Set<string>();
  #member: Member;
  /** The store whose listing the index is of. */
  #adoptedId: string | undefined;
  #lastProblem = "";
  #making: Promise<unknown> = Promise.resolve();
  #reservedBytes = 0;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();
  #wake: (() => void) | undefined;

  constructor(options: FastOptions, member: Member) {
    this.#options = options;
    this.#member = member;
    this.prefix = new PrivateKeys(KIND, options.id).prefix;
  }

  get member(): Member {
    return this.#member;
  }

  get isUsable(): boolean {
    return this.#adoptedId !== undefined && this.#adoptedId === this.#member.facts?.id && this.#member.isReady;
  }

  /** The first look. @throws WRONG_STORE when it answers and must not be used */
  async begin(): Promise<void> {
    if (this.#member.facts !== undefined) await this.#look();
  }

  start(): void {
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#running;
    this.#member.close();
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options.context;
    while (!this.#stopped) {
      try {
        await this.#look();
        this.#lastProblem = "";
      } catch (err) {
        const problem = err instanceof Error ? err.message : String(err);
        if (problem !== this.#lastProblem) log.warn({ err }, `everything is read from the slow store: ${problem}`);
        this.#lastProblem = problem;
      }
      await new Promise<void>((resolve) => {
        const cancel = clock.after(LOOK_MS, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
      });
    }
  }

  async #look(): Promise<void> {
    const { id, wanted, context } = this.#options;
    const health = this.#member.connection.channel.health();
    if (health.reason === "WRONG_STORE") {
      // Another store answers, as a memory's does after a restart: it is looked at from the beginning.
      this.#member.close();
      this.#member = connectMember(KIND, wanted, context);
      this.#forget();
    }
    const { facts } = this.#member;
    if (facts === undefined || !this.#member.isReady) return;
    if (this.#adoptedId !== facts.id) {
      this.#forget();
      await adopt(this.#member, id);
      await this.#read();
      this.#adoptedId = facts.id;
      await this.#makeRoom(0);
      context.log.info({ blobs: this.#index.size, bytes: this.#index.bytes }, "the fast store is in use");
    }
    await this.#payOwed();
  }

  #forget(): void {
    this.#adoptedId = undefined;
    this.#index.clear();
    this.#sums.clear();
    this.#owed.clear();
  }

  /** The index from the listing: what is whole, by age; what is not goes. */
  async #read(): Promise<void> {
    await this.#abortLeft();
    const hashed = new Set<string>();
    for await (const { key } of this.#listed("sums/")) hashed.add(key.slice(this.prefix.length + "sums/".length));
    const found: { entry: Entry; modifiedMs: number }[] = [];
    for await (const { key, sizeBytes, modifiedMs } of this.#listed("data/")) {
      const name = parseName(key.slice(this.prefix.length));
      if (name === undefined) continue;
      if (hashed.delete(`${name.place}/${name.content}`)) found.push({ entry: { ...name, sizeBytes }, modifiedMs });
      else this.#owed.add(key);
    }
    for (const name of hashed) this.#owed.add(`${this.prefix}sums/${name}`);
    found.sort((one, other) => one.modifiedMs - other.modifiedMs);
    for (const { entry } of found) this.#replace(entry);
  }

  /** What a process that died was filling: it counts nowhere, and nobody takes it up. */
  async #abortLeft(): Promise<void> {
    for (let startAfter = ""; ; ) {
      const page = await this.#member.listUploads({ startAfter, limit: limits.listItems });
      for (const { uploadId } of page.items) if (uploadId.startsWith(UPLOADS)) await this.#member.abortUpload(uploadId);
      const last = page.items.at(-1);
      if (!page.more || last === undefined) return;
      startAfter = last.uploadId;
    }
  }

  async *#listed(folder: string) {
    const prefix = `${this.prefix}${folder}`;
    for (let startAfter = ""; ; ) {
      const page = await this.#member.list({ prefix, startAfter, limit: limits.listItems });
      yield* page.items;
      const last = page.items.at(-1);
      if (!page.more || last === undefined) return;
      startAfter = last.key;
    }
  }

  #replace(entry: Entry): void {
    const before = this.#index.add(entry);
    if (before !== undefined) this.#owe(before);
  }

  #owe(entry: Entry): void {
    this.#sums.delete(`${entry.place}/${entry.content}`);
    if (this.#owed.size >= MOST_OWED) return;
    // Without its hashes, data are not given out by any later process.
    this.#owed.add(sumsKey(this.prefix, entry));
    this.#owed.add(dataKey(this.prefix, entry));
  }

  async #payOwed(): Promise<void> {
    while (this.#owed.size > 0 && !this.#stopped) {
      const keys = [...this.#owed].slice(0, limits.deleteKeys);
      await this.#member.deleteAll(keys);
      for (const key of keys) this.#owed.delete(key);
    }
  }

  /** Whether there is any content of the key. */
  holds(place: string): boolean {
    return this.isUsable && this.#index.has(place);
  }

  /** The entry, if it is there and of this content; used now. */
  find(wanted: Entry): Entry | undefined {
    if (!this.isUsable) return undefined;
    const entry = this.#index.get(wanted.place);
    if (entry === undefined) return undefined;
    if (entry.content !== wanted.content || entry.sizeBytes !== wanted.sizeBytes) {
      this.#index.remove(entry.place);
      this.#owe(entry);
      return undefined;
    }
    this.#index.use(entry);
    return entry;
  }

  /** The hashes of an entry's pieces. @throws STORED_CORRUPT, BACKEND_DOWN */
  async sums(entry: Entry): Promise<Buffer> {
    const name = `${entry.place}/${entry.content}`;
    const known = this.#sums.get(name);
    if (known !== undefined) return known;
    const value = await this.#member.getValue(sumsKey(this.prefix, entry));
    const sums = Buffer.from(value?.text.trim() ?? "", "base64");
    if (sums.length !== sumsLength(entry.sizeBytes))
      throw new OutriggerError("STORED_CORRUPT", `the hashes of ${name} in the fast store are not whole`);
    for (const oldest of this.#sums.keys()) {
      if (this.#sums.size < MOST_SUMS) break;
      this.#sums.delete(oldest);
    }
    this.#sums.set(name, sums);
    return sums;
  }

  /**
   * Room for so many bytes, from what was used least recently. `undefined`: there is none, now or ever. Else the bytes are
   * held until the answer is called.
   */
  async reserve(sizeBytes: number): Promise<(() => void) | undefined> {
    const cost = costOf({ sizeBytes });
    if (!this.isUsable || cost > this.#options.maxBytes) return undefined;
    const making = this.#making.then(() => this.#makeRoom(cost));
    this.#making = making.catch(() => undefined);
    if (!(await making)) return undefined;
    let held = true;
    return () => {
      if (held) this.#reservedBytes -= cost;
      held = false;
    };
  }

  /** One at a time: what is deleted is gone before its room is given away. */
  async #makeRoom(cost: number): Promise<boolean> {
    for (;;) {
      const isFull = this.#index.bytes + this.#reservedBytes + cost > this.#options.maxBytes;
      if (!isFull && this.#index.size < MOST_ENTRIES) break;
      const oldest = this.#index.oldest();
      if (oldest === undefined) return false;
      this.#index.remove(oldest.place);
      this.#owe(oldest);
      await this.#payOwed();
    }
    this.#reservedBytes += cost;
    return true;
  }

  /** The data are committed: with their hashes the entry is whole. @throws BACKEND_DOWN */
  async add(entry: Entry, sums: Buffer): Promise<void> {
    await this.#member.put(sumsKey(this.prefix, entry), Buffer.from(`${sums.toString("base64")}\n`));
    this.#replace(entry);
  }

  /**
   * Takes the key's copy away. Resolves once it is gone, or the store is away: what it then still holds is never given
   * out, and goes when it is back.
   */
  async drop(place: string): Promise<void> {
    const entry = this.#index.get(place);
    if (entry !== undefined) await this.discard(entry);
  }

  /** Takes this content away, whether it has an entry or not. Never rejects. */
  async discard(entry: Entry): Promise<void> {
    if (this.#index.get(entry.place)?.content === entry.content) this.#index.remove(entry.place);
    this.#owe(entry);
    if (!this.isUsable) return;
    try {
      await this.#payOwed();
    } catch (err) {
      if (!isDown(err)) this.#options.context.log.warn({ err }, "a copy could not be taken out of the fast store yet");
    }
  }
}
