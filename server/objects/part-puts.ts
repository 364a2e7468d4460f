/** Parts and tails of one stream, put into the backend within the memory of the process. */
import type { ObjectStore, PartFacts } from "./contract.ts";
import { type HeldState, untimed } from "./held-state.ts";
import type { MemoryUser, UploadMemory } from "./memory.ts";
import { stagedName } from "./names.ts";
import type { Tail, UploadState } from "./state.ts";
import type { StateSaver } from "./state-saver.ts";
import { readTails } from "./tails.ts";

export interface WrittenTail {
  readonly tail: Tail;
  readonly written: Promise<void>;
}

export interface PutParts {
  readonly store: ObjectStore;
  readonly memory: UploadMemory;
  readonly held: HeldState;
  readonly saver: StateSaver;
  /** Where the upload will probably be committed. */
  readonly key: string | undefined;
}

/** The bytes of a whole part: what lies in tails, then what is in memory. */
export interface WholePart {
  readonly number: number;
  readonly startBytes: number;
  readonly endBytes: number;
  readonly tails: readonly WrittenTail[];
  readonly pieces: Uint8Array[];
  /** They are `leaving` already. */
  readonly piecesBytes: number;
  /** Where the pieces go when there is no memory for the whole part. */
  readonly spillName: string;
}

export class PartPuts {
  /** Of the parts that this stream has put. */
  readonly known = new Map<number, PartFacts>();
  readonly #with: PutParts;
  readonly #user: MemoryUser;
  #begun: Promise<NonNullable<UploadState["assembly"]>> | undefined;

  constructor(parts: PutParts, user: MemoryUser) {
    this.#with = parts;
    this.#user = user;
  }

  async put(number: number, data: readonly Uint8Array[]): Promise<void> {
    const { name, ref } = await this.#begin();
    await this.#with.saver.reserved(number);
    this.known.set(number, await this.#with.store.parts.put(name, ref, number, data, untimed));
  }

  #begin(): Promise<NonNullable<UploadState["assembly"]>> {
    const { assembly } = this.#with.saver;
    this.#begun ??= assembly === undefined ? this.#beginAnew() : Promise.resolve(assembly);
    return this.#begun;
  }

  async #beginAnew(): Promise<NonNullable<UploadState["assembly"]>> {
    const { store, held, saver, key } = this.#with;
    const direct = store.parts.direct && key !== undefined;
    const name = direct ? key : stagedName(held.uploadId, held.state.incarnation, held.state.token);
    const ref = await store.parts.begin(name, untimed);
    saver.assembly = { name, ref, direct };
    return saver.assembly;
  }

  async putWhole(part: WholePart): Promise<void> {
    const { memory, saver } = this.#with;
    const held = { bytes: part.piecesBytes };
    let spilled: Tail | undefined;
    try {
      let data: readonly Uint8Array[] = part.pieces;
      if (part.tails.length > 0) {
        await Promise.all(part.tails.map(({ written }) => written));
        const tailBytes = part.endBytes - part.startBytes - part.piecesBytes;
        const tails = part.tails.map(({ tail }) => tail);
        if (memory.tryTake(tailBytes)) {
          memory.leaving(tailBytes);
          held.bytes += tailBytes;
          data = [...(await readTails(this.#with.store, tails)), ...part.pieces];
        } else {
          spilled = await this.#spill(part, held);
          data = await this.#loaded(part, spilled === undefined ? tails : [...tails, spilled], held);
        }
      }
      await this.put(part.number, data);
    } finally {
      memory.left(held.bytes);
    }
    if (spilled !== undefined) saver.discard([spilled]);
  }

  /** Whoever waits for memory holds none. */
  async #spill(part: WholePart, held: { bytes: number }): Promise<Tail | undefined> {
    held.bytes = 0;
    if (part.piecesBytes === 0) return undefined;
    await this.putTail(part.spillName, part.pieces, part.piecesBytes);
    return { name: part.spillName, startBytes: part.endBytes - part.piecesBytes, endBytes: part.endBytes };
  }

  async #loaded(part: WholePart, tails: readonly Tail[], held: { bytes: number }): Promise<readonly Uint8Array[]> {
    const { memory, store } = this.#with;
    const wanted = part.endBytes - part.startBytes;
    await memory.take(this.#user, wanted);
    memory.leaving(wanted);
    held.bytes = wanted;
    return readTails(store, tails);
  }

  /** Pieces that are `leaving`: their memory is freed, whatever comes of it. */
  async putTail(name: string, pieces: Uint8Array[], bytes: number): Promise<void> {
    try {
      await this.#with.store.put(name, Buffer.concat(pieces.splice(0)), {}, untimed);
    } finally {
      this.#with.memory.left(bytes);
    }
  }

  /** Many tails as one of this name. */
  async mergeTails(name: string, tails: readonly Tail[], bytes: number): Promise<void> {
    const { memory, store } = this.#with;
    await memory.take(this.#user, bytes);
    memory.leaving(bytes);
    let pieces: Uint8Array[];
    try {
      pieces = await readTails(store, tails);
    } catch (error) {
      memory.left(bytes);
      throw error;
    }
    await this.putTail(name, pieces, bytes);
  }
}
