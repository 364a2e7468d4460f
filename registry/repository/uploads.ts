/**
 * Uploads (OCI distribution spec 1.1, "Pushing blobs"). A session is what its Location says; POST makes no call, PATCH is
 * one Append, PUT is a Get, an Append that commits, and a Write that links.
 */
import { randomUUID } from "node:crypto";
import type { AppendResult, BlobStore, MetaItem } from "../../client/contract.ts";
import { hasReason } from "../../proto/errors.ts";
import { type Algorithm, algorithmOf } from "../../proto/keys.ts";
import { RegistryError } from "../errors.ts";
import type { BlobFound, RequestContext, UploadSession } from "./contract.ts";
import { assertDigestText, type Core } from "./core.ts";
import { blobKey, cancelledKey } from "./keys.ts";
import { linkLayer, patiently, readLayer, untilNotDeleting } from "./link-layer.ts";
import { assertName } from "./names.ts";
import { untilAdded, untilNotRaced } from "./races.ts";

/** How long an upload may take; its marker of cancellation outlives it. */
export const SESSION_TTL_MS = 24 * 60 * 60 * 1000;

interface Body {
  readonly offsetBytes: number;
  readonly sizeBytes?: number;
  readonly bytes: AsyncIterable<Uint8Array>;
}

export function startUpload(core: Core, name: string, algorithm: Algorithm): UploadSession {
  assertName(name);
  return {
    id: randomUUID(),
    repository: name,
    storeId: core.stores.uploadStoreId,
    algorithm,
    offsetBytes: 0,
    startedMs: core.clock.now(),
  };
}

export async function appendUpload(
  core: Core,
  session: UploadSession,
  body: Body,
  context: RequestContext,
): Promise<UploadSession> {
  const store = storeOf(core, session);
  assertOffset(session, body);
  const result = await append(store, session, body, session.algorithm, undefined, context);
  return { ...session, offsetBytes: result.persistedBytes };
}

export async function finishUpload(
  core: Core,
  session: UploadSession,
  digest: string,
  body: Body,
  context: RequestContext,
): Promise<BlobFound> {
  assertName(session.repository);
  assertDigestText(digest);
  const store = storeOf(core, session);
  assertOffset(session, body);
  const cancelled = cancelledKey(session.id);
  let committed: Committed | undefined;
  await untilAdded(core, context.signal, async () => {
    // Bytes in a store that is no longer the registry's would be linked to nothing.
    if (!core.stores.endsHere(session.storeId)) throw unknown(session);
    const items = await untilNotDeleting(core, digest, context, () =>
      patiently(core, context, () => readLayer(core, session.repository, digest, [cancelled], context)),
    );
    assertNotCancelled(items.others[0]);
    if (committed === undefined) {
      // Where the digest has a link or a marker its bytes are, or were: Append knows what to do about them.
      const isNew = items.link === undefined && items.marker === undefined;
      committed = await commit(store, session, digest, body, isNew, context);
    } else {
      // A retry: what was true before the bytes were written may have led to their being taken away.
      const [info] = await store.stat([blobKey(digest)], context);
      if (info === undefined) throw unknown(session);
    }
    await linkLayer(
      core,
      session.repository,
      digest,
      items,
      [{ kind: "check", key: cancelled, condition: { ifAbsent: true } }],
      context,
    );
  });
  const sizeBytes = committed?.info.sizeBytes ?? 0;
  core.cache.keepSize(digest, sizeBytes);
  if (committed?.bytes !== undefined) core.cache.keepBlob(digest, committed.bytes);
  return { digest, sizeBytes };
}

export async function uploadProgress(
  core: Core,
  session: UploadSession,
  context: RequestContext,
): Promise<UploadSession> {
  const store = storeOf(core, session);
  const [cancelled] = await core.ledger.get([cancelledKey(session.id)], context);
  assertNotCancelled(cancelled);
  const upload = await store.getUpload(session.id, context);
  if (upload !== undefined) return { ...session, offsetBytes: upload.persistedBytes };
  // Never opened; a finished or expired upload has an offset, unless all of it came in one PUT.
  if (session.offsetBytes === 0) return session;
  throw unknown(session);
}

