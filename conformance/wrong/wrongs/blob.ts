/** Wrong about committed blobs: Stat, Read, Put, Delete. */
import type { Wrong } from "../wrongs.ts";

export const blobWrongs: readonly Wrong[] = [
  {
    name: "short-read",
    does: "ends a Read with OK one byte early",
    caughtBy: ["blob.read.03"],
    beside: ["blob.read.01", "blob.read.02", "blob.read.04", "blob.read.07", "blob.stat.01"],
    changes: () => ({ blob: { bytesSent: (length) => Math.max(0, length - 1) } }),
  },
  {
    name: "relative-offsets",
    does: "tells a chunk's offset in the range instead of in the blob",
    caughtBy: ["blob.read.02"],
    beside: ["blob.read.01", "blob.read.02", "blob.read.04", "blob.read.05", "blob.read.06", "blob.read.07"],
    changes: () => ({ blob: { chunkOffset: (_rangeStart, sentBefore) => sentBefore } }),
  },
  {
    name: "large-chunks",
    does: "sends chunks of 2 MiB",
    caughtBy: ["blob.read.09"],
    beside: ["blob.read.01", "blob.read.02", "blob.read.04", "blob.read.05", "blob.read.06", "blob.read.07"],
    changes: () => ({ blob: { pieceBytes: 2 * 1024 * 1024 } }),
  },
  {
    name: "offset-cut",
    does: "cuts an offset beyond the end to the end",
    caughtBy: ["blob.read.04"],
    beside: ["blob.read.01", "blob.read.02", "blob.read.04", "blob.read.05", "blob.read.06", "blob.read.07"],
    changes: () => ({ blob: { rangeStart: (asked, size) => Math.min(asked, size) } }),
  },
  {
    name: "etag-ignored",
    does: "minds no if_etag",
    caughtBy: ["blob.put.04", "blob.read.06"],
    beside: ["blob.read.01", "blob.read.04", "blob.read.07", "blob.put.01", "blob.put.05"],
    changes: () => ({ blob: { sameEtag: () => true } }),
  },
  {
    name: "if-absent-ignored",
    does: "overwrites what is there despite if_absent",
    caughtBy: ["blob.append.14", "blob.put.03"],
    beside: ["blob.append.13", "blob.put.01", "blob.put.04", "blob.put.05"],
    changes: () => ({ blob: { overwrites: () => true } }),
  },
  {
    name: "never-overwrites",
    does: "refuses to put where something is, though nobody asked if_absent",
    caughtBy: ["blob.put.05"],
    beside: ["blob.append.13", "blob.put.01", "blob.read.01", "blob.stat.01"],
    changes: () => ({ blob: { overwrites: (_ifAbsent, there) => there === undefined } }),
  },
  {
    name: "limit-zero-is-all",
    does: "takes a Read's limit 0 for none",
    caughtBy: ["blob.read.05"],
    beside: ["blob.read.01", "blob.read.02", "blob.read.04", "blob.read.07"],
    changes: () => ({ blob: { rangeLength: (limit, left) => Math.min(limit || left, left) } }),
  },
  {
    name: "etag-of-size",
    does: "makes a blob's etag of its size",
    caughtBy: ["blob.etag.01"],
    beside: ["blob.stat", "blob.put.05"],
    changes: () => ({ blob: { etag: (_entry, sizeBytes) => `s${sizeBytes}` } }),
  },
  {
    name: "stat-disagrees",
    does: "tells another size in Stat than Read gives",
    caughtBy: ["blob.stat.03"],
    beside: ["blob.stat", "blob.read.01"],
    changes: () => ({ blob: { stat: (info) => ({ ...info, size: info.size + 1 }) } }),
  },
  {
    name: "put-unchecked",
    does: "does not check a Put's digest",
    caughtBy: ["blob.put.02"],
    beside: ["blob.put.01", "blob.put.04", "blob.put.05"],
    changes: () => ({ blob: { assertDigest() {} } }),
  },
  {
    name: "deletes-below",
    does: "deletes what lies below a key too",
    caughtBy: ["blob.delete.02"],
    beside: ["blob.delete.01", "blob.put.05", "blob.stat.01"],
    changes: () => ({
      blob: {
        deleted: (asked, there) => there.filter((key) => asked.some((one) => key === one || key.startsWith(`${one}/`))),
      },
    }),
  },
  {
    name: "results-reversed",
    does: "answers Stat, Delete and Get in another order than was asked",
    caughtBy: ["blob.delete.01", "blob.stat.01", "meta.get.01"],
    beside: ["blob.stat.03", "blob.put.05", "meta.list.01"],
    changes: () => ({
      wire: {
        answer(method, response) {
          if (!["blob.Stat", "blob.Delete", "meta.Get"].includes(method)) return response;
          const { results } = response as { results: readonly object[] };
          return { ...response, results: results.toReversed() };
        },
      },
    }),
  },
  {
    name: "any-amount",
    does: "takes any number of keys, and of bytes",
    caughtBy: ["blob.append.18", "blob.put.01", "blob.stat.02", "meta.get.04", "meta.write.05"],
    beside: ["blob.append.02", "blob.put.05", "blob.stat.01", "meta.get.01", "meta.write.06"],
    changes: () => ({ fields: { count() {} } }),
  },
  {
    name: "move-copies",
    does: "leaves a Move's source where it was",
    caughtBy: ["blob.move.01"],
    beside: ["blob.move.02", "blob.move.03", "blob.delete.01"],
    changes: () => ({ blob: { moved: (changes) => changes.filter(({ kind }) => kind === "put") } }),
  },
  {
    name: "blobs-in-memory",
    does: "keeps what it commits to itself: no replica sees it",
    caughtBy: ["blob.visible.02"],
    beside: ["blob.stat", "blob.read.01", "blob.put.05", "blob.append.05/replica"],
    changes: () => ({
      blob: { written: (change) => (change.kind === "put" ? { kind: "deleted", key: change.key } : change) },
    }),
  },
  {
    name: "elsewhere",
    does: "answers LocateFile with another path than the file's",
    caughtBy: ["blob.locatefile.02", "blob.locatefile.03"],
    beside: ["blob.stat.01", "blob.signurl.01"],
    changes: () => ({
      wire: {
        answer: (method, response) =>
          method === "blob.LocateFile" && "path" in response ? { ...response, path: `${response.path}x` } : response,
      },
    }),
  },
];
