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
import { bytesFolder, stagedName, tailName } from "./names.ts";
import type { ResumableHash } from "./saved-hash.ts";
import { type Segment, Segments } from "./segments.ts";
import { type Ending, partsEnd, type Tail, type UploadState } from "./state.ts";
import { readTails } from "./tails.ts";

const MIB = 1024 * 1024;
/** Of one upload. */
const PARTS_AT_ONCE = 4;
/** Part numbers that a save gives to the stream beyond those that it uses already. */
const RESERVE = 12;
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

interface WrittenTail {
  readonly tail: Tail;
  readonly written: Promise<void>;
}

export class UploadWriter implements MemoryUser {
  readonly held: HeldState;
  /** Of all that was written; absent where its saved state cannot be read by this release. */
  readonly hash: ResumableHash | undefined;
  /** Of the parts that this stream has put. */
  readonly known = new Map<number, PartFacts>();
  readonly #parts: WriterParts;
  readonly #key: string | undefined;
  readonly #segments = new Segments();
  #receivedBytes: number;
  /** Where the part begins that is being filled. */
  #partStart: number;
  #filling: Uint8Array[] = [];
  #fillingBytes = 0;
  /** What the part being filled begins with: in the backend already, or on its way. */
  #tails: WrittenTail[];
  #nextNumber: number;
  #begun: Promise<NonNullable<UploadState["assembly"]>> | undefined;
  #assembly: UploadState["assembly"];
  readonly #inFlight = new Set<Promise<void>>();
  #partsInFlight = 0;
  readonly #background = new Set<Promise<void>>();
  #running: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;
  /** Nothing is in flight: the next stream may begin right after what this one has used. */
  #tight = false;
  /** A commit is under way: nothing else may change the state. */
  #ending = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void)[] = [];

