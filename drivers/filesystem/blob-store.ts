/** The streaming store: a blob is a file, whole from the moment it has its name. */
import type { Clock } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import type {
  BlobBytes,
  BlobDriver,
  BlobInfo,
  CallContext,
  Condition,
  Page,
  PageRequest,
  StoreFacts,
  Upload,
  UploadFacts,
} from "../../server/contract.ts";
import { KeyedLock, mapLimited, UnderWay } from "./async.ts";
import { type Disk, type DiskFile, type FileFacts, isErrno } from "./disk.ts";
import { diskError, keyNotFound, onDisk } from "./errors.ts";
import type { Folders } from "./folders.ts";
import type { Intents } from "./intents.ts";
import { BLOBS, blobBase, blobPath, NONCES, OTHER_BLOBS, parentOf, TEMPORARY } from "./layout.ts";
import type { Marks } from "./marks.ts";
import { Nonces } from "./nonces.ts";
import { type Place, Uploads } from "./uploads.ts";
import { merge, walk } from "./walk.ts";

const READ_BYTES = 256 * 1024;
const PARALLEL = 16;
/** Digests remembered of what this process committed. */
const MAX_DIGESTS = 20_000;

export interface BlobStoreDeps {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly folders: Folders;
  readonly intents: Intents;
  readonly marks: Marks;
  readonly facts: StoreFacts;
  readonly persistStepBytes: number;
}

export class BlobStore implements BlobDriver {
  readonly facts: StoreFacts;
  readonly #disk: Disk;
  readonly #folders: Folders;
  readonly #intents: Intents;
  readonly #marks: Marks;
  readonly #keys = new KeyedLock();
  readonly #uploads: Uploads;
  readonly #nonces: Nonces;
  /** By etag, which names one content of one key. */
  readonly #digests = new Map<string, { readonly key: string; readonly digest: string }>();
  /** Keys whose names are changed and perhaps not durable: what is seen of them is told once it is, or a power loss undoes it. */
  readonly #naming = new UnderWay();
  #temporary = 0;

  constructor(deps: BlobStoreDeps) {
    this.facts = deps.facts;
    this.#disk = deps.disk;
    this.#folders = deps.folders;
    this.#intents = deps.intents;
    this.#marks = deps.marks;
    this.#nonces = new Nonces(deps.disk, deps.clock);
    const place: Place = (file, target, call) => this.#place(file, target, call);
    this.#uploads = new Uploads(deps.disk, deps.clock, deps.persistStepBytes, place);
  }

  /** At start: takes away what no name leads to any more. */
  async sweep(): Promise<void> {
    for (const folder of [TEMPORARY, NONCES]) {
      for (const { name, kind } of await this.#disk.entries(folder)) {
        if (kind === "file") await this.#disk.remove(`${folder}/${name}`);
      }
    }
    await this.#uploads.sweep();
  }

  async close(): Promise<void> {
    await this.#nonces.close();
    await this.#uploads.close();
  }

