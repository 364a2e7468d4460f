/** Which failures are of one thing alone, so that the rest goes on, and which end the work. */
import { hasReason, OutriggerError, type Reason } from "../proto/errors.ts";
import { RegistryError } from "../registry/errors.ts";

/** Nothing that is done to another blob or link is any better or worse for these. */
const ofOneThing: readonly Reason[] = [
  "STORED_CORRUPT",
  "DIGEST_MISMATCH",
  "SIZE_MISMATCH",
  "INVALID_KEY",
  "INVALID_FIELD",
  "KEY_CONFLICT",
  "UPLOAD_FENCED",
  "UPLOAD_LOST",
  "OFFSET_MISMATCH",
  "ETAG_MISMATCH",
  "KEY_EXISTS",
  "CONDITION_FAILED",
  "CONFLICT",
  "PROTOCOL_VIOLATION",
  "INTERNAL",
];

export function isOfOneThing(error: unknown): error is Error {
  if (error instanceof OutriggerError) return hasReason(error, ...ofOneThing);
  // Too many changes to one repository at once.
  return error instanceof RegistryError && hasReason(error.cause, "CONDITION_FAILED", "CONFLICT");
}

/** What was asked for cannot be meant. Its message is a whole sentence without a final stop. */
export class CopyRefused extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CopyRefused";
  }
}

/** The target has no room. What was copied stays, and is not copied again. */
export class TargetFull extends Error {
  constructor(cause: Error) {
    super(`the target is full (${cause.message}): make room there and run this again, it goes on where it stopped`, {
      cause,
    });
    this.name = "TargetFull";
  }
}

/** What ends the work, as the sentence that its user gets. */
export function ending(error: unknown): unknown {
  return hasReason(error, "QUOTA") ? new TargetFull(error) : error;
}
