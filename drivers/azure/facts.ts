/** How Azure tells of a blob, and of what a write waits for, in the words of server/objects. */
import type { BlobRequestConditions, BlobType, CopyStatusType, Metadata } from "@azure/storage-blob";
import { OutriggerError } from "../../proto/errors.ts";
import type { ObjectCondition, ObjectFacts } from "../../server/objects/contract.ts";

/** Of a blob's metadata; a name without separators survives every proxy. */
const DIGEST = "outriggerdigest";

/** Called with each blob that is met. */
export type Meet = (name: string, blobType: BlobType | undefined) => void;

export interface Told {
  readonly etag?: string | undefined;
  readonly lastModified?: Date | undefined;
  readonly metadata?: Metadata | undefined;
}

export function factsOf(name: string, sizeBytes: number, { etag, lastModified, metadata }: Told): ObjectFacts {
  if (etag === undefined) throw new OutriggerError("BACKEND_DOWN", `the account tells no etag of ${name}`);
  const digest = metadata?.[DIGEST];
  return {
    name,
    sizeBytes,
    // Quoted in headers, bare in listings.
    etag: etag.replace(/^"|"$/g, ""),
    modifiedMs: lastModified?.getTime() ?? 0,
    digests: digest === undefined ? [] : [digest],
  };
}

export function metadataOf(digest: string | undefined): Metadata {
  return digest === undefined ? {} : { [DIGEST]: digest };
}

export function conditionsOf(condition: ObjectCondition | undefined): BlobRequestConditions {
  if (condition === undefined) return {};
  return "ifAbsent" in condition ? { ifNoneMatch: "*" } : { ifMatch: quoted(condition.ifEtag) };
}

export function quoted(etag: string): string {
  return `"${etag}"`;
}

/**
 * A copy that the account makes in its own time (this driver asks for none, others do) is no blob before it is whole: until
 * then it has its length, and bytes that are not those.
 */
export function isWhole(copyStatus: CopyStatusType | undefined): boolean {
  return copyStatus === undefined || copyStatus === "success";
}

export function conditionLost(name: string, condition: ObjectCondition | undefined): OutriggerError {
  return condition !== undefined && "ifAbsent" in condition
    ? new OutriggerError("KEY_EXISTS", `${name} is there already`)
    : etagMismatch(name);
}

export function etagMismatch(name: string): OutriggerError {
  return new OutriggerError("ETAG_MISMATCH", `${name} is not what it was`);
}

export function keyNotFound(name: string): OutriggerError {
  return new OutriggerError("KEY_NOT_FOUND", `there is no ${name}`);
}
