/**
 * The real disk. What only changes names and facts is done in this thread: it takes the kernel a few microseconds, a
 * hand-over to the thread pool takes it ten times that. What waits for the disk itself, syncs and bytes by the megabyte,
 * goes to the pool. Not node:fs/promises: a FileHandle costs several times as much for small files.
 */
import fs, { type BigIntStats, constants } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import type { Clock } from "../../proto/clock.ts";
import { lockFolder } from "../../server/folder-lock.ts";
import type { Disk, DiskFile, DiskLock, Entry, FileFacts, FileKind, OpenMode, SurveyedEntry } from "./disk.ts";
import { isErrno } from "./disk.ts";

const ftruncate = promisify(fs.ftruncate);
const fsync = promisify(fs.fsync);
const fdatasync = promisify(fs.fdatasync);
const readdir = promisify(fs.readdir);
const unlink = promisify(fs.unlink);
const readFile = promisify(fs.readFile);

const flags: Record<OpenMode, number> = {
  read: constants.O_RDONLY | constants.O_NOFOLLOW,
  write: constants.O_RDWR | constants.O_NOFOLLOW,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
};

/** Into the page cache in some ten microseconds. */
const SMALL_BYTES = 128 * 1024;
/** Linux takes at most 1024 pieces in one writev. */
const MAX_PIECES = 1024;

/** @param root an existing folder */
export function nodeDisk(root: string, clock: Clock): Disk {
  let surveyed = 0;
  const at = (relative: string) => (relative === "" ? root : path.join(root, relative));
  return {
    async open(relative, mode) {
      return new NodeFile(fs.openSync(at(relative), flags[mode], 0o666));
    },
    async facts(relative) {
      try {
        return factsOf(fs.lstatSync(at(relative), { bigint: true }));
      } catch (error) {
        if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
        throw error;
      }
    },
    async entries(relative) {
      return (await readdir(at(relative), { withFileTypes: true })).map(entryOf);
    },
    // Synchronous: several times quicker for a hundred thousand small folders, and asked only before anything is served.
    async survey(relative) {
      if (++surveyed % 256 === 0) await new Promise((resolve) => setImmediate(resolve));
      const folder = at(relative);
      return fs.readdirSync(folder, { withFileTypes: true }).map((dirent): SurveyedEntry => {
        const entry = entryOf(dirent);
        if (entry.kind !== "file") return entry;
        return { ...entry, facts: factsOf(fs.lstatSync(path.join(folder, entry.name), { bigint: true })) };
      });
    },
    async makeFolder(relative) {
      fs.mkdirSync(at(relative), 0o777);
    },
    async removeFolder(relative) {
      fs.rmdirSync(at(relative));
    },
    async remove(relative) {
      await unlink(at(relative));
    },
    async rename(from, to) {
      fs.renameSync(at(from), at(to));
    },
    async syncFolder(relative) {
      const fd = fs.openSync(at(relative), constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        await fsync(fd);
      } finally {
        fs.closeSync(fd);
      }
    },
    lock: (relative, waitMs, signal): Promise<DiskLock> => lockFolder(at(relative), waitMs, clock, signal),
    async bootId() {
      try {
        return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
      } catch {
        // Not Linux: the start of the machine, to ten seconds, since uptime and clock drift apart.
        return `started-${Math.round((clock.now() - (await uptimeMs())) / 10_000)}`;
      }
    },
  };
}

async function uptimeMs(): Promise<number> {
  const os = await import("node:os");
  return os.uptime() * 1000;
}

class NodeFile implements DiskFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  read(into: Uint8Array, positionBytes: number): Promise<number> {
    return new Promise((resolve, reject) => {
      let done = 0;
      const next = () => {
        fs.read(this.#fd, into, done, into.byteLength - done, positionBytes + done, (error, count) => {
          if (error) return reject(error);
          done += count;
          if (count === 0 || done === into.byteLength) return resolve(done);
          next();
        });
      };
      if (into.byteLength === 0) resolve(0);
      else next();
    });
  }

  async write(pieces: readonly Uint8Array[], positionBytes: number): Promise<void> {
    let left = pieces.filter((piece) => piece.byteLength > 0);
    const small = left.reduce((sum, piece) => sum + piece.byteLength, 0) <= SMALL_BYTES;
    let position = positionBytes;
    while (left.length > 0) {
      const some = left.slice(0, MAX_PIECES);
      const count = small ? fs.writevSync(this.#fd, some, position) : await this.#write(some, position);
      position += count;
      left = withoutHead(left, count);
    }
  }

  #write(pieces: readonly Uint8Array[], positionBytes: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.writev(this.#fd, pieces, positionBytes, (error, count) => (error ? reject(error) : resolve(count)));
    });
  }

  truncate(sizeBytes: number): Promise<void> {
    return ftruncate(this.#fd, sizeBytes);
  }

  async setModified(micros: number): Promise<void> {
    fs.futimesSync(this.#fd, micros / 1e6, micros / 1e6);
  }

  sync(): Promise<void> {
    return fsync(this.#fd);
  }

  syncData(): Promise<void> {
    return fdatasync(this.#fd);
  }

  async facts(): Promise<FileFacts> {
    return factsOf(fs.fstatSync(this.#fd, { bigint: true }));
  }

  async close(): Promise<void> {
    fs.closeSync(this.#fd);
  }
}

function withoutHead(pieces: Uint8Array[], countBytes: number): Uint8Array[] {
  let left = countBytes;
  for (const [index, piece] of pieces.entries()) {
    if (left < piece.byteLength) return [piece.subarray(left), ...pieces.slice(index + 1)];
    left -= piece.byteLength;
  }
  return [];
}

interface Typed {
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

function kindOf(typed: Typed): FileKind {
  if (typed.isFile()) return "file";
  if (typed.isDirectory()) return "folder";
  return typed.isSymbolicLink() ? "symlink" : "other";
}

function entryOf(dirent: fs.Dirent): Entry {
  return { name: dirent.name, kind: kindOf(dirent) };
}

function factsOf(stats: BigIntStats): FileFacts {
  return { kind: kindOf(stats), sizeBytes: Number(stats.size), mtimeNs: stats.mtimeNs, inode: stats.ino };
}
