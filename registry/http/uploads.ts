/** /v2/<name>/blobs/uploads/…: push (end-4 to end-6), mount (end-11), status (end-13), cancel (end-14). */

import { hasReason } from "../../proto/errors.ts";
import { algorithmOf, isAlgorithm } from "../../proto/keys.ts";
import { RegistryError } from "../errors.ts";
import type { BlobFound, UploadSession } from "../repository/contract.ts";
import { assertName } from "../repository/names.ts";
import { type BodySource, contentLength, readBody } from "./body.ts";
import { answer, type Exchange } from "./exchange.ts";
import { assertDigest } from "./names.ts";
import { single } from "./query.ts";
import { parseChunkRange, progressRange } from "./range.ts";
import { readUpload, uploadLocation } from "./upload-state.ts";

/** end-4a: a session; end-4b: the whole blob in one request; end-4c: with another algorithm; end-11: mount. */
export async function startUpload(exchange: Exchange): Promise<void> {
  const { route, query, shared, context, account } = exchange;
  const digest = single(query, "digest", "DIGEST_INVALID");
  const mount = single(query, "mount", "DIGEST_INVALID");
  const algorithm = single(query, "digest-algorithm", "DIGEST_INVALID") ?? "sha256";
  if (!isAlgorithm(algorithm)) {
    throw new RegistryError(
      "DIGEST_INVALID",
      `digest-algorithm=${algorithm.slice(0, 50)}: this registry knows sha256 and sha512`,
      {
        detail: { algorithm: algorithm.slice(0, 50) },
      },
    );
  }
  if (mount !== undefined) {
    assertDigest(mount);
    const from = single(query, "from", "NAME_INVALID");
    if (from !== undefined) assertName(from);
    const source = { mayRead: account.mayRead, ...(from === undefined ? {} : { from }) };
    const found =
      from === undefined || account.mayRead(from)
        ? await shared.repositories.mountBlob(route.name, mount, source, context)
        : undefined;
    if (found) return answerPushed(exchange, found);
    // Not to be had: the client gets a session and uploads the bytes.
    return answerSession(exchange, 202, shared.repositories.startUpload(route.name, algorithmOf(mount)));
  }
  if (digest !== undefined) {
    assertDigest(digest);
    const session = shared.repositories.startUpload(route.name, algorithmOf(digest));
    return finish(exchange, session, digest, 0, contentLength(exchange.request));
  }
  answerSession(exchange, 202, shared.repositories.startUpload(route.name, algorithm));
}

/** end-5: one chunk, or a stream of unknown length. */
export async function appendUpload(exchange: Exchange): Promise<void> {
  const { shared, context } = exchange;
  const session = sessionOf(exchange);
  const { at, sizeBytes } = await placeOf(exchange, session);
  const bytes = counted(exchange, sizeBytes);
  let grown: UploadSession;
  try {
    grown = await shared.repositories.appendUpload(
      at,
      { offsetBytes: at.offsetBytes, bytes, ...(sizeBytes === undefined ? {} : { sizeBytes }) },
      context,
    );
  } catch (error) {
    throw await withProgress(exchange, at, error);
  }
  answerSession(exchange, 202, grown);
}

/** end-6: the last bytes, if any, and the digest of all. */
export async function finishUpload(exchange: Exchange): Promise<void> {
  const digest = single(exchange.query, "digest", "DIGEST_INVALID");
  if (digest === undefined)
    throw new RegistryError("DIGEST_INVALID", "the upload's end needs the parameter digest=<algorithm>:<hex>");
  assertDigest(digest);
  const session = sessionOf(exchange);
  const { at, sizeBytes } = await placeOf(exchange, session);
  await finish(exchange, at, digest, at.offsetBytes, sizeBytes);
}

/** end-13 */
export async function uploadStatus(exchange: Exchange): Promise<void> {
  const session = await exchange.shared.repositories.uploadProgress(sessionOf(exchange), exchange.context);
  answerSession(exchange, 204, session);
}

/** end-14 */
export async function cancelUpload(exchange: Exchange): Promise<void> {
  await exchange.shared.repositories.cancelUpload(sessionOf(exchange), exchange.context);
  answer(exchange, 204, []);
}

