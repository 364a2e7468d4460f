/** What lies in the fast store: one content of one key, and beside it the hash of each of its pieces. */
import { createHash } from "node:crypto";
import type { BlobInfo } from "../../server/contract.ts";

/** What is hashed, and verified before any of it is given out. */
export const PIECE_BYTES = 256 * 1024;
/** So that the hashes of a blob fit into one Put. */
export const LARGEST_BYTES = 8 * 1024 * 1024 * 1024;
const HASH_BYTES = 16;
/** What a small blob costs besides its bytes. */
const OVERHEAD_BYTES = 4 * 1024;

export interface Entry {
  /** Stands for the key. */
  readonly place: string;
  /** Stands for the content: an etag never stands for two of one key [blob.etag.01]. */
  readonly content: string;
  readonly sizeBytes: number;
}

export function placeOf(key: string): string {
  return createHash("sha256").update(key).digest("hex").slice(0, 40);
}

export function entryOf(info: BlobInfo): Entry {
  const content = createHash("sha256").update(`${info.sizeBytes} ${info.etag}`).digest("hex").slice(0, 40);
  return { place: placeOf(info.key), content, sizeBytes: info.sizeBytes };
}

export function dataKey(prefix: string, { place, content }: Omit<Entry, "sizeBytes">): string {
  return `${prefix}data/${place}/${content}`;
}

export function sumsKey(prefix: string, { place, content }: Omit<Entry, "sizeBytes">): string {
  return `${prefix}sums/${place}/${content}`;
}

/** "data/<place>/<content>" as it was listed. */
export function parseName(name: string): { readonly place: string; readonly content: string } | undefined {
  const [, place, content] = /^(?:data|sums)\/([0-9a-f]{40})\/([0-9a-f]{40})$/.exec(name) ?? [];
  return place === undefined || content === undefined ? undefined : { place, content };
}

export function costOf({ sizeBytes }: Pick<Entry, "sizeBytes">): number {
  return sizeBytes + OVERHEAD_BYTES;
}

/** The hashes of a blob's pieces, made as its bytes pass. */
export class Sums {
  readonly #sums: Buffer[] = [];
  #hash = createHash("sha256");
  #inPiece = 0;

  update(data: Uint8Array): void {
    for (let at = 0; at < data.length; ) {
      const part = data.subarray(at, at + PIECE_BYTES - this.#inPiece);
      this.#hash.update(part);
      this.#inPiece += part.length;
      at += part.length;
      if (this.#inPiece === PIECE_BYTES) this.#next();
    }
  }

  #next(): void {
    this.#sums.push(this.#hash.digest().subarray(0, HASH_BYTES));
    this.#hash = createHash("sha256");
    this.#inPiece = 0;
  }

  /** Called once. */
  bytes(): Buffer {
    if (this.#inPiece > 0) this.#next();
    return Buffer.concat(this.#sums);
  }
}

export function isPiece(sums: Uint8Array, index: number, piece: Uint8Array): boolean {
  const wanted = sums.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES);
  return (
    wanted.length === HASH_BYTES && createHash("sha256").update(piece).digest().subarray(0, HASH_BYTES).equals(wanted)
  );
}

export function sumsLength(sizeBytes: number): number {
  return Math.ceil(sizeBytes / PIECE_BYTES) * HASH_BYTES;
}
