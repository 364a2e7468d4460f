/**
 * Bytes under a digest, in memory: they never change, so nobody has to be asked. Whether a repository has them is asked
 * elsewhere, every time. Bounded by bytes.
 */
import { LRUCache } from "lru-cache";
import { type Manifest, readManifest } from "./manifest.ts";

/** Blobs above this are streamed and never kept. */
export const SMALL_BLOB_BYTES = 256 * 1024;

export interface CachedManifest {
  readonly bytes: Buffer;
  readonly manifest: Manifest;
}

export class DigestCache {
  readonly #manifests: LRUCache<string, CachedManifest>;
  readonly #blobs: LRUCache<string, Buffer>;
  /** By sizes of 1: a cache bounded by `max` takes the memory of all its entries at once, for each pair of stores. */
  readonly #sizes = new LRUCache<string, number>({ maxSize: 50_000, sizeCalculation: () => 1 });

  constructor(maxBytes: number) {
    const maxSize = Math.max(1, Math.floor(maxBytes / 2));
    this.#manifests = new LRUCache({
      maxSize,
      // What is parsed of it weighs about as much again.
      sizeCalculation: ({ bytes }, digest) => 512 + digest.length + 2 * bytes.length,
    });
    this.#blobs = new LRUCache({ maxSize, sizeCalculation: (bytes, digest) => 256 + digest.length + bytes.length });
  }

  manifest(digest: string): CachedManifest | undefined {
    return this.#manifests.get(digest);
  }

  /** The bytes have that digest: the caller has checked. */
  keepManifest(digest: string, bytes: Buffer, manifest = readManifest(bytes)): CachedManifest {
    const cached = { bytes, manifest };
    this.#manifests.set(digest, cached);
    return cached;
  }

  blob(digest: string): Buffer | undefined {
    return this.#blobs.get(digest);
  }

  keepBlob(digest: string, bytes: Buffer): void {
    this.#blobs.set(digest, bytes);
  }

  /** A blob's size, in bytes. */
  size(digest: string): number | undefined {
    return this.#sizes.get(digest);
  }

  keepSize(digest: string, sizeBytes: number): void {
    this.#sizes.set(digest, sizeBytes);
  }

  /** The store no longer has the blob: somebody took its bytes away by hand. */
  forget(digest: string): void {
    this.#blobs.delete(digest);
    this.#sizes.delete(digest);
  }

  /** The store behind the address is another one: its bytes may be damaged or missing where these are not. */
  clear(): void {
    this.#manifests.clear();
    this.#blobs.clear();
    this.#sizes.clear();
  }
}
