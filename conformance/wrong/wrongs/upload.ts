/** Wrong about uploads. */
import { setTimeout as sleep } from "node:timers/promises";
import { honest } from "../habits.ts";
import type { BlobChange, UploadRecord } from "../honest/blob-store.ts";
import type { Wrong } from "../wrongs.ts";

/** Rules of uploads that are quickly beside: those that a wrong driver does not break. */
export const besideUploads: readonly string[] = [
  ...["01", "02", "03", "05", "06", "07", "10", "11", "13", "15", "16"].map((rule) => `blob.append.${rule}`),
  ...["blob.getupload.01", "blob.abort.01", "blob.abort.03"],
];

/** As `cut` leaves it; only what is written to the folder, not what this process knows. */
function cutUpload(change: BlobChange, cut: (sizeBytes: number) => number): BlobChange {
  if (change.kind !== "upload") return change;
  const parts = change.record.parts.map((part) => ({ ...part, sizeBytes: cut(part.sizeBytes) }));
  return { ...change, record: { ...change.record, parts } };
}

const emptied = (record: UploadRecord): UploadRecord => ({ ...record, parts: [] });

export const uploadWrongs: readonly Wrong[] = [
  {
    name: "persisted-in-memory",
    does: "tells as persisted what kill -9 takes away",
    caughtBy: ["blob.append.19"],
    beside: ["meta.durable.01/killed"],
    processes: true,
    changes: () => ({ blob: { written: (change) => cutUpload(change, () => 0) } }),
  },
  {
    name: "tail-in-memory",
    does: "keeps an upload's short tail to itself, so that it is lost with this replica",
    caughtBy: ["blob.append.02", "blob.append.10"],
    beside: ["blob.append.05/replica", "blob.visible.02/replica", "meta.seen.01/replica"],
    changes: () => ({ blob: { written: (change) => cutUpload(change, (size) => size - (size % (64 * 1024))) } }),
  },
  {
    name: "flush-lies",
    does: "answers Flush with persisted = received, and persists nothing",
    caughtBy: ["blob.append.10"],
    beside: ["blob.append.01", "blob.append.05", "blob.append.11", "blob.append.15"],
    changes: () => ({
      upload: { told: (why, stream, persist) => (why === "flush" ? stream.received : persist()) },
    }),
  },
  {
    name: "persisted-falls",
    does: "tells less persisted than before",
    caughtBy: ["blob.append.09"],
    beside: besideUploads,
    changes() {
      let times = 0;
      return {
        upload: {
          told: (why, _stream, persist) =>
            why === "step" && times++ % 2 === 1 ? Math.floor(persist() / 4) : persist(),
        },
      };
    },
  },
  {
    name: "never-tells",
    does: "tells no progress unless it is asked to flush",
    caughtBy: ["blob.append.08"],
    beside: besideUploads,
    changes: () => ({ upload: { tells: () => false } }),
  },
  {
    name: "visible-early",
    does: "shows an upload's bytes under its key before commit",
    caughtBy: ["blob.append.11"],
    beside: besideUploads,
    changes: () => ({
      upload: {
        grown(record, key) {
          const [part] = record.parts;
          if (key === "" || part === undefined) return [];
          const blob = {
            file: `../parts/${part.file}`,
            sizeBytes: part.sizeBytes,
            etag: "early",
            modifiedMs: 0,
            digests: [],
          };
          return [{ kind: "put", key, blob }];
        },
      },
    }),
  },
  {
    name: "commit-unchecked",
    does: "does not check a commit's digest",
    caughtBy: ["blob.append.12"],
    beside: besideUploads,
    changes: () => ({ blob: { assertDigest() {} } }),
  },
  {
    name: "size-unchecked",
    does: "does not check a commit's size",
    caughtBy: ["blob.append.12"],
    beside: besideUploads,
    changes: () => ({ upload: { sizeAgrees: () => true } }),
  },
  {
    name: "checked-late",
    does: "checks a commit's digest once its bytes are visible, and takes them back",
    caughtBy: ["blob.append.12"],
    beside: besideUploads,
    changes: () => ({
      upload: {
        async commit(steps) {
          const info = steps.publish();
          try {
            await sleep(50);
            await steps.verify();
          } catch (error) {
            steps.withdraw();
            throw error;
          }
          return info;
        },
      },
    }),
  },
  {
    name: "commit-believes",
    does: "believes the digest that a commit tells when the key holds it already",
    caughtBy: ["blob.append.12"],
    beside: besideUploads,
    changes: () => ({
      upload: {
        async commit(steps) {
          if (steps.there?.digests.includes(steps.digest)) {
            steps.forget();
            return steps.there;
          }
          await steps.verify();
          return steps.publish();
        },
      },
    }),
  },
  {
    name: "overwrites-the-same",
    does: "makes a blob anew of a commit whose bytes the key holds already",
    caughtBy: ["blob.append.13"],
    beside: besideUploads,
    changes: () => ({ upload: { isSame: () => false } }),
  },
  {
    name: "always-sha256",
    does: "answers a commit with a sha256 whatever was asked",
    caughtBy: ["blob.append.15"],
    beside: besideUploads,
    changes: () => ({ upload: { digest: ([sha256 = ""]) => sha256 } }),
  },
  {
    name: "offset-defaults",
    does: "takes an absent offset for 0 and throws away what the stream has sent",
    caughtBy: ["blob.append.06"],
    beside: besideUploads,
    changes: () => ({
      upload: {
        chunkOffset({ offset }, stream) {
          if (offset === undefined) stream.received = stream.base;
          return offset ?? stream.base;
        },
      },
    }),
  },
  {
    name: "gap-closed",
    does: "takes a chunk from beyond what it has received for the next one",
    caughtBy: ["blob.append.07"],
    beside: besideUploads,
    changes: () => ({
      upload: { chunkOffset: (chunk, stream) => Math.min(honest.upload.chunkOffset(chunk, stream), stream.received) },
    }),
  },
  {
    name: "unknown-is-empty",
    does: "answers GetUpload of an unknown upload with size 0",
    caughtBy: ["blob.getupload.01"],
    beside: besideUploads,
    changes: () => ({
      upload: {
        unknown(id, asked) {
          if (asked === "open") return honest.upload.unknown(id, asked);
          return { uploadId: id, persisted: 0, idleMs: 0 };
        },
      },
    }),
  },
  {
    name: "open-always-creates",
    does: "makes an unknown upload that is opened without create",
    caughtBy: ["blob.append.03"],
    beside: besideUploads,
    changes: () => ({
      upload: {
        unknown(id, asked) {
          if (asked === "get") return honest.upload.unknown(id, asked);
          return { uploadId: id, persisted: 0, idleMs: 0 };
        },
      },
    }),
  },
  {
    name: "commit-leaves-upload",
    does: "leaves an empty upload after a commit, so that a retry commits no bytes",
    caughtBy: ["blob.append.03", "blob.append.16"],
    beside: besideUploads,
    changes() {
      const before = new Map<string, UploadRecord>();
      return {
        blob: {
          written(change) {
            if (change.kind === "upload") before.set(change.id, change.record);
            return change;
          },
        },
        upload: {
          committed: (changes) =>
            changes.map((change) => {
              const record = change.kind === "ended" ? before.get(change.id) : undefined;
              if (change.kind !== "ended" || record === undefined) return change;
              return { kind: "upload", id: change.id, record: emptied(record) };
            }),
        },
      };
    },
  },
  {
    name: "not-fenced",
    does: "takes bytes and commits of an older stream after a newer one has the turn",
    caughtBy: ["blob.append.04"],
    beside: besideUploads,
    changes: () => ({ upload: { hasTurn: (_own, newest) => newest !== undefined } }),
  },
  {
    name: "late-open",
    does: "lets an older attempt of the same sender take over",
    caughtBy: ["blob.append.05"],
    beside: besideUploads,
    changes: () => ({ upload: { attemptIsNew: () => true } }),
  },
  {
    name: "silent-commit",
    does: "says nothing for 7 s while it works on a commit",
    caughtBy: ["blob.append.17"],
    beside: ["blob.append.02", "blob.append.10"],
    patienceMs: 10_000,
    changes: () => ({ upload: { atCommit: () => sleep(7_000), tickEveryMs: () => 2 ** 30 } }),
  },
  {
    name: "abort-leaves-bytes",
    does: "answers an abort with OK and keeps the upload's bytes",
    caughtBy: ["blob.abort.03"],
    beside: besideUploads,
    changes: () => ({ upload: { aborted: () => [] } }),
  },
  {
    name: "abort-in-use",
    does: "aborts an upload that was used more recently than if_idle_ms",
    caughtBy: ["blob.abort.02"],
    beside: besideUploads,
    changes: () => ({ upload: { idleEnough: () => true } }),
  },
];
