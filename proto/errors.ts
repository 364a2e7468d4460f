/**
 * Every error that crosses the wire: one table that yields the gRPC code, who may retry, the OCI answer and
 * `docs/reference/errors.md`.
 */
import { status as Code, Metadata } from "@grpc/grpc-js";
import { errorInfoType, retryInfoType, statusType } from "./details.ts";

/** How the caller recovers. `never`: not with these arguments; `later`: the same call may work; `resume`: reopen and go on. */
export type Recovery = "never" | "later" | "resume";

export interface ReasonRow {
  /** gRPC code that goes with the reason. */
  readonly code: Code;
  readonly recovery: Recovery;
  /** One sentence for docs/reference/errors.md. */
  readonly meaning: string;
  /** "core": never sent by a driver. */
  readonly raisedBy?: "core";
}

/** Reasons of `google.rpc.ErrorInfo` in domain "outrigger" (protocol.md section 10). */
export const reasons = {
  KEY_NOT_FOUND: { code: Code.NOT_FOUND, recovery: "never", meaning: "There is no such key." },
  UPLOAD_NOT_FOUND: {
    code: Code.NOT_FOUND,
    recovery: "never",
    meaning: "There is no such upload: never opened, committed, aborted or expired.",
  },
  INVALID_KEY: {
    code: Code.INVALID_ARGUMENT,
    recovery: "never",
    meaning: "The key is not a list of [A-Za-z0-9._-]{1,255} components joined by slashes, 1 to 1024 bytes.",
  },
  INVALID_FIELD: {
    code: Code.INVALID_ARGUMENT,
    recovery: "never",
    meaning: "A field's value is out of its range; metadata `field` names it.",
  },
  OFFSET_REQUIRED: { code: Code.INVALID_ARGUMENT, recovery: "never", meaning: "A chunk has no offset." },
  KEY_CONFLICT: {
    code: Code.FAILED_PRECONDITION,
    recovery: "never",
    meaning: "The key is a path-prefix of another one, or the other way round.",
  },
  OFFSET_MISMATCH: {
    code: Code.OUT_OF_RANGE,
    recovery: "resume",
    meaning:
      "The offset is beyond what was received, or beyond the blob's end; metadata `persisted` tells where to go on.",
  },
  UPLOAD_FENCED: { code: Code.ABORTED, recovery: "never", meaning: "A newer stream has taken this upload over." },
  UPLOAD_BUSY: {
    code: Code.FAILED_PRECONDITION,
    recovery: "later",
    meaning: "The upload was used too recently to be aborted.",
  },
  KEY_EXISTS: {
    code: Code.ALREADY_EXISTS,
    recovery: "never",
    meaning: "The key exists already and if_absent was asked.",
  },
  ETAG_MISMATCH: { code: Code.ABORTED, recovery: "never", meaning: "The key's content is another than if_etag names." },
  CONDITION_FAILED: {
    code: Code.ABORTED,
    recovery: "never",
    meaning: "A condition of a Write does not hold; metadata `index` names the operation.",
  },
  CONFLICT: {
    code: Code.ABORTED,
    recovery: "later",
    meaning: "The Write lost against another one and may win when repeated.",
  },
  DIGEST_MISMATCH: {
    code: Code.FAILED_PRECONDITION,
    recovery: "never",
    meaning: "The bytes do not have the digest they were said to have.",
  },
  SIZE_MISMATCH: {
    code: Code.FAILED_PRECONDITION,
    recovery: "never",
    meaning: "The upload does not have the size it was said to have.",
  },
  WRONG_STORE: {
    code: Code.FAILED_PRECONDITION,
    recovery: "never",
    meaning: "The driver holds another store than the one asked for.",
  },
  READ_ONLY: {
    code: Code.FAILED_PRECONDITION,
    recovery: "later",
    meaning: "The store is sealed: its driver was started with --read-only.",
  },
  NOT_INITIALISED: {
    code: Code.FAILED_PRECONDITION,
    recovery: "never",
    meaning: "The backend is empty: run the driver once with --init.",
  },
  TOO_LATE: {
    code: Code.DEADLINE_EXCEEDED,
    recovery: "later",
    meaning: "The call arrived, or would have taken effect, past its not-after time.",
  },
  STREAM_IDLE: {
    code: Code.DEADLINE_EXCEEDED,
    recovery: "resume",
    meaning: "The other side owed the stream its next message for too long.",
  },
  STORED_CORRUPT: {
    code: Code.DATA_LOSS,
    recovery: "never",
    meaning: "Stored bytes are damaged: restore them from a copy.",
  },
  QUOTA: { code: Code.RESOURCE_EXHAUSTED, recovery: "later", meaning: "The backend is full." },
  THROTTLED: { code: Code.RESOURCE_EXHAUSTED, recovery: "later", meaning: "The backend asks for a slower pace." },
  DRIVER_STARTING: { code: Code.UNAVAILABLE, recovery: "resume", meaning: "The driver is not ready yet." },
  DRAINING: { code: Code.UNAVAILABLE, recovery: "resume", meaning: "The driver is about to stop." },
  BACKEND_DOWN: { code: Code.UNAVAILABLE, recovery: "resume", meaning: "The driver cannot reach what it stores to." },
  CAPABILITY_MISSING: {
    code: Code.UNIMPLEMENTED,
    recovery: "never",
    meaning: "The driver does not have this ability.",
  },
  NOT_ALLOWED: {
    code: Code.PERMISSION_DENIED,
    recovery: "never",
    meaning: "The caller's certificate has none of the names that the driver allows.",
  },
  INTERNAL: {
    code: Code.INTERNAL,
    recovery: "never",
    meaning: "The driver met a fault of its own; its log has the cause.",
  },
  // Raised by the client, never by a driver.
  UNREACHABLE: {
    raisedBy: "core",
    code: Code.UNAVAILABLE,
    recovery: "resume",
    meaning: "The driver's address does not answer.",
  },
  TIMED_OUT: {
    raisedBy: "core",
    code: Code.DEADLINE_EXCEEDED,
    recovery: "later",
    meaning: "The driver owed an answer for too long.",
  },
  BREAKER_OPEN: {
    raisedBy: "core",
    code: Code.UNAVAILABLE,
    recovery: "later",
    meaning: "The driver timed out a moment ago; calls fail at once until its health answers.",
  },
  NOT_A_DRIVER: {
    raisedBy: "core",
    code: Code.FAILED_PRECONDITION,
    recovery: "never",
    meaning: "What answers at the address is not an Outrigger driver.",
  },
  VERSION_UNSUPPORTED: {
    raisedBy: "core",
    code: Code.FAILED_PRECONDITION,
    recovery: "never",
    meaning: "Core and driver have no protocol version in common.",
  },
  CLOCK_SKEW: {
    raisedBy: "core",
    code: Code.FAILED_PRECONDITION,
    recovery: "later",
    meaning: "The driver's clock is more than 2 s off the core's.",
  },
  STREAM_BROKEN: {
    raisedBy: "core",
    code: Code.UNAVAILABLE,
    recovery: "resume",
    meaning: "A stream ended before it was complete.",
  },
  PROTOCOL_VIOLATION: {
    raisedBy: "core",
    code: Code.INTERNAL,
    recovery: "never",
    meaning: "The driver's answer breaks a rule of the protocol: the message names it.",
  },
  UPLOAD_LOST: {
    raisedBy: "core",
    code: Code.DATA_LOSS,
    recovery: "never",
    meaning: "The driver persisted less than it said, or than can still be replayed: the upload has to begin anew.",
  },
  RESUME_EXHAUSTED: {
    raisedBy: "core",
    code: Code.UNAVAILABLE,
    recovery: "later",
    meaning: "The driver stayed away longer than the resume budget; the upload itself can go on later.",
  },
} as const satisfies Record<string, ReasonRow>;

