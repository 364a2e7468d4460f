/**
 * What an upload still holds: every byte read from the source that the driver has not told to be persisted, so that a
 * broken stream can be replayed from where the driver stands.
 */
import { limits } from "../proto/limits.ts";
import { Blocks } from "./blocks.ts";

/** Up to here an upload keeps what it is given, or copies small pieces together: a small blob is worth no block. */
const BEGINNING_BYTES = 64 * 1024;
/** Pieces below this are copied together: each may be a small view of a large read buffer that it would keep alive. */
const SMALL_BYTES = 32 * 1024;
const CHUNK_BYTES = limits.preferredChunkBytes;

interface Piece {
  bytes: Buffer;
  /** Whose memory it is, if it goes back to the blocks. */
  readonly block: Buffer | undefined;
}

export class Replay {
  readonly #blocks: Blocks;
  readonly #pieces: Piece[] = [];
  #startBytes: number;
  #endBytes: number;
  #pushedBytes = 0;
  /** What the last piece lies in, while that has room. */
  #filling: { readonly bytes: Buffer; used: number } | undefined;

  constructor(startBytes: number, blocks: Blocks = new Blocks()) {
    this.#blocks = blocks;
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
    const isBeginning = this.#pushedBytes + piece.length <= BEGINNING_BYTES;
    this.#pushedBytes += piece.length;
    this.#endBytes += piece.length;
    if (isBeginning && piece.length >= SMALL_BYTES) {
      this.#filling = undefined;
      this.#pieces.push({ bytes: Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength), block: undefined });
      return;
    }
    let rest = piece;
    while (rest.length > 0) {
      const filling = this.#place(!isBeginning);
      const { bytes, used } = filling;
      const taken = Math.min(rest.length, bytes.length - used);
      bytes.set(rest.subarray(0, taken), used);
      const last = this.#pieces[this.#pieces.length - 1];
      // The last piece grows; what was sent of it keeps its own view, and its bytes never change.
      if (last) last.bytes = bytes.subarray(used - last.bytes.length, used + taken);
      filling.used += taken;
      rest = rest.subarray(taken);
    }
  }

  /** Where the next bytes go. */
  #place(isBlock: boolean) {
    const filling = this.#filling;
    if (filling !== undefined && filling.used < filling.bytes.length) return filling;
    const bytes = isBlock ? this.#blocks.take() : Buffer.allocUnsafeSlow(BEGINNING_BYTES);
    this.#pieces.push({ bytes: bytes.subarray(0, 0), block: isBlock ? bytes : undefined });
    this.#filling = { bytes, used: 0 };
    return this.#filling;
  }

  /**
   * Up to a chunk's bytes from `offset` on, which lies within [startBytes, endBytes). What lies below a later dropBelow may
   * be overwritten.
   */
  at(offset: number): Buffer {
    let skip = offset - this.#startBytes;
    let index = 0;
    while (skip >= (this.#pieces[index]?.bytes.length ?? Number.POSITIVE_INFINITY))
      skip -= this.#pieces[index++]?.bytes.length ?? 0;
    const piece = this.#pieces[index];
    const first = piece?.bytes.subarray(skip, skip + CHUNK_BYTES) ?? Buffer.alloc(0);
    // A block's end ends a chunk too: joining would copy every one after it.
    if (first.length === CHUNK_BYTES || (piece?.block !== undefined && first.length >= CHUNK_BYTES / 2)) return first;
    const parts = [first];
    let length = first.length;
    while (length < CHUNK_BYTES) {
      const next = this.#pieces[++index];
      if (next === undefined) break;
      const part = next.bytes.subarray(0, CHUNK_BYTES - length);
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
      const below = Math.min(piece.bytes.length, offset - this.#startBytes);
      if (below === piece.bytes.length) {
        this.#pieces.shift();
        if (this.#pieces.length === 0) this.#filling = undefined;
        if (piece.block !== undefined) this.#blocks.give(piece.block);
      } else piece.bytes = piece.bytes.subarray(below);
      this.#startBytes += below;
      dropped += below;
    }
    return dropped;
  }

  /** Everything arrived: nothing of it will be sent again, and no stream still looks at it. */
  release(): void {
    this.dropBelow(this.#endBytes);
  }

  /**
   * The driver holds more than was read from the source: what the source gives below `offset` is to be skipped.
   * Only when everything held was dropped.
   */
  skipTo(offset: number): void {
    if (this.#pieces.length > 0) throw new Error("bytes are still held");
    this.#startBytes = offset;
    this.#endBytes = offset;
    this.#filling = undefined;
  }
}
