/** CRC32C (Castagnoli), as Cloud Storage keeps it with each object: base64 of four bytes, big end first. */
import { createCRC32, type IHasher } from "hash-wasm";

const CASTAGNOLI = 0x82f63b78;

/** Hashers are made once and lent: each holds its own WebAssembly memory. */
export class Crc32c {
  readonly #idle: IHasher[] = [];

  /** Over all of it at once. */
  async of(pieces: readonly Uint8Array[]): Promise<string> {
    const running = await this.begin();
    for (const piece of pieces) running.update(piece);
    return running.end();
  }

  /** Whoever begins one ends it: with `end`, or `drop` when nobody wants to know any more. */
  async begin(): Promise<RunningCrc32c> {
    const hasher = this.#idle.pop() ?? (await createCRC32(CASTAGNOLI));
    hasher.init();
    let lent = true;
    const giveBack = () => {
      if (lent && this.#idle.length < 16) this.#idle.push(hasher);
      lent = false;
    };
    return {
      update: (data) => void hasher.update(data),
      end: () => {
        const digest = Buffer.from(hasher.digest("binary")).toString("base64");
        giveBack();
        return digest;
      },
      drop: giveBack,
    };
  }
}

export interface RunningCrc32c {
  update(data: Uint8Array): void;
  end(): string;
  drop(): void;
}
