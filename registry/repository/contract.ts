/**
 * The registry's rules, apart from HTTP: what a repository holds and what may be put into or taken out of it.
 * `registry/http` turns requests into these calls and their errors (registry/errors.ts) into OCI answers.
 */
import type { BlobRead } from "../../client/contract.ts";
import type { Algorithm } from "../../proto/keys.ts";
import type { SearchSource } from "../search/contract.ts";
import type { Handover } from "./handover.ts";
import type { WriteOptions } from "./ledger.ts";

/** One request's circumstances. */
export interface RequestContext extends WriteOptions {
  readonly requestId: string;
  readonly signal: AbortSignal;
  /** Who asks; absent: nobody who logged in, or the registry itself. */
  readonly user?: string;
}

/** Sizes in bytes throughout. */
export interface BlobFound {
  readonly digest: string;
  readonly sizeBytes: number;
}

export interface ManifestFound extends BlobFound {
  /** As pushed; read from the manifest's own mediaType, else recognised by its shape. */
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** A reference of the path /manifests/<reference>. */
export type Reference = { readonly tag: string } | { readonly digest: string };

/**
 * An upload session as it travels in the Location: no store knows of it before its first byte. Signed by the secret that
 * all cores share.
 */
export interface UploadSession {
  readonly id: string;
  readonly repository: string;
  /** Id of the blob store it began on. */
  readonly storeId: string;
  readonly algorithm: Algorithm;
  /** Bytes acknowledged to the client so far; 0 also while the upload was never opened. */
  readonly offsetBytes: number;
  /** Unix ms; good for 24 h. */
  readonly startedMs: number;
}

export interface Listing {
  readonly names: readonly string[];
  /** Whether names follow the last one. */
  readonly more: boolean;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface PushedManifest {
  readonly digest: string;
  /** Tags that now name it, in the order given. */
  readonly tags: readonly string[];
  /** The subject's digest, where the manifest has one (OCI-Subject header). */
  readonly subject?: string;
}

/** Everything rejects with RegistryError (an OCI code) or OutriggerError (the driver's; http turns it into 5xx/4xx). */
export interface Repositories {
  /** What is told of repositories and images beyond the distribution API. */
  readonly search: SearchSource;
  // Pull. `undefined` is "not in this repository", whatever the store holds.
  statBlob(name: string, digest: string, context: RequestContext): Promise<BlobFound | undefined>;
  /** The range is within the blob (http has asked statBlob or checks against info); absent: all. */
  readBlob(
    name: string,
    digest: string,
    range: { readonly offsetBytes: number; readonly limitBytes?: number } | undefined,
    context: RequestContext,
  ): Promise<BlobRead | undefined>;
  statManifest(
    name: string,
    reference: Reference,
    context: RequestContext,
  ): Promise<Omit<ManifestFound, "bytes"> | undefined>;
  getManifest(name: string, reference: Reference, context: RequestContext): Promise<ManifestFound | undefined>;
  /** Bytewise ascending, names above `last`. `undefined`: no such repository. */
  listTags(
    name: string,
    page: { readonly last: string; readonly limit: number },
    context: RequestContext,
  ): Promise<Listing | undefined>;
  listRepositories(page: { readonly last: string; readonly limit: number }, context: RequestContext): Promise<Listing>;
  /** Ascending by digest, above `last`; empty for a subject that nobody refers to. */
  listReferrers(
    name: string,
    subject: string,
    page: { readonly artifactType?: string; readonly last: string; readonly limit: number },
    context: RequestContext,
  ): Promise<{ readonly manifests: readonly Descriptor[]; readonly more: boolean }>;

  // Push.
  /** Makes no call to a store. */
  startUpload(name: string, algorithm: Algorithm): UploadSession;
  /**
   * Appends the body at offsetBytes and resolves once it is persisted. @throws RANGE_INVALID when the upload is elsewhere,
   * BLOB_UPLOAD_UNKNOWN
   */
  appendUpload(
    session: UploadSession,
    body: { readonly offsetBytes: number; readonly sizeBytes?: number; readonly bytes: AsyncIterable<Uint8Array> },
    context: RequestContext,
  ): Promise<UploadSession>;
  /** Appends the (perhaps empty) rest, checks the digest, links the blob into the repository. @throws DIGEST_INVALID, … */
  finishUpload(
    session: UploadSession,
    digest: string,
    body: { readonly offsetBytes: number; readonly sizeBytes?: number; readonly bytes: AsyncIterable<Uint8Array> },
    context: RequestContext,
  ): Promise<BlobFound>;
  /** What the store holds of it. @throws BLOB_UPLOAD_UNKNOWN */
  uploadProgress(session: UploadSession, context: RequestContext): Promise<UploadSession>;
  cancelUpload(session: UploadSession, context: RequestContext): Promise<void>;
  /**
   * Links a blob that another repository has. Without `from`: any of those that `mayRead` allows.
   * `undefined`: not to be had; the client uploads it.
   */
  mountBlob(
    name: string,
    digest: string,
    source: { readonly from?: string; readonly mayRead: (repository: string) => boolean },
    context: RequestContext,
  ): Promise<BlobFound | undefined>;
  /** @throws MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN, DIGEST_INVALID, … */
  putManifest(
    name: string,
    manifest: {
      readonly bytes: Buffer;
      readonly contentType: string;
      readonly digest?: string;
      readonly tags: readonly string[];
    },
    context: RequestContext,
  ): Promise<PushedManifest>;

  // Deletes; false: was not there.
  deleteTag(name: string, tag: string, context: RequestContext): Promise<boolean>;
  deleteManifest(name: string, digest: string, context: RequestContext): Promise<boolean>;
  /** @throws DENIED (405) when a manifest there refers to it */
  deleteBlob(name: string, digest: string, context: RequestContext): Promise<boolean>;

  /** For members of a cluster that hand repositories over to each other. Absent: this one cannot. */
  readonly handover?: Handover;
}