  async check(): Promise<void> {
    await onDisk("looking at the root", () => this.#disk.entries(NONCES));
  }

  async stat(keys: readonly string[]): Promise<readonly (BlobInfo | undefined)[]> {
    return onDisk("looking for blobs", () => mapLimited(keys, PARALLEL, (key) => this.#see(key)));
  }

  async read(
    key: string,
    range: { readonly offsetBytes: number; readonly limitBytes?: number; readonly ifEtag?: string },
    call: CallContext,
  ): Promise<BlobBytes> {
    return onDisk(`reading ${key}`, async () => {
      const file = await this.#openBlob(key).finally(() => this.#naming.settled(key));
      try {
        const facts = await file.facts();
        if (facts.kind !== "file") throw keyNotFound(key);
        const info = this.#info(key, facts);
        if (range.ifEtag !== undefined && range.ifEtag !== info.etag) throw etagMismatch(key, range.ifEtag, info.etag);
        const left = info.sizeBytes - range.offsetBytes;
        if (left < 0) {
          throw new OutriggerError(
            "OFFSET_MISMATCH",
            `offset ${range.offsetBytes} is beyond the ${info.sizeBytes} bytes of ${key}`,
            { metadata: { persisted: String(info.sizeBytes) } },
          );
        }
        const lengthBytes = Math.min(left, range.limitBytes ?? left);
        return new OpenBlob(file, info, range.offsetBytes, lengthBytes, call.signal);
      } catch (error) {
        await file.close();
        throw error;
      }
    });
  }

  async list(request: PageRequest): Promise<Page<BlobInfo>> {
    return onDisk(`listing ${request.prefix}`, async () => {
      const keys = merge(walk(this.#disk, BLOBS, `${BLOBS}/`, request), walk(this.#disk, OTHER_BLOBS, "", request));
      const items: BlobInfo[] = [];
      try {
        for (;;) {
          const { page, done } = await take(keys, request.limit - items.length + 1);
          // What was just deleted, too, is not told before it is durable.
          await this.#naming.allSettled();
          const more = !done;
          const wanted = more ? page.slice(0, -1) : page;
          for (const info of await mapLimited(wanted, PARALLEL, (key) => this.#see(key))) {
            if (info !== undefined) items.push(info);
          }
          // What vanished meanwhile leaves the page short; an empty one must not say that more follows.
          if (!more || items.length > 0) return { items, more };
          const look = page[page.length - 1];
          const info = look === undefined ? undefined : await this.#see(look);
          if (info !== undefined) items.push(info);
        }
      } finally {
        await keys.return(undefined);
      }
    });
  }

  async count(prefix: string): Promise<{ readonly count: number; readonly exact: boolean }> {
    return onDisk(`counting ${prefix}`, async () => {
      const range = { prefix, startAfter: "" };
      const keys = merge(walk(this.#disk, BLOBS, `${BLOBS}/`, range), walk(this.#disk, OTHER_BLOBS, "", range));
      const { begun, isEmpty: atRest } = this.#naming;
      let count = 0;
      for await (const _ of keys) count++;
      await this.#naming.allSettled();
      // A walk is not one moment: a blob that was moved meanwhile is met twice, or never.
      return { count, exact: atRest && this.#naming.begun === begun };
    });
  }

  async delete(key: string, call: CallContext): Promise<void> {
    await onDisk(`deleting ${key}`, async () => {
      const path = blobPath(key);
      const folder = parentOf(path);
      if (!(await this.#folders.isPlain(folder))) return;
      await this.#renaming([key], [folder], async () => {
        await this.#keys.run(key, async () => {
          call.assertInTime();
          try {
            // A folder that has the key as its name holds other keys.
            if ((await this.#disk.facts(path))?.kind === "file") await this.#disk.remove(path);
          } catch (error) {
            if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
          }
        });
        await this.#folders.clearAway(folder, blobBase(key));
      });
    });
  }

  open(uploadId: string, options: { readonly create: boolean }, call: CallContext): Promise<Upload> {
    call.assertInTime();
    return this.#uploads.open(uploadId, options.create);
  }

  abort(uploadId: string, call: CallContext): Promise<void> {
    call.assertInTime();
    return this.#uploads.abort(uploadId);
  }

  listUploads(request: {
    readonly startAfter: string;
    readonly limit: number;
    readonly uploadId?: string;
  }): Promise<Page<UploadFacts>> {
    return this.#uploads.list(request);
  }

  async move(source: string, destination: string, call: CallContext): Promise<BlobInfo> {
    return onDisk(`moving ${source} to ${destination}`, async () => {
      if (source === destination) {
        const info = await this.#see(source);
        if (info === undefined) throw keyNotFound(source);
        return info;
      }
      const [first, second] = source < destination ? [source, destination] : [destination, source];
      const from = blobPath(source);
      const to = blobPath(destination);
      const info = await this.#building(destination, () =>
        this.#keys.run(first, () =>
          this.#keys.run(second, async () => {
            const found = await this.#look(source);
            if (found === undefined) throw keyNotFound(source);
            await this.#folders.ensure(parentOf(to));
            await this.#renaming([source, destination], [parentOf(from), parentOf(to)], async () => {
              call.assertInTime();
              await this.#disk.rename(from, to);
              await this.#disk.syncFolder(parentOf(to));
              await this.#disk.syncFolder(parentOf(from));
            });
            const facts = await this.#disk.facts(to);
            if (facts === undefined) throw keyNotFound(destination);
            const digest = this.#digests.get(found.etag)?.digest;
            if (digest !== undefined) this.#remember(destination, facts, digest);
            return this.#info(destination, facts);
          }),
        ),
      );
      await this.#folders.clearAway(parentOf(from), blobBase(source));
      return info;
    });
  }

  async put(key: string, data: Uint8Array, condition: Condition | undefined, call: CallContext): Promise<BlobInfo> {
    return onDisk(`putting ${key}`, async () => {
      const path = `${TEMPORARY}/${++this.#temporary}`;
      const handle = await this.#disk.open(path, "create");
      let moved = false;
      try {
        await handle.write([data], 0);
        const placed = await this.#place(
          { handle, path },
          { key, keep: false, ...(condition === undefined ? {} : { condition }) },
          call,
        );
        moved = placed.moved;
        return placed.info;
      } finally {
        await handle.close();
        if (!moved) await this.#disk.remove(path).catch(() => {});
      }
    });
  }

  async locateFile(
    what: { readonly key: string } | { readonly nonce: string },
    call: CallContext,
  ): Promise<{ readonly path: string; readonly sizeBytes: number; readonly etag: string }> {
    return onDisk("locating a file", async () => {
      if ("nonce" in what) {
        call.assertInTime();
        return { ...(await this.#nonces.write(what.nonce)), etag: "" };
      }
      const info = await this.#see(what.key);
      if (info === undefined) throw keyNotFound(what.key);
      return { path: blobPath(what.key), sizeBytes: info.sizeBytes, etag: info.etag };
    });
  }

  /**
   * Gives a written file its key: bytes and folders are durable before it is visible, its name before it is answered.
   * @throws KEY_EXISTS, ETAG_MISMATCH, TOO_LATE: nothing changed
   */
  async #place(...[file, target, call]: Parameters<Place>): ReturnType<Place> {
    const path = blobPath(target.key);
    const folder = parentOf(path);
    if (target.keep) {
      const info = await this.#see(target.key);
      // Overwritten since the host looked: it looks again.
      assertCondition(target.key, target.condition, info);
      if (info !== undefined) return { info, moved: false };
    }
    await file.handle.setModified(await this.#marks.next());
    return this.#building(target.key, async () => {
      const made = await Promise.allSettled([this.#folders.ensure(folder), file.handle.sync()]);
      for (const outcome of made) if (outcome.status === "rejected") throw outcome.reason;
      return this.#keys.run(target.key, async () => {
        const current = await this.#look(target.key);
        assertCondition(target.key, target.condition, current);
        const facts = await this.#renaming([target.key], [folder], async () => {
          call.assertInTime();
          await this.#disk.rename(file.path, path);
          const [synced, seen] = await Promise.allSettled([this.#disk.syncFolder(folder), file.handle.facts()]);
          if (synced.status === "rejected") throw synced.reason;
          if (seen.status === "rejected") throw seen.reason;
          return seen.value;
        });
        if (target.digest !== undefined) this.#remember(target.key, facts, target.digest);
        return { info: this.#info(target.key, facts), moved: true };
      });
    });
  }

  /** Changes the names of these keys, which lie in these folders. */
  #renaming<Result>(keys: readonly string[], folders: readonly string[], work: () => Promise<Result>): Promise<Result> {
    return this.#naming.during(keys, () => this.#intents.during(folders, work));
  }

  /** While folders stay; what a failure leaves empty is taken away again. */
  async #building<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    try {
      return await this.#folders.building(work);
    } catch (error) {
      await this.#folders.clearAway(parentOf(blobPath(key)), blobBase(key)).catch(() => {});
      // A condition that did not hold says what the key holds.
      await this.#naming.settled(key);
      throw error;
    }
  }

