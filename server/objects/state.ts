/**
 * What is kept of an upload in the backend: one small object, changed only by compare-and-set. Whoever holds its newest
 * token may write; what it does not name does not count.
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { OutriggerError } from "../../proto/errors.ts";
import { stagedName } from "./names.ts";

const bytes = z.int().nonnegative();

/** Parts whose numbers follow each other, and the bytes that they hold. */
const range = z.object({ first: z.int().positive(), last: z.int().positive(), startBytes: bytes, endBytes: bytes });

/** An object of its own: what was persisted beyond the last whole part. */
const tail = z.object({ name: z.string(), startBytes: bytes, endBytes: bytes });

const hash = z.object({ algorithm: z.enum(["sha256", "sha512"]), position: bytes, state: z.string() });

const assembly = z.object({
  name: z.string(),
  ref: z.string(),
  /** `name` is the key that the bytes will have. */
  direct: z.boolean(),
});

/** How the bytes end, once parts are to be put together. */
const ending = z.object({
  /** When it began, unix ms. */
  sinceMs: z.number(),
  sizeBytes: bytes,
  hash: hash.optional(),
  /** The last, short part: counted only while the upload ends. */
  last: z.object({ number: z.int().positive(), startBytes: bytes, endBytes: bytes }).optional(),
});

const target = z.object({
  key: z.string(),
  digest: z.string(),
  condition: z.union([z.object({ ifAbsent: z.literal(true) }), z.object({ ifEtag: z.string() })]).optional(),
  notAfterMs: z.number().optional(),
});

const uploadState = z.object({
  v: z.literal(1),
  /** No two states are the same bytes. */
  nonce: z.string(),
  /** Of this upload: its bytes lie in a folder of this name, so that a later one of the same id has others. */
  incarnation: z.string(),
  /**
   * open: it can be written. sealing: it is being put together without a key. committing: likewise, under `target`; whoever
   * finds one of these goes on with it. done: it is gone, its bytes are being taken away.
   */
  phase: z.enum(["open", "sealing", "committing", "done"]),
  fence: z.int().nonnegative(),
  /** Of the stream that holds it. */
  token: z.string(),
  usedMs: z.number(),
  /** Highest attempt by sender, oldest sender first [blob.append.05]. */
  senders: z.array(z.tuple([z.string(), z.number()])),
  partBytes: z.int().positive(),
  persistedBytes: bytes,
  assembly: assembly.optional(),
  ranges: z.array(range),
  /** The newest stream may have put parts up to this number: the next one begins after it. */
  reservedTo: z.int().nonnegative(),
  tails: z.array(tail),
  /** The stream that holds it has nothing on its way, or begins just now. */
  quiet: z.boolean(),
  /** A stream lost it with something on its way: there may be bytes that nothing names. */
  left: z.boolean(),
  /** Of the first persistedBytes. */
  hash: hash.optional(),
  /** All bytes are one object under the name of the assembly: they can be committed, and no more be written. */
  sealed: z.boolean().optional(),
  ending: ending.optional(),
  target: target.optional(),
});

export type UploadState = z.infer<typeof uploadState>;
export type Tail = z.infer<typeof tail>;
export type PartRange = z.infer<typeof range>;
export type Target = z.infer<typeof target>;
export type Ending = z.infer<typeof ending>;

/** A state is a few KiB: what is larger is none. */
export const STATE_MOST_BYTES = 1024 * 1024;
/** A core makes one sender a request; older ones than this many have long ended. */
const SENDERS_REMEMBERED = 64;

export function newToken(): string {
  return randomBytes(8).toString("hex");
}

export function encodeState(state: UploadState): Buffer {
  return Buffer.from(JSON.stringify(state));
}

/** @throws STORED_CORRUPT */
export function decodeState(data: Buffer, name: string): UploadState {
  try {
    return uploadState.parse(JSON.parse(data.toString("utf8")));
  } catch (error) {
    throw new OutriggerError("STORED_CORRUPT", `${name} is damaged, or of a newer driver: abort that upload`, {
      cause: error,
    });
  }
}

/** @throws UPLOAD_FENCED for an attempt not above the sender's highest [blob.append.05] */
export function rememberSender(
  senders: UploadState["senders"],
  sender: string,
  attempt: number,
): UploadState["senders"] {
  const highest = senders.find(([name]) => name === sender)?.[1];
  if (highest !== undefined && attempt <= highest) {
    throw fenced(`attempt ${attempt} of this sender is not above its ${highest}`);
  }
  return [...senders.filter(([name]) => name !== sender), [sender, attempt] as [string, number]].slice(
    -SENDERS_REMEMBERED,
  );
}

export function fenced(why = "a newer stream has taken this upload over", cause?: unknown): OutriggerError {
  return new OutriggerError("UPLOAD_FENCED", why, { cause });
}

/** Where the bytes of an upload lie, or will, that are put together without a key. */
export function stagedIn({ assembly, incarnation }: UploadState, uploadId: string): string {
  return assembly?.name ?? stagedName(uploadId, incarnation);
}

/** The bytes that whole parts hold: a multiple of the part size. */
export function partsEnd({ ranges }: UploadState): number {
  return ranges.at(-1)?.endBytes ?? 0;
}

/** One more part counts. */
export function withPart(ranges: readonly PartRange[], number: number, startBytes: number, endBytes: number) {
  const last = ranges.at(-1);
  if (last !== undefined && last.last + 1 === number)
    return [...ranges.slice(0, -1), { ...last, last: number, endBytes }];
  return [...ranges, { first: number, last: number, startBytes, endBytes }];
}
