/** What a failure of LMDB or of the disk means to the core, in a sentence that says what to change. */
import { statfs } from "node:fs/promises";
import { constants } from "node:os";
import { OutriggerError, type Reason } from "../../proto/errors.ts";

type Meaning = readonly [Reason, string];

const { errno } = constants;

/** By the number that LMDB gives: errno's, or its own below zero (lmdb.h). */
const meanings: ReadonlyMap<number, Meaning> = new Map<number, Meaning>([
  [errno.ENOSPC, ["QUOTA", "the disk is full: make room on it"]],
  [errno.EDQUOT, ["QUOTA", "the disk quota is used up: raise it or make room"]],
  [errno.EFBIG, ["QUOTA", "data.mdb is larger than the file system or the process's limit (ulimit -f) allows"]],
  [errno.ENOMEM, ["THROTTLED", "there is no address space or memory left: lower --map-size or raise the limit"]],
  [errno.EIO, ["BACKEND_DOWN", "the disk reports an error: check it"]],
  [errno.EROFS, ["BACKEND_DOWN", "the disk is mounted read-only: remount it, or check it for errors"]],
  [errno.EACCES, ["BACKEND_DOWN", "the process may not read and write it: change its owner or mode"]],
  [errno.EPERM, ["BACKEND_DOWN", "the process may not read and write it: change its owner or mode"]],
  [errno.ENOENT, ["BACKEND_DOWN", "data.mdb is gone: put it back, and start the driver anew"]],
  [-30797, ["STORED_CORRUPT", "data.mdb is damaged or cut off (a page is missing): put back a copy"]],
  [-30796, ["STORED_CORRUPT", "data.mdb is damaged (a page is of the wrong kind): put back a copy"]],
]);

/** Less room than this, and a short write was a full disk: LMDB gives EIO for both. */
const FULL_BELOW_BYTES = 8 * 1024 * 1024;
const QUOTA_RETRY_MS = 10_000;
const DOWN_RETRY_MS = 1_000;

/** @param doing what failed: "a Write" */
export async function lmdbError(failure: unknown, folder: string, doing: string): Promise<OutriggerError> {
  const cause = await commitErrorOf(failure);
  if (cause instanceof OutriggerError) return cause;
  const code = codeOf(cause);
  const number = code === errno.EIO && (await isFull(folder)) ? errno.ENOSPC : code;
  const [reason, sentence] = meanings.get(number) ?? [
    "BACKEND_DOWN",
    cause instanceof Error ? cause.message : "failed",
  ];
  return new OutriggerError(reason, `${doing} in ${folder}: ${sentence}`, {
    cause,
    ...(reason === "QUOTA" ? { retryAfterMs: QUOTA_RETRY_MS } : {}),
    ...(reason === "BACKEND_DOWN" ? { retryAfterMs: DOWN_RETRY_MS } : {}),
  });
}

/** lmdb tells why a commit failed by a promise beside the error; nobody else awaits that one. */
async function commitErrorOf(failure: unknown): Promise<unknown> {
  if (!(failure instanceof Error) || !("commitError" in failure)) return failure;
  try {
    await failure.commitError;
    return failure;
  } catch (cause) {
    return cause;
  }
}

function codeOf(cause: unknown): number {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (typeof code === "number") return code;
  return typeof code === "string" ? ((errno as Readonly<Record<string, number>>)[code] ?? 0) : 0;
}

async function isFull(folder: string): Promise<boolean> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize < FULL_BELOW_BYTES;
  } catch {
    return false;
  }
}
