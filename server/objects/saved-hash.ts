/** A digest whose state can be kept with the upload and taken up in another process: node's own cannot be. */
import { createSHA256, createSHA512, type IHasher } from "hash-wasm";
import type { Algorithm } from "../../proto/keys.ts";

/** Enough to go on: base64 of the library's own state, which it refuses when another release made it. */
export interface SavedHash {
  readonly algorithm: Algorithm;
  /** Bytes that it is of. */
  readonly position: number;
  readonly state: string;
}

export class ResumableHash {
  readonly algorithm: Algorithm;
  readonly #hasher: IHasher;
  #position: number;

  private constructor(algorithm: Algorithm, hasher: IHasher, position: number) {
    this.algorithm = algorithm;
    this.#hasher = hasher;
    this.#position = position;
  }

  static async begin(algorithm: Algorithm): Promise<ResumableHash> {
    return new ResumableHash(algorithm, (await create(algorithm)).init(), 0);
  }

  /** @throws Error when the state is damaged or another release's */
  static async resume({ algorithm, position, state }: SavedHash): Promise<ResumableHash> {
    return new ResumableHash(algorithm, (await create(algorithm)).load(Buffer.from(state, "base64")), position);
  }

  get position(): number {
    return this.#position;
  }

  update(data: Uint8Array): void {
    this.#hasher.update(data);
    this.#position += data.length;
  }

  save(): SavedHash {
    const state = Buffer.from(this.#hasher.save()).toString("base64");
    return { algorithm: this.algorithm, position: this.#position, state };
  }

  /** "sha256:<hex>" of all bytes so far. More may follow. */
  digest(): string {
    const state = this.#hasher.save();
    const hex = this.#hasher.digest("hex");
    this.#hasher.load(state);
    return `${this.algorithm}:${hex}`;
  }
}

function create(algorithm: Algorithm): Promise<IHasher> {
  return algorithm === "sha256" ? createSHA256() : createSHA512();
}
