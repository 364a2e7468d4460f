/** What DynamoDB or the way to it answers, in the words of this driver's settings. Nothing of a request is repeated. */
import { hasReason, OutriggerError, type Reason } from "../../proto/errors.ts";

/** Who asks, for sentences. */
export interface Asked {
  readonly table: string;
  /** "" where none is set. */
  readonly region: string;
  /** "" for the region's own. */
  readonly endpoint: string;
}

export interface Failure {
  readonly error: OutriggerError;
  /** Whether the same request may be answered otherwise in a moment. */
  readonly passing: boolean;
  /** Whether a Write may have been done, or may still be. */
  readonly mayHaveEffect: boolean;
  /** Of a transaction: the items whose conditions did not hold, ascending. */
  readonly unmet: readonly number[];
}

const THROTTLED_RETRY_MS = 1_000;
const DOWN_RETRY_MS = 1_000;
const QUOTA_RETRY_MS = 10_000;

const CREDENTIALS =
  "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, a web identity, or the role of the container or instance";

type Sentence = (asked: Asked, message: string) => string;

const place = ({ table, region, endpoint }: Asked) =>
  `table ${table} ${endpoint === "" ? `in ${region}` : `at ${endpoint}`}`;

/** Refused before anything was done, and again until somebody changes a setting. */
const refusals: Readonly<Record<string, Sentence>> = {
  ResourceNotFoundException: (asked) =>
    `there is no ${place(asked)}: name it with --table, its region with --region (or AWS_REGION), or make it with --init`,
  CredentialsProviderError: () => `no AWS credentials were found: give them by ${CREDENTIALS}`,
  UnrecognizedClientException: (asked) =>
    `AWS does not know these credentials${asked.region === "" ? "" : ` in ${asked.region}`}: check AWS_ACCESS_KEY_ID (and AWS_SESSION_TOKEN), AWS_PROFILE or the role`,
  InvalidClientTokenId: () => "AWS does not know this access key: check AWS_ACCESS_KEY_ID, AWS_PROFILE or the role",
  MissingAuthenticationTokenException: () => `AWS got no credentials: give them by ${CREDENTIALS}`,
  IncompleteSignatureException: () =>
    "AWS cannot read the signature: check that AWS_ACCESS_KEY_ID has no stray characters",
  ExpiredTokenException: () =>
    "the AWS session token has expired: renew the session, or use a role, which renews itself",
  AccessDeniedException: (asked, message) =>
    `these credentials may not ${/dynamodb:\w+/.exec(message)?.[0] ?? "do this"} on ${place(asked)}: grant it (the driver's page lists what it needs)`,
  InvalidSignatureException: signature,
  SignatureDoesNotMatch: signature,
  RequestExpired: signature,
};

function signature(_: Asked, message: string): string {
  return /expired|not yet current|earlier than|later than/i.test(message)
    ? `AWS refuses requests from a wrong clock: set this machine's (NTP); AWS said: ${message}`
    : "AWS does not take the signature: AWS_SECRET_ACCESS_KEY is not that of the access key";
}

/** Surely nothing was done, and a slower pace helps. */
const throttles: ReadonlySet<string> = new Set([
  "ThrottlingException",
  "ProvisionedThroughputExceededException",
  "RequestLimitExceeded",
  "LimitExceededException",
  // As reasons of a cancelled transaction.
  "ThrottlingError",
  "ProvisionedThroughputExceeded",
]);

/** The request never left this machine. */
const unsent: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

interface AwsError extends Error {
  readonly code?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly CancellationReasons?: readonly { readonly Code?: string; readonly Message?: string }[];
}

