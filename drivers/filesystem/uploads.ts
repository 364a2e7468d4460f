/**
 * Uploads: `uploads/<id>` holds the bytes, appended in place; `uploads/<id>.persisted` says how many of them were
 * synced, in frames of 12 bytes (size as u64, crc32). What lies beyond is cut off once the machine was started anew, since
 * a power loss may have left anything there. While it runs, the bytes that a killed process had written are still a
 * prefix of what it received: they are synced and gone on from, so that uploads get further however often it is killed.
 */
import { crc32 } from "node:zlib";
import type { Clock } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import type { BlobInfo, CallContext, Page, Upload, UploadFacts } from "../../server/contract.ts";
import { mapLimited } from "./async.ts";
import { type Disk, type DiskFile, isErrno } from "./disk.ts";
import { diskError, onDisk } from "./errors.ts";
import { UPLOADS } from "./layout.ts";

type CommitTarget = Parameters<Upload["commit"]>[0];

/** Gives a written file its key; see BlobStore.place. Answers undefined when the file was not needed. */
export type Place = (
  file: { readonly handle: DiskFile; readonly path: string },
  target: Omit<CommitTarget, "digest"> & { readonly digest?: string },
  call: CallContext,
) => Promise<{ readonly info: BlobInfo; readonly moved: boolean }>;

const FRAME_BYTES = 12;
const READ_BYTES = 256 * 1024;
/** Taken from the caller and not yet given to the disk: each of many uploads at once holds as much. */
const MAX_QUEUED_BYTES = 1024 * 1024;
const PARALLEL = 16;
const MAX_COMMITTED = 4096;
const SUFFIX = ".persisted";
/** Names the start of the machine since which bytes beyond what was synced are to be trusted. No upload id has a dot. */
const BOOT = `${UPLOADS}/boot.id`;

export class Uploads {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #persistStepBytes: number;
  readonly #place: Place;
  readonly #open = new Map<string, OpenUpload>();
  /** Committed since their names were last made durable to be gone. */
  readonly #committed = new Set<string>();
  /** A sync of their bytes has failed: what was not recorded is not to be trusted. */
  readonly #unsynced = new Set<string>();

  constructor(disk: Disk, clock: Clock, persistStepBytes: number, place: Place) {
    this.#disk = disk;
    this.#clock = clock;
    this.#persistStepBytes = persistStepBytes;
    this.#place = place;
  }