export type Reason = keyof typeof reasons;

/** Which side of the wire failed. */
export type Side = "core" | "driver" | "transport";

export interface OutriggerErrorOptions {
  /** Small machine-readable facts: `persisted`, `index`, `field`. Values are strings on the wire. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** How long to wait before trying again. */
  readonly retryAfterMs?: number;
  readonly side?: Side;
  readonly cause?: unknown;
}

/**
 * The one error class of proto, client, server and drivers. `reason` is what programs decide by; `message` is a sentence
 * that names what was wrong and what would be right.
 */
export class OutriggerError extends Error {
  readonly reason: Reason;
  readonly code: Code;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
  readonly side: Side;

  constructor(reason: Reason, message: string, options: OutriggerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "OutriggerError";
    this.reason = reason;
    this.code = reasons[reason].code;
    this.metadata = options.metadata ?? {};
    this.retryAfterMs = options.retryAfterMs;
    this.side = options.side ?? "driver";
  }

  get recovery(): Recovery {
    return reasons[this.reason].recovery;
  }
}

/** Whether `error` is an OutriggerError with one of these reasons. */
export function hasReason(error: unknown, ...wanted: readonly Reason[]): error is OutriggerError {
  return error instanceof OutriggerError && wanted.includes(error.reason);
}

const DOMAIN = "outrigger";
const DETAILS = "grpc-status-details-bin";

