/** A message to JSON: protobuf's mapping, with every field that has no presence, so that 0 and "" are seen. */
import protobuf from "protobufjs";
import { fieldsOf, oneofOf } from "./schema.ts";

export interface ToJsonOptions {
  /** Bytes that are UTF-8 as {"text": …}. */
  readonly text?: boolean;
  /** Takes bytes elsewhere; what it answers is shown instead. `undefined`: show them as they are. */
  readonly bytes?: (data: Uint8Array) => string | undefined;
}

type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

export function messageToJson(
  type: protobuf.Type,
  message: protobuf.Message | Record<string, unknown>,
  options: ToJsonOptions = {},
): { [name: string]: Json } {
  const json: { [name: string]: Json } = {};
  for (const field of fieldsOf(type)) {
    const value = (message as Record<string, unknown>)[field.name];
    const given = Object.hasOwn(message, field.name) && value !== null && value !== undefined;
    const hasPresence =
      oneofOf(field) !== undefined ||
      field.options?.["proto3_optional"] === true ||
      (field.resolvedType instanceof protobuf.Type && !field.repeated && !(field instanceof protobuf.MapField));
    if (!given && hasPresence) continue;
    if (field instanceof protobuf.MapField)
      json[field.name] = Object.fromEntries(
        Object.entries((value ?? {}) as Record<string, unknown>).map(([key, one]) => [key, shown(field, one, options)]),
      );
    else if (field.repeated) json[field.name] = ((value ?? []) as unknown[]).map((one) => shown(field, one, options));
    else json[field.name] = shown(field, value, options);
  }
  return json;
}

function shown(field: protobuf.Field, value: unknown, options: ToJsonOptions): Json {
  const { resolvedType } = field;
  if (resolvedType instanceof protobuf.Type) return messageToJson(resolvedType, value as protobuf.Message, options);
  if (resolvedType instanceof protobuf.Enum) return resolvedType.valuesById[Number(value)] ?? Number(value);
  switch (field.type) {
    case "bytes":
      return bytesToJson(value as Uint8Array, options);
    // The mapping's way: a number would lose what is above 2^53.
    case "uint64":
    case "int64":
      return String(value);
    default:
      return value as string | number | boolean;
  }
}

function bytesToJson(value: Uint8Array, { text, bytes }: ToJsonOptions): Json {
  const data = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const told = bytes?.(data);
  if (told !== undefined) return told;
  if (text) {
    const words = data.toString("utf8");
    if (Buffer.from(words).equals(data)) return { text: words };
  }
  return data.toString("base64");
}
