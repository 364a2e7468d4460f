/**
 * Uploads. Each stream appends to a file of its own; what is persisted of it, and who may still append, is said in the
 * journal: so an older stream's late bytes lie where nobody looks, in whichever process it runs.
 */
import { createHash } from "node:crypto";
import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { OutriggerError } from "../../../proto/errors.ts";
import type { AppendRequest } from "../../../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponseInput } from "../../../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import type { BlobInfo } from "../../../proto/gen/outrigger/blob/v1/BlobInfo.ts";
import type { Chunk } from "../../../proto/gen/outrigger/blob/v1/Chunk.ts";
import type { Commit } from "../../../proto/gen/outrigger/blob/v1/Commit.ts";
import type { Open } from "../../../proto/gen/outrigger/blob/v1/Open.ts";
import type { UploadInfo } from "../../../proto/gen/outrigger/blob/v1/UploadInfo.ts";
import { algorithmOf, invalidField, isAlgorithm } from "../../../proto/keys.ts";
import { limits } from "../../../proto/limits.ts";
import type { Habits, Position } from "../habits.ts";
import type { BlobChange, BlobStore, UploadRecord } from "./blob-store.ts";
import { assertSize, digestField, type Page, pageOf } from "./fields.ts";
import type { Decision } from "./journal.ts";

export const PERSIST_STEP_BYTES = 256 * 1024;
/** How soon a stream learns that it was taken over through another process. */
const LOOK_EVERY_MS = 100;
const TICK_EVERY_MS = 2_000;
const UPLOAD_INFO_BYTES = 100;

export type Send = (response: AppendResponseInput) => Promise<void>;

/** An Append stream as the service hands it over. */
export interface Incoming {
  /** The peer's next message, `undefined` after its half-close. Rejects when `signal` aborts, with its reason. */
  next(signal: AbortSignal, withinMs: number): Promise<AppendRequest | undefined>;
  /** Aborts when the caller has gone, or the process is told to stop. */
  readonly signal: AbortSignal;
  /** @throws READ_ONLY */
  assertWritable(): void;
}

/** A stream that has the turn on its upload until it is fenced. */
interface Stream extends Position {
  readonly id: string;
  /** The hint of open. */
  readonly key: string;
  readonly fence: number;
  readonly algorithm: string;
  readonly part: string;
  readonly file: number;
  readonly abort: AbortController;
  untold: number;
  /** Resolves when a commit under way has ended. */
  committing: Promise<unknown> | undefined;
}

/** A commit's steps, so that a wrong driver can put them together in another way. */
export interface CommitSteps {
  /** What the key holds now. */
  readonly there: BlobInfo | undefined;
  readonly digest: string;
  /** Reads the upload's own bytes. @throws DIGEST_MISMATCH */
  verify(): Promise<void>;
  /** Makes them visible, and ends the upload. @throws KEY_EXISTS, UPLOAD_FENCED, TOO_LATE */
  publish(): BlobInfo;
  /** Takes back what was made visible. */
  withdraw(): void;
  /** Only ends the upload. */
  forget(): void;
}

export class Uploads {
  readonly #store: BlobStore;
  readonly #habits: Habits;
  readonly #idleMs: number;
  readonly #streams = new Set<Stream>();

  constructor(store: BlobStore, habits: Habits, idleMs: number) {
    this.#store = store;
    this.#habits = habits;
    this.#idleMs = idleMs;
    store.onUpload = (id) => this.#fence(id);
  }

  /** Streams of an upload that another open, here or elsewhere, has taken over, or that is no more. */
  #fence(id: string): void {
    for (const stream of this.#streams) {
      if (stream.id !== id || this.#hasTurn(stream)) continue;
      stream.abort.abort(fencedError(id));
    }
  }

