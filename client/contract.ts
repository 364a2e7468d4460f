/**
 * What a registry core sees of a driver: two stores, with retries, resume, deadlines and the breaker behind them.
 * Everything rejects with OutriggerError.
 */
import type { Reason } from "../proto/errors.ts";
import type { Algorithm } from "../proto/keys.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** The core's id for the work, logged on both sides. */
  readonly requestId?: string;
  /** Refuse the effect past this time (unix ms). Default: the call's own deadline. */
  readonly notAfterMs?: number;
}

export interface StoreLimits {
  readonly persistStepBytes: number;
  readonly uploadTtlMs: number;
  /** Infinity: not limited. */
  readonly maxBlobBytes: number;
  readonly listLagMs: number;
  readonly maxValueBytes: number;
}

/** What both kinds of store tell of themselves, as of the last Describe. */
export interface StoreFacts {
  readonly id: string;
  readonly capabilities: ReadonlySet<string>;
  readonly limits: StoreLimits;
  readonly outside: number;
  /** Reverse DNS name and release of the driver. */
  readonly driver: string;
  readonly driverVersion: string;
  readonly address: string;
}

export interface BlobInfo {
  readonly key: string;
  readonly sizeBytes: number;
  readonly etag: string;
  readonly modifiedMs: number;
  readonly digests: readonly string[];
}

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly more: boolean;
}

export interface PageRequest {
  readonly prefix: string;
  /** Exclusive; default "": from the beginning. */
  readonly startAfter?: string;
  /** 1 to 1000; default 1000. */
  readonly limit?: number;
}

export interface BlobRead {
  readonly info: BlobInfo;
  readonly startBytes: number;
  readonly lengthBytes: number;
  /**
   * Exactly lengthBytes or an error. A stream that breaks is continued at the next byte on whichever driver process
   * answers, with the same etag.
   */
  readonly body: AsyncIterable<Buffer>;
  /**
   * LOCAL_FILE: an open descriptor of the same bytes, for sendfile-like reading, when the store allows it. The reader
   * closes it; using it excludes using body.
   */
  readonly file?: { readonly fd: number; close(): Promise<void> };
  /** Frees what it holds when body is not iterated to its end. */
  cancel(): Promise<void>;
}

export type Condition = { readonly ifAbsent: true } | { readonly ifEtag: string };

export interface AppendRequest {
  readonly uploadId: string;
  /** Make the upload if unknown: only while nothing was acknowledged for it. */
  readonly create: boolean;
  readonly algorithm: Algorithm;
  /** Where the body's first byte belongs. @throws OFFSET_MISMATCH when the driver holds less; bytes it has are skipped. */
  readonly offsetBytes: number;
  /** Read with backpressure: not before there is room in the budget of all uploads. Consumed once. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Hints, where known. */
  readonly key?: string;
  readonly sizeBytes?: number;
  /** After the body's end, make the blob visible. Absent: everything is persisted and the upload stays open. */
  readonly commit?: {
    readonly key: string;
    readonly digest?: string;
    readonly sizeBytes?: number;
    readonly ifAbsent?: boolean;
  };
}

export interface AppendResult {
  /** Bytes that the upload holds and that survive the driver. */
  readonly persistedBytes: number;
  /** With commit. */
  readonly committed?: { readonly info: BlobInfo; readonly digest: string };
}

export interface UploadInfo {
  readonly uploadId: string;
  readonly persistedBytes: number;
  readonly idleMs: number;
}

