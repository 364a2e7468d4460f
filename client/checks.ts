/** What a core may rely on in an answer, checked: a driver that breaks a rule is told which one, and never believed. */
import { OutriggerError } from "../proto/errors.ts";
import type { BlobInfo as WireInfo } from "../proto/gen/outrigger/blob/v1/BlobInfo.ts";
import type { Item as WireItem } from "../proto/gen/outrigger/meta/v1/Item.ts";
import type { BlobInfo, MetaItem } from "./contract.ts";

/** A PROTOCOL_VIOLATION that names the rule. */
export function violation(rule: string, what: string, cause?: unknown): OutriggerError {
  return new OutriggerError("PROTOCOL_VIOLATION", `${what} [${rule}]`, { side: "driver", cause });
}

/** A count of bytes, ms or items below 2^53. */
export function wholeNumber(rule: string, field: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw violation(rule, `${field} ${value} is not a whole number below 2^53`);
  return value;
}

/** An etag: 1 to 128 ASCII characters. */
export function etagOf(rule: string, key: string, etag: string): string {
  if (etag.length < 1 || etag.length > 128) throw violation(rule, `the etag of ${key} has ${etag.length} characters`);
  return etag;
}

export function blobInfo(rule: string, info: WireInfo | null | undefined, key?: string): BlobInfo {
  if (info === null || info === undefined) throw violation(rule, "the answer has no info");
  if (key !== undefined && info.key !== key) throw violation(rule, `asked for ${key}, the answer is about ${info.key}`);
  return {
    key: info.key,
    sizeBytes: wholeNumber(rule, `the size of ${info.key}`, info.size),
    etag: etagOf(rule, info.key, info.etag),
    modifiedMs: wholeNumber(rule, `modified_ms of ${info.key}`, info.modifiedMs),
    digests: info.digests,
  };
}

export function metaItem(rule: string, item: WireItem, key?: string): MetaItem {
  if (key !== undefined && item.key !== key) throw violation(rule, `asked for ${key}, the answer is about ${item.key}`);
  return { key: item.key, value: item.value as Buffer, etag: etagOf(rule, item.key, item.etag) };
}

/** A page's order: strictly ascending, above start, within prefix and limit; an empty page never says more. */
export function checkPage(
  rules: { readonly order: string; readonly more: string; readonly limit: string },
  keys: readonly string[],
  more: boolean,
  page: { readonly prefix: string; readonly startAfter: string; readonly limit: number },
): void {
  if (keys.length > page.limit) throw violation(rules.limit, `${keys.length} items where ${page.limit} were asked`);
  if (more && keys.length === 0) throw violation(rules.more, "an empty page says that more follow");
  let before = page.startAfter;
  for (const key of keys) {
    // Keys are ASCII: comparing strings compares bytes.
    if (key <= before && !(before === "" && key !== ""))
      throw violation(rules.order, `${JSON.stringify(key)} follows ${JSON.stringify(before)}`);
    if (!key.startsWith(page.prefix))
      throw violation(rules.order, `${JSON.stringify(key)} does not begin with ${JSON.stringify(page.prefix)}`);
    before = key;
  }
}
