/** What a failure of the disk means to the core, in a sentence that says what to change. */
import { OutriggerError, type Reason } from "../../proto/errors.ts";
import { errno } from "./disk.ts";

const meanings: Readonly<Record<string, readonly [Reason, string]>> = {
  ENOSPC: ["QUOTA", "the disk is full: make room on it"],
  EDQUOT: ["QUOTA", "the disk quota is used up: raise it or make room"],
  EFBIG: ["QUOTA", "the file is larger than the disk's file system allows"],
  EMFILE: ["THROTTLED", "too many files are open: raise the process's limit (ulimit -n)"],
  ENFILE: ["THROTTLED", "too many files are open on this machine"],
  ENOMEM: ["THROTTLED", "the machine is out of memory"],
  EROFS: ["BACKEND_DOWN", "the disk is mounted read-only: remount it, or check it for errors"],
  EACCES: ["BACKEND_DOWN", "the process may not read or write there: change the folder's owner or mode"],
  EPERM: ["BACKEND_DOWN", "the process may not read or write there: change the folder's owner or mode"],
  EIO: ["BACKEND_DOWN", "the disk reports an error: check it"],
  ENXIO: ["BACKEND_DOWN", "the disk is gone"],
  ENODEV: ["BACKEND_DOWN", "the disk is gone"],
  ESTALE: ["BACKEND_DOWN", "the disk is gone"],
  ENOTDIR: ["KEY_CONFLICT", "a part of the key is itself a key"],
  EISDIR: ["KEY_CONFLICT", "other keys begin with this key and a slash"],
  ENOTEMPTY: ["KEY_CONFLICT", "other keys begin with this key and a slash"],
  ELOOP: [
    "STORED_CORRUPT",
    "a symbolic link lies where a file or folder is expected; links below the root are not followed",
  ],
  ENAMETOOLONG: ["INVALID_KEY", "the disk does not take names this long"],
};

/** @param doing what failed: "writing to upload 7f" */
export function diskError(error: unknown, doing: string): Error {
  if (error instanceof OutriggerError) return error;
  const meaning = meanings[errno(error)];
  if (meaning === undefined) {
    return new OutriggerError("INTERNAL", `${doing} failed: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
  return new OutriggerError(meaning[0], `${doing}: ${meaning[1]} (${errno(error)})`, { cause: error });
}

/** Runs `work`, turning a failure of the disk into an OutriggerError. */
export async function onDisk<Result>(doing: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw diskError(error, doing);
  }
}

export function keyNotFound(key: string): OutriggerError {
  return new OutriggerError("KEY_NOT_FOUND", `there is no key ${key}`);
}