export interface BlobStore {
  readonly facts: StoreFacts;
  /** One answer for each key, in order; any number of keys (asked in batches). */
  stat(keys: readonly string[], options?: CallOptions): Promise<(BlobInfo | undefined)[]>;
  /** @throws KEY_NOT_FOUND, ETAG_MISMATCH, OFFSET_MISMATCH beyond the end */
  read(
    key: string,
    range?: { offsetBytes?: number; limitBytes?: number; ifEtag?: string },
    options?: CallOptions,
  ): Promise<BlobRead>;
  /**
   * At most 1 MiB. `once`: a single attempt, whose failure is the caller's to find out.
   * @throws KEY_EXISTS, ETAG_MISMATCH, DIGEST_MISMATCH
   */
  put(
    key: string,
    data: Uint8Array,
    how?: { digest?: string; condition?: Condition; once?: boolean },
    options?: CallOptions,
  ): Promise<BlobInfo>;
  /**
   * One Append: survives the driver's death within the resume budget.
   * @throws UPLOAD_NOT_FOUND, OFFSET_MISMATCH (metadata persisted), UPLOAD_FENCED, DIGEST_MISMATCH, SIZE_MISMATCH,
   * KEY_EXISTS, UPLOAD_LOST, RESUME_EXHAUSTED; an error of body itself is rethrown as it is, after what was received is
   * persisted as far as possible
   */
  append(request: AppendRequest, options?: CallOptions): Promise<AppendResult>;
  /** `undefined`: unknown. */
  getUpload(uploadId: string, options?: CallOptions): Promise<UploadInfo | undefined>;
  listUploads(request: { startAfter?: string; limit?: number }, options?: CallOptions): Promise<Page<UploadInfo>>;
  abortUpload(uploadId: string, how?: { ifIdleMs?: number }, options?: CallOptions): Promise<void>;
  move(source: string, destination: string, options?: CallOptions): Promise<BlobInfo>;
  /** Any number of keys. Rejects with the first failure after all were tried. */
  delete(keys: readonly string[], options?: CallOptions): Promise<void>;
  list(request: PageRequest, options?: CallOptions): Promise<Page<BlobInfo>>;
  count(prefix: string, options?: CallOptions): Promise<{ count: number; exact: boolean }>;
  /** `undefined`: the store has no SIGN_URL. */
  signUrl(key: string, ttlMs: number, options?: CallOptions): Promise<{ url: string; expiresMs: number } | undefined>;
}

export interface MetaItem {
  readonly key: string;
  readonly value: Buffer;
  readonly etag: string;
}

export type MetaCondition = { readonly ifAbsent: true } | { readonly ifPresent: true } | { readonly ifEtag: string };

export type MetaOperation =
  | { readonly kind: "put"; readonly key: string; readonly value: Uint8Array; readonly condition?: MetaCondition }
  | { readonly kind: "delete"; readonly key: string; readonly condition?: MetaCondition }
  | { readonly kind: "check"; readonly key: string; readonly condition: MetaCondition };

export interface MetaStore {
  readonly facts: StoreFacts;
  /** One answer for each key, in order. Up to 100 keys are one consistent read. More is a mistake: INVALID_FIELD. */
  get(keys: readonly string[], options?: CallOptions): Promise<(MetaItem | undefined)[]>;
  list(request: PageRequest, options?: CallOptions): Promise<Page<MetaItem>>;
  count(prefix: string, options?: CallOptions): Promise<{ count: number; exact: boolean }>;
  /**
   * All or none. Where the answer to a conditional Write is lost, it is found out (own values are read back) before this
   * settles; an unconditional put is never repeated.
   * @returns etags, one for each operation
   * @throws CONDITION_FAILED (metadata index), CONFLICT after retries, TOO_LATE. The fault that lost the answer, with
   * metadata `outcome: unsettled`: it has had no effect so far, and somebody else's change forbids to send it once more
   */
  write(operations: readonly MetaOperation[], options?: CallOptions): Promise<string[]>;
}

/** Where a store stands now, for /readyz. */
export interface StoreHealth {
  readonly kind: "blob" | "meta";
  /** Present: the blob store beside the pair. */
  readonly beside?: true;
  /** These three are present once it was described. */
  readonly id?: string;
  readonly driver?: string;
  readonly driverVersion?: string;
  readonly address: string;
  readonly ready: boolean;
  /** Why not, in one sentence. */
  readonly problem?: string;
  readonly reason?: Reason;
}

/**
 * A store behind an address that may be exchanged while requests go on. `blobs` and `meta` always speak to the current
 * driver; calls under way end on the driver they began on.
 */
