/**
 * The bytes of one opened upload on their way to the backend: filled into parts that are put several at a time, told as
 * persisted in order, and written as a short tail when somebody wants them safe, or their memory, before a part is full.
 */
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import { hasReason } from "../../proto/errors.ts";
import { invalidField } from "../../proto/keys.ts";
import type { ObjectStore, PartFacts, RequestHow } from "./contract.ts";
import { HeldState, untimed } from "./held-state.ts";
import type { MemoryUser, UploadMemory } from "./memory.ts";
import { bytesFolder, tailName } from "./names.ts";
import { PartPuts, type WrittenTail } from "./part-puts.ts";
import type { ResumableHash } from "./saved-hash.ts";
import type { Segment } from "./segments.ts";
import { type Ending, partsEnd, type Tail, type UploadState } from "./state.ts";
import { StateSaver } from "./state-saver.ts";
import { readTails } from "./tails.ts";

const MIB = 1024 * 1024;
/** Of one upload. */
const PARTS_AT_ONCE = 4;
const SAVE_EVERY_BYTES = 16 * MIB;
/** Use that nothing else tells of. */
const TOUCH_EVERY_MS = 60_000;
/** Then they become one: an upload in many small steps. */
const MOST_TAILS = 32;

export interface WriterParts {
  readonly store: ObjectStore;
  readonly memory: UploadMemory;
  readonly clock: Clock;
  readonly log: Logger;
  readonly persistStepBytes: number;
}

export class UploadWriter implements MemoryUser {
  readonly held: HeldState;
  /** Of all that was written; absent where its saved state cannot be read by this release. */
  readonly hash: ResumableHash | undefined;
  readonly #parts: WriterParts;
  readonly #saver: StateSaver;
  readonly #puts: PartPuts;
  #receivedBytes: number;
  /** Where the part begins that is being filled. */
  #partStart: number;
  #filling: Uint8Array[] = [];
  #fillingBytes = 0;
  /** What the part being filled begins with: in the backend already, or on its way. */
  #tails: WrittenTail[];
  readonly #inFlight = new Set<Promise<void>>();
  #partsInFlight = 0;
  /** A commit is under way: nothing else may change the state. */
  #ending = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void)[] = [];

