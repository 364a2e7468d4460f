/**
 * A folder of a disk, as the driver's logic knows it: small enough that a simulation can stand in for it, with crashes,
 * unsynced and torn writes. Paths are relative to the root, without leading or trailing slash; "" is the root itself.
 *
 * What a crash leaves, and what the logic relies on: bytes of a file before its last `sync` or `syncData`; a name in a
 * folder before the last `syncFolder` of that folder (a rename across folders is one change: it is there or not).
 * Anything newer may be there, be gone, or be there in part. Failures are Errors with an errno `code` ("ENOENT").
 */
import type { FolderLock as DiskLock } from "../../server/folder-lock.ts";

export { type FolderLock as DiskLock, FolderLocked as DiskLocked } from "../../server/folder-lock.ts";
export interface Disk {
  /** `read`: as it is. `write`: exists already. `create`: new, EEXIST otherwise. A symbolic link is ELOOP. */
  open(path: string, mode: OpenMode): Promise<DiskFile>;
  /** Never follows a symbolic link; absent: undefined, also where a folder of the path is absent or a file. */
  facts(path: string): Promise<FileFacts | undefined>;
  /** What lies in a folder, in no order. */
  entries(path: string): Promise<readonly Entry[]>;
  /** Like `entries`, with the facts of each file: for reading a large tree while nothing else is served. */
  survey(path: string): Promise<readonly SurveyedEntry[]>;
  makeFolder(path: string): Promise<void>;
  /** ENOTEMPTY unless it is empty. */
  removeFolder(path: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Replaces a file at `to`. */
  rename(from: string, to: string): Promise<void>;
  syncFolder(path: string): Promise<void>;
  /**
   * At most one process holds the lock of a folder; it is given up when the process ends, however it ends.
   * @throws DiskLocked when another one still holds it after `waitMs`
   */
  lock(path: string, waitMs: number, signal?: AbortSignal): Promise<DiskLock>;
  /** Differs after every start of the machine: what was written and not synced before may be lost. */
  bootId(): Promise<string>;
}

export type OpenMode = "read" | "write" | "create";

export interface DiskFile {
  /** Fills `into` as far as the file goes; answers how many bytes. */
  read(into: Uint8Array, positionBytes: number): Promise<number>;
  /** All of the pieces in order, or an error after which some of them may be there. */
  write(pieces: readonly Uint8Array[], positionBytes: number): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  /** Unix microseconds. */
  setModified(micros: number): Promise<void>;
  /** Bytes and facts. */
  sync(): Promise<void>;
  /** Bytes and size. */
  syncData(): Promise<void>;
  facts(): Promise<FileFacts>;
  close(): Promise<void>;
}

export type FileKind = "file" | "folder" | "symlink" | "other";

export interface FileFacts {
  readonly kind: FileKind;
  readonly sizeBytes: number;
  /** Unix ns of the last change. */
  readonly mtimeNs: bigint;
  readonly inode: bigint;
}

export interface Entry {
  readonly name: string;
  readonly kind: FileKind;
}

export interface SurveyedEntry extends Entry {
  /** Of files only. */
  readonly facts?: FileFacts;
}

/** The errno name of a failure of the disk, "" for anything else. */
export function errno(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}

/** Whether `error` has one of these errno names. */
export function isErrno(error: unknown, ...wanted: readonly string[]): boolean {
  return wanted.includes(errno(error));
}
