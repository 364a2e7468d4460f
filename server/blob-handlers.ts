/** BlobService but for Append: what the host owes before and after the driver's functions. */

import type { Clock } from "../proto/clock.ts";
import { OutriggerError } from "../proto/errors.ts";
import type { DeleteResult } from "../proto/gen/outrigger/blob/v1/DeleteResult.ts";
import type { MoveResponse } from "../proto/gen/outrigger/blob/v1/MoveResponse.ts";
import type { PutRequest } from "../proto/gen/outrigger/blob/v1/PutRequest.ts";
import type { ReadRequest } from "../proto/gen/outrigger/blob/v1/ReadRequest.ts";
import type { ReadResponse } from "../proto/gen/outrigger/blob/v1/ReadResponse.ts";
import { algorithmOf, assertAscii, assertKey, invalidField } from "../proto/keys.ts";
import { limits } from "../proto/limits.ts";
import type { ReceivedRequests, StreamMethod, UnaryMethods } from "../proto/transport.ts";
import { asOutriggerError } from "./calls.ts";
import type { BlobDriver, BlobInfo, CallContext, Condition } from "./contract.ts";
import { counted } from "./count.ts";
import * as fields from "./fields.ts";
import { digestOf } from "./hasher.ts";
import { blobInfoBytes, cutPage } from "./pages.ts";
import { infoMessage } from "./upload-stream.ts";
import type { Uploads } from "./uploads.ts";
import { whileWorking } from "./working.ts";

type UnaryName = Extract<keyof UnaryMethods, `blob.${string}`>;

export type BlobHandlers = {
  readonly [Name in UnaryName]: (request: ReceivedRequests[Name], call: CallContext) => Promise<UnaryMethods[Name][1]>;
} & {
  readonly "blob.Read": (request: ReadRequest, call: CallContext) => AsyncIterable<ReadResponse>;
  readonly "blob.Move": (request: ReceivedRequests["blob.Move"], call: CallContext) => AsyncIterable<MoveResponse>;
} & Record<StreamMethod, unknown>;

/** How many keys of one Delete are under way at once. */
const DELETES_AT_ONCE = 32;
const SIGNED_URL_MOST_MS = 7 * 24 * 60 * 60 * 1000;
const NONCE = /^[0-9a-f]{32,64}$/;

export interface BlobHandlersOptions {
  readonly driver: BlobDriver;
  readonly uploads: Uploads;
  readonly clock: Clock;
  /** A name that no other upload has. */
  readonly randomId: () => string;
}

