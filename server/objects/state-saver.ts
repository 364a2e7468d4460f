/**
 * What one stream has in the backend, told to the upload's state: in order, one save at a time, shared by all who want one.
 * Part numbers are given out here, since a number may be used only once the state says so.
 */
import type { Logger } from "pino";
import { invalidField } from "../../proto/keys.ts";
import type { ObjectStore, RequestHow } from "./contract.ts";
import { type HeldState, untimed } from "./held-state.ts";
import { type Segment, Segments } from "./segments.ts";
import type { Tail, UploadState } from "./state.ts";

/** Part numbers that a save gives to the stream beyond those that it uses already. */
const RESERVE = 12;

export interface SaverParts {
  readonly store: ObjectStore;
  readonly log: Logger;
  readonly held: HeldState;
  onSaved(): void;
  /** The upload is not this stream's any more, or the backend fails. */
  onFailure(error: unknown): void;
}

export class StateSaver {
  /** Parts are there, whether or not the state says so yet. */
  assembly: UploadState["assembly"];
  readonly #parts: SaverParts;
  readonly #segments = new Segments();
  readonly #background = new Set<Promise<void>>();
  #nextNumber: number;
  #running: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;
  /** Nothing is on its way: the next stream may begin right after what this one has used. */
  #quiet = false;
  #stopped = false;

  constructor(parts: SaverParts) {
    this.#parts = parts;
    this.assembly = parts.held.state.assembly;
    this.#nextNumber = parts.held.state.reservedTo + 1;
  }

  get state(): UploadState {
    return this.#parts.held.state;
  }

  /** Something is on its way to the backend, or to the state. */
  get pending(): boolean {
    return this.#segments.pending;
  }

  add(segment: Omit<Segment, "done">): Segment {
    return this.#segments.add(segment);
  }

  /** @throws INVALID_FIELD when all have been used */
  takeNumber(): number {
    const number = this.#nextNumber;
    if (number > this.#parts.store.parts.limits.mostParts) {
      throw invalidField(
        "chunk.data",
        `the upload has used all of its ${number - 1} parts of ${this.state.partBytes} bytes: tell its size when it is opened, or make parts larger`,
      );
    }
    this.#nextNumber++;
    return number;
  }

  /**
   * Resolves once the state says that the number may be used and where its part goes, or the upload has failed: what a
   * killed process has put is found by whoever goes on.
   */
  async reserved(number: number): Promise<void> {
    const isSaid = () => number <= this.state.reservedTo && this.state.assembly?.ref === this.assembly?.ref;
    while (!isSaid() && !this.#stopped) await this.save();
  }

  /** Saves when so much could be told. */
  saveBeyond(leastBytes: number): void {
    const reached = this.#segments.reached(this.state)?.change.persistedBytes;
    if (reached !== undefined && reached - this.state.persistedBytes >= leastBytes) this.note(this.save());
  }

  /** One more save after the one under way. Never rejects: a failure is the upload's. */
  save(): Promise<void> {
    this.#queued ??= this.#running.then(() => {
      this.#queued = undefined;
      if (!this.#stopped) this.#running = this.#write({}, untimed).catch((error) => this.#parts.onFailure(error));
      return this.#running;
    });
    return this.#queued;
  }

  /** Likewise, while nothing is on its way. */
  async saveQuietly(): Promise<void> {
    this.#quiet = true;
    try {
      await this.save();
    } finally {
      this.#quiet = false;
    }
  }

  /** Saves with more. @throws what the save throws; it is not the upload's failure yet */
  async swap(change: Partial<UploadState>, how: RequestHow): Promise<void> {
    for (let running: unknown; running !== this.#running || this.#queued !== undefined; ) {
      running = this.#running;
      await this.#queued;
      await running;
    }
    const work = this.#write(change, how);
    this.#running = work.catch(() => {});
    await work;
  }

  /** Takes away what the state does not name. Nobody waits for it but `settle`. */
  discard(tails: readonly Tail[]): void {
    const { store, log } = this.#parts;
    for (const { name } of tails) {
      this.note(
        store
          .delete(name, undefined, untimed)
          .catch((err) => log.warn({ err, name }, "a tail that is not needed any more could not be taken away")),
      );
    }
  }

  note(work: Promise<void>): void {
    const noted: Promise<void> = work.finally(() => this.#background.delete(noted));
    this.#background.add(noted);
  }

  /** No save begins any more. */
  stop(): void {
    this.#stopped = true;
  }

  async settle(): Promise<void> {
    await Promise.allSettled([this.#queued, this.#running]);
    await Promise.allSettled(this.#background);
  }

  async #write(more: Partial<UploadState>, how: RequestHow): Promise<void> {
    const { held } = this.#parts;
    const reached = this.#segments.reached(held.state);
    const used = this.#nextNumber - 1;
    await held.swap(
      {
        ...reached?.change,
        quiet: this.#quiet,
        reservedTo: this.#quiet ? used : used + RESERVE,
        ...(this.assembly === undefined ? {} : { assembly: this.assembly }),
        ...more,
      },
      how,
    );
    this.#segments.drop(reached?.count ?? 0);
    this.discard(reached?.needless ?? []);
    this.#parts.onSaved();
  }
}