async function finish(
  exchange: Exchange,
  session: UploadSession,
  digest: string,
  offsetBytes: number,
  sizeBytes: number | undefined,
): Promise<void> {
  const { shared, context } = exchange;
  const bytes = counted(exchange, sizeBytes);
  let found: BlobFound;
  try {
    // While nothing was sent, the session's algorithm is only a guess: the digest knows better.
    const named = offsetBytes === 0 ? { ...session, algorithm: algorithmOf(digest) } : session;
    found = await shared.repositories.finishUpload(
      named,
      digest,
      { offsetBytes, bytes, ...(sizeBytes === undefined ? {} : { sizeBytes }) },
      context,
    );
  } catch (error) {
    throw await withProgress(exchange, session, error);
  }
  answerPushed(exchange, found);
}

function sessionOf(exchange: Exchange): UploadSession {
  const { route, query, shared } = exchange;
  const token = query.get("_state") ?? undefined;
  return readUpload(shared.secret, route.name, route.reference, token, shared.clock.now());
}

/**
 * Where the request's body belongs and how long it is. A chunk elsewhere than the Location says is right when the store is
 * there: the client knows it from a status whose Location it did not take.
 * @throws RANGE_INVALID, SIZE_INVALID
 */
async function placeOf(
  exchange: Exchange,
  session: UploadSession,
): Promise<{ at: UploadSession; sizeBytes: number | undefined }> {
  const { request, shared, context } = exchange;
  const length = contentLength(request);
  const range = parseChunkRange(request.headers["content-range"]);
  if (!range) return { at: session, sizeBytes: length };
  if (length !== undefined && length !== range.sizeBytes) {
    throw new RegistryError(
      "SIZE_INVALID",
      `Content-Range ${request.headers["content-range"]} is ${range.sizeBytes} bytes, Content-Length is ${length}`,
    );
  }
  if (range.offsetBytes === session.offsetBytes) return { at: session, sizeBytes: range.sizeBytes };
  const now = await shared.repositories.uploadProgress(session, context);
  if (now.offsetBytes === range.offsetBytes) return { at: now, sizeBytes: range.sizeBytes };
  progressHeaders(exchange, now);
  throw new RegistryError(
    "RANGE_INVALID",
    `the chunk begins at ${range.offsetBytes}, the upload goes on at ${now.offsetBytes}`,
    { detail: { offset: now.offsetBytes } },
  );
}

/** A 416 carries where the upload goes on, as far as the store can say. */
async function withProgress(exchange: Exchange, session: UploadSession, error: unknown): Promise<unknown> {
  const elsewhere =
    (error instanceof RegistryError && error.code === "RANGE_INVALID") || hasReason(error, "OFFSET_MISMATCH");
  if (!elsewhere) return error;
  try {
    progressHeaders(exchange, await exchange.shared.repositories.uploadProgress(session, exchange.context));
  } catch (unknown) {
    exchange.shared.log.debug({ err: unknown, requestId: exchange.context.requestId }, "no progress for a 416");
  }
  return error;
}

function progressHeaders({ response, shared }: Exchange, session: UploadSession): void {
  response.setHeader("Location", uploadLocation(shared.secret, session));
  response.setHeader("Range", progressRange(session.offsetBytes));
  response.setHeader("Docker-Upload-UUID", session.id);
}

async function* counted(exchange: Exchange, sizeBytes: number | undefined): AsyncGenerator<Buffer, void> {
  const { request, response, shared } = exchange;
  const { clock, bodyLimits: limits, traffic } = shared;
  const ended = exchange.ended.signal;
  const source: BodySource = { request, response, clock, limits, traffic, ended };
  traffic.uploadsOpen += 1;
  try {
    yield* readBody(source, sizeBytes);
  } finally {
    traffic.uploadsOpen -= 1;
  }
}

function answerSession(exchange: Exchange, status: number, session: UploadSession): void {
  answer(exchange, status, [
    "Location",
    uploadLocation(exchange.shared.secret, session),
    "Range",
    progressRange(session.offsetBytes),
    "Docker-Upload-UUID",
    session.id,
    ...(status === 204 ? [] : ["Content-Length", "0"]),
  ]);
}

function answerPushed(exchange: Exchange, found: BlobFound): void {
  answer(exchange, 201, [
    "Location",
    `/v2/${exchange.route.name}/blobs/${found.digest}`,
    "Docker-Content-Digest",
    found.digest,
    "Content-Length",
    "0",
  ]);
}
