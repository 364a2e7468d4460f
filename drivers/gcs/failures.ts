/** What Cloud Storage and the credentials' library answer when something is wrong, as sentences that name the setting. */
import { OutriggerError } from "../../proto/errors.ts";

/** Where the driver works, for sentences. */
export interface Place {
  readonly bucket: string;
  readonly endpoint: string;
  readonly userProject: string | undefined;
  readonly keyFile: string | undefined;
  readonly anonymous: boolean;
}

/** An answer that is no success. */
export interface Problem {
  readonly status: number;
  /** "conditionNotMet", "retentionPolicyNotMet"; "" where the answer has none. */
  readonly reason: string;
  readonly message: string;
  readonly retryAfterMs: number | undefined;
}

/** [Cloud Storage JSON API, HTTP status and error codes] */
export function problemOf(status: number, retryAfter: string | undefined, text: string): Problem {
  let reason = "";
  let message = text.replaceAll(/\s+/g, " ").trim().slice(0, 300);
  try {
    const parsed = JSON.parse(text) as { error?: { message?: unknown; errors?: { reason?: unknown }[] } };
    if (typeof parsed.error?.message === "string") message = parsed.error.message.slice(0, 500);
    const first = parsed.error?.errors?.[0]?.reason;
    if (typeof first === "string") reason = first;
  } catch {
    // Not JSON: a balancer's page, or no Cloud Storage at all.
  }
  const seconds = retryAfter === undefined ? Number.NaN : Number(retryAfter);
  const retryAfterMs = Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
  return { status, reason, message, retryAfterMs };
}

const throttles = new Set(["rateLimitExceeded", "userRateLimitExceeded", "dailyLimitExceeded", "limitExceeded"]);

/** Whether the service wants fewer requests: this one had no effect. */
export function isThrottled({ status, reason }: Problem): boolean {
  return status === 429 || (status === 403 && throttles.has(reason));
}

/** Whether the same request may fare better in a moment. */
export function isPassing(problem: Problem): boolean {
  return isThrottled(problem) || problem.status === 408 || problem.status >= 500;
}

/** A bucket that is absent answers 404, as an object that is absent does. */
export function isBucketAbsent({ status, message }: Problem): boolean {
  return status === 404 && /bucket does not exist/i.test(message);
}

/** @param outcomeUnknown the request may have had its effect all the same */
export function failureOf(problem: Problem, place: Place, outcomeUnknown: boolean): OutriggerError {
  const where = `bucket ${place.bucket}`;
  const told = problem.message === "" ? `status ${problem.status}` : `${problem.status}: ${problem.message}`;
  const later = { retryAfterMs: problem.retryAfterMs ?? 1000 };
  if (isThrottled(problem) || (problem.status === 503 && !outcomeUnknown)) {
    return new OutriggerError("THROTTLED", `${where} asks for a slower pace (${told})`, later);
  }
  if (problem.reason === "quotaExceeded") {
    return new OutriggerError("QUOTA", `a quota of the project of ${where} is used up (${told})`, later);
  }
  const sentence = sentenceOf(problem, place);
  if (sentence !== undefined) return new OutriggerError("BACKEND_DOWN", `${sentence} (${told})`);
  return new OutriggerError("BACKEND_DOWN", `${where} at ${place.endpoint} answered ${told}`, later);
}

