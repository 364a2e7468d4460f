/** What the account answers, in the words of this driver's settings. Nothing of a request is repeated: it has signatures. */
import { RestError } from "@azure/storage-blob";
import { OutriggerError, type Reason } from "../../proto/errors.ts";

export interface Failure {
  readonly error: OutriggerError;
  /** Azure's name for it, "" where the network failed. */
  readonly code: string;
  /** Whether the same request may be answered otherwise in a moment. */
  readonly passing: boolean;
}

/** Who asks, for sentences. */
export interface Asked {
  /** "container pictures at http://…". */
  readonly place: string;
  readonly container: string;
  /** "" where only the endpoint says it. */
  readonly account: string;
  /** Of the endpoint. */
  readonly host: string;
  readonly credentials: "key" | "sas" | "identity";
}

type Sentence = (asked: Asked, error: RestError) => string;
type Row = readonly [Reason, Sentence];

const down = (sentence: Sentence): Row => ["BACKEND_DOWN", sentence];

const ROLE = "Storage Blob Data Contributor";
const REFUSED = {
  key: "--account-key is not a key of that account",
  sas: "--sas-token is not valid there: it may be cut short, revoked, expired, or of another account",
  identity: "the identity's token is not valid there: it may be of another tenant or cloud",
} as const;
const DENIED = {
  key: "the account's firewall (Networking in the portal) does not let this machine in",
  sas: "--sas-token lacks a permission, or the account's firewall does not let this machine in: it needs read, add, create, write, delete and list on the container (sp=racwdl)",
  identity: `its identity needs the role ${ROLE} on the container or the account (it may take minutes to be known), and the account's firewall must let this machine in`,
} as const;

function refused({ place, credentials }: Asked, error: RestError): string {
  const skewMs = skewOf(error);
  return Math.abs(skewMs) > 10 * 60_000
    ? `${place} refuses requests from a wrong clock: this machine's is ${Math.round(skewMs / 60_000)} minutes off`
    : `${place} refuses this driver: ${REFUSED[credentials]}`;
}

function denied({ place, credentials }: Asked): string {
  return `${place} does not let this driver in, or not do this: ${DENIED[credentials]}`;
}

/** Azure's codes: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes */
const rows: Readonly<Record<string, Row>> = {
  AuthenticationFailed: down(refused),
  InvalidAuthenticationInfo: down(refused),
  NoAuthenticationInformation: down(refused),
  KeyBasedAuthenticationNotPermitted: down(
    ({ place }) => `${place} allows no account keys: leave out --account-key, and give the identity the role ${ROLE}`,
  ),
  // Azurite says so of a wrong key as well.
  AuthorizationFailure: down((asked, error) =>
    /failed to authenticate/.test(error.message) ? refused(asked, error) : denied(asked),
  ),
  AuthorizationPermissionMismatch: down(denied),
  InsufficientAccountPermissions: down(denied),
  AuthorizationServiceMismatch: down(({ place }) => `${place}: --sas-token is not for the blob service (ss=b)`),
  AuthorizationResourceTypeMismatch: down(
    ({ place }) => `${place}: --sas-token must be for containers and objects (srt=co), or of the container itself`,
  ),
  AuthorizationProtocolMismatch: down(({ place }) => `${place}: --sas-token is for https: so must --endpoint be`),
  AuthorizationSourceIPMismatch: down(
    ({ place }) => `${place}: --sas-token is for other addresses than this machine's`,
  ),
  AccountRequiresHttps: down(({ place }) => `${place} answers https only: so must --endpoint be`),
  AccountIsDisabled: down(
    ({ place }) => `${place}: the account is disabled: its subscription is, or somebody did that`,
  ),
  AccountBeingCreated: down(({ place }) => `${place}: the account is still being made`),
  ResourceNotFound: down(
    ({ place, host }) => `${place}: there is nothing such at ${host}: check --account and --container`,
  ),
  ContainerNotFound: down(
    ({ container, host }) =>
      `there is no container ${container} at ${host}: make it, or check --container and --account`,
  ),
  ContainerBeingDeleted: down(({ place }) => `${place} is being deleted: name another one, or wait and make it again`),
  ContainerDisabled: down(({ place }) => `${place} is disabled by the account's administrator`),
  InvalidResourceName: down(
    ({ container }) =>
      `--container ${JSON.stringify(container)} is no container's name: 3 to 63 lower-case letters, digits and single hyphens`,
  ),
  InvalidUri: down(({ place }) => `${place}: check --endpoint and --container: they make no URL that Azure takes`),
  BlobImmutableDueToPolicy: [
    "READ_ONLY",
    ({ place }) =>
      `${place} has an immutability policy or a legal hold: nothing can be changed or deleted there, and a registry has to: take it off, or serve it with --read-only`,
  ],
  BlobArchived: down(
    ({ place }) => `${place}: the blob is in the archive tier: rehydrate it, or keep a lifecycle rule away`,
  ),
  BlobBeingRehydrated: down(({ place }) => `${place}: the blob is being brought back from the archive tier`),
  LeaseIdMissing: down(({ place }) => `${place}: somebody holds a lease on the blob: break it`),
  LeaseIdMismatchWithBlobOperation: down(({ place }) => `${place}: somebody holds a lease on the blob: break it`),
  PendingCopyOperation: down(({ place }) => `${place}: somebody copies to this blob at the moment`),
  InvalidBlobType: down(
    ({ place }) => `${place}: the blob is an append or page blob, which this driver cannot replace: delete it`,
  ),
  BlobTypeNotSupported: down(
    ({ place }) => `${place}: the account keeps no block blobs: premium page blobs are another kind`,
  ),
  UnsupportedHeader: down(({ place }) => `${place} does not know a header that this driver needs: it is too old`),
  TotalCapacityExceeded: ["QUOTA", ({ place }) => `${place}: the account is full`],
};

