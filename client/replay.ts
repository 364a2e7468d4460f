/**
 * What an upload still holds: every byte read from the source that the driver has not told to be persisted, so that a
 * broken stream can be replayed from where the driver stands.
 */
import { limits } from "../proto/limits.ts";

/** Pieces below this are copied together: each may be a small view of a large read buffer that it would keep alive. */
const SMALL_BYTES = 32 * 1024;
const BLOCK_BYTES = 64 * 1024;
const CHUNK_BYTES = limits.preferredChunkBytes;

export class Replay {
  readonly #pieces: Buffer[] = [];
  #startBytes: number;
  #endBytes: number;
  /** The last piece, while it is a block of our own that has room. */
  #block: { readonly bytes: Buffer; used: number } | undefined;

  constructor(startBytes: number) {
    this.#startBytes = startBytes;
    this.#endBytes = startBytes;
  }

  /** The lowest offset that can still be sent. */
  get startBytes(): number {
    return this.#startBytes;
  }

  /** Where the source has come to. */
  get endBytes(): number {
    return this.#endBytes;
  }

  push(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#endBytes += piece.length;
    if (piece.length >= SMALL_BYTES) {
      this.#block = undefined;
      this.#pieces.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
      return;
    }
    let rest = piece;
    while (rest.length > 0) {
      if (this.#block === undefined || this.#block.used === this.#block.bytes.length) {
        this.#block = { bytes: Buffer.allocUnsafeSlow(BLOCK_BYTES), used: 0 };
        this.#pieces.push(this.#block.bytes.subarray(0, 0));
      }
      const { bytes, used } = this.#block;
      const taken = Math.min(rest.length, bytes.length - used);
      bytes.set(rest.subarray(0, taken), used);
      const last = this.#pieces.length - 1;
      const before = this.#pieces[last];
      // The last piece grows; what was sent of it keeps its own view, and its bytes never change.
      this.#pieces[last] = bytes.subarray(used - (before?.length ?? 0), used + taken);
      this.#block.used += taken;
      rest = rest.subarray(taken);
    }
  }

  /** Up to a chunk's bytes from `offset` on, which lies within [startBytes, endBytes). */
  at(offset: number): Buffer {
    let skip = offset - this.#startBytes;
    let index = 0;
    while (skip >= (this.#pieces[index]?.length ?? Number.POSITIVE_INFINITY))
      skip -= this.#pieces[index++]?.length ?? 0;
    const first = this.#pieces[index]?.subarray(skip) ?? Buffer.alloc(0);
    if (first.length >= CHUNK_BYTES) return first.subarray(0, CHUNK_BYTES);
    const parts = [first];
    let length = first.length;
    while (length < CHUNK_BYTES) {
      const next = this.#pieces[++index];
      if (next === undefined) break;
      const part = next.subarray(0, CHUNK_BYTES - length);
      parts.push(part);
      length += part.length;
    }
    return parts.length === 1 ? first : Buffer.concat(parts, length);
  }

  /** Drops what lies below `offset`. @returns bytes dropped */
  dropBelow(offset: number): number {
    let dropped = 0;
    while (this.#startBytes < offset) {
      const piece = this.#pieces[0];
      if (piece === undefined) break;
      const below = Math.min(piece.length, offset - this.#startBytes);
      if (below === piece.length) {
        this.#pieces.shift();
        if (this.#pieces.length === 0) this.#block = undefined;
      } else this.#pieces[0] = piece.subarray(below);
      this.#startBytes += below;
      dropped += below;
    }
    return dropped;
  }

  /**
   * The driver holds more than was read from the source: what the source gives below `offset` is to be skipped.
   * Only when everything held was dropped.
   */
  skipTo(offset: number): void {
    if (this.#pieces.length > 0) throw new Error("bytes are still held");
    this.#startBytes = offset;
    this.#endBytes = offset;
    this.#block = undefined;
  }
}