export interface Stores {
  readonly blobs: BlobStore;
  readonly meta: MetaStore;
  /** Another blob store, which is not of the pair: where blobs are being moved to. */
  readonly beside: BlobStore | undefined;
  /** Id of the blob store on which a new upload begins. */
  readonly uploadStoreId: string;
  /**
   * The blob store an upload began on: the current one, the one beside it, or one that was switched away from and still
   * answers. `undefined`: no store of that id is known.
   */
  blobsById(storeId: string): BlobStore | undefined;
  /** Whether what is committed in that store is found by `blobs`. */
  endsHere(storeId: string): boolean;
  health(): StoreHealth[];
  /**
   * Resolves once all stores are described and accepted; rejects when one is refused (not when nobody listens yet). Asked
   * again after that, it rejects with why one still is, or else waits anew.
   */
  ready(): Promise<void>;
  /**
   * Connects to the new address, checks it fully (versions, capabilities, clock, store id, pair) and only then uses it.
   * A failed check rejects and leaves the old one in use.
   */
  switchTo(kind: "blob" | "meta", target: StoreTarget): Promise<void>;
  /**
   * Exchanges both in one step, so that no call sees one store of the old pair and one of the new. Checked like switchTo,
   * but each against the other new one: a meta store whose record names an accepted blob store is accepted with it.
   */
  switchBoth(blobs: StoreTarget, meta: StoreTarget): Promise<void>;
  /** Any of them in one step, checked likewise. Blobs that are the store beside until now need no acceptStoreId. */
  exchange(targets: ExchangeTargets, how?: ExchangeSteps): Promise<void>;
  /** Called after the store's `outside` or id was seen to differ from what it was. */
  onChanged(
    listener: (change: { kind: "blob" | "meta"; facts: StoreFacts; outsideGrew: boolean; otherStore: boolean }) => void,
  ): void;
  close(): Promise<void>;
}

/** How a store is reached and what is expected of it. */
export interface StoreTarget {
  /** unix:///path, host:port, dns:///name:port */
  readonly address: string;
  /** TLS beyond loopback; PEM file paths, reread when they change. Absent: plain text. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly serverName?: string };
  /** Pinned store id: another one is refused. */
  readonly id?: string;
  /** Accept this id although the store had another one before. */
  readonly acceptStoreId?: string;
  /** Refuse a driver that lacks one of these. */
  readonly requiredCapabilities?: readonly string[];
  /** LOCAL_FILE: where the store's root lies for this process. Absent: not used. */
  readonly localRoot?: string;
}

export interface ExchangeSteps {
  /** After all other checks; changes nothing. Rejects: nothing is exchanged, nothing was written. */
  check?(next: ExchangedStores): Promise<void>;
  /** Writes what has to be known before the step. Rejects: nothing is exchanged. */
  record?(next: ExchangedStores): Promise<void>;
  /** Within the step itself, before any other call. */
  commit?(): void;
}

/** Ids and meta store as they would be. */
export interface ExchangedStores {
  readonly blobs: string;
  readonly beside: string | undefined;
  readonly meta: MetaStore;
}

/** What is absent stays as it is. */
export interface ExchangeTargets {
  readonly blobs?: StoreTarget;
  readonly meta?: StoreTarget;
  /** "none": nothing is beside the pair from then on. */
  readonly beside?: StoreTarget | "none";
}

export interface ConnectOptions {
  readonly blobs: StoreTarget;
  /** Default: the blobs' address. */
  readonly meta?: StoreTarget;
  /** A blob store beside the pair. The pair may be recorded as belonging to it: where a move has ended for another core. */
  readonly beside?: StoreTarget;
  readonly coreName?: string;
  readonly coreVersion?: string;
  /** Bytes not yet persisted, of all uploads together. Default 128 MiB. */
  readonly uploadBudgetBytes?: number;
  /** How long one append waits, in all, for a driver that is away. Default 30,000. */
  readonly resumeBudgetMs?: number;
}