  async #openBlob(key: string): Promise<DiskFile> {
    const path = blobPath(key);
    if (!(await this.#folders.isPlain(parentOf(path)))) throw keyNotFound(key);
    try {
      return await this.#disk.open(path, "read");
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "EISDIR")) throw keyNotFound(key);
      throw error;
    }
  }

  /** For callers: not before it is durable. Never under a lock, which the change that is waited for may need. */
  async #see(key: string): Promise<BlobInfo | undefined> {
    const info = await this.#look(key);
    await this.#naming.settled(key);
    return info;
  }

  async #look(key: string): Promise<BlobInfo | undefined> {
    const path = blobPath(key);
    if (!(await this.#folders.isPlain(parentOf(path)))) return undefined;
    const facts = await this.#disk.facts(path);
    if (facts?.kind === "symlink") {
      throw diskError(Object.assign(new Error(path), { code: "ELOOP" }), `looking at ${key}`);
    }
    return facts?.kind === "file" ? this.#info(key, facts) : undefined;
  }

  #info(key: string, facts: FileFacts): BlobInfo {
    const etag = etagOf(facts);
    const known = this.#digests.get(etag);
    return {
      key,
      sizeBytes: facts.sizeBytes,
      etag,
      modifiedMs: Number(facts.mtimeNs / 1_000_000n),
      digests: known?.key === key ? [known.digest] : [],
    };
  }

  #remember(key: string, facts: FileFacts, digest: string): void {
    if (this.#digests.size >= MAX_DIGESTS) this.#digests.clear();
    this.#digests.set(etagOf(facts), { key, digest });
  }
}

