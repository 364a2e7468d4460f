/** What S3 and its likes say when they refuse, as reasons and sentences that name the setting. */
import { OutriggerError, type Reason } from "../../proto/errors.ts";

export interface Asked {
  /** For messages. */
  readonly place: string;
  readonly bucket: string;
  readonly region: () => Promise<string>;
}

/** What of an error decides. */
export interface Failure {
  readonly code: string;
  readonly status: number;
  /** Of the response, lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

const RETRY_AFTER_MS = 1_000;

interface Thrown {
  readonly name?: unknown;
  readonly Code?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly statusCode?: number; readonly headers?: Readonly<Record<string, string>> };
}

export function failureOf(error: unknown): Failure {
  const thrown = error as Thrown;
  const code = [thrown.Code, thrown.name, thrown.code].find((one) => typeof one === "string" && one !== "Error");
  return {
    code: typeof code === "string" ? code : "",
    status: thrown.$metadata?.httpStatusCode ?? thrown.$response?.statusCode ?? 0,
    headers: thrown.$response?.headers ?? {},
  };
}

/** Which permission each request needs (AWS's names, which its likes use too). */
const permissions: Readonly<Record<string, string>> = {
  HeadObject: "s3:GetObject, and s3:ListBucket to be told what is absent",
  GetObject: "s3:GetObject",
  PutObject: "s3:PutObject",
  DeleteObject: "s3:DeleteObject",
  ListObjectsV2: "s3:ListBucket",
  CopyObject: "s3:GetObject and s3:PutObject",
  UploadPartCopy: "s3:GetObject and s3:PutObject",
  CreateMultipartUpload: "s3:PutObject",
  UploadPart: "s3:PutObject",
  CompleteMultipartUpload: "s3:PutObject",
  AbortMultipartUpload: "s3:AbortMultipartUpload",
  ListParts: "s3:ListMultipartUploadParts",
  ListMultipartUploads: "s3:ListBucketMultipartUploads",
};

/** Said before any work: the request had no effect. */
const throttled = new Set([
  "SlowDown",
  "SlowDownRead",
  "SlowDownWrite",
  "Throttling",
  "ThrottlingException",
  "TooManyRequests",
  "TooManyRequestsException",
  "RequestLimitExceeded",
  "BandwidthLimitExceeded",
]);
const badKeys = new Set([
  "InvalidAccessKeyId",
  // versitygw's.
  "XAdminUserNotFound",
  "SignatureDoesNotMatch",
  "InvalidToken",
  "ExpiredToken",
  "TokenRefreshRequired",
]);
const full = new Set([
  "QuotaExceeded",
  "XMinioStorageFull",
  "XMinioAdminBucketQuotaExceeded",
  "InsufficientStorage",
  "NoSpaceLeftOnDevice",
]);
const otherRegion = new Set([
  "PermanentRedirect",
  "AuthorizationHeaderMalformed",
  "IllegalLocationConstraintException",
  "TemporaryRedirect",
]);

/** @param operation "PutObject" */
export async function refusal(error: unknown, operation: string, asked: Asked): Promise<OutriggerError> {
  if (error instanceof OutriggerError) return error;
  const failure = failureOf(error);
  const { code, status, headers } = failure;
  const { place, bucket } = asked;
  const text = error instanceof Error ? error.message : String(error);
  const down = (sentence: string, reason: Reason = "BACKEND_DOWN") =>
    new OutriggerError(reason, sentence, { cause: error });
  const later = { cause: error, retryAfterMs: retryAfterOf(headers) };

  // The answer to a HEAD holds no code, and there is no effect to doubt.
  if (throttled.has(code) || status === 429 || (status === 503 && operation === "HeadObject")) {
    return new OutriggerError("THROTTLED", `${place} asks for a slower pace (${code || status})`, later);
  }
  // Also what a proxy says when the server behind it did the work and its answer was lost. The SDK takes a 200 that holds
  // an error for a 503.
  if (status === 503 && code !== "InternalError") {
    return new OutriggerError("BACKEND_DOWN", `${place} answers 503 ${code}`.trim(), later);
  }
  if (code === "NoSuchBucket") return down(`${place} does not exist: make it, or correct --bucket or --endpoint`);
  if (otherRegion.has(code) || status === 301 || status === 307) {
    const real = headers["x-amz-bucket-region"] ?? /expecting '([a-z0-9-]+)'/.exec(text)?.[1];
    const ours = await asked.region().catch(() => "?");
    return down(
      `bucket ${bucket} is in ${real === undefined ? "another region" : `region ${real}`}, not ${ours}: correct --region or --endpoint`,
    );
  }
  if (badKeys.has(code)) {
    return down(
      `${place} does not know the credentials (${code}): correct the access key, its secret or the session token`,
    );
  }
  if (code === "RequestTimeTooSkewed" || code === "RequestExpired") {
    return down(`this machine's clock is too far from the one of ${place}${skewOf(headers)}: set it right (NTP)`);
  }
  if (code === "CredentialsProviderError" || /could not load credentials/i.test(text)) {
    return down(
      "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, a role, or --access-key-id-file and --secret-access-key-file",
    );
  }
  if (/region is missing/i.test(text)) return down("no region is known: give --region, or set AWS_REGION");
  if (status === 403) {
    const need = permissions[operation];
    return down(
      `${place} refuses ${operation} (${code === "" ? 403 : code}): ${need === undefined ? "grant it" : `the credentials need ${need}`}, and no policy or lock of the bucket may deny it`,
    );
  }
  if (full.has(code) || status === 507) return down(`${place} is full (${code || status})`, "QUOTA");
  // Gateways that keep keys as files.
  if (code === "ObjectParentIsFile" || code === "ExistingObjectIsDirectory") {
    return down("the key lies below another key, or another key below it: this server has folders", "KEY_CONFLICT");
  }
  if (code === "KeyTooLongError") return down("the key is too long with --prefix before it", "INVALID_KEY");
  if (code === "InvalidObjectState") {
    return down(`${place} has archived that object: restore it, and take away the lifecycle rule that moved it`);
  }
  if (/Content-MD5.*Object Lock|object lock/i.test(text) && status === 400) {
    return down(`${place} has an object lock and wants checksums: give --checksums always`);
  }
  if (status === 501 || code === "NotImplemented")
    return down(`${place} does not know ${operation} as it was sent (${text})`);
  // Of a listing, which any server of the kind can give or refuse in words.
  if (operation === "ListObjectsV2" && (status === 404 || status === 405)) {
    return down(`what answers at ${place} is no S3: correct --endpoint`);
  }
  if (status >= 500) return down(`${place} answers ${code === "InternalError" ? code : `${status} ${code}`.trim()}`);
  if (status === 0) return down(await unreachable(code, text, place));
  return down(`${place} refuses ${operation}: ${code} ${text}`.trim());
}

function retryAfterOf(headers: Failure["headers"]): number {
  const seconds = Number(headers["retry-after"]);
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : RETRY_AFTER_MS;
}

async function unreachable(code: string, text: string, place: string): Promise<string> {
  switch (code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `${place} has no known name: correct --endpoint or --region`;
    case "ECONNREFUSED":
      return `nobody listens at ${place}: correct --endpoint`;
    case "TimeoutError":
      return `${place} did not answer in time`;
    default:
      return `${place} does not answer: ${code === "" || text.includes(code) ? "" : `${code} `}${text}`;
  }
}

function skewOf(headers: Readonly<Record<string, string>>): string {
  const theirs = Date.parse(headers["date"] ?? "");
  if (Number.isNaN(theirs)) return "";
  const minutes = Math.round((Date.now() - theirs) / 60_000);
  return `, by ${Math.abs(minutes)} min ${minutes > 0 ? "ahead" : "behind"}`;
}