export function createBlobHandlers({ driver, uploads, clock, randomId }: BlobHandlersOptions): BlobHandlers {
  return {
    async "blob.Stat"(request, call) {
      const keys = fields.keys(request.keys, limits.statKeys);
      if (keys.length === 0) return { results: [] };
      const found = await driver.stat(keys, call);
      if (found.length !== keys.length) {
        throw new OutriggerError("INTERNAL", `the driver's stat answered ${found.length} results for ${keys.length}`);
      }
      return {
        results: keys.map((key, index) => {
          const info = found[index];
          return info === undefined ? { key } : { key, info: infoMessage(info) };
        }),
      };
    },

    async *"blob.Read"(request, call) {
      yield* read(driver, request, call);
    },

    async "blob.Put"(request, call) {
      return { info: infoMessage(await put(driver, request, randomId, call)) };
    },

    async "blob.GetUpload"({ uploadId }, call) {
      return { upload: uploadMessage(await uploads.get(uploadId, call)) };
    },

    async "blob.ListUploads"({ startAfter, limit }, call) {
      assertAscii("start_after", startAfter);
      const page = await uploads.list({ startAfter, limit: fields.pageLimit(limit) }, call);
      return { uploads: page.items.map(uploadMessage), more: page.more };
    },

    async "blob.AbortUpload"({ uploadId, ifIdleMs }, call) {
      const idle = ifIdleMs === undefined ? undefined : fields.safeInteger("if_idle_ms", ifIdleMs);
      await uploads.abort(uploadId, idle, call);
      return {};
    },

    async *"blob.Move"({ source, destination }, call) {
      assertKey(source);
      assertKey(destination);
      const moving = source === destination ? existing(driver, source, call) : driver.move(source, destination, call);
      yield* whileWorking<BlobInfo, MoveResponse>(clock, moving, {
        working: { step: "working", working: {} },
        done: (info) => ({ step: "info", info: infoMessage(info) }),
      });
    },

    async "blob.Delete"(request, call) {
      const keys = fields.keys(request.keys, limits.deleteKeys);
      const results: DeleteResult[] = keys.map((key) => ({ key, reason: "", message: "" }));
      const queue = results.values();
      const work = async () => {
        for (const result of queue) await deleteOne(driver, result, call);
      };
      await Promise.all(Array.from({ length: Math.min(DELETES_AT_ONCE, keys.length) }, work));
      return { results };
    },

    async "blob.List"(request, call) {
      const page = fields.page(request);
      const { items, more } = cutPage(await driver.list(page, call), page.limit, blobInfoBytes);
      return { items: items.map(infoMessage), more };
    },

    async "blob.Count"({ prefix }, call) {
      assertAscii("prefix", prefix);
      return driver.count === undefined ? counted(driver, prefix, call) : driver.count(prefix, call);
    },

    async "blob.SignUrl"({ key, ttlMs }, call) {
      if (!claims(driver, "SIGN_URL") || driver.signUrl === undefined) throw missing("SIGN_URL");
      assertKey(key);
      if (fields.safeInteger("ttl_ms", ttlMs) < 1 || ttlMs > SIGNED_URL_MOST_MS) {
        throw invalidField("ttl_ms", `${ttlMs} is not from 1 to ${SIGNED_URL_MOST_MS}`);
      }
      return driver.signUrl(key, ttlMs, call);
    },

    async "blob.LocateFile"({ what, key, nonce }, call) {
      if (!claims(driver, "LOCAL_FILE") || driver.locateFile === undefined) throw missing("LOCAL_FILE");
      const wanted = what === "nonce" ? { nonce: nonce ?? "" } : { key: key ?? "" };
      if ("key" in wanted) assertKey(wanted.key);
      else if (!NONCE.test(wanted.nonce)) throw invalidField("nonce", "is not 32 to 64 of [0-9a-f]");
      const { path, sizeBytes, etag } = await driver.locateFile(wanted, call);
      if (path.startsWith("/") || path.split("/").includes("..")) {
        throw new OutriggerError("INTERNAL", "the driver's path leads out of its store [blob.locatefile.02]");
      }
      return { path, size: sizeBytes, etag };
    },
  };
}

/** What a driver claims it must have: found at its start, not at the first call. [handshake.describe.03] */
export function assertClaims(driver: BlobDriver): void {
  for (const [capability, served] of [
    ["SIGN_URL", driver.signUrl],
    ["LOCAL_FILE", driver.locateFile],
  ] as const) {
    if (claims(driver, capability) && served === undefined) {
      throw new Error(`the driver claims ${capability} and has no function for it`);
    }
  }
}

async function* read(driver: BlobDriver, request: ReadRequest, call: CallContext): AsyncGenerator<ReadResponse> {
  assertKey(request.key);
  const bytes = await driver.read(
    request.key,
    {
      offsetBytes: fields.safeInteger("offset", request.offset ?? 0),
      ...(request.limit === undefined ? {} : { limitBytes: fields.safeInteger("limit", request.limit) }),
      ...(request.ifEtag === "" ? {} : { ifEtag: fields.etag("if_etag", request.ifEtag) }),
    },
    call,
  );
  let taken = false;
  try {
    yield {
      part: "start",
      start: { info: infoMessage(bytes.info), start: bytes.startBytes, length: bytes.lengthBytes },
    };
    const end = bytes.startBytes + bytes.lengthBytes;
    let offset = bytes.startBytes;
    taken = true;
    for await (const piece of bytes.body) {
      if (offset + piece.length > end) throw wrongLength(bytes.lengthBytes, "more");
      for (let at = 0; at < piece.length; at += limits.chunkBytes) {
        const data = asBuffer(piece, at, Math.min(piece.length, at + limits.chunkBytes));
        yield { part: "chunk", chunk: { offset, data } };
        offset += data.length;
      }
      call.signal.throwIfAborted();
    }
    if (offset < end) throw wrongLength(bytes.lengthBytes, "fewer"); // [blob.read.03]
  } finally {
    if (!taken) await bytes.cancel();
  }
}

