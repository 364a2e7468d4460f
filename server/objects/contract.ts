/**
 * What a driver over an object store (S3, Azure, GCS and their like) writes: single requests to its backend. Everything
 * that makes a blob store of it lies in this folder: uploads that any replica can go on with, fences, the short tail,
 * digests that survive a restart, commits that another process can finish, expiry, hidden private objects.
 *
 * No function repeats a request whose outcome it does not know, unless repeating is harmless; a conditional request whose
 * answer was lost is told as BACKEND_DOWN and looked at again by the caller. Names are ASCII; errors are OutriggerError:
 * BACKEND_DOWN, THROTTLED (with retryAfterMs), QUOTA, and what is named at each function.
 */
import type { Page, PageRequest } from "../contract.ts";

/** As the backend tells it with a head, a listing, or the answer to a write: the same etag by all three. */
export interface ObjectFacts {
  readonly name: string;
  readonly sizeBytes: number;
  /** Opaque, ≤ 128 ASCII characters; never the same for two contents of a name. */
  readonly etag: string;
  /** Unix ms by the backend's clock. */
  readonly modifiedMs: number;
  /** "sha256:<hex>" kept with the object, where the backend tells it without another request. */
  readonly digests: readonly string[];
}

export interface ObjectBytes {
  readonly facts: ObjectFacts;
  readonly startBytes: number;
  readonly lengthBytes: number;
  /** Exactly lengthBytes in pieces of at most 1 MiB, or it throws. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the transfer when body is not iterated to its end. */
  cancel(): Promise<void>;
}

export type ObjectCondition = { readonly ifAbsent: true } | { readonly ifEtag: string };

/** How one request is made. */
export interface RequestHow {
  readonly signal: AbortSignal;
  /** Called right before each request that changes something is sent, repetitions too. @throws TOO_LATE */
  readonly assertInTime: () => void;
}

export interface ObjectStore {
  /** For messages: "bucket pictures at http://…". */
  readonly place: string;
  /** Rejects, in a sentence that names the setting, while the backend is not usable. */
  check(signal: AbortSignal): Promise<void>;
  head(name: string, signal: AbortSignal): Promise<ObjectFacts | undefined>;
  /** @throws KEY_NOT_FOUND, ETAG_MISMATCH, OFFSET_MISMATCH (offset = size is an empty range) */
  read(
    name: string,
    range: { readonly offsetBytes: number; readonly limitBytes?: number; readonly ifEtag?: string },
    signal: AbortSignal,
  ): Promise<ObjectBytes>;
  /**
   * Whole or not at all.
   * @throws KEY_EXISTS, ETAG_MISMATCH where the condition does not hold
   */
  put(
    name: string,
    data: Uint8Array,
    options: { readonly condition?: ObjectCondition; readonly digest?: string },
    how: RequestHow,
  ): Promise<ObjectFacts>;
  /** An absent one is fine. @throws ETAG_MISMATCH where a condition is given and does not hold */
  delete(name: string, condition: ObjectCondition | undefined, how: RequestHow): Promise<void>;
  /** Strictly ascending bytewise, across everything that is there. */
  list(request: PageRequest, signal: AbortSignal): Promise<Page<ObjectFacts>>;
  /**
   * At the backend, of any size, without the bytes passing through here; readers of the destination see one change, and
   * nothing of a copy that is still under way.
   * @throws KEY_NOT_FOUND; ETAG_MISMATCH when the source has another etag or the condition (on the destination) does not
   * hold; KEY_EXISTS
   */
  copy(
    source: Pick<ObjectFacts, "name" | "etag" | "sizeBytes">,
    destination: string,
    options: { readonly condition?: ObjectCondition; readonly digest?: string },
    how: RequestHow,
  ): Promise<ObjectFacts>;
  /** SIGN_URL, where the backend has it. */
  signUrl?(name: string, ttlMs: number): Promise<{ readonly url: string; readonly expiresMs: number }>;
  readonly parts: PartStore;
  close(): Promise<void>;
}

/** One part as the backend holds it. */
export interface PartFacts {
  /** From 1; ascending with the offset, but not every number is used. */
  readonly number: number;
  readonly sizeBytes: number;
  /** What `complete` must name to mean just this content; "" where the number alone does. */
  readonly etag: string;
}

/**
 * Bytes that are put together from parts: S3's multipart upload, Azure's blocks, GCS's composition. All parts but the last
 * have one size, fixed when the upload is opened. A number is given to one stream only, ever (the upload's state object
 * says to which), so that a part which arrives late from a stream that lost the upload is never one that counts.
 */
export interface PartStore {
  readonly limits: {
    /** Of every part but the last; 1 where there is no least size. */
    readonly leastPartBytes: number;
    readonly mostParts: number;
  };
  /**
   * Whether parts that were begun under the final key can be completed there: then nothing is copied. Otherwise `complete`
   * puts the bytes together under `staged` and the caller copies.
   */
  readonly direct: boolean;
  /**
   * @param name where `complete` will put the bytes: the final key (only where `direct`), or a private name
   * @returns what any replica needs to go on, a short ASCII string
   */
  begin(name: string, how: RequestHow): Promise<string>;
  /** Lasting once it resolves. Repeating it with the same bytes is harmless. */
  put(name: string, ref: string, number: number, data: readonly Uint8Array[], how: RequestHow): Promise<PartFacts>;
  /** Ascending by number. Empty where ref is unknown, and once `complete` has taken effect. */
  list(name: string, ref: string, signal: AbortSignal): Promise<readonly PartFacts[]>;
  /**
   * Makes one object of the parts, in order, under the name of `begin`. When an earlier attempt has done it already (its
   * answer was lost, or its process died), @throws UPLOAD_NOT_FOUND, and the caller looks what the name holds.
   * @throws KEY_EXISTS, ETAG_MISMATCH where the condition does not hold: the parts are as they were
   */
  complete(
    name: string,
    ref: string,
    parts: readonly PartFacts[],
    options: { readonly condition?: ObjectCondition },
    how: RequestHow,
  ): Promise<ObjectFacts>;
  /**
   * Leaves no bytes; an unknown one is fine. Under a private name one assembly is begun and no more: this, like `complete`,
   * may take away whatever else waits there.
   */
  abandon(name: string, ref: string, how: RequestHow): Promise<void>;
  /** What was begun under names with this prefix and neither completed nor abandoned: for expiry. */
  begun(
    prefix: string,
    signal: AbortSignal,
  ): AsyncIterable<{ readonly name: string; readonly ref: string; readonly begunMs: number }>;
}
