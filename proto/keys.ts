/** Keys, upload ids and digests (protocol.md section 5), checked by the core and again by the driver. */
import { OutriggerError } from "./errors.ts";

/** `component("/"component)*`, no component being "." or "..". */
const KEY = /^(?!\.\.?(?:\/|$))[A-Za-z0-9._-]{1,255}(?:\/(?!\.\.?(?:\/|$))[A-Za-z0-9._-]{1,255})*$/;
const UPLOAD_ID = /^[A-Za-z0-9-]{1,64}$/;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: "any ASCII" is the rule
const ASCII = /^[\x00-\x7f]*$/;
export const MAX_KEY_BYTES = 1024;

/** Whether `key` is `component("/"component)*` of 1 to 1024 bytes, no component being "." or "..". */
export function isKey(key: string): boolean {
  return key.length <= MAX_KEY_BYTES && KEY.test(key);
}

/** @throws INVALID_KEY */
export function assertKey(key: string): void {
  if (!isKey(key)) {
    throw new OutriggerError(
      "INVALID_KEY",
      `key ${quote(key)} is not a list of [A-Za-z0-9._-]{1,255} components joined by single slashes, none of them "." or "..", 1 to 1024 bytes in all`,
    );
  }
}

/** Keys, names, tags and digests are ASCII: the order of their code units is that of their bytes. */
export function bytewise(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** @throws INVALID_FIELD */
export function assertUploadId(id: string): void {
  if (!UPLOAD_ID.test(id)) throw invalidField("upload_id", `${quote(id)} is not [A-Za-z0-9-]{1,64}`);
}

/** Listing bounds are any ASCII, not necessarily keys. @throws INVALID_FIELD */
export function assertAscii(field: string, text: string): void {
  if (text.length > 2 * MAX_KEY_BYTES || !ASCII.test(text))
    throw invalidField(field, `${quote(text)} is not ASCII of at most ${2 * MAX_KEY_BYTES} bytes`);
}

export type Algorithm = "sha256" | "sha512";

export function isAlgorithm(name: string): name is Algorithm {
  return name === "sha256" || name === "sha512";
}

/** Whether `text` is `sha256:<64 hex>` or `sha512:<128 hex>`, lower case (OCI image-spec, descriptor, registered algorithms). */
export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

export function algorithmOf(digest: string): Algorithm {
  const name = digest.slice(0, digest.indexOf(":"));
  if (!isAlgorithm(name))
    throw invalidField("digest", `${quote(digest)} is neither sha256:<64 hex> nor sha512:<128 hex>`);
  return name;
}

/** @throws INVALID_FIELD */
export function assertDigest(digest: string): void {
  if (!isDigest(digest))
    throw invalidField("digest", `${quote(digest)} is neither sha256:<64 hex> nor sha512:<128 hex>`);
}

/** An INVALID_FIELD that names the field. */
export function invalidField(field: string, why: string): OutriggerError {
  return new OutriggerError("INVALID_FIELD", `${field}: ${why}`, { metadata: { field } });
}

function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
