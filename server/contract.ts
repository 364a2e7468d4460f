/**
 * What a driver author writes: the functions below and nothing else. The host (this folder) adds the handshake, health,
 * validation of every field, paging limits, fences, digests, deadlines, drain, logs, metrics and traces.
 *
 * Called only with arguments that the protocol allows: keys and ids are well formed, lists within their limits.
 * A missing key is `undefined`, never an error, unless a function says otherwise. Errors are OutriggerError; anything
 * else that is thrown reaches the core as INTERNAL and the log with its cause.
 */
import type { Logger } from "pino";
import type { Clock } from "../proto/clock.ts";
import type { Algorithm } from "../proto/keys.ts";

/** What the host tells a driver of the call at hand. */
export interface CallContext {
  /** Aborts when the caller has gone or the host drains: stop work that nobody will see. */
  readonly signal: AbortSignal;
  /** One child per call, with its request id. */
  readonly log: Logger;
  /** The core's id for the work, for a driver that passes it on. */
  readonly requestId?: string | undefined;
  /** Unix ms past which a mutating call must have no effect; `undefined` for reads. */
  readonly notAfterMs: number | undefined;
  /**
   * Call it as close to the effect as the backend allows. @throws TOO_LATE past notAfterMs
   */
  assertInTime(): void;
}

/** A driver as a process hosts it: a blob store, a meta store, or both. Made by its `open` function, ended by `close`. */
export interface Driver {
  /** Reverse DNS: "io.outrigger.filesystem". */
  readonly name: string;
  /** The driver's own release. */
  readonly version: string;
  readonly blob?: BlobDriver;
  readonly meta?: MetaDriver;
  /** Sentences for the operator. */
  readonly notices?: readonly string[];
  /** Everything acknowledged is safe once it resolves; locks are given up. */
  close(): Promise<void>;
}

export interface StoreFacts {
  /** A UUID kept with the data. */
  readonly id: string;
  /** "DURABLE", "REPLICAS", "SIGN_URL", "LOCAL_FILE". */
  readonly capabilities: readonly string[];
  /** See handshake.proto, Limits; in bytes and ms, absent: not limited. */
  readonly limits: {
    readonly persistStepBytes?: number;
    readonly uploadTtlMs?: number;
    readonly maxBlobBytes?: number;
    readonly listLagMs?: number;
    readonly maxValueBytes?: number;
  };
  /** See handshake.proto, Store.outside. */
  readonly outside: number;
}

/** What both kinds of store have. */
export interface Store {
  /** The same while the process lives. */
  readonly facts: StoreFacts;
  /** Rejects while the backend is not usable; asked at most every few seconds. */
  check(signal: AbortSignal): Promise<void>;
}

export interface BlobInfo {
  readonly key: string;
  readonly sizeBytes: number;
  readonly etag: string;
  /** Unix ms, 0 if unknown. */
  readonly modifiedMs: number;
  /** Known without reading the bytes. */
  readonly digests: readonly string[];
}

export interface Page<Item> {
  readonly items: readonly Item[];
  /** Whether keys may follow the last item. */
  readonly more: boolean;
}

export interface PageRequest {
  readonly prefix: string;
  /** Exclusive; "" is the beginning. */
  readonly startAfter: string;
  /** 1 to 1000. */
  readonly limit: number;
}

/** Bytes of one content of a key. */
export interface BlobBytes {
  readonly info: BlobInfo;
  readonly startBytes: number;
  readonly lengthBytes: number;
  /**
   * Exactly lengthBytes, in pieces of at most 1 MiB (256 KiB is a good size). Iterated at most once; `return()` frees what
   * it holds. A piece is never changed after it was yielded.
   */
  readonly body: AsyncIterable<Uint8Array>;
  /** Frees what it holds when body is never iterated. */
  cancel(): Promise<void>;
}

/** When a commit may take effect; none: always. */
export type Condition = { readonly ifAbsent: true } | { readonly ifEtag: string };