  /** @param key where it will probably be committed */
  constructor(parts: WriterParts, held: HeldState, hash: ResumableHash | undefined, key: string | undefined) {
    const { state } = held;
    this.held = held;
    this.hash = hash;
    this.#parts = parts;
    this.#key = key;
    this.#receivedBytes = state.persistedBytes;
    this.#partStart = state.sealed ? state.persistedBytes : partsEnd(state);
    this.#tails = state.tails.map((tail) => ({ tail, written: Promise.resolve() }));
    this.#nextNumber = state.reservedTo + 1;
    this.#assembly = state.assembly;
    parts.memory.enter(this);
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
    return this.#assembly;
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
    if (clock.now() - this.held.state.usedMs > TOUCH_EVERY_MS) this.#note(this.#save());
    const isBehind = () => this.#receivedBytes - this.persistedBytes >= persistStepBytes && this.#segments.pending;
    while (this.#failure === undefined && (this.#partsInFlight >= PARTS_AT_ONCE || isBehind())) {
      if (isBehind()) this.#saveWhatIsThere(0);
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
    this.#tight = true;
    try {
      while (this.persistedBytes !== this.#receivedBytes) {
        await this.#save();
        this.assertUsable();
      }
    } finally {
      this.#tight = false;
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

  #writeTail(): void {
    if (this.#fillingBytes === 0) return;
    const [pieces, bytes] = this.#takeFilling();
    const startBytes = this.#receivedBytes - bytes;
    const tail: Tail = {
      name: this.#tailName(startBytes, this.#receivedBytes),
      startBytes,
      endBytes: this.#receivedBytes,
    };
    const segment = this.#segments.add({
      what: { tail: tail.name, merged: false },
      startBytes,
      endBytes: tail.endBytes,
      hash: this.hash?.save(),
    });
    this.#parts.memory.leaving(bytes);
    const written = this.#putTail(tail.name, pieces, bytes).then(() => this.#arrived(segment));
    this.#tails.push({ tail, written });
    this.#track(written);
  }

  /** All bytes, where no part holds any of them and they are all in memory. `left` must be called. */
  dataInHand(): { readonly data: Buffer; left(): void } | undefined {
    const bytes = this.#fillingBytes;
    if (this.#tails.length > 0 || !this.#parts.memory.tryTake(bytes)) return undefined;
    return { data: Buffer.concat(this.#filling), left: () => this.#parts.memory.release(bytes) };
  }

  /** The commit was refused, and the upload goes on. */
  goOn(): void {
    this.#ending = false;
  }

  /** Nothing changes the state any more until `goOn`, and nothing is on its way once this resolves. */
  async stop(): Promise<void> {
    this.#ending = true;
    await this.settled();
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
    const startBytes = this.#partStart;
    const { memory } = this.#parts;
    let taken = 0;
    // Whoever waits for memory holds none.
    if (this.#tails.length > 0) await this.flush();
    const number = this.#takeNumber();
    try {
      let data: Uint8Array[];
      if (this.#tails.length > 0) {
        const wanted = this.#receivedBytes - startBytes;
        await memory.take(this, wanted);
        taken = wanted;
        data = await readTails(
          this.#parts.store,
          this.#tails.map(({ tail }) => tail),
        );
      } else {
        // Kept: where the commit turns out not to be possible the upload goes on with them.
        data = [...this.#filling];
      }
      await this.#putPart(number, data);
    } finally {
      memory.release(taken);
    }
    return { ...ending, last: { number, startBytes, endBytes: this.#receivedBytes } };
  }

  /** Saves with more. @throws TOO_LATE before anything was sent: the upload is as it was; UPLOAD_FENCED */
  async swap(change: Partial<UploadState>, how: RequestHow): Promise<void> {
    for (let running: unknown; running !== this.#running || this.#queued !== undefined; ) {
      running = this.#running;
      await this.#queued;
      await running;
    }
    this.assertUsable();
    const work = this.#write(change, how);
    this.#running = work.catch(() => {});
    await work;
  }

  /** What is in memory is not needed any more. */
  forget(): void {
    const [, bytes] = this.#takeFilling();
    this.#parts.memory.release(bytes);
    this.#tails = [];
  }

  /** Waits for what is on its way, and takes away what this stream left and the state does not name. */
  async close(): Promise<void> {
    this.#fail(new Error("the upload was closed"));
    await Promise.allSettled([...this.#inFlight, this.#queued, this.#running]);
    if (hasReason(this.#failure?.error, "UPLOAD_FENCED")) await this.#takeAwayUnnamed();
    await Promise.allSettled(this.#background);
  }

  #seal(): void {
    const number = this.#takeNumber();
    const [pieces, bytes] = this.#takeFilling();
    const tails = this.#tails;
    this.#tails = [];
    const segment = this.#segments.add({
      what: { part: number },
      startBytes: this.#partStart,
      endBytes: this.#receivedBytes,
      hash: this.hash?.save(),
    });
    this.#partStart = this.#receivedBytes;
    this.#partsInFlight++;
    this.#parts.memory.leaving(bytes);
    this.#track(
      this.#wholePart(segment, number, tails, pieces, bytes).finally(() => {
        this.#partsInFlight--;
      }),
    );
  }

  async #wholePart(
    segment: Segment,
    number: number,
    tails: readonly WrittenTail[],
    pieces: Uint8Array[],
    piecesBytes: number,
  ): Promise<void> {
    const { memory, store } = this.#parts;
    let leaving = piecesBytes;
    let spilled: Tail | undefined;
    try {
      let data = pieces;
      if (tails.length > 0) {
        await Promise.all(tails.map(({ written }) => written));
        const before = tails.map(({ tail }) => tail);
        const tailBytes = segment.endBytes - segment.startBytes - piecesBytes;
        if (memory.tryTake(tailBytes)) {
          memory.leaving(tailBytes);
          leaving += tailBytes;
          data = [...(await readTails(store, before)), ...pieces];
        } else {
          // Whoever waits for memory holds none.
          const startBytes = segment.endBytes - piecesBytes;
          const name = this.#tailName(startBytes, segment.endBytes);
          spilled = { name, startBytes, endBytes: segment.endBytes };
          leaving = 0;
          if (piecesBytes > 0) await this.#putTail(name, pieces, piecesBytes);
          const wanted = segment.endBytes - segment.startBytes;
          await memory.take(this, wanted);
          memory.leaving(wanted);
          leaving = wanted;
          data = await readTails(store, piecesBytes > 0 ? [...before, spilled] : before);
        }
      }
      await this.#putPart(number, data);
    } finally {
      memory.left(leaving);
    }
    if (spilled !== undefined) this.#discard([spilled]);
    this.#arrived(segment);
  }

  async #putPart(number: number, data: readonly Uint8Array[]): Promise<void> {
    while (number > this.held.state.reservedTo) {
      await this.#save();
      this.assertUsable();
    }
    const { name, ref } = await this.#begin();
    const facts = await this.#parts.store.parts.put(name, ref, number, data, untimed);
    this.known.set(number, facts);
  }

  #begin(): Promise<NonNullable<UploadState["assembly"]>> {
    this.#begun ??= this.#assembly === undefined ? this.#beginAnew() : Promise.resolve(this.#assembly);
    return this.#begun;
  }

  async #beginAnew(): Promise<NonNullable<UploadState["assembly"]>> {
    const { parts } = this.#parts.store;
    const direct = parts.direct && this.#key !== undefined;
    const name = direct ? (this.#key as string) : stagedName(this.held.uploadId, this.held.state.incarnation);
    const ref = await parts.begin(name, untimed);
    this.#assembly = { name, ref, direct };
    return this.#assembly;
  }

  /** Frees the pieces' memory, whatever comes of it. */
  async #putTail(name: string, pieces: Uint8Array[], bytes: number): Promise<void> {
    try {
      const data = Buffer.concat(pieces.splice(0));
      await this.#parts.store.put(name, data, {}, untimed);
    } finally {
      this.#parts.memory.left(bytes);
    }
  }

  async #mergeTails(): Promise<void> {
    const { memory, store } = this.#parts;
    const startBytes = this.#partStart;
    const bytes = this.#receivedBytes - startBytes;
    const tail: Tail = {
      name: `${this.#tailName(startBytes, this.#receivedBytes)}-merged`,
      startBytes,
      endBytes: this.#receivedBytes,
    };
    await memory.take(this, bytes);
    memory.leaving(bytes);
    const pieces = readTails(
      store,
      this.#tails.map((one) => one.tail),
    ).catch((error) => {
      memory.left(bytes);
      throw error;
    });
    await this.#putTail(tail.name, await pieces, bytes);
    const segment = this.#segments.add({
      what: { tail: tail.name, merged: true },
      startBytes,
      endBytes: tail.endBytes,
      hash: this.hash?.save(),
    });
    segment.done = true;
    this.#tails = [{ tail, written: Promise.resolve() }];
    this.#tight = true;
    await this.#save();
    this.#tight = false;
    this.assertUsable();
  }

