/** What the server's refusals and the connection's failures mean to the core, in sentences that say what to change. */
import { OutriggerError, type Reason } from "../../proto/errors.ts";
import type { Address } from "./address.ts";

/** First words of the server's error replies. Inside a script they stand anywhere in the text of older servers. */
const replies: readonly (readonly [RegExp, Reason, string])[] = [
  [/\bOOM\b/, "QUOTA", "has reached its maxmemory: raise it, or delete something"],
  [/\bREADONLY\b/, "BACKEND_DOWN", "is a read-only replica now: --url must lead to the primary"],
  [/\bLOADING\b/, "BACKEND_DOWN", "is loading its data from the disk"],
  [/\bMASTERDOWN\b/, "BACKEND_DOWN", "is a replica whose primary is away"],
  [/\bCLUSTERDOWN\b/, "BACKEND_DOWN", "belongs to a cluster that is down"],
  [/\b(?:MOVED|ASK|TRYAGAIN)\b/, "BACKEND_DOWN", "does not hold this store's slot: give the node that does in --url"],
  [/\bNOREPLICAS\b/, "BACKEND_DOWN", "has fewer replicas than its min-replicas-to-write asks for"],
  [/\bMISCONF\b/, "BACKEND_DOWN", "cannot write to its own disk: its log has the cause"],
  [/\bBUSY\b/, "THROTTLED", "is busy with another client's script"],
  [/\bWRONGPASS\b/, "BACKEND_DOWN", "refuses the user or the password: check --username and --password-file"],
  [/\bNOAUTH\b/, "BACKEND_DOWN", "asks for a password: give --password-file (and --username)"],
  [
    /\bNOPERM\b/,
    "BACKEND_DOWN",
    "does not let the user run what the driver needs: docs/reference/drivers/redis.md lists it",
  ],
  [
    /\bWRONGTYPE\b/,
    "STORED_CORRUPT",
    "holds another application's data under this store's keys: give another --key-prefix",
  ],
  [/max number of clients/, "THROTTLED", "has as many clients as its maxclients allows"],
];

const certificate = "its certificate is not trusted: name its authority's certificate in --redis-tls-ca";

/** Codes of node:net, node:tls and node:dns. */
const failures: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there: check --url, and that the server runs",
  ENOTFOUND: "there is no such host: check --url",
  EAI_AGAIN: "the host's name cannot be looked up now",
  EHOSTUNREACH: "there is no route to it: check --url and the network",
  ENETUNREACH: "there is no route to it: check --url and the network",
  ETIMEDOUT: "it does not answer: check --url and the network, or raise --timeout",
  ENOENT: "there is no such socket: check --url, and that the server runs",
  EACCES: "this process may not open the socket: change its mode or group",
  EPROTO: "it does not speak TLS: let --url begin with redis://, or switch TLS on there",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak TLS: let --url begin with redis://, or switch TLS on there",
  ERR_SSL_PACKET_LENGTH_TOO_LONG: "it does not speak TLS: let --url begin with redis://, or switch TLS on there",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name: give that name by --redis-tls-server-name",
  CERT_HAS_EXPIRED: "its certificate has expired: renew it",
  SELF_SIGNED_CERT_IN_CHAIN: certificate,
  DEPTH_ZERO_SELF_SIGNED_CERT: certificate,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: certificate,
  UNABLE_TO_GET_ISSUER_CERT: certificate,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: certificate,
};

/** A refusal by the server: nothing was done. `undefined`: a reply that no sentence is known for. */
export function replyError(error: Error, { shown }: Address): OutriggerError | undefined {
  const found = replies.find(([pattern]) => pattern.test(error.message));
  if (found === undefined) return undefined;
  const [, reason, sentence] = found;
  return new OutriggerError(reason, `the server at ${shown} ${sentence} (${error.message})`, {
    ...(reason === "THROTTLED" ? { retryAfterMs: 500 } : {}),
    cause: scrubbed(error),
  });
}

/** The server is reached, and may not be used: what it says of itself is not what it must be. */
export class UnfitError extends OutriggerError {}

/** Why there is no connection. @param fresh it never answered */
export function connectionError(fault: unknown, address: Address, fresh = false): OutriggerError {
  if (fault instanceof OutriggerError) return fault;
  const error = scrubbed(fault instanceof Error ? fault : new Error(String(fault)));
  const reply = replyError(error, address);
  if (reply !== undefined) return reply;
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const sentence = silentTls(code, address, fresh) ?? failures[code] ?? spoken(error, address, fresh);
  return new OutriggerError("BACKEND_DOWN", `the server at ${address.shown} is not usable: ${sentence}`, {
    cause: error,
  });
}

/** A server without TLS waits for the end of a line in what is a handshake. */
function silentTls(code: string, { tls }: Address, fresh: boolean): string | undefined {
  return code === "ETIMEDOUT" && tls && fresh
    ? "it does not answer the handshake: perhaps it does not speak TLS: let --url begin with redis://; or the network loses it"
    : undefined;
}

function spoken(error: Error, address: Address, fresh: boolean): string {
  const { message } = error;
  if (/protocol error|invalid.*(?:reply|type|resp)|unknown.*type/i.test(message))
    return "what answers there does not speak Redis's protocol: check --url";
  if (/certificate required|handshake failure|alert bad certificate/i.test(message))
    return "it asks for a client certificate: give --redis-tls-cert and --redis-tls-key";
  if (/Connection is closed|isn't writeable|ECONNRESET|EPIPE/i.test(message)) {
    if (!fresh) return "the connection is lost";
    return address.tls
      ? "it closed the connection: it may not speak TLS, or want a certificate (--redis-tls-cert)"
      : "it closed the connection without an answer: if it speaks TLS, let --url begin with rediss://";
  }
  if (/timed out|timeout/i.test(message)) return "it does not answer in time: check it, or raise --timeout";
  return message;
}

/** The library hangs the command with its arguments, a password or a value among them, on what it throws. */
export function scrubbed(error: Error): Error {
  delete (error as { command?: unknown }).command;
  return error;
}

/** An answer that no script of this driver gives: the server, or something between, is not what it seems. */
export function oddReply(what: string): OutriggerError {
  return new OutriggerError("INTERNAL", `the server's answer to ${what} cannot be understood`);
}
