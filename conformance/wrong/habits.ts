/**
 * What a driver does at each place where a wrong one does something else. `honest` is right; a wrong driver is `honest`
 * with a few of these exchanged (wrongs/).
 */
import { createHash } from "node:crypto";
import type { status as Code, Metadata } from "@grpc/grpc-js";
import { OutriggerError, toStatus } from "../../proto/errors.ts";
import type { BlobInfo } from "../../proto/gen/outrigger/blob/v1/BlobInfo.ts";
import type { Chunk } from "../../proto/gen/outrigger/blob/v1/Chunk.ts";
import type { DescribeResponse } from "../../proto/gen/outrigger/handshake/v1/DescribeResponse.ts";
import type { Item } from "../../proto/gen/outrigger/meta/v1/Item.ts";
import type { Operation } from "../../proto/gen/outrigger/meta/v1/Operation.ts";
import { assertAscii, assertKey, assertUploadId, invalidField } from "../../proto/keys.ts";
import { limits } from "../../proto/limits.ts";
import type { AnyMethod } from "../../proto/transport.ts";
import type { BlobChange, UploadRecord } from "./honest/blob-store.ts";
import type { MetaChange, WriteSteps } from "./honest/meta-store.ts";
import type { CommitSteps } from "./honest/uploads.ts";

/** A gRPC status with what its trailers carry. */
export interface Status {
  readonly code: Code;
  readonly details: string;
  readonly metadata: Metadata;
}

/** What every call has to do with. */
interface WireHabits {
  /** Before a call is looked at. */
  arrive(method: AnyMethod): Promise<void>;
  /** @param asked `outrigger-store`, absent where the request has none. @throws WRONG_STORE, INVALID_FIELD */
  assertStore(asked: string | undefined, own: string): void;
  /** @param notAfterMs unix ms. @throws TOO_LATE */
  assertInTime(notAfterMs: number, when: "arrival" | "effect"): void;
  /** `outrigger-now` */
  now(): string | undefined;
  /** `outrigger-contract` of what Describe says. */
  contract(described: Omit<DescribeResponse, "notices">): string | undefined;
  /** An error of the driver's own; `trailers` hold what every answer carries. */
  status(error: OutriggerError, trailers: Metadata | undefined): Status;
  /** The last look at a unary call's answer. */
  answer(method: AnyMethod, response: object): object;
  /** What Describe says; asked for each call of it. */
  describe(honestly: DescribeResponse): DescribeResponse;
}

/** Each throws INVALID_KEY or INVALID_FIELD. */
interface FieldHabits {
  key(key: string): void;
  uploadId(id: string): void;
  bound(field: string, text: string): void;
  /** @throws INVALID_FIELD for more of something than there may be */
  count(field: string, count: number, most: number): void;
}

/** Pages of keys, items or uploads. */
interface ListHabits {
  order(one: string, other: string): number;
  /** Those after start_after, of all that begin with the prefix, in order. */
  following(inPrefix: readonly string[], startAfter: string): readonly string[];
  /** How many of them one page holds. */
  limit(asked: number): number;
  /** How many bytes of items one answer holds at most. */
  readonly pageBytes: number;
  more(onPage: number, following: number): boolean;
  count(exactly: number): { count: number; exact: boolean };
}

interface BlobHabits {
  stat(info: BlobInfo): BlobInfo;
  /** Where a range begins. @throws OFFSET_MISMATCH */
  rangeStart(asked: number, size: number): number;
  /** How many bytes a range has. @param left from its start to the blob's end */
  rangeLength(limit: number | undefined, left: number): number;
  /** How many of them are sent. */
  bytesSent(length: number): number;
  /** What a chunk says of its place. */
  chunkOffset(rangeStart: number, sentBefore: number): number;
  readonly pieceBytes: number;
  sameEtag(there: string, asked: string): boolean;
  /** Whether bytes may be put where this is, for who asks if_absent or does not. */
  overwrites(ifAbsent: boolean, there: BlobInfo | undefined): boolean;
  /** @param entry never the same twice */
  etag(entry: number, sizeBytes: number): string;
  /** @throws DIGEST_MISMATCH */
  assertDigest(wanted: string | undefined, actual: readonly string[]): void;
  /** Which of the keys that are there a Delete takes away. */
  deleted(asked: readonly string[], there: readonly string[]): string[];
  /** What a Move changes. */
  moved(changes: BlobChange[]): BlobChange[];
  /** What of a change is written to the folder; the rest is known to this process only. */
  written(change: BlobChange): BlobChange;
}