export interface BlobDriver extends Store {
  stat(keys: readonly string[], call: CallContext): Promise<readonly (BlobInfo | undefined)[]>;
  /**
   * @param range offset within the blob and how many bytes; absent limit: to the end
   * @throws KEY_NOT_FOUND, ETAG_MISMATCH, OFFSET_MISMATCH beyond the end (offset = size is an empty range)
   */
  read(
    key: string,
    range: { readonly offsetBytes: number; readonly limitBytes?: number; readonly ifEtag?: string },
    call: CallContext,
  ): Promise<BlobBytes>;
  list(request: PageRequest, call: CallContext): Promise<Page<BlobInfo>>;
  /** An absent key is fine. */
  delete(key: string, call: CallContext): Promise<void>;
  /**
   * Opens the upload, making it if it is unknown and `create` is set. The host never has two open handles of one upload
   * in one process: the older one is closed before the newer one is asked for.
   * A driver that claims REPLICAS keeps sender and attempt with the upload, since a late Open may reach another replica
   * than the newer one did [blob.append.05]; within one process the host compares them.
   * @throws UPLOAD_NOT_FOUND when it is unknown and create is not set; UPLOAD_FENCED when the attempt is not above the
   * highest of the same sender
   */
  open(
    uploadId: string,
    options: {
      readonly create: boolean;
      readonly key?: string;
      readonly sizeBytes?: number;
      readonly sender?: string;
      readonly attempt?: number;
      /** Of the digest that the commit will probably name. */
      readonly algorithm?: Algorithm;
    },
    call: CallContext,
  ): Promise<Upload>;
  /**
   * Takes the upload and its bytes away; an unknown one is fine.
   * @param ifIdleMs only if it was not used for so long. The host has looked; a driver that claims REPLICAS looks again, as
   * the upload is when it ends it, since another replica may have taken it over meanwhile [blob.abort.02].
   * @throws UPLOAD_BUSY
   */
  abort(uploadId: string, call: CallContext, ifIdleMs?: number): Promise<void>;
  /** Ascending by id; with `uploadId`, only that one. */
  listUploads(
    request: { readonly startAfter: string; readonly limit: number; readonly uploadId?: string },
    call: CallContext,
  ): Promise<Page<UploadFacts>>;
  /** @throws KEY_NOT_FOUND. The host tells the caller "working" meanwhile. */
  move(source: string, destination: string, call: CallContext): Promise<BlobInfo>;

  /** A faster way than open, write, commit, where there is one. The digest is checked by the host already. */
  put?(key: string, data: Uint8Array, condition: Condition | undefined, call: CallContext): Promise<BlobInfo>;
  /** A faster way than listing. */
  count?(prefix: string, call: CallContext): Promise<{ readonly count: number; readonly exact: boolean }>;
  /** Capability SIGN_URL. */
  signUrl?(
    key: string,
    ttlMs: number,
    call: CallContext,
  ): Promise<{ readonly url: string; readonly expiresMs: number }>;
  /** Capability LOCAL_FILE. @throws KEY_NOT_FOUND */
  locateFile?(
    what: { readonly key: string } | { readonly nonce: string },
    call: CallContext,
  ): Promise<{ readonly path: string; readonly sizeBytes: number; readonly etag: string }>;
}

export interface UploadFacts {
  readonly uploadId: string;
  readonly persistedBytes: number;
  /** Since it last grew or was opened, by the driver's clock. */
  readonly idleMs: number;
}

/**
 * One opened upload. The host calls one function at a time, none after `close` or a resolved `commit`, and after an error
 * only `close` (KEY_EXISTS, ETAG_MISMATCH and TOO_LATE of `commit` leave it usable).
 */
export interface Upload {
  /** Bytes that survive this process. Never falls. After `open`: where writing begins. */
  readonly persistedBytes: number;
  /** Appends at the end of what was written. The buffer may be kept. */
  write(data: Uint8Array): Promise<void>;
  /** Resolves once persistedBytes is all that was written. */
  flush(): Promise<void>;
  /** The upload's bytes from 0 up to what was written: asked once, for hashing, after an upload was taken over. */
  read(call: CallContext): AsyncIterable<Uint8Array>;
  /**
   * "sha256:<hex>" of what was written, where the driver hashes by itself: then the host does not, and `read` is never
   * called. @throws INVALID_FIELD where it cannot in this algorithm
   */
  digest?(algorithm: Algorithm, call: CallContext): Promise<string>;
  /**
   * Makes the bytes visible under key, durably, and ends the upload. Size and digest are checked by the host already.
   * `keep`: the host has found this very content under key; end the upload without overwriting, and answer the key's
   * info. The condition is then the etag seen: when the key has another one now, ETAG_MISMATCH.
   * @throws KEY_EXISTS, ETAG_MISMATCH: nothing changed and the upload is as it was
   */
  commit(
    target: { readonly key: string; readonly condition?: Condition; readonly digest: string; readonly keep: boolean },
    call: CallContext,
  ): Promise<BlobInfo>;
  /**
   * Instead of `read` and `commit`, where what lies behind the driver verifies an upload itself, as another driver does:
   * the host then hashes nothing, and everything that [blob.append.12] to [blob.append.15] ask is this function's.
   * After any error only `close` follows.
   * @throws SIZE_MISMATCH, DIGEST_MISMATCH, KEY_EXISTS: nothing is visible and the upload stays
   */
  commitVerified?(
    target: VerifiedCommit,
    call: CallContext,
  ): Promise<{ readonly info: BlobInfo; readonly digest: string }>;
  /** Aborts, with UPLOAD_FENCED, when another process has taken the upload over; it need not be told at once. */
  readonly lost?: AbortSignal;
  /** Frees what it holds; the upload stays. What was written but not flushed may be lost. */
  close(): Promise<void>;
}