  /** At start: sizes of uploads whose bytes are gone say nothing, nor does what a power loss left behind synced bytes. */
  async sweep(): Promise<void> {
    const names = new Set((await this.#disk.entries(UPLOADS)).map((entry) => entry.name));
    const bootId = await this.#disk.bootId();
    if ((await readText(this.#disk, BOOT)) !== bootId) {
      await mapLimited(
        [...names].filter((name) => !name.includes(".")),
        PARALLEL,
        (id) => this.#cut(id),
      );
      // Last, and not synced: whoever is killed before begins again, and a power loss makes it another start anyway.
      await writeText(this.#disk, BOOT, bootId);
    }
    for (const name of names) {
      if (name.endsWith(SUFFIX) && !names.has(name.slice(0, -SUFFIX.length))) {
        await this.#disk.remove(`${UPLOADS}/${name}`);
      }
    }
    // What a killed process took away and did not make durable must not come back.
    await this.#disk.syncFolder(UPLOADS);
  }

  async #cut(id: string): Promise<void> {
    const { sizeBytes } = await this.#recorded(id);
    const file = await this.#disk.open(dataPath(id), "write");
    try {
      if ((await file.facts()).sizeBytes > sizeBytes) await file.truncate(sizeBytes);
    } finally {
      await file.close();
    }
  }

  /** Ends what is still open; the uploads stay. */
  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map((upload) => upload.close()));
  }

  async open(id: string, create: boolean): Promise<Upload> {
    return onDisk(`opening upload ${id}`, async () => {
      await this.#open.get(id)?.close();
      const recorded = await this.#recorded(id);
      let file: DiskFile;
      try {
        file = await this.#disk.open(dataPath(id), "write");
      } catch (error) {
        if (!isErrno(error, "ENOENT")) throw error;
        if (!create) throw new OutriggerError("UPLOAD_NOT_FOUND", `there is no upload ${id}`);
        // A power loss must not bring back what vouched for the bytes of an upload of the same id.
        if (recorded.exists || this.#committed.has(id) || this.#committed.size >= MAX_COMMITTED) {
          await removeIfThere(this.#disk, sidecarPath(id));
          await this.#disk.syncFolder(UPLOADS);
          this.#committed.delete(id);
          // The older half has long been through with taking its names away.
          if (this.#committed.size >= MAX_COMMITTED) {
            for (const old of [...this.#committed].slice(0, MAX_COMMITTED / 2)) this.#committed.delete(old);
          }
        }
        file = await this.#disk.open(dataPath(id), "create");
        return this.#handle(id, file, { exists: false, sizeBytes: 0, frames: 0 });
      }
      let sizeBytes: number;
      try {
        ({ sizeBytes } = await file.facts());
        if (sizeBytes < recorded.sizeBytes) {
          throw new OutriggerError(
            "STORED_CORRUPT",
            `upload ${id} holds ${sizeBytes} bytes of the ${recorded.sizeBytes} that were made durable`,
          );
        }
        if (sizeBytes > recorded.sizeBytes && this.#unsynced.delete(id)) {
          await file.truncate(recorded.sizeBytes);
          sizeBytes = recorded.sizeBytes;
        }
        await file.setModified(this.#clock.now() * 1000);
        // A process that was killed before its last sync leaves a record that only the page cache holds.
        if (recorded.frames > 0) await this.#resync(id, file);
      } catch (error) {
        await file.close();
        throw error;
      }
      const upload = this.#handle(id, file, recorded, sizeBytes);
      try {
        if (sizeBytes > recorded.sizeBytes) await upload.flush();
      } catch (error) {
        await upload.close();
        throw error;
      }
      return upload;
    });
  }

  async abort(id: string): Promise<void> {
    await onDisk(`aborting upload ${id}`, async () => {
      await this.#open.get(id)?.close();
      await removeUpload(this.#disk, id);
    });
  }

  async list(request: {
    readonly startAfter: string;
    readonly limit: number;
    readonly uploadId?: string;
  }): Promise<Page<UploadFacts>> {
    return onDisk("listing uploads", async () => {
      const only = request.uploadId;
      const ids =
        only === undefined
          ? (await this.#disk.entries(UPLOADS)).flatMap(({ name, kind }) =>
              kind === "file" && !name.includes(".") && name > request.startAfter ? [name] : [],
            )
          : [only];
      ids.sort();
      const page = ids.slice(0, request.limit);
      const found = await mapLimited(page, PARALLEL, (id) => this.#facts(id));
      const items = found.filter((facts) => facts !== undefined);
      // An empty page never says more: what vanished meanwhile is looked for behind.
      if (items.length === 0 && ids.length > page.length) {
        return this.list({ ...request, startAfter: page[page.length - 1] ?? "" });
      }
      return { items, more: ids.length > page.length };
    });
  }

  async #resync(id: string, file: DiskFile): Promise<void> {
    const sidecar = await this.#disk.open(sidecarPath(id), "write");
    try {
      await Promise.all([file.syncData(), sidecar.syncData(), this.#disk.syncFolder(UPLOADS)]);
    } finally {
      await sidecar.close();
    }
  }

  async #facts(id: string): Promise<UploadFacts | undefined> {
    const facts = await this.#disk.facts(dataPath(id));
    if (facts?.kind !== "file") return undefined;
    const persistedBytes = this.#open.get(id)?.persistedBytes ?? (await this.#recorded(id)).sizeBytes;
    const idleMs = Math.max(0, Math.floor(this.#clock.now() - Number(facts.mtimeNs / 1_000_000n)));
    return { uploadId: id, persistedBytes, idleMs };
  }

  #handle(id: string, file: DiskFile, recorded: Recorded, writtenBytes = recorded.sizeBytes): Upload {
    const place: Place = async (...args) => {
      const placed = await this.#place(...args);
      if (placed.moved) this.#committed.add(id);
      return placed;
    };
    const upload = new OpenUpload(
      this.#disk,
      id,
      file,
      recorded,
      writtenBytes,
      this.#persistStepBytes,
      place,
      (synced) => {
        if (this.#open.get(id) === upload) this.#open.delete(id);
        if (!synced) this.#unsynced.add(id);
      },
    );
    this.#open.set(id, upload);
    return upload;
  }

  /** The last whole frame; a torn one behind it was never told. */
  async #recorded(id: string): Promise<Recorded> {
    let file: DiskFile;
    try {
      file = await this.#disk.open(sidecarPath(id), "read");
    } catch (error) {
      if (isErrno(error, "ENOENT")) return { exists: false, sizeBytes: 0, frames: 0 };
      throw error;
    }
    try {
      const bytes = Buffer.alloc((await file.facts()).sizeBytes);
      const length = await file.read(bytes, 0);
      let frames = 0;
      let sizeBytes = 0;
      for (; (frames + 1) * FRAME_BYTES <= length; frames++) {
        const frame = bytes.subarray(frames * FRAME_BYTES, (frames + 1) * FRAME_BYTES);
        if (crc32(frame.subarray(0, 8)) !== frame.readUInt32LE(8)) break;
        sizeBytes = Number(frame.readBigUInt64LE(0));
      }
      return { exists: true, sizeBytes, frames };
    } finally {
      await file.close();
    }
  }
}

interface Recorded {
  readonly exists: boolean;
  readonly sizeBytes: number;
  readonly frames: number;
}

/** Bytes first: what is left by a crash between the two is swept at the next start. */
async function removeUpload(disk: Disk, id: string): Promise<void> {
  const gone = [await removeIfThere(disk, dataPath(id)), await removeIfThere(disk, sidecarPath(id))];
  if (gone.includes(true)) await disk.syncFolder(UPLOADS);
}

async function removeIfThere(disk: Disk, path: string): Promise<boolean> {
  try {
    await disk.remove(path);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/**
 * Three stages that overlap: bytes taken from the caller are queued, written in order by a pump, and synced by steps
 * while the pump goes on.
 */
class OpenUpload implements Upload {
  readonly #disk: Disk;
  readonly #id: string;
  readonly #file: DiskFile;
  readonly #stepBytes: number;
  readonly #place: Place;
  readonly #onEnd: (synced: boolean) => void;
  #sidecar: DiskFile | undefined;
  #frames: number;
  /** Whether both names survive a power loss. */
  #named: boolean;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #takenBytes: number;
  #writtenBytes: number;
  #persistedBytes: number;
  #pumping: Promise<void> | undefined;
  #persisting: Promise<void> | undefined;
  #waiting: (() => void)[] = [];
  #failure: Error | undefined;
  #synced = true;
  #closing: Promise<void> | undefined;

  constructor(
    disk: Disk,
    id: string,
    file: DiskFile,
    recorded: Recorded,
    writtenBytes: number,
    stepBytes: number,
    place: Place,
    onEnd: (synced: boolean) => void,
  ) {
    this.#disk = disk;
    this.#id = id;
    this.#file = file;
    this.#stepBytes = stepBytes;
    this.#place = place;
    this.#onEnd = onEnd;
    this.#frames = recorded.frames;
    this.#named = recorded.frames > 0;
    this.#takenBytes = writtenBytes;
    this.#writtenBytes = writtenBytes;
    this.#persistedBytes = recorded.sizeBytes;
  }

  get persistedBytes(): number {
    return this.#persistedBytes;
  }

  async write(data: Uint8Array): Promise<void> {
    while (!this.#hasRoom(data.byteLength)) {
      this.#throwFailure();
      // The step may be shorter than what starts a sync of its own accord.
      if (this.#pumping === undefined) this.#startPersist();
      await this.#change();
    }
    this.#throwFailure();
    this.#queue.push(data);
    this.#queuedBytes += data.byteLength;
    this.#takenBytes += data.byteLength;
    this.#pumping ??= this.#pump();
  }

  #hasRoom(bytes: number): boolean {
    if (this.#failure !== undefined) return false;
    const behind = this.#takenBytes - this.#persistedBytes;
    return this.#queuedBytes < MAX_QUEUED_BYTES && (behind === 0 || behind + bytes <= this.#stepBytes);
  }

  async #pump(): Promise<void> {
    try {
      while (this.#queue.length > 0) {
        const pieces = this.#queue;
        this.#queue = [];
        const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
        await this.#file.write(pieces, this.#writtenBytes);
        this.#writtenBytes += bytes;
        this.#queuedBytes -= bytes;
        if (this.#writtenBytes - this.#persistedBytes >= this.#stepBytes / 2) this.#startPersist();
        this.#changed();
      }
    } catch (error) {
      this.#fail(error, "writing to");
      // Room is given back: what was not persisted is the core's to send again. Not beside a sync, which may be about to
      // record more than would be left; the next open cuts as well.
      if (this.#persisting === undefined) await this.#file.truncate(this.#persistedBytes).catch(() => {});
    } finally {
      this.#pumping = undefined;
      this.#changed();
    }
  }

  #startPersist(): void {
    if (this.#persisting !== undefined || this.#failure !== undefined) return;
    if (this.#named && this.#writtenBytes === this.#persistedBytes) return;
    this.#persisting = this.#persist()
      .catch((error) => {
        this.#synced = false;
        this.#fail(error, "syncing");
      })
      .finally(() => {
        this.#persisting = undefined;
        if (this.#writtenBytes - this.#persistedBytes >= this.#stepBytes / 2) this.#startPersist();
        this.#changed();
      });
  }

  async #persist(): Promise<void> {
    const sizeBytes = this.#writtenBytes;
    await this.#file.syncData();
    if (this.#sidecar === undefined) {
      // What an interrupted first step left is written over.
      this.#sidecar = await this.#disk
        .open(sidecarPath(this.#id), this.#frames > 0 ? "write" : "create")
        .catch((error) => {
          if (isErrno(error, "EEXIST")) return this.#disk.open(sidecarPath(this.#id), "write");
          throw error;
        });
    }
    const frame = Buffer.alloc(FRAME_BYTES);
    frame.writeBigUInt64LE(BigInt(sizeBytes), 0);
    frame.writeUInt32LE(crc32(frame.subarray(0, 8)), 8);
    await this.#sidecar.write([frame], this.#frames * FRAME_BYTES);
    await this.#sidecar.syncData();
    if (!this.#named) await this.#disk.syncFolder(UPLOADS);
    this.#frames++;
    this.#named = true;
    this.#persistedBytes = sizeBytes;
  }

  #fail(error: unknown, doing: string): void {
    this.#failure ??= diskError(error, `${doing} upload ${this.#id}`);
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  async flush(): Promise<void> {
    await this.#drained();
    while (!this.#named || this.#persistedBytes < this.#takenBytes) {
      this.#startPersist();
      await this.#change();
      this.#throwFailure();
    }
  }

  async *read(call: CallContext): AsyncGenerator<Uint8Array> {
    await this.#drained();
    const end = this.#writtenBytes;
    for (let at = 0; at < end; ) {
      call.signal.throwIfAborted();
      const piece = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - at));
      const count = await onDisk(`reading upload ${this.#id}`, () => this.#file.read(piece, at));
      if (count < piece.byteLength) {
        throw new OutriggerError("STORED_CORRUPT", `upload ${this.#id} ends at ${at + count} instead of ${end} bytes`);
      }
      yield piece;
      at += count;
    }
  }

  async commit(target: CommitTarget, call: CallContext): Promise<BlobInfo> {
    await this.#drained();
    while (this.#persisting !== undefined) await this.#change();
    this.#throwFailure();
    return onDisk(`committing upload ${this.#id}`, async () => {
      const { info, moved } = await this.#place({ handle: this.#file, path: dataPath(this.#id) }, target, call);
      await this.close();
      if (!moved) await removeUpload(this.#disk, this.#id);
      // Without its bytes the upload is gone already; a crash before this line leaves it to the next start.
      else if (this.#frames > 0) await removeIfThere(this.#disk, sidecarPath(this.#id));
      return info;
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#fail(new OutriggerError("INTERNAL", `upload ${this.#id} is closed`), "writing to");
    this.#changed();
    while (this.#pumping !== undefined || this.#persisting !== undefined) await this.#change();
    this.#onEnd(this.#synced);
    const sidecar = this.#sidecar;
    this.#sidecar = undefined;
    try {
      await this.#file.close();
    } finally {
      await sidecar?.close();
    }
  }

  async #drained(): Promise<void> {
    while (this.#pumping !== undefined) await this.#change();
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #changed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}

/** A small file's text; absent: undefined. */
async function readText(disk: Disk, path: string): Promise<string | undefined> {
  const facts = await disk.facts(path);
  if (facts === undefined) return undefined;
  const file = await disk.open(path, "read");
  try {
    const bytes = Buffer.alloc(facts.sizeBytes);
    return bytes.toString("utf8", 0, await file.read(bytes, 0));
  } finally {
    await file.close();
  }
}

async function writeText(disk: Disk, path: string, text: string): Promise<void> {
  const there = (await disk.facts(path)) !== undefined;
  const file = await disk.open(path, there ? "write" : "create");
  try {
    await file.truncate(0);
    await file.write([Buffer.from(text)], 0);
  } finally {
    await file.close();
  }
}

function dataPath(id: string): string {
  return `${UPLOADS}/${id}`;
}

function sidecarPath(id: string): string {
  return `${UPLOADS}/${id}${SUFFIX}`;
}