/** How far a stream is. */
export interface Position {
  /** Where its first byte belongs. */
  readonly base: number;
  received: number;
  persisted: number;
}

interface UploadHabits {
  /** An upload that nobody knows; what is answered makes it one that holds nothing. @throws UPLOAD_NOT_FOUND */
  unknown(id: string, asked: "open" | "get"): { uploadId: string; persisted: number; idleMs: number };
  attemptIsNew(attempt: number, highest: number): boolean;
  /** What `opened` says is persisted. */
  opened(persisted: number): number;
  /** Whether a stream may still change its upload. */
  hasTurn(own: number, newest: number | undefined): boolean;
  /** @throws OFFSET_REQUIRED */
  chunkOffset(chunk: Chunk, stream: Position): number;
  /** Whether progress is due. */
  tells(untold: number, stepBytes: number): boolean;
  /** What progress says is persisted. */
  told(why: "step" | "flush", stream: Position, persist: () => number): number;
  /** What else changes when an upload grows. `key`: the hint of open. */
  grown(record: UploadRecord, key: string): BlobChange[];
  sizeAgrees(wanted: number, actual: number): boolean;
  commit(steps: CommitSteps): Promise<BlobInfo>;
  /** Whether a commit's bytes are those that the key holds. */
  isSame(there: readonly string[], digests: readonly string[]): boolean;
  /** Of the digests of a commit's bytes, the one that is answered. */
  digest(digests: readonly string[], algorithm: string): string;
  /** What a commit takes beside its work. */
  atCommit(): Promise<void>;
  tickEveryMs(ms: number): number;
  /** The changes that a commit makes, and those that an abort makes. */
  committed(changes: BlobChange[]): BlobChange[];
  aborted(changes: BlobChange[]): BlobChange[];
  idleEnough(idleMs: number, askedMs: number): boolean;
}

interface MetaHabits {
  /** What of a change is written to the folder; the rest is known to this process only. */
  written(change: MetaChange): MetaChange;
  /** @param read as of one moment */
  get(
    keys: readonly string[],
    read: (some: readonly string[]) => (Item | undefined)[],
  ): Promise<readonly (Item | undefined)[]>;
  /** @returns an etag for each operation */
  write(operations: readonly Operation[], steps: WriteSteps): Promise<string[]>;
  /** @param entry never the same twice */
  etag(entry: number, key: string, before: string | undefined): string;
  sameEtag(there: string, asked: string): boolean;
}

/** What the process does around its calls. */
interface ProcessHabits {
  /** Whether it leaves an empty folder alone, unless it is told to --init. */
  readonly refusesEmpty: boolean;
  /** Whether --init leaves ids that are there as they are. */
  readonly keepsIds: boolean;
  /** Whether `--read-only` seals. */
  readonly seals: boolean;
  /** Whether a socket that somebody listens on is left alone. */
  readonly leavesLiveSocket: boolean;
  /** Whether SIGTERM ends it. */
  readonly drains: boolean;
  readonly refusesPlainBeyondLoopback: boolean;
  /** What health says of a service; undefined: there is no such. */
  health(service: string, served: ReadonlySet<string>): "SERVING" | undefined;
}

export interface Habits {
  readonly wire: WireHabits;
  readonly fields: FieldHabits;
  readonly list: ListHabits;
  readonly blob: BlobHabits;
  readonly upload: UploadHabits;
  readonly meta: MetaHabits;
  readonly process: ProcessHabits;
}

/** As bytes compare; every key is ASCII. */
const bytewise = (one: string, other: string) => (one < other ? -1 : one > other ? 1 : 0);

