/** Checks of request fields; each error names the field. All throw INVALID_FIELD (or INVALID_KEY). */
import { assertAscii, assertDigest, assertKey, invalidField } from "../proto/keys.ts";
import { limits } from "../proto/limits.ts";
import type { Condition, PageRequest } from "./contract.ts";

/** A size, offset or time that a number can hold exactly. */
export function safeInteger(field: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw invalidField(field, `${value} is not an integer from 0 to 2^53-1`);
  return value;
}

export function keys(keys: readonly string[], most: number): readonly string[] {
  if (keys.length > most) throw invalidField("keys", `${keys.length} keys are more than ${most}`);
  for (const key of keys) assertKey(key);
  return keys;
}

/** limit 0 means the most there is. */
export function pageLimit(limit: number): number {
  if (limit > limits.listItems) throw invalidField("limit", `${limit} is more than ${limits.listItems}`);
  return limit === 0 ? limits.listItems : limit;
}

export function page(request: { prefix: string; startAfter: string; limit: number }): PageRequest {
  assertAscii("prefix", request.prefix);
  assertAscii("start_after", request.startAfter);
  return { prefix: request.prefix, startAfter: request.startAfter, limit: pageLimit(request.limit) };
}

/** At most one of if_absent and if_etag. */
export function condition(request: { ifAbsent: boolean; ifEtag: string }): Condition | undefined {
  if (request.ifAbsent && request.ifEtag !== "") throw invalidField("if_etag", "cannot be together with if_absent");
  if (request.ifAbsent) return { ifAbsent: true };
  return request.ifEtag === "" ? undefined : { ifEtag: etag("if_etag", request.ifEtag) };
}

export function etag(field: string, text: string): string {
  if (text.length > 128) throw invalidField(field, "an etag has at most 128 characters");
  return text;
}

/** "" is "not given". */
export function optionalDigest(digest: string): string | undefined {
  if (digest === "") return undefined;
  assertDigest(digest);
  return digest;
}