function sentenceOf({ status, reason, message }: Problem, place: Place): string | undefined {
  const { bucket } = place;
  if (/requester pays|user ?project/i.test(`${reason} ${message}`) && (status === 400 || status === 403)) {
    return place.userProject === undefined
      ? `bucket ${bucket} has requester pays on: set --user-project to the project that is to be billed`
      : `project ${place.userProject} cannot be billed: --user-project must be a project where the credentials have serviceusage.services.use`;
  }
  if (reason === "retentionPolicyNotMet") {
    return `bucket ${bucket} has a retention policy that forbids to delete and to replace: uploads and deletion need both, remove it (gcloud storage buckets update gs://${bucket} --clear-retention-period)`;
  }
  if (reason === "objectUnderActiveHold" || /\bhold\b/i.test(reason)) {
    return `an object of bucket ${bucket} is under a hold: release it, and switch the bucket's default event-based hold off`;
  }
  if (status === 401) {
    return place.anonymous
      ? `bucket ${bucket} is not open to everybody: --anonymous is for emulators, give --key-file or Application Default Credentials`
      : `the credentials are refused: ${credentialsOf(place)} must be of an account that exists and is not disabled`;
  }
  if (reason === "accessNotConfigured") {
    return `the Cloud Storage API is not enabled in the credentials' project: enable storage.googleapis.com there`;
  }
  if (/billing/i.test(message) && (status === 403 || status === 400)) {
    return `the project of bucket ${bucket} has no billing account that is open: enable billing`;
  }
  const permission = /\b(?:storage|serviceusage)\.[a-zA-Z.]+\b/.exec(message)?.[0];
  if (status === 403) {
    return permission === undefined
      ? `the credentials may not do this on bucket ${bucket}: give their account roles/storage.objectUser there`
      : `the credentials lack ${permission} on bucket ${bucket}: give their account roles/storage.objectUser there`;
  }
  if (isBucketAbsent({ status, reason, message, retryAfterMs: undefined })) return absentBucket(place);
  if (status === 400 && /bucket name/i.test(message)) return `--bucket ${bucket} is not a bucket's name`;
  if ((status >= 300 && status < 400) || (status >= 400 && reason === "" && status < 500)) {
    return `what answers at ${place.endpoint} is not Cloud Storage: check --api-endpoint`;
  }
  return undefined;
}

export function absentBucket({ bucket, endpoint }: Place): string {
  return `there is no bucket ${bucket} at ${endpoint}: check --bucket, or make it`;
}

function credentialsOf({ keyFile }: Place): string {
  return keyFile === undefined ? "Application Default Credentials" : "--key-file";
}

/** No answer came. */
export function unreachable(error: unknown, { endpoint, bucket }: Place): OutriggerError {
  const { code, message } = error as NodeJS.ErrnoException;
  const why = code === undefined || message.includes(code) ? message : `${code}: ${message}`;
  return new OutriggerError("BACKEND_DOWN", `bucket ${bucket} at ${endpoint} cannot be reached (${why})`, {
    cause: error,
  });
}

/** No token could be had. */
export function credentialsFailure(error: unknown, place: Place): OutriggerError {
  const { code, message } = error as NodeJS.ErrnoException;
  const with_ = (sentence: string) => new OutriggerError("BACKEND_DOWN", sentence, { cause: error });
  if (/could not load the default credentials|credential.*not found/i.test(message)) {
    return with_(
      "no credentials were found: set --key-file or GOOGLE_APPLICATION_CREDENTIALS, or run where the platform gives Application Default Credentials (--anonymous for an emulator)",
    );
  }
  const setting = credentialsOf(place);
  if (code === "ENOENT" || code === "EACCES") return with_(`${setting} names a file that cannot be read (${message})`);
  if (error instanceof SyntaxError || /JSON|PEM|DECODER|client_email|private_key/i.test(message)) {
    return with_(`${setting} is not a service account's key in JSON (${firstLine(message)})`);
  }
  if (/reasonable timeframe|short-lived token|iat|exp\b/i.test(message)) {
    return with_(`the clock of this machine is off, so that its tokens are refused: set it (${firstLine(message)})`);
  }
  if (/invalid_grant|invalid_client|invalid_request|unauthorized_client|account not found/i.test(message)) {
    return with_(
      `${setting} is refused: its key or account was deleted or disabled, or this machine's clock is off (${firstLine(message)})`,
    );
  }
  return with_(`no token could be had for ${setting} (${firstLine(message)})`);
}

function firstLine(text: string): string {
  return (text.split("\n")[0] ?? "").slice(0, 300);
}