export async function cancelUpload(core: Core, session: UploadSession, context: RequestContext): Promise<void> {
  const store = storeOf(core, session);
  const key = cancelledKey(session.id);
  await untilNotRaced(core, context.signal, async () => {
    const [cancelled] = await core.ledger.get([key], context);
    assertNotCancelled(cancelled);
    if (session.offsetBytes > 0 && (await store.getUpload(session.id, context)) === undefined) throw unknown(session);
    try {
      const value = Buffer.from(String(core.clock.now()));
      await core.ledger.write([{ kind: "put", key, value, condition: { ifAbsent: true } }], context);
    } catch (error) {
      // Somebody else cancelled it meanwhile: the bytes still have to go.
      if (!hasReason(error, "CONDITION_FAILED")) throw error;
    }
  });
  await store.abortUpload(session.id, {}, context);
}

/** Bodies that a request may hold in memory: no more than what an Append reads ahead. */
const SMALL_BODY_BYTES = 256 * 1024;
/** A config is read again when its manifest is pushed, in a moment. */
const KEPT_BYTES = 64 * 1024;

type Committed = NonNullable<AppendResult["committed"]> & { readonly bytes?: Buffer };

/**
 * A small blob that comes whole goes by one Put, which costs the driver a third of a stream. Wherever that does not end
 * well the same bytes go by Append, which survives the driver, keeps what a broken request sent, and looks at what the key
 * holds already.
 */
async function commit(
  store: BlobStore,
  session: UploadSession,
  digest: string,
  body: Body,
  isNew: boolean,
  context: RequestContext,
): Promise<Committed | undefined> {
  const { sizeBytes = Number.POSITIVE_INFINITY, offsetBytes } = body;
  let whole = body;
  if (isNew && session.offsetBytes === 0 && offsetBytes === 0 && sizeBytes <= SMALL_BODY_BYTES) {
    const { pieces, failure } = await readAll(body.bytes);
    const data = pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
    if (failure === undefined && data.length === sizeBytes) {
      try {
        const info = await store.put(
          blobKey(digest),
          data,
          { digest, condition: { ifAbsent: true }, once: true },
          context,
        );
        return { info, digest, ...(data.length <= KEPT_BYTES ? { bytes: Buffer.from(data) } : {}) };
      } catch (error) {
        if (hasReason(error, "DIGEST_MISMATCH")) throw notThisDigest(digest, error);
        context.signal?.throwIfAborted();
      }
    }
    whole = { ...body, bytes: again(pieces, failure) };
  }
  const { committed } = await append(store, session, whole, algorithmOf(digest), digest, context);
  return committed;
}

async function readAll(
  bytes: AsyncIterable<Uint8Array>,
): Promise<{ readonly pieces: Uint8Array[]; readonly failure: { readonly error: unknown } | undefined }> {
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of bytes) pieces.push(piece);
    return { pieces, failure: undefined };
  } catch (error) {
    return { pieces, failure: { error } };
  }
}

async function* again(
  pieces: readonly Uint8Array[],
  failure: { readonly error: unknown } | undefined,
): AsyncGenerator<Uint8Array, void> {
  yield* pieces;
  if (failure !== undefined) throw failure.error;
}

async function append(
  store: BlobStore,
  session: UploadSession,
  body: Body,
  algorithm: Algorithm,
  commitDigest: string | undefined,
  context: RequestContext,
): Promise<AppendResult> {
  const endBytes = body.sizeBytes === undefined ? undefined : body.offsetBytes + body.sizeBytes;
  const { maxBlobBytes } = store.facts.limits;
  if (endBytes !== undefined && endBytes > maxBlobBytes) throw tooLarge(maxBlobBytes);
  try {
    return await store.append(
      {
        uploadId: session.id,
        // Only while nothing was acknowledged for it.
        create: session.offsetBytes === 0 && body.offsetBytes === 0,
        algorithm,
        offsetBytes: body.offsetBytes,
        body: endBytes === undefined && Number.isFinite(maxBlobBytes) ? upTo(maxBlobBytes, body) : body.bytes,
        ...(commitDigest === undefined
          ? {}
          : {
              key: blobKey(commitDigest),
              ...(endBytes === undefined ? {} : { sizeBytes: endBytes }),
              commit: {
                key: blobKey(commitDigest),
                digest: commitDigest,
                ...(endBytes === undefined ? {} : { sizeBytes: endBytes }),
              },
            }),
      },
      context,
    );
  } catch (error) {
    if (hasReason(error, "DIGEST_MISMATCH") && commitDigest !== undefined) {
      // The upload can never become that blob, and its bytes are of no use to anybody.
      await store.abortUpload(session.id, {}, context).catch(() => {});
      throw notThisDigest(commitDigest, error);
    }
    throw explained(session, body, error);
  }
}