export const honest: Habits = {
  wire: {
    arrive: async () => {},
    assertStore(asked, own) {
      if (asked === undefined) throw invalidField("outrigger-store", "is missing");
      if (asked !== own) throw new OutriggerError("WRONG_STORE", `this store is ${own}, not ${asked}`);
    },
    assertInTime(notAfterMs) {
      if (Date.now() > notAfterMs) throw new OutriggerError("TOO_LATE", `the call's time was over at ${notAfterMs}`);
    },
    now: () => String(Date.now()),
    contract: (described) => createHash("sha256").update(JSON.stringify(described)).digest("hex").slice(0, 32),
    status: (error, trailers) => toStatus(error, trailers),
    answer: (_method, response) => response,
    describe: (honestly) => honestly,
  },
  fields: {
    key: assertKey,
    uploadId: assertUploadId,
    bound: assertAscii,
    count(field, count, most) {
      if (count > most) throw invalidField(field, `${count} are more than ${most}`);
    },
  },
  list: {
    order: bytewise,
    following: (inPrefix, startAfter) => inPrefix.filter((key) => key > startAfter),
    limit(asked) {
      if (asked > limits.listItems) throw invalidField("limit", `${asked} is more than ${limits.listItems}`);
      return asked === 0 ? limits.listItems : asked;
    },
    pageBytes: limits.messageBytes - 64 * 1024,
    more: (onPage, following) => onPage < following,
    count: (exactly) => ({ count: exactly, exact: true }),
  },
  blob: {
    stat: (info) => info,
    rangeStart(asked, size) {
      if (asked <= size) return asked;
      throw new OutriggerError("OFFSET_MISMATCH", `offset ${asked} is beyond the blob's ${size} bytes`);
    },
    rangeLength: (limit, left) => Math.min(limit ?? left, left),
    bytesSent: (length) => length,
    chunkOffset: (rangeStart, sentBefore) => rangeStart + sentBefore,
    pieceBytes: limits.preferredChunkBytes,
    sameEtag: (there, asked) => there === asked,
    overwrites: (ifAbsent, there) => !ifAbsent || there === undefined,
    etag: (entry) => String(entry),
    assertDigest(wanted, actual) {
      if (wanted === undefined || actual.includes(wanted)) return;
      throw new OutriggerError("DIGEST_MISMATCH", `the bytes have ${actual.join(" and ")}, not ${wanted}`);
    },
    deleted: (asked, there) => [...new Set(asked)].filter((key) => there.includes(key)),
    moved: (changes) => changes,
    written: (change) => change,
  },
  upload: {
    unknown(id) {
      throw new OutriggerError("UPLOAD_NOT_FOUND", `there is no upload ${id}`);
    },
    attemptIsNew: (attempt, highest) => attempt > highest,
    opened: (persisted) => persisted,
    hasTurn: (own, newest) => own === newest,
    tells: (untold, stepBytes) => untold >= stepBytes,
    grown: () => [],
    chunkOffset({ offset }) {
      if (offset === undefined) throw new OutriggerError("OFFSET_REQUIRED", "chunk.offset is absent");
      return offset;
    },
    told: (_why, _stream, persist) => persist(),
    sizeAgrees: (wanted, actual) => wanted === actual,
    async commit(steps) {
      await steps.verify();
      return steps.publish();
    },
    isSame: (there, digests) => there.some((digest) => digests.includes(digest)),
    digest: (digests, algorithm) => digests.find((one) => one.startsWith(`${algorithm}:`)) ?? "",
    atCommit: async () => {},
    tickEveryMs: (ms) => ms,
    committed: (changes) => changes,
    aborted: (changes) => changes,
    idleEnough: (idleMs, askedMs) => idleMs >= askedMs,
  },
  meta: {
    written: (change) => change,
    get: async (keys, read) => read(keys),
    write: async (operations, steps) => steps.checkAndApply(operations),
    etag: (entry) => String(entry),
    sameEtag: (there, asked) => there === asked,
  },
  process: {
    refusesEmpty: true,
    keepsIds: true,
    seals: true,
    leavesLiveSocket: true,
    drains: true,
    refusesPlainBeyondLoopback: true,
    health: (service, served) => (served.has(service) ? "SERVING" : undefined),
  },
};

/** Some habits of some kinds. */
export type Changes = { readonly [Kind in keyof Habits]?: Partial<Habits[Kind]> };

export function withChanges(changes: Changes): Habits {
  return {
    wire: { ...honest.wire, ...changes.wire },
    fields: { ...honest.fields, ...changes.fields },
    list: { ...honest.list, ...changes.list },
    blob: { ...honest.blob, ...changes.blob },
    upload: { ...honest.upload, ...changes.upload },
    meta: { ...honest.meta, ...changes.meta },
    process: { ...honest.process, ...changes.process },
  };
}
