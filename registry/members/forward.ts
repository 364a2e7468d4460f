/** A client's request to the owner of its repository, and the owner's answer to the client: both streamed. */
import { isDigest } from "../../proto/keys.ts";
import { contentLength, readBody } from "../http/body.ts";
import { answerEarly } from "../http/early-answer.ts";
import { answer, type Exchange } from "../http/exchange.ts";
import { sendBlob } from "../http/send-blob.ts";
import { MAX_WHOLE_BYTES, type OpenAnswer } from "./answers.ts";
import type { MemberBody, MemberClient } from "./client.ts";
import { MemberWrong } from "./errors.ts";
import { answerHeaders, pathOf, requestHeaders } from "./paths.ts";
import type { Role } from "./peers.ts";
import { assertManifest, assertNamed, assertOwnLinks, assertTagsOf, verified } from "./verify.ts";

export interface Forwarding {
  readonly client: MemberClient;
  /** How long a change may take at the owner beyond what a read may, in all. */
  readonly changeMs: number;
}

/** A mount may have to bring the blob from another member first. */
const MOUNT_MS = 600_000;
/** Why no more of a body is read. Made once: an error with a stack for each request would be a hundredth of its cost. */
const ANSWERED = new Error("the member has answered");

/** @throws MemberDown, MemberWrong, MemberDisagrees; then nothing of the client's body was read yet, or it is lost */
export async function openForward(
  { client, changeMs }: Forwarding,
  exchange: Exchange,
  member: string,
  role: Role,
): Promise<OpenAnswer> {
  const { request, route, query, account, context } = exchange;
  const { method = "GET" } = request;
  const body = bodyOf(exchange);
  const isChange = method !== "GET" && method !== "HEAD";
  const deadlineMs = query.has("mount") ? MOUNT_MS : changeMs;
  return client.open(member, {
    method,
    path: pathOf(route, readable(exchange)),
    role,
    account: account.name,
    headers: { ...requestHeaders(request.headers), "x-request-id": context.requestId },
    // What only makes a session asks no store.
    ...(isChange && (route.kind !== "uploads" || query.size > 0) ? { deadlineMs } : {}),
    ...(body === undefined ? {} : { body }),
    // All else is small, and its answer is read whole here before the client gets it.
    isStreamed: route.kind === "blob" ? method === "GET" : route.kind !== "manifest" && body !== undefined,
    // A session too many is nothing, and a blob is mounted once.
    isRepeatable: route.kind === "uploads",
    signal: context.signal,
  });
}

/** The owner knows the account's name and no more of it: what it may mount from is settled here. */
function readable({ query, account }: Exchange): URLSearchParams {
  const from = query.get("from");
  if (from === null || account.mayRead(from)) return query;
  const kept = new URLSearchParams(query);
  for (const parameter of ["from", "mount"]) kept.delete(parameter);
  return kept;
}

/** @throws MemberDown, MemberWrong before the answer's head is sent; later ones cut it off */
export async function passOn(exchange: Exchange, from: OpenAnswer): Promise<void> {
  const { request, response, route, shared } = exchange;
  const { member, status, headers } = from;
  /** Also one that the member gave before it had the whole body. */
  const pass = (passed: string[], bytes?: Buffer) =>
    answerEarly(request, response, shared.clock, () => answer(exchange, status, passed, bytes));
  try {
    assertOwnLinks(member, route, headers);
    if (status < 400) assertNamed(member, askedFor(exchange), headers["docker-content-digest"]?.toString());
    const passed = answerHeaders(headers);
    if (request.method === "HEAD" || status === 204 || status === 304) return pass(passed);
    if (route.kind === "blob" && (status === 200 || status === 206)) return await passBlob(exchange, from, passed);
    const bytes = await from.whole(MAX_WHOLE_BYTES);
    if (status === 200) check(exchange, from, bytes);
    if (status >= 400 && !String(headers["content-type"]).startsWith("application/json"))
      throw new MemberWrong(member, `answers ${status} and not why`);
    pass(passed, bytes.length === 0 ? undefined : bytes);
  } finally {
    from.discard();
  }
}

async function passBlob(exchange: Exchange, from: OpenAnswer, headers: string[]): Promise<void> {
  const { member, status, body } = from;
  const digest = exchange.route.reference;
  const lengthBytes = Number(from.headers["content-length"]);
  if (!Number.isSafeInteger(lengthBytes) || lengthBytes < 0)
    throw new MemberWrong(member, "answers a blob without its length");
  await sendBlob(exchange, status, headers, {
    info: { key: digest, sizeBytes: lengthBytes, etag: "", modifiedMs: 0, digests: [] },
    startBytes: 0,
    lengthBytes,
    body: status === 200 ? verified(member, digest, body) : body,
    cancel: async () => from.discard(),
  });
}

function check({ route, request }: Exchange, { member, headers }: OpenAnswer, bytes: Buffer): void {
  if (request.method !== "GET") return;
  const named = headers["docker-content-digest"];
  if (route.kind === "manifest") assertManifest(member, route.reference, named?.toString(), bytes);
  else if (route.kind === "tags") assertTagsOf(member, route.name, bytes);
}

/** The digest that the answer must be about; "" where it may be any. */
function askedFor({ route, query, request }: Exchange): string {
  if (route.kind === "blob" || (route.kind === "manifest" && isDigest(route.reference))) return route.reference;
  const digest = query.get("digest");
  return request.method !== "GET" && digest !== null ? digest : "";
}

/** `undefined`: there is none, and Content-Length says so if it is there. */
function bodyOf(exchange: Exchange): MemberBody | undefined {
  const { request, response, shared, ended } = exchange;
  if (request.method === "GET" || request.method === "HEAD") return undefined;
  const sizeBytes = contentLength(request);
  if (sizeBytes === 0) return undefined;
  const { clock, bodyLimits: limits, traffic } = shared;
  const stopped = new AbortController();
  const source = { request, response, clock, limits, traffic, ended: AbortSignal.any([ended.signal, stopped.signal]) };
  return {
    bytes: counted(readBody(source, sizeBytes), traffic),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    stop: () => stopped.abort(ANSWERED),
  };
}

async function* counted(bytes: AsyncIterable<Buffer>, traffic: { uploadsOpen: number }): AsyncGenerator<Buffer, void> {
  traffic.uploadsOpen += 1;
  try {
    yield* bytes;
  } finally {
    traffic.uploadsOpen -= 1;
  }
}
