/**
 * An upload session as it travels in the Location, so that any core can take the next request. The token is
 * base64url of: version (1), algorithm (1), offset (6), started (6), store id, HMAC-SHA256 (32). Repository and upload id
 * are in the path and part of what is signed.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Algorithm } from "../../proto/keys.ts";
import { RegistryError } from "../errors.ts";
import type { UploadSession } from "../repository/contract.ts";

const VERSION = 1;
const MAC_BYTES = 32;
const HEAD_BYTES = 14;
const ALGORITHMS: readonly Algorithm[] = ["sha256", "sha512"];
/** How long a Location is good (architecture.md, "What a push costs"). */
export const UPLOAD_LIFE_MS = 24 * 60 * 60 * 1000;
/** Cores' clocks may differ by this much. */
const SKEW_MS = 60_000;
const UPLOAD_ID = /^[A-Za-z0-9-]{1,64}$/;

/** The secret is shared by all cores; at least 16 bytes. */
export function signUpload(secret: Buffer, session: UploadSession): string {
  const store = Buffer.from(session.storeId, "utf8");
  const payload = Buffer.allocUnsafe(HEAD_BYTES + store.length);
  payload.writeUInt8(VERSION, 0);
  payload.writeUInt8(ALGORITHMS.indexOf(session.algorithm), 1);
  payload.writeUIntBE(session.offsetBytes, 2, 6);
  payload.writeUIntBE(session.startedMs, 8, 6);
  store.copy(payload, HEAD_BYTES);
  return Buffer.concat([payload, mac(secret, session.repository, session.id, payload)]).toString("base64url");
}

/** @throws BLOB_UPLOAD_INVALID for a state that was changed, BLOB_UPLOAD_UNKNOWN for one that is missing or too old */
export function readUpload(
  secret: Buffer,
  repository: string,
  id: string,
  token: string | undefined,
  nowMs: number,
): UploadSession {
  if (token === undefined || token === "" || !UPLOAD_ID.test(id)) {
    throw new RegistryError(
      "BLOB_UPLOAD_UNKNOWN",
      "this is not the address of an upload: use the last Location that the registry answered, with its _state",
      { detail: { upload: id.slice(0, 64) } },
    );
  }
  const bytes = Buffer.from(token, "base64url");
  const payload = bytes.subarray(0, Math.max(0, bytes.length - MAC_BYTES));
  const given = bytes.subarray(payload.length);
  if (
    payload.length < HEAD_BYTES ||
    payload[0] !== VERSION ||
    given.length !== MAC_BYTES ||
    // base64url decoding forgives; what was signed has exactly one spelling.
    bytes.toString("base64url") !== token ||
    !timingSafeEqual(given, mac(secret, repository, id, payload))
  ) {
    throw new RegistryError(
      "BLOB_UPLOAD_INVALID",
      "the upload's _state was changed, or signed by a registry with another secret (http.secretFile): begin a new upload",
      { detail: { upload: id } },
    );
  }
  const startedMs = payload.readUIntBE(8, 6);
  if (nowMs - startedMs > UPLOAD_LIFE_MS + SKEW_MS) {
    throw new RegistryError("BLOB_UPLOAD_UNKNOWN", "the upload began more than 24 hours ago: begin a new one", {
      detail: { upload: id },
    });
  }
  return {
    id,
    repository,
    storeId: payload.toString("utf8", HEAD_BYTES),
    algorithm: ALGORITHMS[payload.readUInt8(1)] ?? "sha256",
    offsetBytes: payload.readUIntBE(2, 6),
    startedMs,
  };
}

export function uploadLocation(secret: Buffer, session: UploadSession): string {
  return `/v2/${session.repository}/blobs/uploads/${session.id}?_state=${signUpload(secret, session)}`;
}

function mac(secret: Buffer, repository: string, id: string, payload: Buffer): Buffer {
  return createHmac("sha256", secret).update(`outrigger-upload\n${repository}\n${id}\n`).update(payload).digest();
}