/** A body whose length is not told. @throws SIZE_INVALID (413) */
async function* upTo(maxBlobBytes: number, { offsetBytes, bytes }: Body): AsyncGenerator<Uint8Array, void> {
  let endBytes = offsetBytes;
  for await (const piece of bytes) {
    endBytes += piece.length;
    if (endBytes > maxBlobBytes) throw tooLarge(maxBlobBytes);
    yield piece;
  }
}

/** The driver's answer as the client must hear it; other errors as they are. */
function explained(session: UploadSession, body: Body, error: unknown): unknown {
  if (hasReason(error, "UPLOAD_NOT_FOUND", "UPLOAD_LOST")) {
    // A first chunk that does not begin at 0 is out of order, not lost.
    return session.offsetBytes === 0 && body.offsetBytes > 0
      ? outOfOrder(session, "0", error)
      : unknown(session, error);
  }
  if (hasReason(error, "OFFSET_MISMATCH")) return outOfOrder(session, error.metadata["persisted"], error);
  if (hasReason(error, "SIZE_MISMATCH")) {
    return new RegistryError("SIZE_INVALID", "the upload does not have the size that the request says", {
      cause: error,
    });
  }
  // The chunks are right: what is refused is one more of them.
  if (hasReason(error, "INVALID_FIELD") && error.metadata["field"] === "chunk.data") {
    return new RegistryError(
      "SIZE_INVALID",
      "the storage takes no more bytes of this upload: send the blob in one request that tells its length",
      { status: 413, cause: error },
    );
  }
  if (hasReason(error, "UPLOAD_FENCED")) {
    return new RegistryError("BLOB_UPLOAD_INVALID", "a newer request has taken this upload over, or ended it", {
      status: 409,
      cause: error,
    });
  }
  return error;
}

/**
 * Below what was acknowledged is out of order (416). Above it may be right, since the client may have asked how far the
 * upload is after an answer that it lost: the store decides.
 */
function assertOffset(session: UploadSession, body: Body): void {
  if (body.offsetBytes < session.offsetBytes) throw outOfOrder(session, String(session.offsetBytes), undefined);
}

function outOfOrder(session: UploadSession, held: string | undefined, cause: unknown): RegistryError {
  return new RegistryError(
    "RANGE_INVALID",
    `the upload goes on at byte ${held ?? session.offsetBytes}: send that, or ask for its status`,
    { detail: { offset: Number(held ?? session.offsetBytes) }, cause },
  );
}

function storeOf(core: Core, session: UploadSession): BlobStore {
  const store = core.stores.blobsById(session.storeId);
  if (store === undefined || core.clock.now() > session.startedMs + SESSION_TTL_MS) throw unknown(session);
  return store;
}

function assertNotCancelled(marker: MetaItem | undefined): void {
  if (marker !== undefined) throw new RegistryError("BLOB_UPLOAD_UNKNOWN", "the upload was cancelled");
}

function tooLarge(maxBlobBytes: number): RegistryError {
  return new RegistryError("SIZE_INVALID", `a blob has at most ${maxBlobBytes} bytes in this registry's storage`, {
    status: 413,
    detail: { limit: maxBlobBytes },
  });
}

function notThisDigest(digest: string, cause: unknown): RegistryError {
  return new RegistryError("DIGEST_INVALID", "the uploaded bytes do not have this digest", {
    detail: { digest },
    cause,
  });
}

function unknown(session: UploadSession, cause?: unknown): RegistryError {
  return new RegistryError("BLOB_UPLOAD_UNKNOWN", "there is no such upload: finished, cancelled, expired or lost", {
    detail: { upload: session.id },
    cause,
  });
}
