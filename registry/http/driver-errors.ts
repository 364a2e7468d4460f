/** What a client is told when a driver fails: the column "the core does" of protocol.md, section 10, as a table. */
import type { OutriggerError, Reason } from "../../proto/errors.ts";
import { type OciCode, RegistryError } from "../errors.ts";

interface DriverErrorRow {
  readonly code: OciCode;
  readonly status: number;
  /** Present: the same request may succeed after so long. */
  readonly retryAfterSeconds?: number;
  /** `error` is for what someone must look at. */
  readonly log: "debug" | "warn" | "error";
}

const AWAY = { code: "UNAVAILABLE", status: 503, retryAfterSeconds: 2, log: "warn" } as const;
const REFUSED = { code: "UNAVAILABLE", status: 503, retryAfterSeconds: 30, log: "error" } as const;
const FAULT = { code: "UNKNOWN", status: 500, log: "error" } as const;

export const driverErrors: Readonly<Record<Reason, DriverErrorRow>> = {
  KEY_NOT_FOUND: { code: "BLOB_UNKNOWN", status: 404, log: "debug" },
  UPLOAD_NOT_FOUND: { code: "BLOB_UPLOAD_UNKNOWN", status: 404, log: "debug" },
  // The core checks keys and fields before it sends them: what a driver still refuses is our fault.
  INVALID_KEY: FAULT,
  INVALID_FIELD: FAULT,
  OFFSET_REQUIRED: FAULT,
  KEY_CONFLICT: FAULT,
  OFFSET_MISMATCH: { code: "RANGE_INVALID", status: 416, log: "debug" },
  UPLOAD_FENCED: { code: "BLOB_UPLOAD_INVALID", status: 409, log: "warn" },
  UPLOAD_BUSY: { code: "BLOB_UPLOAD_INVALID", status: 409, retryAfterSeconds: 2, log: "debug" },
  KEY_EXISTS: { code: "UNAVAILABLE", status: 409, retryAfterSeconds: 1, log: "debug" },
  ETAG_MISMATCH: { code: "UNAVAILABLE", status: 503, retryAfterSeconds: 1, log: "warn" },
  CONDITION_FAILED: { code: "UNAVAILABLE", status: 503, retryAfterSeconds: 1, log: "warn" },
  CONFLICT: { code: "UNAVAILABLE", status: 503, retryAfterSeconds: 1, log: "warn" },
  DIGEST_MISMATCH: { code: "DIGEST_INVALID", status: 400, log: "debug" },
  SIZE_MISMATCH: { code: "SIZE_INVALID", status: 400, log: "debug" },
  WRONG_STORE: REFUSED,
  READ_ONLY: REFUSED,
  NOT_INITIALISED: REFUSED,
  NOT_ALLOWED: REFUSED,
  TOO_LATE: AWAY,
  STREAM_IDLE: AWAY,
  STORED_CORRUPT: { code: "UNKNOWN", status: 500, log: "error" },
  QUOTA: { code: "UNAVAILABLE", status: 507, retryAfterSeconds: 60, log: "error" },
  THROTTLED: { code: "TOOMANYREQUESTS", status: 429, retryAfterSeconds: 5, log: "warn" },
  DRIVER_STARTING: AWAY,
  DRAINING: AWAY,
  BACKEND_DOWN: AWAY,
  CAPABILITY_MISSING: { code: "UNSUPPORTED", status: 501, log: "error" },
  INTERNAL: FAULT,
  UNREACHABLE: AWAY,
  TIMED_OUT: AWAY,
  BREAKER_OPEN: AWAY,
  NOT_A_DRIVER: REFUSED,
  VERSION_UNSUPPORTED: REFUSED,
  CLOCK_SKEW: REFUSED,
  STREAM_BROKEN: AWAY,
  PROTOCOL_VIOLATION: FAULT,
  UPLOAD_LOST: { code: "BLOB_UPLOAD_UNKNOWN", status: 404, log: "error" },
  RESUME_EXHAUSTED: { code: "UNAVAILABLE", status: 503, retryAfterSeconds: 5, log: "warn" },
};

/** The client's answer. Messages about the store's inside stay in the log; the reason goes out, so that both can be joined. */
export function fromDriver(error: OutriggerError): RegistryError {
  const row = driverErrors[error.reason];
  const retryAfterSeconds =
    row.retryAfterSeconds === undefined
      ? undefined
      : error.retryAfterMs === undefined
        ? row.retryAfterSeconds
        : Math.max(1, Math.ceil(error.retryAfterMs / 1000));
  return new RegistryError(row.code, messages[error.reason] ?? "the storage did not do what was asked", {
    status: row.status,
    detail: { reason: error.reason },
    cause: error,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
}

/** Where the OCI code alone would not tell a person what to do. */
const messages: Partial<Record<Reason, string>> = {
  KEY_NOT_FOUND: "the storage has no such content",
  UPLOAD_NOT_FOUND: "the upload is unknown: finished, cancelled or expired",
  OFFSET_MISMATCH: "the storage is at another place of this upload",
  UPLOAD_FENCED: "another request has taken this upload over",
  UPLOAD_BUSY: "another request is using this upload",
  DIGEST_MISMATCH: "the bytes do not have this digest",
  SIZE_MISMATCH: "the upload does not have this size",
  WRONG_STORE: "the storage behind this registry was exchanged; its operator has to look",
  READ_ONLY: "the storage is sealed against changes",
  NOT_INITIALISED: "the storage is empty and was not initialised; its operator has to look",
  STORED_CORRUPT: "the stored bytes are damaged; the registry's operator has to restore them",
  QUOTA: "the storage is full",
  THROTTLED: "the storage asks for a slower pace",
  UPLOAD_LOST: "the storage lost this upload: begin a new one",
  UNREACHABLE: "the storage does not answer; try again later",
  BREAKER_OPEN: "the storage does not answer; try again later",
  TIMED_OUT: "the storage did not answer in time; try again later",
  DRIVER_STARTING: "the storage is starting; try again later",
  DRAINING: "the storage is restarting; try again later",
  BACKEND_DOWN: "the storage is down; try again later",
  RESUME_EXHAUSTED: "the storage stayed away; the upload can go on later where its status says",
  CONFLICT: "others are changing the same; try again",
};