  #hasTurn(stream: Stream): boolean {
    return this.#habits.upload.hasTurn(stream.fence, this.#store.uploads.get(stream.id)?.fence);
  }

  async append(incoming: Incoming, send: Send): Promise<void> {
    const first = await incoming.next(incoming.signal, this.#idleMs);
    if (first?.step !== "open" || !first.open) throw invalidField("open", "must be the first message");
    incoming.assertWritable();
    const stream = await this.#open(first.open);
    const looking = setInterval(() => this.#store.journal.catchUp(), LOOK_EVERY_MS);
    const stop = () => stream.abort.abort(incoming.signal.reason);
    incoming.signal.addEventListener("abort", stop, { once: true });
    if (incoming.signal.aborted) stop();
    try {
      await send({ opened: { persisted: this.#habits.upload.opened(stream.base), fence: stream.fence } });
      await this.#follow(stream, incoming, send);
    } finally {
      clearInterval(looking);
      incoming.signal.removeEventListener("abort", stop);
      this.#streams.delete(stream);
      closeSync(stream.file);
    }
  }

  async #open(request: Open): Promise<Stream> {
    const { uploadId: id, sender, attempt, create } = request;
    this.#habits.fields.uploadId(id);
    const algorithm = request.algorithm === "" ? "sha256" : request.algorithm;
    if (!isAlgorithm(algorithm)) throw invalidField("open.algorithm", `${algorithm} is neither sha256 nor sha512`);
    if (request.key !== "") this.#habits.fields.key(request.key);
    this.#assertInTime(request.notAfterMs, "arrival");
    // [blob.append.20] A commit in another process is fenced instead: the upload is then as it was.
    await Promise.allSettled([...this.#streams].filter((one) => one.id === id).map((one) => one.committing));
    const { fence, base } = this.#store.journal.change(
      (entry): Decision<BlobChange, { fence: number; base: number }> => {
        const there = this.#store.uploads.get(id);
        if (there === undefined && !create) this.#habits.upload.unknown(id, "open");
        const highest = there?.attempts[sender];
        if (highest !== undefined && !this.#habits.upload.attemptIsNew(attempt, highest)) {
          throw new OutriggerError("UPLOAD_FENCED", `attempt ${attempt} of ${sender} is not above ${highest}`);
        }
        this.#assertInTime(request.notAfterMs, "effect");
        const record: UploadRecord = {
          fence: entry,
          parts: there?.parts ?? [],
          attempts: { ...there?.attempts, [sender]: attempt },
          usedMs: Date.now(),
        };
        return { changes: [{ kind: "upload", id, record }], result: { fence: entry, base: sizeOf(record) } };
      },
    );
    const part = `${id}.${fence}`;
    const stream: Stream = {
      id,
      key: request.key,
      fence,
      algorithm,
      base,
      part,
      file: openSync(this.#store.partPath(part), "wx"),
      abort: new AbortController(),
      received: base,
      persisted: base,
      untold: 0,
      committing: undefined,
    };
    this.#streams.add(stream);
    return stream;
  }

  /** Everything after `opened`, until the stream may end with OK. */
  async #follow(stream: Stream, incoming: Incoming, send: Send): Promise<void> {
    const { signal } = stream.abort;
    try {
      for (;;) {
        const request = await incoming.next(signal, this.#idleMs);
        if (request?.step === "chunk" && request.chunk) {
          this.#chunk(stream, request.chunk);
          if (this.#habits.upload.tells(stream.untold, PERSIST_STEP_BYTES)) await this.#tell(stream, send, "step");
        } else if (request === undefined || request.step === "flush") {
          await this.#tell(stream, send, "flush");
          if (request === undefined) return;
        } else if (request.step === "commit" && request.commit) {
          const committing = this.#commit(stream, request.commit, send);
          stream.committing = committing.catch(() => {});
          await send({ committed: await committing });
          return;
        } else {
          throw invalidField("step", "after open come chunk, flush and commit only");
        }
        signal.throwIfAborted();
      }
    } catch (error) {
      // What was received is kept as far as the upload is still this stream's.
      if (this.#hasTurn(stream)) this.#persist(stream);
      throw error;
    }
  }

  #chunk(stream: Stream, chunk: Chunk): void {
    const { data } = chunk;
    this.#habits.fields.count("chunk.data", data.length, limits.chunkBytes);
    const offset = this.#habits.upload.chunkOffset(chunk, stream);
    if (offset > stream.received) {
      this.#persist(stream);
      throw new OutriggerError("OFFSET_MISMATCH", `offset ${offset} is beyond the ${stream.received} bytes received`, {
        metadata: { persisted: String(stream.persisted) },
      });
    }
    const rest = data.subarray(Math.min(data.length, stream.received - offset));
    writeSync(stream.file, rest, 0, rest.length, stream.received - stream.base);
    stream.received += rest.length;
    stream.untold += data.length;
  }

  async #tell(stream: Stream, send: Send, why: "step" | "flush"): Promise<void> {
    const persisted = this.#habits.upload.told(why, stream, () => this.#persist(stream));
    stream.untold = 0;
    await send({ progress: { received: stream.received, persisted } });
  }

  /** @returns what is persisted. @throws UPLOAD_FENCED */
  #persist(stream: Stream): number {
    if (stream.persisted < stream.received) {
      fdatasyncSync(stream.file);
      this.#store.journal.change((): Decision<BlobChange, void> => {
        const record = this.#recordOf(stream);
        const parts = record.parts.filter(({ file }) => file !== stream.part);
        const part = { file: stream.part, sizeBytes: stream.received - stream.base };
        const grown = { ...record, parts: [...parts, part], usedMs: Date.now() };
        const also = this.#habits.upload.grown(grown, stream.key);
        return { changes: [{ kind: "upload", id: stream.id, record: grown }, ...also], result: undefined };
      });
      stream.persisted = stream.received;
    }
    return stream.persisted;
  }

  /** @throws UPLOAD_FENCED when the upload is not this stream's any more */
  #recordOf(stream: Stream): UploadRecord {
    const record = this.#store.uploads.get(stream.id);
    if (record === undefined || !this.#hasTurn(stream)) throw fencedError(stream.id);
    return record;
  }

  async #commit(stream: Stream, commit: Commit, send: Send) {
    const { key, size } = commit;
    this.#habits.fields.key(key);
    const wanted = digestField(commit.digest);
    this.#assertInTime(commit.notAfterMs, "arrival");
    this.#persist(stream);
    const record = this.#recordOf(stream);
    if (size !== undefined && !this.#habits.upload.sizeAgrees(assertSize("commit.size", size), stream.received)) {
      throw new OutriggerError("SIZE_MISMATCH", `the upload holds ${stream.received} bytes, not ${size}`);
    }
    const tick = () =>
      void send({ progress: { received: stream.received, persisted: stream.persisted } }).catch(() => {});
    const ticking = setInterval(tick, this.#habits.upload.tickEveryMs(TICK_EVERY_MS));
    const file = this.#store.newFile();
    try {
      await this.#habits.upload.atCommit();
      const digests = await this.#assemble(record, file);
      const info = await this.#habits.upload.commit(this.#steps(stream, commit, wanted, file, digests));
      const algorithm = wanted === undefined ? stream.algorithm : algorithmOf(wanted);
      return { info, digest: this.#habits.upload.digest(digests, algorithm) };
    } finally {
      clearInterval(ticking);
      this.#store.dropUnused(file);
    }
  }

  #steps(
    stream: Stream,
    commit: Commit,
    wanted: string | undefined,
    file: string,
    digests: readonly string[],
  ): CommitSteps {
    const { key, ifAbsent } = commit;
    const store = this.#store;
    store.journal.catchUp();
    const blob = store.blob(key);
    return {
      there: blob && store.info(key, blob),
      digest: commit.digest,
      verify: async () => this.#habits.blob.assertDigest(wanted, digests),
      publish: () =>
        store.journal.change((entry): Decision<BlobChange, BlobInfo> => {
          this.#recordOf(stream);
          const ended: BlobChange = { kind: "ended", id: stream.id };
          const there = store.blob(key);
          if (there !== undefined && this.#habits.upload.isSame(there.digests, digests))
            return { changes: [ended], result: store.info(key, there) };
          if (!this.#habits.blob.overwrites(ifAbsent, there && store.info(key, there)))
            throw new OutriggerError("KEY_EXISTS", `key ${key} holds other content`);
          this.#assertInTime(commit.notAfterMs, "effect");
          const blob = store.newBlob(entry, file, stream.received, digests);
          const changes = this.#habits.upload.committed([{ kind: "put", key, blob }, ended]);
          return { changes, result: store.info(key, blob) };
        }),
      withdraw: () => store.journal.change(() => ({ changes: [{ kind: "deleted", key }], result: undefined })),
      forget: () => store.journal.change(() => ({ changes: [{ kind: "ended", id: stream.id }], result: undefined })),
    };
  }

  /** Copies the upload's bytes into one file. @returns their digests, sha256 first */
  async #assemble(record: UploadRecord, file: string): Promise<string[]> {
    const hashes = ["sha256", "sha512"].map((algorithm) => ({ algorithm, hash: createHash(algorithm) }));
    const handle: FileHandle = await open(this.#store.path(file), "wx");
    try {
      for await (const piece of this.#store.uploadBytes(record)) {
        for (const { hash } of hashes) hash.update(piece);
        await handle.write(piece);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    return hashes.map(({ algorithm, hash }) => `${algorithm}:${hash.digest("hex")}`);
  }

  get(id: string): UploadInfo {
    this.#habits.fields.uploadId(id);
    this.#store.journal.catchUp();
    const record = this.#store.uploads.get(id);
    return record === undefined ? this.#habits.upload.unknown(id, "get") : infoOf(id, record);
  }

  list(startAfter: string, limit: number): Page<UploadInfo> {
    this.#store.journal.catchUp();
    const request = { prefix: "", startAfter, limit };
    return pageOf(this.#store.uploads.keys(), request, this.#habits, (id) => ({
      item: infoOf(id, this.#store.uploads.get(id) as UploadRecord),
      bytes: UPLOAD_INFO_BYTES,
    }));
  }

  abort(id: string, ifIdleMs: number | undefined, assertInTime: () => void): void {
    this.#habits.fields.uploadId(id);
    this.#store.journal.change((): Decision<BlobChange, void> => {
      const record = this.#store.uploads.get(id);
      if (record === undefined) return { changes: [], result: undefined };
      const { idleMs } = infoOf(id, record);
      if (ifIdleMs !== undefined && !this.#habits.upload.idleEnough(idleMs, ifIdleMs)) {
        throw new OutriggerError("UPLOAD_BUSY", `${id} was used ${idleMs} ms ago`);
      }
      assertInTime();
      return { changes: this.#habits.upload.aborted([{ kind: "ended", id }]), result: undefined };
    });
  }

  /** [blob.expiry.01] */
  expire(): void {
    this.#store.journal.catchUp();
    for (const [id, record] of this.#store.uploads) {
      if (infoOf(id, record).idleMs > limits.uploadTtlMs) this.abort(id, limits.uploadTtlMs, () => {});
    }
  }

  #assertInTime(notAfterMs: number, when: "arrival" | "effect"): void {
    if (notAfterMs !== 0) this.#habits.wire.assertInTime(notAfterMs, when);
  }
}

function sizeOf({ parts }: UploadRecord): number {
  return parts.reduce((sum, part) => sum + part.sizeBytes, 0);
}

function infoOf(uploadId: string, record: UploadRecord): UploadInfo {
  return { uploadId, persisted: sizeOf(record), idleMs: Math.max(0, Date.now() - record.usedMs) };
}

function fencedError(id: string): OutriggerError {
  return new OutriggerError("UPLOAD_FENCED", `upload ${id} was taken over by a newer stream, committed or aborted`);
}
