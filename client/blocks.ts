/**
 * Memory for what uploads hold, used again and again. Buffers that live for some seconds and are then dropped cost more
 * than they look: each 64 MiB of them makes the collector walk the whole heap (measured: 3.5 s of processor time a GiB).
 */
export const BLOCK_BYTES = 256 * 1024;

/** Free blocks kept while uploads are open; what one flush of a full budget gives back. */
const MOST_FREE_BYTES = 32 * 1024 * 1024;
/** Kept when none is. */
const IDLE_FREE_BYTES = 4 * 1024 * 1024;

export class Blocks {
  readonly #free: Buffer[] = [];

  get freeBytes(): number {
    return this.#free.length * BLOCK_BYTES;
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
  }

  /** Nobody may look at the block any more. */
  give(block: Buffer): void {
    if (this.freeBytes < MOST_FREE_BYTES) this.#free.push(block);
  }

  /** No upload is open. */
  idle(): void {
    this.#free.length = Math.min(this.#free.length, IDLE_FREE_BYTES / BLOCK_BYTES);
  }
}
