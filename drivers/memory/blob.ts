/** The blob store: a tree of byte pieces, as they arrived. */
import type { Clock } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import type { BlobDriver, BlobInfo, CallContext, Condition, StoreFacts, Upload } from "../../server/contract.ts";
import type { NextEtag } from "./etags.ts";
import { pageOf, SortedMap } from "./pages.ts";

interface Blob extends BlobInfo {
  readonly pieces: readonly Uint8Array[];
}

interface Bytes {
  readonly uploadId: string;
  readonly pieces: Uint8Array[];
  sizeBytes: number;
  /** By the monotonic clock. */
  usedMs: number;
}

export function createMemoryBlob(facts: StoreFacts, clock: Clock, nextEtag: NextEtag): BlobDriver {
  const blobs: SortedMap<Blob> = new SortedMap();
  const uploads: SortedMap<Bytes> = new SortedMap();

  function place(
    key: string,
    content: Pick<Blob, "pieces" | "sizeBytes" | "digests">,
    condition: Condition | undefined,
    call: CallContext,
  ): BlobInfo {
    assertCondition(key, blobs.get(key), condition);
    call.assertInTime();
    const { pieces, sizeBytes, digests } = content;
    blobs.set(key, { key, pieces, sizeBytes, digests, etag: nextEtag(), modifiedMs: clock.now() });
    return existing(key);
  }

  function existing(key: string): Blob {
    const blob = blobs.get(key);
    if (blob === undefined) throw new OutriggerError("KEY_NOT_FOUND", `there is no key ${key}`);
    return blob;
  }

  return {
    facts,
    async check() {},

    async stat(keys) {
      return keys.map((key) => blobs.get(key));
    },

    async read(key, { offsetBytes, limitBytes, ifEtag }) {
      const blob = existing(key);
      if (ifEtag !== undefined) assertCondition(key, blob, { ifEtag });
      if (offsetBytes > blob.sizeBytes) {
        throw new OutriggerError("OFFSET_MISMATCH", `offset ${offsetBytes} is beyond the ${blob.sizeBytes} bytes`, {
          metadata: { persisted: String(blob.sizeBytes) },
        });
      }
      const lengthBytes = Math.min(limitBytes ?? Number.POSITIVE_INFINITY, blob.sizeBytes - offsetBytes);
      return {
        info: blob,
        startBytes: offsetBytes,
        lengthBytes,
        body: slices(blob.pieces, offsetBytes, lengthBytes),
        async cancel() {},
      };
    },

    async list(request) {
      return pageOf(blobs, request);
    },

    async delete(key, call) {
      call.assertInTime();
      blobs.delete(key);
    },

    async put(key, data, condition, call) {
      return place(key, { pieces: [data], sizeBytes: data.length, digests: [] }, condition, call);
    },

    async move(source, destination, call) {
      const blob = existing(source);
      const info = place(destination, blob, undefined, call);
      blobs.delete(source);
      return info;
    },

    async open(uploadId, { create }, call) {
      let bytes = uploads.get(uploadId);
      if (bytes === undefined) {
        if (!create) throw new OutriggerError("UPLOAD_NOT_FOUND", `there is no upload ${uploadId}`);
        call.assertInTime();
        bytes = { uploadId, pieces: [], sizeBytes: 0, usedMs: 0 };
        uploads.set(uploadId, bytes);
      }
      bytes.usedMs = clock.monotonic();
      return openUpload(bytes);
    },

    async abort(uploadId, call) {
      call.assertInTime();
      uploads.delete(uploadId);
    },

    async listUploads({ uploadId, ...request }) {
      const one = uploadId === undefined ? undefined : uploads.get(uploadId);
      const page =
        uploadId === undefined
          ? pageOf(uploads, { ...request, prefix: "" })
          : { items: one === undefined ? [] : [one], more: false };
      const now = clock.monotonic();
      const items = page.items.map((bytes) => ({
        uploadId: bytes.uploadId,
        persistedBytes: bytes.sizeBytes,
        idleMs: Math.floor(now - bytes.usedMs),
      }));
      return { items, more: page.more };
    },
  };

  function openUpload(bytes: Bytes): Upload {
    return {
      get persistedBytes() {
        return bytes.sizeBytes;
      },
      async write(data) {
        bytes.pieces.push(data);
        bytes.sizeBytes += data.length;
        bytes.usedMs = clock.monotonic();
      },
      async flush() {},
      read: () => slices(bytes.pieces, 0, bytes.sizeBytes),
      async commit({ key, condition, digest, keep }, call) {
        if (keep) assertCondition(key, blobs.get(key), condition);
        else place(key, { ...bytes, digests: [digest] }, condition, call);
        uploads.delete(bytes.uploadId);
        return existing(key);
      },
      async close() {},
    };
  }
}

/** @throws KEY_EXISTS, ETAG_MISMATCH */
function assertCondition(key: string, blob: Blob | undefined, condition: Condition | undefined): void {
  if (condition === undefined) return;
  if ("ifAbsent" in condition) {
    if (blob !== undefined) throw new OutriggerError("KEY_EXISTS", `key ${key} exists already`);
  } else if (blob?.etag !== condition.ifEtag) {
    throw new OutriggerError("ETAG_MISMATCH", `key ${key} has another etag`);
  }
}

/** The bytes from `offset` on, piece by piece. */
async function* slices(pieces: readonly Uint8Array[], offset: number, length: number): AsyncGenerator<Uint8Array> {
  let start = 0;
  const end = offset + length;
  for (const piece of pieces) {
    if (start >= end) return;
    const from = Math.max(offset - start, 0);
    const to = Math.min(end - start, piece.length);
    if (from < to) yield piece.subarray(from, to);
    start += piece.length;
  }
}