  /** @param key where it will probably be committed */
  constructor(parts: WriterParts, held: HeldState, hash: ResumableHash | undefined, key: string | undefined) {
    const { state } = held;
    const { store, memory, log } = parts;
    this.held = held;
    this.hash = hash;
    this.#parts = parts;
    this.#receivedBytes = state.persistedBytes;
    this.#partStart = state.sealed ? state.persistedBytes : partsEnd(state);
    this.#tails = state.tails.map((tail) => ({ tail, written: Promise.resolve() }));
    this.#saver = new StateSaver({
      store,
      log,
      held,
      onSaved: () => this.#changed(),
      onFailure: (error) => this.fail(error),
    });
    this.#puts = new PartPuts({ store, memory, held, saver: this.#saver, key }, this);
    memory.enter(this);
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  get persistedBytes(): number {
    return this.held.state.persistedBytes;
  }

  get hasParts(): boolean {
    return this.#partStart > 0 && !this.held.state.sealed;
  }

  get assembly(): UploadState["assembly"] {
    return this.#saver.assembly;
  }

  /** Of the parts that this stream has put. */
  get known(): ReadonlyMap<number, PartFacts> {
    return this.#puts.known;
  }

  get spillableBytes(): number {
    return this.#failure === undefined && !this.#ending ? this.#fillingBytes : 0;
  }

  assertUsable(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async write(data: Uint8Array): Promise<void> {
    this.assertUsable();
    if (this.held.state.sealed) {
      throw invalidField("chunk.data", "the upload's bytes are one object already: commit it, or abort it");
    }
    const { memory, clock, persistStepBytes } = this.#parts;
    const room = memory.take(this, data.length);
    if (room !== undefined) await room;
    let at = 0;
    try {
      this.assertUsable();
      while (at < data.length) {
        const piece = data.subarray(at, at + this.#partStart + this.held.state.partBytes - this.#receivedBytes);
        at += piece.length;
        this.#fill(piece);
      }
    } finally {
      memory.release(data.length - at);
    }
    if (clock.now() - this.held.state.usedMs > TOUCH_EVERY_MS) this.#saver.note(this.#saver.save());
    const isBehind = () => this.#receivedBytes - this.persistedBytes >= persistStepBytes && this.#saver.pending;
    while (this.#failure === undefined && (this.#partsInFlight >= PARTS_AT_ONCE || isBehind())) {
      if (isBehind()) this.#saver.saveBeyond(0);
      await this.#change();
    }
    this.assertUsable();
  }

  #fill(piece: Uint8Array): void {
    this.#filling.push(piece);
    this.#fillingBytes += piece.length;
    this.#receivedBytes += piece.length;
    this.hash?.update(piece);
    if (this.#receivedBytes === this.#partStart + this.held.state.partBytes) this.#seal();
  }

  /** Resolves once persistedBytes is all that was written. */
  async flush(): Promise<void> {
    this.#writeTail();
    await this.settled();
    while (this.persistedBytes !== this.#receivedBytes) {
      await this.#saver.saveQuietly();
      this.assertUsable();
    }
    if (this.#tails.length >= MOST_TAILS) await this.#mergeTails();
  }

  /** Resolves once nothing is on its way. */
  async settled(): Promise<void> {
    while (this.#inFlight.size > 0 && this.#failure === undefined) await this.#change();
    this.assertUsable();
  }

  /** [MemoryUser] */
  spill(): void {
    if (this.spillableBytes > 0) this.#writeTail();
  }

  /** All bytes, where no part holds any of them and they are all in memory. `left` must be called. */
  dataInHand(): { readonly data: Buffer; left(): void } | undefined {
    const bytes = this.#fillingBytes;
    if (this.#tails.length > 0 || !this.#parts.memory.tryTake(bytes)) return undefined;
    return { data: Buffer.concat(this.#filling), left: () => this.#parts.memory.release(bytes) };
  }

  /** Nothing changes the state any more until `goOn`, and nothing is on its way once this resolves. */
  async stop(): Promise<void> {
    this.#ending = true;
    await this.settled();
  }

  /** The commit was refused, and the upload goes on. */
  goOn(): void {
    this.#ending = false;
  }

  /**
   * Puts the last, short part, or writes a tail where there are no parts: everything is in the backend once this resolves,
   * and `swap` says so.
   */
  async ending(): Promise<Ending> {
    this.#ending = true;
    if (!this.hasParts) this.#writeTail();
    await this.settled();
    const ending = {
      sinceMs: this.#parts.clock.now(),
      sizeBytes: this.#receivedBytes,
      ...(this.hash === undefined ? {} : { hash: this.hash.save() }),
    };
    if (!this.hasParts || this.#receivedBytes === this.#partStart) return ending;
    const number = this.#takeNumber();
    await this.#putLast(number);
    return { ...ending, last: { number, startBytes: this.#partStart, endBytes: this.#receivedBytes } };
  }

  async #putLast(number: number): Promise<void> {
    // Kept: where the commit turns out not to be possible the upload goes on with them.
    if (this.#tails.length === 0) return this.#puts.put(number, [...this.#filling]);
    const { memory, store } = this.#parts;
    // Whoever waits for memory holds none.
    await this.flush();
    const bytes = this.#receivedBytes - this.#partStart;
    await memory.take(this, bytes);
    try {
      const tails = this.#tails.map(({ tail }) => tail);
      await this.#puts.put(number, await readTails(store, tails));
    } catch (error) {
      return await this.#lost(error);
    } finally {
      memory.release(bytes);
    }
  }

  /** Saves with more. @throws TOO_LATE before anything was sent: the upload is as it was; UPLOAD_FENCED */
  async swap(change: Partial<UploadState>, how: RequestHow): Promise<void> {
    this.assertUsable();
    await this.#saver.swap(change, how);
  }

  /** What is in memory is not needed any more. */
  forget(): void {
    const [, bytes] = this.#takeFilling();
    this.#parts.memory.release(bytes);
    this.#tails = [];
  }

  /** Waits for what is on its way, and takes away what this stream left and the state does not name. */
  async close(): Promise<void> {
    this.fail(new Error("the upload was closed"));
    await Promise.allSettled(this.#inFlight);
    await this.#saver.settle();
    if (!hasReason(this.#failure?.error, "UPLOAD_FENCED")) return;
    await this.#takeAwayUnnamed();
    await this.#saver.settle();
  }

  fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    this.#saver.stop();
    const [, bytes] = this.#takeFilling();
    this.#parts.memory.leave(this, error);
    this.#parts.memory.release(bytes);
    this.#changed();
  }

  #writeTail(): void {
    if (this.#fillingBytes === 0) return;
    const [pieces, bytes] = this.#takeFilling();
    const endBytes = this.#receivedBytes;
    const tail: Tail = { name: this.#tailName(endBytes - bytes, endBytes), startBytes: endBytes - bytes, endBytes };
    const segment = this.#saver.add({
      what: { tail: tail.name, merged: false },
      startBytes: tail.startBytes,
      endBytes,
      hash: this.hash?.save(),
    });
    this.#parts.memory.leaving(bytes);
    const written = this.#puts.putTail(tail.name, pieces, bytes).then(() => this.#arrived(segment, 0));
    this.#tails.push({ tail, written });
    this.#track(written);
  }

  #seal(): void {
    const number = this.#takeNumber();
    const [pieces, piecesBytes] = this.#takeFilling();
    const tails = this.#tails;
    this.#tails = [];
    const startBytes = this.#partStart;
    const endBytes = this.#receivedBytes;
    const segment = this.#saver.add({ what: { part: number }, startBytes, endBytes, hash: this.hash?.save() });
    this.#partStart = endBytes;
    this.#partsInFlight++;
    this.#parts.memory.leaving(piecesBytes);
    const spillName = this.#tailName(endBytes - piecesBytes, endBytes);
    const put = this.#puts.putWhole({ number, startBytes, endBytes, tails, pieces, piecesBytes, spillName });
    const saveBytes = Math.min(SAVE_EVERY_BYTES, this.#parts.persistStepBytes / 4);
    this.#track(
      put
        .then(() => this.#arrived(segment, saveBytes))
        .finally(() => {
          this.#partsInFlight--;
        }),
    );
  }

  async #mergeTails(): Promise<void> {
    const startBytes = this.#partStart;
    const endBytes = this.#receivedBytes;
    const tails = this.#tails.map(({ tail }) => tail);
    const name = `${this.#tailName(startBytes, endBytes)}-merged`;
    await this.#puts.mergeTails(name, tails, endBytes - startBytes).catch((error) => this.#lost(error));
    const hash = this.hash?.save();
    this.#saver.add({ what: { tail: name, merged: true }, startBytes, endBytes, hash }).done = true;
    this.#tails = [{ tail: { name, startBytes, endBytes }, written: Promise.resolve() }];
    await this.#saver.saveQuietly();
    this.assertUsable();
  }

  #arrived(segment: Segment, saveBytes: number): void {
    segment.done = true;
    if (!this.#ending) this.#saver.saveBeyond(saveBytes);
  }

  /** Nobody else would find them but the sweep. What the state names now may be this stream's: its answer was lost. */
  async #takeAwayUnnamed(): Promise<void> {
    const { store, log, clock } = this.#parts;
    const { state, uploadId } = this.held;
    try {
      const now = (await HeldState.load(store, clock, uploadId, untimed.signal))?.state;
      if (now?.token === state.token) return;
      const named = new Set(now?.tails.map(({ name }) => name));
      this.#saver.discard(this.#tails.map(({ tail }) => tail).filter(({ name }) => !named.has(name)));
      const begun = this.#saver.assembly;
      if (begun !== undefined && now?.assembly?.ref !== begun.ref) {
        await store.parts.abandon(begun.name, begun.ref, untimed);
      }
    } catch (err) {
      log.warn({ err, uploadId }, "what a stream left that lost its upload could not be taken away");
    }
  }

  /** Bytes that are gone were mostly taken away by whoever has the upload now: the state tells it. */
  async #lost(error: unknown): Promise<never> {
    if (hasReason(error, "KEY_NOT_FOUND", "UPLOAD_NOT_FOUND")) await this.#saver.save();
    this.assertUsable();
    throw error;
  }

  #takeNumber(): number {
    try {
      return this.#saver.takeNumber();
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  #takeFilling(): [Uint8Array[], number] {
    const taken: [Uint8Array[], number] = [this.#filling, this.#fillingBytes];
    this.#filling = [];
    this.#fillingBytes = 0;
    return taken;
  }

  #tailName(startBytes: number, endBytes: number): string {
    const { uploadId, state } = this.held;
    return tailName(bytesFolder(uploadId, state.incarnation), state.token, startBytes, endBytes);
  }

  #track(work: Promise<void>): void {
    const tracked: Promise<void> = work
      .catch((error) => this.#lost(error))
      .catch((error) => this.fail(error))
      .finally(() => {
        this.#inFlight.delete(tracked);
        this.#changed();
      });
    this.#inFlight.add(tracked);
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake.push(resolve);
    });
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
