/**
 * The append log: numbered files in `log/`, of which the highest counts. Each begins with a snapshot, written aside and
 * renamed once it is durable; then come records in frames of `length u32, crc32 u32, synced f64, payload`. `synced` is how
 * far the file was durable when the frame was written: a broken frame at the end is what a power loss leaves of what was
 * never acknowledged; one below a later frame's `synced` is damage.
 *
 * Many appends share one sync: what is submitted while one is under way goes into the next.
 */
import { crc32 } from "node:zlib";
import { OutriggerError } from "../../proto/errors.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { diskError } from "./errors.ts";
import { join, LOG } from "./layout.ts";
import { decodeRecord, encodeRecord, type LogRecord } from "./records.ts";

const HEADER_BYTES = 16;
const MAX_BATCH_BYTES = 8 * 1024 * 1024;
const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;
const BLOCK_BYTES = 1024 * 1024;
const NAME = /^\d{10}$/;

export interface Submission {
  /** Decides at its turn what to write, seeing every submission before it; what it throws refuses this one alone. */
  record(): LogRecord;
  /** Whether it waits for a sync; otherwise it survives a kill, not a power loss. */
  readonly durable: boolean;
  /** It is in the log. */
  done(): void;
  /** The batch was lost; nothing of it will ever be there. */
  lost(): void;
}

export interface JournalOptions {
  /** A log that grew by this much since its snapshot, and beyond twice its snapshot, is written anew. */
  readonly compactBytes: number;
  /** What the log holds, as of this moment; iterated later. */
  snapshot(): Iterable<LogRecord>;
  /** Tells of a compaction that failed; it is tried again later. */
  onCompactionFailed(error: unknown): void;
}

interface Waiting {
  readonly submission: Submission;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Reads the newest log. Undefined: there is none. @throws STORED_CORRUPT */
export async function readLog(
  disk: Disk,
  apply: (record: LogRecord) => void,
): Promise<{ readonly generation: number; readonly sizeBytes: number; readonly snapshotBytes: number } | undefined> {
  const names = (await disk.entries(LOG)).map((entry) => entry.name).filter((name) => NAME.test(name));
  const name = names.sort().pop();
  if (name === undefined) return undefined;
  const file = await disk.open(join(LOG, name), "write");
  try {
    let sizeBytes = 0;
    let snapshotBytes = 0;
    for await (const { record, endBytes } of frames(file, name)) {
      apply(record);
      sizeBytes = endBytes;
      if (record.kind === "end") snapshotBytes = endBytes;
    }
    if (snapshotBytes === 0) throw damaged(name, sizeBytes);
    // A killed process may have left records that only the page cache holds: nobody may see them before they are safe.
    await file.truncate(sizeBytes);
    await file.syncData();
    await disk.syncFolder(LOG);
    return { generation: Number(name), sizeBytes, snapshotBytes };
  } finally {
    await file.close();
  }
}

export class Journal {
  readonly #disk: Disk;
  readonly #options: JournalOptions;
  #file: DiskFile | undefined;
  #generation: number;
  #sizeBytes: number;
  #syncedBytes: number;
  #snapshotBytes: number;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  /** What is durable is not known: nothing may be read or written until the log was written anew. */
  #broken: Error | undefined;
  #compacting: Promise<void> | undefined;
  #prepared: Snapshot | undefined;
  #retryAtBytes = 0;
  #closed = false;

  private constructor(disk: Disk, options: JournalOptions, generation: number) {
    this.#disk = disk;
    this.#options = options;
    this.#generation = generation;
    this.#sizeBytes = 0;
    this.#syncedBytes = 0;
    this.#snapshotBytes = 0;
  }

  /** Goes on with the log that `readLog` has read. */
  static async resume(
    disk: Disk,
    options: JournalOptions,
    read: { readonly generation: number; readonly sizeBytes: number; readonly snapshotBytes: number },
  ): Promise<Journal> {
    const journal = new Journal(disk, options, read.generation);
    await journal.#sweep();
    journal.#file = await disk.open(join(LOG, nameOf(read.generation)), "write");
    journal.#sizeBytes = read.sizeBytes;
    journal.#syncedBytes = read.sizeBytes;
    journal.#snapshotBytes = read.snapshotBytes;
    return journal;
  }