/** [blob.put.01] to [blob.put.05] */
async function put(
  driver: BlobDriver,
  request: PutRequest,
  randomId: () => string,
  call: CallContext,
): Promise<BlobInfo> {
  const { key, data } = request;
  assertKey(key);
  const condition = fields.condition(request);
  if (data.length > limits.putBytes)
    throw invalidField("data", `${data.length} bytes are more than ${limits.putBytes}`);
  const wanted = fields.optionalDigest(request.digest);
  if (wanted !== undefined) {
    const digest = digestOf(algorithmOf(wanted), data);
    if (digest !== wanted) {
      throw new OutriggerError("DIGEST_MISMATCH", `the data has digest ${digest}, not ${wanted}`, {
        metadata: { digest },
      });
    }
  }
  call.assertInTime();
  if (driver.put !== undefined) return driver.put(key, data, condition, call);
  return putByUpload(driver, key, data, wanted ?? digestOf("sha256", data), condition, randomId(), call);
}

async function putByUpload(
  driver: BlobDriver,
  key: string,
  data: Uint8Array,
  digest: string,
  condition: Condition | undefined,
  uploadId: string,
  call: CallContext,
): Promise<BlobInfo> {
  const upload = await driver.open(uploadId, { create: true, key, sizeBytes: data.length }, call);
  try {
    if (data.length > 0) await upload.write(data);
    return await upload.commit({ key, digest, keep: false, ...(condition === undefined ? {} : { condition }) }, call);
  } catch (error) {
    await upload.close().catch((err) => call.log.warn({ err }, "an upload could not be closed"));
    await driver.abort(uploadId, call).catch((err) => call.log.warn({ err }, "an upload could not be aborted"));
    throw error;
  }
}

async function deleteOne(driver: BlobDriver, result: DeleteResult, call: CallContext): Promise<void> {
  try {
    call.assertInTime();
    await driver.delete(result.key, call);
  } catch (fault) {
    const error = asOutriggerError(fault, "blob.Delete", call.log, call.signal);
    result.reason = error.reason;
    result.message = error.message.slice(0, 200);
  }
}

/** [blob.move.03] */
async function existing(driver: BlobDriver, key: string, call: CallContext): Promise<BlobInfo> {
  const [info] = await driver.stat([key], call);
  if (info === undefined) throw new OutriggerError("KEY_NOT_FOUND", `there is no key ${key}`);
  return info;
}

function uploadMessage(upload: { uploadId: string; persistedBytes: number; idleMs: number }) {
  return {
    uploadId: upload.uploadId,
    persisted: upload.persistedBytes,
    idleMs: Math.max(0, Math.floor(upload.idleMs)),
  };
}

function claims(driver: BlobDriver, capability: string): boolean {
  return driver.facts.capabilities.includes(capability);
}

function missing(capability: string): OutriggerError {
  return new OutriggerError("CAPABILITY_MISSING", `this store does not have ${capability}`);
}

function wrongLength(length: number, how: string): OutriggerError {
  return new OutriggerError("STORED_CORRUPT", `the driver gave ${how} than the ${length} bytes it announced`);
}

function asBuffer(piece: Uint8Array, from: number, to: number): Buffer {
  return Buffer.from(piece.buffer, piece.byteOffset + from, to - from);
}
