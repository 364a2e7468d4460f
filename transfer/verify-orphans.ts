/** What takes room and belongs to nobody: bytes that no repository has, and uploads that nobody goes on with. */
import { limits } from "../proto/limits.ts";
import { allRefsPrefix, blobsPrefix, digestPath, parseBlobKey, parseRefsKey } from "../registry/repository/keys.ts";
import { joined, pagesOf } from "./join.ts";
import type { VerifyParts } from "./verify.ts";

export interface Orphans {
  readonly blobs: number;
  readonly bytes: number;
  /** Digests, the first thousand. */
  readonly first: readonly string[];
}

export interface UploadsFound {
  readonly uploads: number;
  readonly bytes: number;
  /** Of these: not used for a day. The driver takes them away when their time is over. */
  readonly idle: number;
  readonly idleBytes: number;
}

const MOST_NAMED = 1000;

/** Both listings have the order of `<alg>/<hex>`. */
export async function countOrphans({ stores, options, patience, call }: VerifyParts): Promise<Orphans> {
  const orphans = { blobs: 0, bytes: 0, first: [] as string[] };
  async function* blobs() {
    for await (const page of pagesOf((one) => stores.blobs.list(one, call), { prefix: blobsPrefix }, patience)) {
      yield page.flatMap(({ key, sizeBytes }) => {
        const digest = parseBlobKey(key);
        return digest === undefined ? [] : [{ key: digestPath(digest), digest, sizeBytes }];
      });
    }
  }
  async function* refs() {
    let last = "";
    for await (const page of pagesOf((one) => stores.meta.list(one, call), { prefix: allRefsPrefix }, patience)) {
      yield page.flatMap(({ key }) => {
        const digest = parseRefsKey(key)?.digest;
        // One repository's is as good as another's.
        if (digest === undefined || digestPath(digest) === last) return [];
        last = digestPath(digest);
        return [{ key: last, digest, sizeBytes: 0 }];
      });
    }
  }
  for await (const batch of joined(blobs(), refs())) {
    for (const { from: blob, to: ref } of batch) {
      if (blob === undefined || ref !== undefined) continue;
      orphans.blobs += 1;
      orphans.bytes += blob.sizeBytes;
      if (orphans.first.length < MOST_NAMED) orphans.first.push(blob.digest);
    }
    options.doing?.(`orphans: ${orphans.blobs} found`);
  }
  return orphans;
}

export async function countUploads({ stores, patience, call }: VerifyParts): Promise<UploadsFound> {
  const found = { uploads: 0, bytes: 0, idle: 0, idleBytes: 0 };
  for (let startAfter = ""; ; ) {
    const { items, more } = await patience.run(() => stores.blobs.listUploads({ startAfter }, call));
    for (const { persistedBytes, idleMs } of items) {
      found.uploads += 1;
      found.bytes += persistedBytes;
      if (idleMs < limits.uploadTtlMs) continue;
      found.idle += 1;
      found.idleBytes += persistedBytes;
    }
    startAfter = items.at(-1)?.uploadId ?? "";
    if (!more || startAfter === "") return found;
  }
}