  /** Begins a new log with a snapshot; the one of `generation` counts until the new one is whole. */
  static async begin(disk: Disk, options: JournalOptions, generation: number): Promise<Journal> {
    const journal = new Journal(disk, options, generation);
    await journal.#sweep();
    await journal.#rewrite();
    return journal;
  }

  /** Resolves once the record is in the log; in the order submitted. */
  submit(submission: Submission): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ submission, resolve, reject });
      this.#start();
    });
  }

  /** @throws BACKEND_DOWN while it is not known what is durable */
  assertReadable(): void {
    if (this.#broken !== undefined) throw this.#broken;
  }

  /** Tries to become usable again. */
  async check(): Promise<void> {
    if (this.#broken === undefined) return;
    this.#start();
    await this.#running;
    this.assertReadable();
  }

  async close(): Promise<void> {
    while (this.#running !== undefined || this.#compacting !== undefined) {
      await this.#running;
      await this.#compacting;
    }
    this.#closed = true;
    await this.#prepared?.abandon();
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  #start(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#waiting.length > 0) this.#start();
    });
  }

  async #run(): Promise<void> {
    do {
      try {
        if (this.#closed) throw new OutriggerError("DRAINING", "the store is closed");
        if (this.#broken !== undefined) await this.#rewrite();
        if (this.#prepared !== undefined) await this.#swap(this.#prepared);
      } catch (error) {
        const failure = diskError(error, "writing the log anew");
        for (const { submission, reject } of this.#waiting.splice(0)) {
          submission.lost();
          reject(failure);
        }
        return;
      }
      await this.#batch();
      this.#compactIfGrown();
    } while (this.#waiting.length > 0 || this.#prepared !== undefined);
  }

  async #batch(): Promise<void> {
    const pieces: Buffer[] = [];
    const accepted: Waiting[] = [];
    const refused: { readonly waiting: Waiting; readonly error: unknown }[] = [];
    let bytes = 0;
    let durable = false;
    let taken = 0;
    for (const waiting of this.#waiting) {
      if (bytes >= MAX_BATCH_BYTES) break;
      taken++;
      try {
        const frame = frameOf(waiting.submission.record(), this.#syncedBytes);
        for (const piece of frame) bytes += piece.byteLength;
        pieces.push(...frame);
        durable ||= waiting.submission.durable;
        accepted.push(waiting);
      } catch (error) {
        refused.push({ waiting, error });
      }
    }
    this.#waiting.splice(0, taken);
    try {
      if (bytes > 0) await this.#append(pieces, bytes, durable);
    } catch (error) {
      const failure = diskError(error, "writing to the log");
      for (const { submission } of accepted) submission.lost();
      for (const { reject } of accepted) reject(failure);
      // What they met may be lost with the batch.
      for (const { waiting } of refused) waiting.reject(failure);
      return;
    }
    for (const { submission } of accepted) submission.done();
    for (const { resolve } of accepted) resolve();
    for (const { waiting, error } of refused) waiting.reject(error);
  }

  async #append(pieces: readonly Buffer[], bytes: number, durable: boolean): Promise<void> {
    const file = this.#file;
    if (file === undefined) throw new OutriggerError("DRAINING", "the store is closed");
    try {
      await file.write(pieces, this.#sizeBytes);
    } catch (error) {
      try {
        await file.truncate(this.#sizeBytes);
      } catch (cause) {
        this.#broken = unknownState(cause);
      }
      throw error;
    }
    if (durable) {
      try {
        await file.syncData();
      } catch (error) {
        // After a failed sync nobody knows what is on the disk, and asking again proves nothing.
        this.#broken = unknownState(error);
        throw this.#broken;
      }
      this.#syncedBytes = this.#sizeBytes + bytes;
    }
    this.#sizeBytes += bytes;
  }

  #compactIfGrown(): void {
    if (this.#compacting !== undefined || this.#prepared !== undefined || this.#broken !== undefined) return;
    const grown = this.#sizeBytes - this.#snapshotBytes;
    if (grown < this.#options.compactBytes || grown < this.#snapshotBytes || this.#sizeBytes < this.#retryAtBytes)
      return;
    const snapshot = new Snapshot(this.#disk, this.#generation + 1, this.#sizeBytes);
    const records = this.#options.snapshot();
    this.#compacting = snapshot
      .write(records)
      .then(() => {
        this.#prepared = snapshot;
      })
      .catch(async (error) => {
        this.#retryAtBytes = this.#sizeBytes + this.#options.compactBytes;
        await snapshot.abandon();
        this.#options.onCompactionFailed(error);
      })
      .finally(() => {
        this.#compacting = undefined;
        this.#start();
      });
  }

  /** The records since the snapshot follow it into the new file, which then takes over. */
  async #swap(snapshot: Snapshot): Promise<void> {
    this.#prepared = undefined;
    const old = this.#file;
    if (old === undefined) return;
    try {
      await snapshot.copyTail(old, this.#sizeBytes);
      await this.#take(snapshot);
    } catch (error) {
      this.#retryAtBytes = this.#sizeBytes + this.#options.compactBytes;
      await snapshot.abandon();
      this.#options.onCompactionFailed(error);
    }
  }

  /** Out of what is in memory, which holds what was acknowledged and nothing else. */
  async #rewrite(): Promise<void> {
    await this.#compacting;
    await this.#prepared?.abandon();
    this.#prepared = undefined;
    const snapshot = new Snapshot(this.#disk, this.#generation + 1, 0);
    try {
      await snapshot.write(this.#options.snapshot());
      await this.#take(snapshot);
    } catch (error) {
      await snapshot.abandon();
      throw error;
    }
    this.#broken = undefined;
  }

  async #take(snapshot: Snapshot): Promise<void> {
    const old = this.#generation;
    const { file, sizeBytes, snapshotBytes } = await snapshot.publish().catch((error) => {
      // Both are there now, and the newer one counts after a restart: nothing may be added to the older one.
      if (snapshot.renamed) {
        this.#generation = snapshot.generation;
        this.#broken = unknownState(error);
      }
      throw error;
    });
    const oldFile = this.#file;
    this.#file = file;
    this.#generation = snapshot.generation;
    this.#sizeBytes = sizeBytes;
    this.#syncedBytes = sizeBytes;
    this.#snapshotBytes = snapshotBytes;
    await oldFile?.close().catch(() => {});
    // A crash before this leaves a log that no longer counts; the next start takes it away.
    await this.#disk.remove(join(LOG, nameOf(old))).catch(() => {});
  }

  /** Takes away what an earlier process left: unfinished logs, and those that no longer count. */
  async #sweep(): Promise<void> {
    for (const { name } of await this.#disk.entries(LOG)) {
      if (name !== nameOf(this.#generation)) await this.#disk.remove(join(LOG, name));
    }
  }
}

/** A log in the making. */
class Snapshot {
  readonly generation: number;
  readonly #disk: Disk;
  /** Of the old log: where the records begin that the snapshot does not hold. */
  readonly #tailBytes: number;
  renamed = false;
  #file: DiskFile | undefined;
  #sizeBytes = 0;
  #snapshotBytes = 0;

  constructor(disk: Disk, generation: number, tailBytes: number) {
    this.#disk = disk;
    this.generation = generation;
    this.#tailBytes = tailBytes;
  }

  get #temporary(): string {
    return join(LOG, `${nameOf(this.generation)}.tmp`);
  }

  async write(records: Iterable<LogRecord>): Promise<void> {
    const file = await this.#disk.open(this.#temporary, "create");
    this.#file = file;
    let pieces: Buffer[] = [];
    let bytes = 0;
    const flush = async () => {
      await file.write(pieces, this.#sizeBytes);
      this.#sizeBytes += bytes;
      pieces = [];
      bytes = 0;
    };
    for (const record of records) {
      for (const piece of frameOf(record, 0)) {
        pieces.push(piece);
        bytes += piece.byteLength;
      }
      if (bytes >= BLOCK_BYTES) await flush();
    }
    await flush();
    this.#snapshotBytes = this.#sizeBytes;
    await file.syncData();
  }

  async copyTail(from: DiskFile, endBytes: number): Promise<void> {
    if (this.#file === undefined) throw new Error("the snapshot is not written");
    for (let at = this.#tailBytes; at < endBytes; ) {
      const block = Buffer.allocUnsafe(Math.min(BLOCK_BYTES, endBytes - at));
      const count = await from.read(block, at);
      if (count === 0) throw new Error("the log is shorter than what was written to it");
      await this.#file.write([block.subarray(0, count)], this.#sizeBytes);
      this.#sizeBytes += count;
      at += count;
    }
  }

  async publish(): Promise<{ readonly file: DiskFile; readonly sizeBytes: number; readonly snapshotBytes: number }> {
    const file = this.#file;
    if (file === undefined) throw new Error("the snapshot is not written");
    await file.sync();
    await this.#disk.rename(this.#temporary, join(LOG, nameOf(this.generation)));
    this.renamed = true;
    await this.#disk.syncFolder(LOG);
    this.#file = undefined;
    return { file, sizeBytes: this.#sizeBytes, snapshotBytes: this.#snapshotBytes };
  }

  async abandon(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => {});
    await this.#disk.remove(this.#temporary).catch(() => {});
  }
}

function frameOf(record: LogRecord, syncedBytes: number): [Buffer, Buffer] {
  const payload = encodeRecord(record);
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt32LE(payload.byteLength, 0);
  header.writeDoubleLE(syncedBytes, 8);
  header.writeUInt32LE(crc32(payload, crc32(header.subarray(8))), 4);
  return [header, payload];
}

/** Whole frames in order, up to the end or what a power loss tore. @throws STORED_CORRUPT */
async function* frames(
  file: DiskFile,
  name: string,
): AsyncGenerator<{ readonly record: LogRecord; readonly endBytes: number }> {
  const { sizeBytes } = await file.facts();
  let at = 0;
  let block = Buffer.alloc(0);
  let blockAt = 0;
  /** Bytes of the file from `at`, at least `bytes` of them if there are. */
  const window = async (bytes: number): Promise<Buffer> => {
    if (at + bytes > blockAt + block.byteLength) {
      const next = Buffer.allocUnsafe(Math.max(0, Math.min(Math.max(bytes, BLOCK_BYTES), sizeBytes - at)));
      const count = await file.read(next, at);
      block = next.subarray(0, count);
      blockAt = at;
    }
    return block.subarray(at - blockAt);
  };
  for (;;) {
    const header = await window(HEADER_BYTES);
    const length = header.byteLength < HEADER_BYTES ? Number.NaN : header.readUInt32LE(0);
    if (!(length <= MAX_PAYLOAD_BYTES)) break;
    const whole = await window(HEADER_BYTES + length);
    const frame = whole.subarray(0, HEADER_BYTES + length);
    if (!isWhole(frame, length)) break;
    let record: LogRecord;
    try {
      record = decodeRecord(frame.subarray(HEADER_BYTES));
    } catch (error) {
      throw damaged(name, at, error);
    }
    at += frame.byteLength;
    yield { record, endBytes: at };
  }
  if (await isDamage(file, at, sizeBytes)) throw damaged(name, at);
}

function isWhole(frame: Buffer, length: number): boolean {
  return (
    frame.byteLength === HEADER_BYTES + length &&
    frame.readUInt32LE(4) === crc32(frame.subarray(HEADER_BYTES), crc32(frame.subarray(8, HEADER_BYTES)))
  );
}

/** Whether a frame behind the broken one says that the broken one was durable. */
async function isDamage(file: DiskFile, brokenAt: number, sizeBytes: number): Promise<boolean> {
  const rest = Buffer.alloc(Math.min(sizeBytes - brokenAt, 4 * MAX_BATCH_BYTES));
  const count = await file.read(rest, brokenAt);
  for (let at = 1; at + HEADER_BYTES <= count; at++) {
    const syncedBytes = rest.readDoubleLE(at + 8);
    if (!(syncedBytes > brokenAt && syncedBytes <= sizeBytes)) continue;
    const length = rest.readUInt32LE(at);
    if (at + HEADER_BYTES + length > count) continue;
    if (isWhole(rest.subarray(at, at + HEADER_BYTES + length), length)) return true;
  }
  return false;
}

function nameOf(generation: number): string {
  return String(generation).padStart(10, "0");
}

function unknownState(cause: unknown): Error {
  return new OutriggerError(
    "BACKEND_DOWN",
    `the log could not be made durable, and is written anew: check the disk (${cause instanceof Error ? cause.message : cause})`,
    { cause },
  );
}

function damaged(name: string, atBytes: number, cause?: unknown): OutriggerError {
  return new OutriggerError(
    "STORED_CORRUPT",
    `the log ${join(LOG, name)} is damaged at byte ${atBytes}: restore it from a copy, or move it away to start over from the links (other metadata is lost then)`,
    { cause },
  );
}