export interface VerifiedCommit {
  readonly key: string;
  /** What was written in all. */
  readonly sizeBytes: number;
  /** Absent: compute one by `algorithm`. */
  readonly digest?: string;
  readonly algorithm: Algorithm;
  readonly ifAbsent: boolean;
}

export interface MetaItem {
  readonly key: string;
  readonly value: Uint8Array;
  readonly etag: string;
}

export type MetaCondition = { readonly ifAbsent: true } | { readonly ifPresent: true } | { readonly ifEtag: string };

export type MetaOperation =
  | { readonly kind: "put"; readonly key: string; readonly value: Uint8Array; readonly condition?: MetaCondition }
  | { readonly kind: "delete"; readonly key: string; readonly condition?: MetaCondition }
  | { readonly kind: "check"; readonly key: string; readonly condition: MetaCondition };

export interface MetaDriver extends Store {
  /**
   * All as of one moment; one answer for each key in order. The host cuts the answer to 4 MiB; a driver that cannot read as
   * much at one moment may answer for the first of the keys only, at least one.
   */
  get(keys: readonly string[], call: CallContext): Promise<readonly (MetaItem | undefined)[]>;
  /** May end a page early with `more`. The host cuts it to 4 MiB. */
  list(request: PageRequest, call: CallContext): Promise<Page<MetaItem>>;
  /**
   * All or none, at one moment, durably. Answers each put's new etag, each check's etag ("" where absent), "" for deletes.
   * @throws CONDITION_FAILED with metadata index; CONFLICT; TOO_LATE
   */
  write(operations: readonly MetaOperation[], call: CallContext): Promise<readonly string[]>;
  /** A faster way than listing. */
  count?(prefix: string, call: CallContext): Promise<{ readonly count: number; readonly exact: boolean }>;
}

/** How one option of a driver is written in the configuration file (camelCase), as `--kebab-case` and `OUTRIGGER_UPPER_SNAKE`. */
export interface OptionSpec {
  /** `bytes`: "64MiB", "1048576". `duration` in ms: "500ms", "30s", "5m", "24h". */
  readonly kind: "string" | "boolean" | "integer" | "bytes" | "duration";
  /** One sentence, for --help and the driver's README. */
  readonly doc: string;
  /** In the value's own unit: bytes, ms. */
  readonly default?: string | number | boolean;
  readonly required?: boolean;
  /** Never logged nor shown. */
  readonly secret?: boolean;
  readonly choices?: readonly string[];
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

interface OptionTypes {
  string: string;
  boolean: boolean;
  integer: number;
  bytes: number;
  duration: number;
}

/** What the host read for `Specs`: an option without default that is not required may be undefined. */
export type OptionValues<Specs extends OptionSpecs> = {
  readonly [Name in keyof Specs]:
    | OptionTypes[Specs[Name]["kind"]]
    | (Specs[Name] extends { readonly required: true }
        ? never
        : Specs[Name] extends { readonly default: string | number | boolean }
          ? never
          : undefined);
};

/** What the host gives a driver that starts. */
export interface OpenContext {
  readonly log: Logger;
  readonly clock: Clock;
  /** --read-only: the host refuses mutations already; a driver may open its backend for reading only. */
  readonly readOnly: boolean;
  /** How long to wait for a lock that another process holds; 0: fail at once. */
  readonly lockWaitMs: number;
  /** Aborts when the process is told to stop while it starts. */
  readonly signal: AbortSignal;
}

/**
 * A driver as a program: `drivers/<name>/index.ts` exports one as `driverModule`, made with `defineDriver`. The host
 * gives it its process: flags, environment, configuration file, address, TLS, logs, metrics, drain.
 */
export interface DriverModule<Specs extends OptionSpecs = OptionSpecs> {
  /** "filesystem": what `outrigger driver <name>` starts. */
  readonly name: string;
  /** One line for --help. */
  readonly summary: string;
  readonly options: Specs;
  /** --init: writes the store ids where they are absent, then the process exits with 0. */
  init(options: OptionValues<Specs>, context: OpenContext): Promise<void>;
  /** @throws NOT_INITIALISED on an empty backend; any error's message is the one sentence the process ends with */
  open(options: OptionValues<Specs>, context: OpenContext): Promise<Driver>;
}

/** Keeps the options' types together with the functions that take them. */
export function defineDriver<const Specs extends OptionSpecs>(module: DriverModule<Specs>): DriverModule<Specs> {
  return module;
}
