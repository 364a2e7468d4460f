/** Fields of JSON that others wrote, as far as they are what they should be. */

export type Json = Readonly<Record<string, unknown>>;

/** `{}`: it is not an object. */
export function objectIn(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

/** `[]`: the field is not a list. */
export function listIn(value: unknown, field: string): readonly unknown[] {
  const list = objectIn(value)[field];
  return Array.isArray(list) ? list : [];
}

/** `undefined`: absent, empty, or not a text. */
export function textIn(value: unknown, field: string): string | undefined {
  const text = objectIn(value)[field];
  return typeof text === "string" && text !== "" ? text : undefined;
}

/** 0: not a size in bytes. */
export function sizeIn(value: unknown, field: string): number {
  const size = objectIn(value)[field];
  return Number.isSafeInteger(size) && Number(size) > 0 ? Number(size) : 0;
}

/** Its fields that are texts; `undefined`: there are none. */
export function textsIn(value: unknown, field: string): Readonly<Record<string, string>> | undefined {
  const entries = Object.entries(objectIn(objectIn(value)[field])).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
