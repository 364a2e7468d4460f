/** Errors of the OCI distribution API: one table, one class. */

export interface OciErrorRow {
  /** Usual HTTP status. */
  readonly status: number;
  /** One sentence for docs/reference/errors.md. */
  readonly meaning: string;
}

/** Codes of the OCI distribution spec 1.1 (section "Error Codes") and those that its clients know from distribution. */
export const ociErrors = {
  BLOB_UNKNOWN: { status: 404, meaning: "The blob is not in this repository." },
  BLOB_UPLOAD_INVALID: { status: 400, meaning: "The upload cannot go on with this request." },
  BLOB_UPLOAD_UNKNOWN: { status: 404, meaning: "The upload is unknown: never begun, finished, cancelled or expired." },
  DIGEST_INVALID: { status: 400, meaning: "The digest is malformed, or not that of the bytes." },
  MANIFEST_BLOB_UNKNOWN: {
    status: 404,
    meaning: "The manifest refers to a blob or manifest that is not in this repository.",
  },
  MANIFEST_INVALID: { status: 400, meaning: "The manifest is malformed." },
  MANIFEST_UNKNOWN: { status: 404, meaning: "The manifest is not in this repository." },
  NAME_INVALID: { status: 400, meaning: "The repository name is malformed." },
  NAME_UNKNOWN: { status: 404, meaning: "There is no such repository." },
  SIZE_INVALID: {
    status: 400,
    meaning: "The length is not that of the bytes; as 413: a blob has more bytes than the storage takes.",
  },
  TAG_INVALID: { status: 400, meaning: "The tag is malformed." },
  RANGE_INVALID: { status: 416, meaning: "The range does not fit what is there." },
  PAGINATION_NUMBER_INVALID: { status: 400, meaning: "The page size is not a number in its range." },
  UNAUTHORIZED: { status: 401, meaning: "Who asks must log in." },
  DENIED: { status: 403, meaning: "Who asks may not do this." },
  UNSUPPORTED: { status: 405, meaning: "The operation is not supported." },
  TOOMANYREQUESTS: { status: 429, meaning: "Too many requests." },
  UNAVAILABLE: { status: 503, meaning: "The storage does not answer; try again later." },
  UNKNOWN: { status: 500, meaning: "The registry met a fault of its own; its log has the cause." },
} as const satisfies Record<string, OciErrorRow>;

export type OciCode = keyof typeof ociErrors;

export class RegistryError extends Error {
  readonly code: OciCode;
  readonly status: number;
  /** Goes into the OCI error's `detail`. */
  readonly detail: unknown;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: OciCode,
    message: string,
    options: {
      readonly status?: number;
      readonly detail?: unknown;
      readonly retryAfterSeconds?: number;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "RegistryError";
    this.code = code;
    this.status = options.status ?? ociErrors[code].status;
    this.detail = options.detail;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}