  #arrived(segment: Segment): void {
    segment.done = true;
    if (this.#ending) return;
    this.#saveWhatIsThere("part" in segment.what ? Math.min(SAVE_EVERY_BYTES, this.#parts.persistStepBytes / 4) : 0);
  }

  #saveWhatIsThere(leastBytes: number): void {
    const reached = this.#segments.reached(this.held.state)?.change.persistedBytes;
    if (reached !== undefined && reached - this.persistedBytes >= leastBytes) this.#note(this.#save());
  }

  /** One more save after the one under way: shared by all who want it. Never rejects: a failure is the upload's. */
  #save(): Promise<void> {
    this.#queued ??= this.#running.then(() => {
      this.#queued = undefined;
      this.#running =
        this.#failure === undefined ? this.#write({}, untimed).catch((error) => this.#fail(error)) : Promise.resolve();
      return this.#running;
    });
    return this.#queued;
  }

  async #write(more: Partial<UploadState>, how: RequestHow): Promise<void> {
    const { state } = this.held;
    const reached = this.#segments.reached(state);
    const used = this.#nextNumber - 1;
    await this.held.swap(
      {
        ...reached?.change,
        quiet: this.#tight,
        reservedTo: this.#tight ? used : used + RESERVE,
        ...(this.#assembly === undefined ? {} : { assembly: this.#assembly }),
        ...more,
      },
      how,
    );
    this.#segments.drop(reached?.count ?? 0);
    const named = new Set(this.held.state.tails.map(({ name }) => name));
    this.#discard(state.tails.filter(({ name }) => !named.has(name)));
    this.#changed();
  }

  #discard(tails: readonly Tail[]): void {
    const { store, log } = this.#parts;
    for (const { name } of tails) {
      this.#note(
        store
          .delete(name, undefined, untimed)
          .catch((err) => log.warn({ err, name }, "a tail that is not needed any more could not be taken away")),
      );
    }
  }

  /** Nobody else would find them but the sweep. What the state names now may be this stream's: its answer was lost. */
  async #takeAwayUnnamed(): Promise<void> {
    const { store, log, clock } = this.#parts;
    const { state, uploadId } = this.held;
    try {
      const now = (await HeldState.load(store, clock, uploadId, untimed.signal))?.state;
      if (now?.token === state.token) return;
      const named = new Set(now?.tails.map(({ name }) => name));
      this.#discard(this.#tails.map(({ tail }) => tail).filter(({ name }) => !named.has(name)));
      const begun = this.#assembly;
      if (begun !== undefined && now?.assembly?.ref !== begun.ref) {
        await store.parts.abandon(begun.name, begun.ref, untimed);
      }
    } catch (err) {
      log.warn({ err, uploadId }, "what a stream left that lost its upload could not be taken away");
    }
  }

  #takeNumber(): number {
    const number = this.#nextNumber;
    if (number > this.#parts.store.parts.limits.mostParts) {
      const error = invalidField(
        "chunk.data",
        `the upload has used all of its ${number - 1} parts of ${this.held.state.partBytes} bytes: tell its size when it is opened, or make parts larger`,
      );
      this.#fail(error);
      throw error;
    }
    this.#nextNumber++;
    return number;
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
      .catch((error) => this.#fail(error))
      .finally(() => {
        this.#inFlight.delete(tracked);
        this.#changed();
      });
    this.#inFlight.add(tracked);
  }

  #note(work: Promise<void>): void {
    const noted: Promise<void> = work.finally(() => this.#background.delete(noted));
    this.#background.add(noted);
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    const [, bytes] = this.#takeFilling();
    this.#parts.memory.leave(this, error);
    this.#parts.memory.release(bytes);
    this.#changed();
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