/** @param error whatever the SDK throws */
export function failureOf(error: unknown, asked: Asked): Failure {
  if (error instanceof OutriggerError) return { error, code: "", passing: false };
  if (!(error instanceof RestError)) return unforeseen(error, asked);
  const code = codeOf(error);
  const status = error.statusCode;
  if (status === undefined) return unreachable(error, asked);
  const cause = causeOf(error, code);
  if (status === 429 || code === "ServerBusy") {
    const retryAfterMs = retryAfterOf(error) ?? 1000;
    const message = `${asked.place} asks for a slower pace${status === 429 ? "" : " (ServerBusy)"}`;
    return { error: new OutriggerError("THROTTLED", message, { retryAfterMs, cause }), code, passing: true };
  }
  const row = Object.hasOwn(rows, code) ? rows[code] : undefined;
  if (row !== undefined) {
    const [reason, sentence] = row;
    return { error: new OutriggerError(reason, sentence(asked, error), { cause }), code, passing: false };
  }
  if (error.response?.headers.get("x-ms-request-id") === undefined && status < 500) {
    const message = `what answers at ${asked.host} is not Azure Blob Storage (HTTP ${status}): check --endpoint`;
    return { error: new OutriggerError("BACKEND_DOWN", message, { cause }), code, passing: false };
  }
  const message = `${asked.place} answers ${status}${code === "" ? "" : ` ${code}`}`;
  const retryAfterMs = retryAfterOf(error);
  const passing = status >= 500 && status !== 501;
  const options = retryAfterMs === undefined ? { cause } : { cause, retryAfterMs };
  return { error: new OutriggerError("BACKEND_DOWN", message, options), code, passing };
}

export function codeOf(error: RestError): string {
  const told = error.response?.headers.get("x-ms-error-code") ?? error.code ?? "";
  return error.statusCode === undefined ? "" : told;
}

function unreachable(error: RestError, { place, host, account }: Asked): Failure {
  const { code = "" } = error;
  const cause = new Error(`${code}: ${error.message.split("\n", 1)[0]}`);
  const why = /^(?:ENOTFOUND|EAI_)/.test(code)
    ? `${host} is no known name: check ${account === "" ? "--endpoint" : "--account and --endpoint"}, and this machine's DNS`
    : /CERT|SSL|SELF_SIGNED|ERR_TLS/.test(code)
      ? `${host} has a certificate that this machine does not trust (${code}): NODE_EXTRA_CA_CERTS names more`
      : code === "ECONNREFUSED"
        ? `nobody listens at ${host}: check --endpoint`
        : `${place} does not answer (${code || "the connection broke"})`;
  return { error: new OutriggerError("BACKEND_DOWN", why, { cause }), code: "", passing: true };
}

function unforeseen(error: unknown, { place, host }: Asked): Failure {
  const { name = "", message = String(error) } = error as Partial<Error>;
  const [line = ""] = message.split("\n", 1);
  if (/Credential|Authentication(?:Required)?Error/.test(name)) {
    const why = `no credentials for ${host}: give --account-key, --sas-token or --connection-string, or an identity in one of the places where DefaultAzureCredential looks`;
    return {
      error: new OutriggerError("BACKEND_DOWN", why, { cause: new Error(`${name}: ${line}`) }),
      code: "",
      passing: false,
    };
  }
  const cut =
    name === "AbortError" || /received (?:less|more) data/i.test(message) || /aborted|socket hang up/.test(message);
  const why = `${place} ${cut ? "broke off" : "answers what cannot be understood"}`;
  return {
    error: new OutriggerError("BACKEND_DOWN", why, { cause: new Error(`${name}: ${line}`) }),
    code: "",
    passing: cut,
  };
}

/** What is worth knowing, without the request. */
function causeOf(error: RestError, code: string): Error {
  const [line = ""] = error.message.split("\n", 1);
  const id = error.response?.headers.get("x-ms-request-id") ?? "unknown";
  return new Error(`HTTP ${error.statusCode} ${code}, request ${id}: ${line.slice(0, 300)}`);
}

/** How far this machine's clock is ahead of theirs. */
function skewOf(error: RestError): number {
  const theirs = Date.parse(error.response?.headers.get("date") ?? "");
  return Number.isNaN(theirs) ? 0 : Date.now() - theirs;
}

function retryAfterOf(error: RestError): number | undefined {
  const seconds = Number(error.response?.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 60) * 1000 : undefined;
}
