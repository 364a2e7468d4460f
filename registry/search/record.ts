/**
 * What the index keeps of one revision (docs/reference/layout.md): all that search and listings tell of an image, so that
 * no request reads manifests or configs to answer.
 */

export interface RecordBlob {
  readonly digest: string;
  readonly sizeBytes: number;
}

/** An entry of an index; platform fields as the index states them. */
export interface RecordChild extends RecordBlob {
  readonly mediaType: string;
  readonly os?: string;
  readonly arch?: string;
  readonly variant?: string;
}

export interface RecordHistory {
  /** As written there: RFC 3339, if its author kept to it. */
  readonly created?: string;
  readonly createdBy?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly emptyLayer?: boolean;
}

/** What an image's config blob says. */
export interface RecordConfig {
  readonly os: string;
  readonly arch: string;
  readonly variant?: string;
  readonly osVersion?: string;
  readonly created?: string;
  readonly author?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly history?: readonly RecordHistory[];
}

/** All but pushedMs and pushedBy follows from the bytes under the digest and those of its config. */
export interface ImageRecord {
  readonly mediaType: string;
  /** Of the manifest's own bytes. */
  readonly sizeBytes: number;
  readonly artifactType?: string;
  /** A digest. */
  readonly subject?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly config?: RecordBlob & { readonly mediaType: string };
  /** In the manifest's order, those of schema 1 in its order too (newest first, sizes 0: it states none). */
  readonly layers: readonly RecordBlob[];
  /** Of an index. */
  readonly manifests?: readonly RecordChild[];
  /** Absent: not an image's config, or one that could not be read. */
  readonly image?: RecordConfig;
  /** Too large for a value: history, labels, annotations, layers were left out, in this order, as many as it took. */
  readonly cut?: true;
  /** Unix ms; absent after a rebuild that could not know it. */
  readonly pushedMs?: number;
  readonly pushedBy?: string;
}
