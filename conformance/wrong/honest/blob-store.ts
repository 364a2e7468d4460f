/**
 * The streaming store: immutable files under names of their own, and a journal that says which key means which file and
 * what belongs to which upload.
 */
import { createHash, randomUUID } from "node:crypto";
import { closeSync, fsyncSync, openSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { OutriggerError } from "../../../proto/errors.ts";
import type { BlobInfo } from "../../../proto/gen/outrigger/blob/v1/BlobInfo.ts";
import type { DeleteResult } from "../../../proto/gen/outrigger/blob/v1/DeleteResult.ts";
import type { LocateFileRequest } from "../../../proto/gen/outrigger/blob/v1/LocateFileRequest.ts";
import type { LocateFileResponse } from "../../../proto/gen/outrigger/blob/v1/LocateFileResponse.ts";
import type { PutRequest } from "../../../proto/gen/outrigger/blob/v1/PutRequest.ts";
import type { ReadRequest } from "../../../proto/gen/outrigger/blob/v1/ReadRequest.ts";
import type { ReadResponse } from "../../../proto/gen/outrigger/blob/v1/ReadResponse.ts";
import type { StatResponse } from "../../../proto/gen/outrigger/blob/v1/StatResponse.ts";
import { invalidField } from "../../../proto/keys.ts";
import { limits } from "../../../proto/limits.ts";
import type { Habits } from "../habits.ts";
import type { Call } from "./call.ts";
import { assertSize, digestField, type Page, type PageRequest, pageOf } from "./fields.ts";
import { type Decision, Journal, syncFolder } from "./journal.ts";
import { filesOf, journalOf, openStore, partsOf } from "./store-folder.ts";

/** A committed content. */
export interface Blob {
  readonly file: string;
  readonly sizeBytes: number;
  readonly etag: string;
  readonly modifiedMs: number;
  /** sha256 and sha512. */
  readonly digests: readonly string[];
}

/** Bytes that one stream added to an upload. */
interface Part {
  readonly file: string;
  readonly sizeBytes: number;
}

export interface UploadRecord {
  /** The entry of the newest open: whoever has another one is fenced. */
  readonly fence: number;
  readonly parts: readonly Part[];
  /** The highest attempt of each sender. */
  readonly attempts: Readonly<Record<string, number>>;
  readonly usedMs: number;
}

export type BlobChange =
  | { readonly kind: "put"; readonly key: string; readonly blob: Blob }
  | { readonly kind: "deleted"; readonly key: string }
  | { readonly kind: "upload"; readonly id: string; readonly record: UploadRecord }
  | { readonly kind: "ended"; readonly id: string };

const PIECE_BYTES = limits.preferredChunkBytes;
const NONCE = /^[0-9a-f]{32,64}$/;
const NONCE_STAYS_MS = 60_000;
/** Tags and lengths around one BlobInfo, with its two digests. */
const INFO_BYTES = 400;

export class BlobStore {
  readonly id: string;
  readonly folder: string;
  readonly journal: Journal<BlobChange>;
  readonly uploads = new Map<string, UploadRecord>();
  /** Called when an upload was opened anew or has ended, by whichever process. */
  onUpload: (id: string) => void = () => {};
  readonly #blobs = new Map<string, Blob>();
  /** How many keys mean a file: two in the middle of a move. */
  readonly #uses = new Map<string, number>();
  readonly #habits: Habits;

  /** @throws NOT_INITIALISED */
  static open(root: string, habits: Habits): BlobStore {
    const { folder, id } = openStore(root, "blob");
    return new BlobStore(folder, id, habits);
  }

  private constructor(folder: string, id: string, habits: Habits) {
    this.id = id;
    this.folder = folder;
    this.#habits = habits;
    this.journal = new Journal({
      folder: journalOf(folder),
      apply: (change) => this.#apply(change),
      written: habits.blob.written,
    });
  }

  #apply(change: BlobChange): void {
    switch (change.kind) {
      case "put":
        // First, so that a move does not lose its file on the way.
        this.#uses.set(change.blob.file, (this.#uses.get(change.blob.file) ?? 0) + 1);
        this.#release(change.key);
        this.#blobs.set(change.key, change.blob);
        break;
      case "deleted":
        this.#release(change.key);
        this.#blobs.delete(change.key);
        break;
      case "upload":
        this.uploads.set(change.id, change.record);
        this.onUpload(change.id);
        break;
      case "ended":
        for (const { file } of this.uploads.get(change.id)?.parts ?? []) rmSync(this.partPath(file), { force: true });
        this.uploads.delete(change.id);
        this.onUpload(change.id);
        break;
    }
  }

  /** A file that no key means any more goes. Whoever reads it has it open. */
  #release(key: string): void {
    const file = this.#blobs.get(key)?.file;
    if (file === undefined) return;
    const uses = (this.#uses.get(file) ?? 1) - 1;
    if (uses > 0) {
      this.#uses.set(file, uses);
    } else {
      this.#uses.delete(file);
      rmSync(this.path(file), { force: true });
    }
  }

  /** As it is in this process: `journal.catchUp` or `journal.change` first. */
  blob(key: string): Blob | undefined {
    return this.#blobs.get(key);
  }

  info(key: string, blob: Blob): BlobInfo {
    const { sizeBytes, etag, modifiedMs, digests } = blob;
    return { key, size: sizeBytes, etag, modifiedMs, digests: [...digests] };
  }

  stat(keys: readonly string[]): StatResponse {
    this.#habits.fields.count("keys", keys.length, limits.statKeys);
    for (const key of keys) this.#habits.fields.key(key);
    this.journal.catchUp();
    return {
      results: keys.map((key) => {
        const blob = this.#blobs.get(key);
        return blob === undefined ? { key } : { key, info: this.#habits.blob.stat(this.info(key, blob)) };
      }),
    };
  }

  async *read(request: ReadRequest): AsyncGenerator<ReadResponse> {
    const { key, ifEtag } = request;
    this.#habits.fields.key(key);
    const asked = assertSize("offset", request.offset ?? 0);
    const limit = request.limit === undefined ? undefined : assertSize("limit", request.limit);
    const { blob, handle } = await this.#openBlob(key);
    try {
      if (ifEtag !== "" && !this.#habits.blob.sameEtag(blob.etag, ifEtag)) {
        throw new OutriggerError("ETAG_MISMATCH", `${key} has etag ${blob.etag}, not ${ifEtag}`);
      }
      const offset = this.#habits.blob.rangeStart(asked, blob.sizeBytes);
      const length = this.#habits.blob.rangeLength(limit, blob.sizeBytes - offset);
      yield { part: "start", start: { info: this.info(key, blob), start: offset, length } };
      yield* this.#chunks(handle, offset, this.#habits.blob.bytesSent(length));
    } finally {
      await handle.close();
    }
  }

  async *#chunks(handle: FileHandle, offset: number, length: number): AsyncGenerator<ReadResponse> {
    const { chunkOffset, pieceBytes } = this.#habits.blob;
    for (let sent = 0; sent < length; ) {
      const data = Buffer.alloc(Math.min(pieceBytes, length - sent));
      await handle.read(data, 0, data.length, offset + sent);
      yield { part: "chunk", chunk: { offset: chunkOffset(offset, sent), data } };
      sent += data.length;
    }
  }

  /** An open file goes on giving its bytes after its name is gone [blob.read.08]. */
  async #openBlob(key: string): Promise<{ blob: Blob; handle: FileHandle }> {
    for (;;) {
      this.journal.catchUp();
      const blob = this.#blobs.get(key);
      if (blob === undefined) throw new OutriggerError("KEY_NOT_FOUND", `there is no key ${key}`);
      try {
        return { blob, handle: await open(this.path(blob.file), "r") };
      } catch (error) {
        // Overwritten or deleted since by another process: look again.
        this.journal.catchUp();
        if (this.#blobs.get(key)?.file === blob.file) throw error;
      }
    }
  }

  put(request: PutRequest, call: Call): BlobInfo {
    const { key, data, ifAbsent, ifEtag } = request;
    this.#habits.fields.key(key);
    if (ifAbsent && ifEtag !== "") throw invalidField("if_etag", "cannot be together with if_absent");
    this.#habits.fields.count("data", data.length, limits.putBytes);
    const wanted = digestField(request.digest);
    const digests = [digestOf("sha256", data), digestOf("sha512", data)];
    this.#habits.blob.assertDigest(wanted, digests);
    const file = this.newFile();
    writeSynced(this.path(file), data);
    try {
      return this.journal.change((entry): Decision<BlobChange, BlobInfo> => {
        const there = this.#blobs.get(key);
        if (!this.#habits.blob.overwrites(ifAbsent, there && this.info(key, there)))
          throw new OutriggerError("KEY_EXISTS", `key ${key} exists`);
        if (ifEtag !== "" && (there === undefined || !this.#habits.blob.sameEtag(there.etag, ifEtag))) {
          throw new OutriggerError("ETAG_MISMATCH", `${key} has etag ${there?.etag ?? "none"}, not ${ifEtag}`);
        }
        call.assertInTime();
        const blob = this.newBlob(entry, file, data.length, digests);
        return { changes: [{ kind: "put", key, blob }], result: this.info(key, blob) };
      });
    } finally {
      this.dropUnused(file);
    }
  }

  newFile(): string {
    return randomUUID();
  }

  path(file: string): string {
    return join(filesOf(this.folder), file);
  }

  newBlob(entry: number, file: string, sizeBytes: number, digests: readonly string[]): Blob {
    const etag = this.#habits.blob.etag(entry, sizeBytes);
    return { file, sizeBytes, etag, modifiedMs: Date.now(), digests };
  }

  /** A new file that no key means. */
  dropUnused(file: string): void {
    if (!this.#uses.has(file)) rmSync(this.path(file), { force: true });
  }

  delete(keys: readonly string[], call: Call): DeleteResult[] {
    this.#habits.fields.count("keys", keys.length, limits.deleteKeys);
    for (const key of keys) this.#habits.fields.key(key);
    this.journal.change((): Decision<BlobChange, void> => {
      call.assertInTime();
      const there = this.#habits.blob.deleted(keys, [...this.#blobs.keys()]);
      return { changes: there.map((key) => ({ kind: "deleted", key })), result: undefined };
    });
    return keys.map((key) => ({ key, reason: "", message: "" }));
  }

  list(request: PageRequest): Page<BlobInfo> {
    this.journal.catchUp();
    return pageOf(this.#blobs.keys(), request, this.#habits, (key) => ({
      item: this.info(key, this.#blobs.get(key) as Blob),
      bytes: INFO_BYTES + key.length,
    }));
  }

  count(prefix: string): { count: number; exact: boolean } {
    this.#habits.fields.bound("prefix", prefix);
    this.journal.catchUp();
    return this.#habits.list.count([...this.#blobs.keys()].filter((key) => key.startsWith(prefix)).length);
  }

  move(source: string, destination: string, call: Call): BlobInfo {
    for (const key of [source, destination]) this.#habits.fields.key(key);
    return this.journal.change((entry): Decision<BlobChange, BlobInfo> => {
      const blob = this.#blobs.get(source);
      if (blob === undefined) throw new OutriggerError("KEY_NOT_FOUND", `there is no key ${source}`);
      if (source === destination) return { changes: [], result: this.info(source, blob) };
      call.assertInTime();
      const moved = { ...blob, etag: this.#habits.blob.etag(entry, blob.sizeBytes), modifiedMs: Date.now() };
      return {
        changes: this.#habits.blob.moved([
          { kind: "put", key: destination, blob: moved },
          { kind: "deleted", key: source },
        ]),
        result: this.info(destination, moved),
      };
    });
  }

  locateFile({ what, key = "", nonce = "" }: LocateFileRequest): LocateFileResponse {
    if (what === "nonce") {
      if (!NONCE.test(nonce)) throw invalidField("nonce", "is not 32 to 64 of [0-9a-f]");
      const file = `nonce-${randomUUID()}`;
      writeSynced(this.path(file), nonce);
      setTimeout(() => rmSync(this.path(file), { force: true }), NONCE_STAYS_MS).unref();
      return { path: `blob/files/${file}`, size: nonce.length, etag: "" };
    }
    this.#habits.fields.key(key);
    this.journal.catchUp();
    const blob = this.#blobs.get(key);
    if (blob === undefined) throw new OutriggerError("KEY_NOT_FOUND", `there is no key ${key}`);
    return { path: `blob/files/${blob.file}`, size: blob.sizeBytes, etag: blob.etag };
  }

  partPath(part: string): string {
    return join(partsOf(this.folder), part);
  }

  /** An upload's bytes, all parts in order. */
  async *uploadBytes({ parts }: UploadRecord): AsyncGenerator<Buffer> {
    for (const { file, sizeBytes } of parts) {
      const handle = await open(this.partPath(file), "r");
      try {
        for (let at = 0; at < sizeBytes; ) {
          const piece = Buffer.alloc(Math.min(PIECE_BYTES, sizeBytes - at));
          const { bytesRead } = await handle.read(piece, 0, piece.length, at);
          if (bytesRead !== piece.length) {
            throw new OutriggerError("STORED_CORRUPT", `${file} is shorter than its ${sizeBytes} persisted bytes`);
          }
          yield piece;
          at += piece.length;
        }
      } finally {
        await handle.close();
      }
    }
  }
}

export function digestOf(algorithm: string, data: Uint8Array): string {
  return `${algorithm}:${createHash(algorithm).update(data).digest("hex")}`;
}

function writeSynced(path: string, data: string | Uint8Array): void {
  const file = openSync(path, "wx");
  try {
    writeFileSync(file, data);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  syncFolder(join(path, ".."));
}
