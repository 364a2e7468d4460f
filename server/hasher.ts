/** Digests of bytes that arrive in pieces. */
import { createHash, type Hash } from "node:crypto";
import type { Algorithm } from "../proto/keys.ts";

export interface Hasher {
  readonly algorithm: Algorithm;
  /** The piece must not change before the answer resolves; `undefined`: it is hashed already. */
  update(data: Uint8Array): Promise<void> | undefined;
  /** "sha256:<hex>" of all bytes so far. More may follow. */
  digest(): Promise<string>;
  /** Frees what it holds. */
  close(): void;
}

export type CreateHasher = (algorithm: Algorithm) => Hasher;

/** In this thread. */
export const createHasher: CreateHasher = (algorithm) => new ThreadHasher(algorithm);

class ThreadHasher implements Hasher {
  readonly algorithm: Algorithm;
  readonly #hash: Hash;

  constructor(algorithm: Algorithm) {
    this.algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  update(data: Uint8Array): undefined {
    this.#hash.update(data);
  }

  async digest(): Promise<string> {
    return `${this.algorithm}:${this.#hash.copy().digest("hex")}`;
  }

  close(): void {}
}

/** The digest of bytes at hand. */
export function digestOf(algorithm: Algorithm, data: Uint8Array): string {
  return `${algorithm}:${createHash(algorithm).update(data).digest("hex")}`;
}
