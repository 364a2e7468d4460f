/** An object's facts as S3 tells them, and conditions as it is told them. */
import { OutriggerError } from "../../proto/errors.ts";
import { isDigest } from "../../proto/keys.ts";
import type { ObjectCondition, ObjectFacts } from "../../server/objects/contract.ts";
import type { Failure } from "./errors.ts";

/** User metadata: x-amz-meta-outrigger-digest. */
const DIGEST = "outrigger-digest";

interface Told {
  readonly ETag?: string | undefined;
  readonly LastModified?: Date | undefined;
  readonly Metadata?: Readonly<Record<string, string>> | undefined;
}

export function factsOf(name: string, sizeBytes: number, told: Told, dateMs = 0): ObjectFacts {
  const etag = told.ETag?.replaceAll('"', "") ?? "";
  if (etag === "") throw new OutriggerError("BACKEND_DOWN", `the server tells no etag of ${name}`);
  const digest = told.Metadata?.[DIGEST];
  return {
    name,
    sizeBytes,
    etag,
    modifiedMs: told.LastModified?.getTime() ?? dateMs,
    digests: digest !== undefined && isDigest(digest) ? [digest] : [],
  };
}

export function metadataOf(digest: string | undefined): Record<string, string> {
  return digest === undefined ? {} : { [DIGEST]: digest };
}

export function conditionsOf(condition: ObjectCondition | undefined): { IfMatch?: string; IfNoneMatch?: string } {
  if (condition === undefined) return {};
  return "ifAbsent" in condition ? { IfNoneMatch: "*" } : { IfMatch: quoted(condition.ifEtag) };
}

export function quoted(etag: string): string {
  return `"${etag}"`;
}

/** Of a request with this condition: 412, and 404 where something had to be there. */
export function conditionMeaning(name: string, condition: ObjectCondition | undefined) {
  return ({ code, status }: Failure): OutriggerError | undefined => {
    if (condition === undefined) return undefined;
    if (status === 412 || code === "PreconditionFailed") return conditionLost(name, condition);
    if ("ifEtag" in condition && (code === "NoSuchKey" || code === "NotFound")) return conditionLost(name, condition);
    return undefined;
  };
}

/** 409: somebody else writes the key at this moment, and this request did nothing. */
export function isConflict({ code, status }: Failure): boolean {
  return status === 409 && (code === "ConditionalRequestConflict" || code === "OperationAborted" || code === "");
}

export function conditionLost(name: string, condition: ObjectCondition | undefined): OutriggerError {
  return condition !== undefined && "ifAbsent" in condition
    ? new OutriggerError("KEY_EXISTS", `key ${name} exists already`)
    : etagMismatch(name);
}

export function etagMismatch(name: string): OutriggerError {
  return new OutriggerError("ETAG_MISMATCH", `key ${name} has another etag, or is absent`);
}

export function keyNotFound(name: string): OutriggerError {
  return new OutriggerError("KEY_NOT_FOUND", `there is no key ${name}`);
}

/** A bucket that is not there is another thing; HEAD answers carry no code. */
export function isAbsent({ code, status }: Failure): boolean {
  return status === 404 && code !== "NoSuchBucket" && code !== "NoSuchUpload";
}