export function failureOf(thrown: unknown, asked: Asked): Failure {
  if (thrown instanceof OutriggerError) return definite(thrown);
  const cause = (thrown instanceof Error ? thrown : new Error(String(thrown))) as AwsError;
  const { name, message } = cause;
  if (name === "TransactionCanceledException") return cancelled(cause, asked);
  if (name === "TransactionConflictException") return conflict(asked, cause);
  if (name === "TransactionInProgressException") {
    return unknown(`${place(asked)} is still at work on an earlier attempt`, cause);
  }
  if (throttles.has(name)) return throttled(asked, cause);
  const refusal = refusals[name];
  if (refusal !== undefined) return definite(down(refusal(asked, message), cause));
  if (/region is missing/i.test(message)) {
    return definite(down("no AWS region is set: give --region, AWS_REGION, or a profile with one", cause));
  }
  const status = cause.$metadata?.httpStatusCode;
  if (status !== undefined && status >= 400 && status < 500 && status !== 408) {
    return definite(
      new OutriggerError("INTERNAL", `${place(asked)} refuses a request (${name}): ${message}`, { cause }),
    );
  }
  if (typeof cause.code === "string" && unsent.has(cause.code)) {
    const error = down(unreachable(asked, cause.code), cause);
    return { error, passing: true, mayHaveEffect: false, unmet: [] };
  }
  return unknown(
    status === undefined
      ? `${place(asked)} does not answer: ${message}`
      : `${place(asked)} failed (${status}, ${name})`,
    cause,
  );
}

function unreachable(asked: Asked, code: string): string {
  const which = asked.endpoint === "" ? `is the region ${asked.region} right (--region)?` : "is --endpoint right?";
  return `${place(asked)} cannot be reached (${code}): ${which}`;
}

/** Reasons come one for each item, in order: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html */
function cancelled(cause: AwsError, asked: Asked): Failure {
  const reasons = cause.CancellationReasons ?? [];
  const unmet = reasons.flatMap(({ Code }, index) => (Code === "ConditionalCheckFailed" ? [index] : []));
  if (unmet.length > 0) {
    const error = new OutriggerError("CONDITION_FAILED", `a condition does not hold in ${place(asked)}`, { cause });
    return { ...definite(error), unmet };
  }
  const has = (code: string) => reasons.some(({ Code }) => Code === code);
  if (reasons.some(({ Code }) => throttles.has(Code ?? ""))) return throttled(asked, cause);
  if (has("TransactionConflict")) return conflict(asked, cause);
  if (has("ItemCollectionSizeLimitExceeded")) {
    const sentence = `${place(asked)} has a local index, which bounds it to 10 GB, and that is full: make a table without`;
    return definite(new OutriggerError("QUOTA", sentence, { cause, retryAfterMs: QUOTA_RETRY_MS }));
  }
  const said = reasons.find(({ Code }) => Code !== undefined && Code !== "None");
  return definite(
    new OutriggerError(
      "INTERNAL",
      `${place(asked)} refuses a transaction (${said?.Code ?? cause.name}): ${said?.Message ?? cause.message}`,
      { cause },
    ),
  );
}

/** @param thrown what a reader is told: whether it is of items that are too large for one TransactGetItems (4 MB) */
export function isTooLarge(thrown: unknown): boolean {
  // Also a throttle says that something is exceeded.
  if (!hasReason(thrown, "INTERNAL") || !(thrown.cause instanceof Error)) return false;
  const { name, message, CancellationReasons: reasons = [] } = thrown.cause as AwsError;
  if (name !== "ValidationException" && name !== "TransactionCanceledException") return false;
  return [message, ...reasons.map(({ Message }) => Message ?? "")].some((text) =>
    /too large|aggregate size|exceed/i.test(text),
  );
}

function throttled(asked: Asked, cause: Error): Failure {
  const error = new OutriggerError("THROTTLED", `${place(asked)} asks for a slower pace (${cause.name})`, {
    cause,
    retryAfterMs: THROTTLED_RETRY_MS,
  });
  return { error, passing: true, mayHaveEffect: false, unmet: [] };
}

function conflict(asked: Asked, cause: Error): Failure {
  const error = new OutriggerError("CONFLICT", `another transaction was at work on the same keys of ${place(asked)}`, {
    cause,
  });
  return { error, passing: true, mayHaveEffect: false, unmet: [] };
}

function unknown(sentence: string, cause: Error): Failure {
  return { error: down(sentence, cause), passing: true, mayHaveEffect: true, unmet: [] };
}

function definite(error: OutriggerError): Failure {
  return { error, passing: false, mayHaveEffect: false, unmet: [] };
}

function down(sentence: string, cause: Error, reason: Reason = "BACKEND_DOWN"): OutriggerError {
  return new OutriggerError(reason, sentence, { cause, retryAfterMs: DOWN_RETRY_MS });
}