/** The error as gRPC status: code, text, and trailers that carry ErrorInfo (and RetryInfo). */
export function toStatus(
  error: OutriggerError,
  trailers = new Metadata(),
): { code: Code; details: string; metadata: Metadata } {
  const details = [
    anyOf(
      "google.rpc.ErrorInfo",
      errorInfoType.encode({ reason: error.reason, domain: DOMAIN, metadata: error.metadata }).finish(),
    ),
  ];
  if (error.retryAfterMs !== undefined) {
    const seconds = Math.floor(error.retryAfterMs / 1000);
    const nanos = Math.round((error.retryAfterMs % 1000) * 1e6);
    details.push(anyOf("google.rpc.RetryInfo", retryInfoType.encode({ retryDelay: { seconds, nanos } }).finish()));
  }
  trailers.set(DETAILS, Buffer.from(statusType.encode({ code: error.code, message: error.message, details }).finish()));
  return { code: error.code, details: error.message, metadata: trailers };
}

/**
 * What a failed call says, read from its trailers. Absent details mean that the transport spoke: `undefined`.
 * An unknown reason, or one whose code differs from the table's, is a PROTOCOL_VIOLATION.
 */
export function fromStatus(
  code: Code,
  message: string,
  trailers: Metadata | undefined,
  cause?: unknown,
): OutriggerError | undefined {
  const raw = trailers?.get(DETAILS)[0];
  if (!(raw instanceof Uint8Array)) return undefined;
  let info: { reason: string; metadata: Record<string, string> } | undefined;
  let retryAfterMs: number | undefined;
  try {
    for (const detail of statusType.toObject(statusType.decode(raw), { longs: Number, arrays: true })["details"] as {
      type_url: string;
      value: Uint8Array;
    }[]) {
      if (detail.type_url.endsWith("/google.rpc.ErrorInfo")) {
        const decoded = errorInfoType.toObject(errorInfoType.decode(detail.value), { defaults: true });
        if (decoded["domain"] === DOMAIN) info = { reason: decoded["reason"], metadata: decoded["metadata"] ?? {} };
      } else if (detail.type_url.endsWith("/google.rpc.RetryInfo")) {
        const { retryDelay } = retryInfoType.toObject(retryInfoType.decode(detail.value), {
          longs: Number,
          defaults: true,
        });
        retryAfterMs = retryDelay ? retryDelay.seconds * 1000 + retryDelay.nanos / 1e6 : undefined;
      }
    }
  } catch (error) {
    return new OutriggerError("PROTOCOL_VIOLATION", `the driver's error details cannot be read: ${message}`, {
      cause: error,
    });
  }
  if (info === undefined) return undefined;
  const options = { metadata: info.metadata, cause, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  if (!Object.hasOwn(reasons, info.reason)) {
    return new OutriggerError(
      "PROTOCOL_VIOLATION",
      `the driver gives the unknown reason ${info.reason} [call.error.01]: ${message}`,
      options,
    );
  }
  const reason = info.reason as Reason;
  if (reasons[reason].code !== code) {
    return new OutriggerError(
      "PROTOCOL_VIOLATION",
      `the driver gives reason ${reason} with code ${Code[code]} instead of ${Code[reasons[reason].code]} [call.error.01]: ${message}`,
      options,
    );
  }
  return new OutriggerError(reason, message, options);
}

function anyOf(type: string, value: Uint8Array): { type_url: string; value: Uint8Array } {
  return { type_url: `type.googleapis.com/${type}`, value };
}
