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

/** Since when a tag names its manifest. */
export interface TagRecord {
  readonly digest: string;
  /** Unix ms; absent after a rebuild that could not know it. */
  readonly taggedMs?: number;
}

/** Who pushed, and when: what no rebuild can know. */
export type Pushed = Pick<ImageRecord, "pushedMs" | "pushedBy">;

/** Below the protocol's 256 KiB: fifty of them are one Write. */
const MAX_RECORD_BYTES = 64 * 1024;

/** For who pushed, and when: whether a record is cut must not depend on it. */
const PUSHED_BYTES = 2 * 1024;

export type BareRecord = Omit<ImageRecord, "pushedMs" | "pushedBy">;

/** The value of an image's key, with parts left out where it would be too large. */
export function encodeRecord(record: ImageRecord, pushed: Pushed): string {
  return JSON.stringify({ ...cutRecord(record), ...pushedOf(pushed) });
}

/** That part of it alone, without fields that are `undefined`. */
export function pushedOf({ pushedMs, pushedBy }: Pushed): Pushed {
  return { ...(pushedMs === undefined ? {} : { pushedMs }), ...(pushedBy === undefined ? {} : { pushedBy }) };
}

/** What fits of it; of a record that was cut, the same again. */
export function cutRecord({ pushedMs: _, pushedBy: __, ...bare }: ImageRecord): BareRecord {
  let left: BareRecord = bare;
  for (const cut of [undefined, ...CUTS]) {
    if (cut !== undefined) left = { ...cut(left), cut: true };
    if (Buffer.byteLength(JSON.stringify(left)) <= MAX_RECORD_BYTES - PUSHED_BYTES) return left;
  }
  return { mediaType: "", sizeBytes: bare.sizeBytes, layers: [], cut: true };
}

const CUTS: readonly ((record: BareRecord) => BareRecord)[] = [
  ({ image, ...rest }) => (image === undefined ? rest : { ...rest, image: without(image, "history") }),
  ({ image, ...rest }) => (image === undefined ? rest : { ...rest, image: without(image, "labels") }),
  (record) => without(record, "annotations"),
  (record) => ({ ...record, layers: [] }),
  // Hardly anybody writes what gets here.
  (record) => without(record, "image"),
  (record) => without(record, "manifests"),
];

function without<Of extends object, Field extends keyof Of>(of: Of, field: Field): Omit<Of, Field> {
  const { [field]: _, ...rest } = of;
  return rest;
}

/** `undefined`: not a record. */
export function decodeRecord(value: Buffer): ImageRecord | undefined {
  const record = decoded(value) as ImageRecord | undefined;
  const isOne = typeof record?.mediaType === "string" && typeof record.sizeBytes === "number";
  return isOne && Array.isArray(record.layers) ? record : undefined;
}

export function encodeTagRecord(record: TagRecord): string {
  return JSON.stringify(record);
}

/** `undefined`: not a record. */
export function decodeTagRecord(value: Buffer): TagRecord | undefined {
  const record = decoded(value) as TagRecord | undefined;
  return typeof record?.digest === "string" ? record : undefined;
}

export interface PullsRecord {
  readonly count: number;
  /** Unix ms. */
  readonly lastMs: number;
}

/** `undefined`: not a record. */
export function decodePulls(value: Buffer): PullsRecord | undefined {
  const record = decoded(value) as PullsRecord | undefined;
  return Number.isSafeInteger(record?.count) && Number.isSafeInteger(record?.lastMs) ? record : undefined;
}

function decoded(value: Buffer): unknown {
  try {
    const json: unknown = JSON.parse(value.toString("utf8"));
    return typeof json === "object" && json !== null ? json : undefined;
  } catch {
    return undefined;
  }
}