/** Two pieces of memory at most: one that is with the caller, one that is being read. */
class OpenBlob implements BlobBytes {
  readonly info: BlobInfo;
  readonly startBytes: number;
  readonly lengthBytes: number;
  readonly body: AsyncIterable<Uint8Array>;
  readonly #file: DiskFile;
  readonly #signal: AbortSignal;
  #closed = false;

  constructor(file: DiskFile, info: BlobInfo, startBytes: number, lengthBytes: number, signal: AbortSignal) {
    this.#file = file;
    this.#signal = signal;
    this.info = info;
    this.startBytes = startBytes;
    this.lengthBytes = lengthBytes;
    this.body = this.#pieces();
  }

  async *#pieces(): AsyncGenerator<Uint8Array> {
    let ahead: Promise<Uint8Array> | undefined;
    try {
      const end = this.startBytes + this.lengthBytes;
      let at = this.startBytes;
      if (at < end) ahead = this.#piece(at, end);
      while (ahead !== undefined) {
        const piece = await ahead;
        this.#signal.throwIfAborted();
        at += piece.byteLength;
        ahead = at < end ? this.#piece(at, end) : undefined;
        yield piece;
      }
    } finally {
      await ahead?.catch(() => {});
      await this.cancel();
    }
  }

  async #piece(at: number, end: number): Promise<Uint8Array> {
    const piece = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - at));
    const reading = onDisk(`reading ${this.info.key}`, () => this.#file.read(piece, at));
    // Read ahead: the failure is met when the piece is awaited.
    reading.catch(() => {});
    const count = await reading;
    if (count < piece.byteLength) {
      throw new OutriggerError(
        "STORED_CORRUPT",
        `${this.info.key} ends at ${at + count} instead of ${this.info.sizeBytes} bytes`,
      );
    }
    return piece;
  }

  async cancel(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close();
  }
}

async function take(
  keys: AsyncGenerator<string>,
  count: number,
): Promise<{ readonly page: string[]; readonly done: boolean }> {
  const page: string[] = [];
  while (page.length < count) {
    const next = await keys.next();
    if (next.done) return { page, done: true };
    page.push(next.value);
  }
  return { page, done: false };
}

function assertCondition(key: string, condition: Condition | undefined, current: BlobInfo | undefined): void {
  if (condition === undefined) return;
  if ("ifAbsent" in condition) {
    if (current !== undefined) throw new OutriggerError("KEY_EXISTS", `${key} exists already`);
  } else if (current?.etag !== condition.ifEtag) {
    throw etagMismatch(key, condition.ifEtag, current?.etag);
  }
}

function etagMismatch(key: string, wanted: string, found: string | undefined): OutriggerError {
  const what = found === undefined ? "is absent" : `has etag ${found}`;
  return new OutriggerError("ETAG_MISMATCH", `${key} ${what}, not ${wanted}`);
}

/** Time, size and inode: marks make the time unique among what this driver wrote. */
function etagOf(facts: FileFacts): string {
  return `${facts.mtimeNs.toString(36)}-${facts.sizeBytes.toString(36)}-${facts.inode.toString(36)}`;
}
