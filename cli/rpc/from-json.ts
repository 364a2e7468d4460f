/**
 * JSON to a message, strictly: protobuf's JSON mapping, and what is friendlier to type. A bytes field is base64 (either
 * alphabet), or {"text": …}, {"hex": …}, {"file": path}. 64-bit numbers are strings or numbers. Names are camelCase or
 * snake_case.
 */
import { readFileSync } from "node:fs";
import protobuf from "protobufjs";
import { UsageFailure } from "../failure.ts";
import { nearest } from "./nearest.ts";
import { fieldsOf, oneofOf } from "./schema.ts";

/** @throws UsageFailure that names the field and says what would be right */
export function messageFromJson(type: protobuf.Type, json: unknown, at = ""): Record<string, unknown> {
  const where = at === "" ? type.name : at;
  if (!isObject(json)) throw wrong(where, json, `an object with ${names(type)}`);
  const message: Record<string, unknown> = {};
  const chosen = new Map<string, string>();
  for (const [name, value] of Object.entries(json)) {
    const field = fieldNamed(type, name, where);
    // As the mapping has it: null is absent.
    if (value === null) continue;
    const oneof = oneofOf(field);
    if (oneof !== undefined) {
      const other = chosen.get(oneof.name);
      if (other !== undefined)
        throw new UsageFailure(
          `${where} has both ${other} and ${name}: give one of ${oneof.fieldsArray.map((one) => one.name).join(", ")}`,
        );
      chosen.set(oneof.name, name);
    }
    message[field.name] = fieldFromJson(field, value, at === "" ? name : `${at}.${name}`);
  }
  return message;
}

function fieldNamed(type: protobuf.Type, name: string, where: string): protobuf.Field {
  const camel = name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  const field = type.fields[camel];
  if (field !== undefined) return field;
  const near = nearest(
    name,
    fieldsOf(type).map((one) => ({ alias: one.name, means: one.name })),
  );
  const hint = near.length > 0 ? `did you mean ${near.join(" or ")}?` : `it has ${names(type)}`;
  throw new UsageFailure(`${where} has no field ${JSON.stringify(name)}: ${hint}`);
}

function fieldFromJson(field: protobuf.Field, value: unknown, at: string): unknown {
  if (field instanceof protobuf.MapField) {
    if (!isObject(value)) throw wrong(at, value, "an object");
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [key, valueFromJson(field, one, `${at}[${JSON.stringify(key)}]`)]),
    );
  }
  if (!field.repeated) return valueFromJson(field, value, at);
  if (!Array.isArray(value)) throw wrong(at, value, `a list of ${kindOf(field)}`);
  return value.map((one, index) => valueFromJson(field, one, `${at}[${index}]`));
}

function valueFromJson(field: protobuf.Field, value: unknown, at: string): unknown {
  const { resolvedType } = field;
  if (resolvedType instanceof protobuf.Type) return messageFromJson(resolvedType, value, at);
  if (resolvedType instanceof protobuf.Enum) return enumFromJson(resolvedType, value, at);
  switch (field.type) {
    case "string":
      if (typeof value !== "string") throw wrong(at, value, "a text");
      return value;
    case "bool":
      if (typeof value !== "boolean") throw wrong(at, value, "true or false");
      return value;
    case "bytes":
      return bytesFromJson(value, at);
    case "uint32":
      return Number(integerFromJson(value, at, 0n, 2n ** 32n - 1n));
    case "int32":
      return Number(integerFromJson(value, at, -(2n ** 31n), 2n ** 31n - 1n));
    case "uint64":
      return String(integerFromJson(value, at, 0n, 2n ** 64n - 1n));
    case "int64":
      return String(integerFromJson(value, at, -(2n ** 63n), 2n ** 63n - 1n));
    default:
      throw new Error(`${at} is a ${field.type}, which the contract does not use`);
  }
}

function integerFromJson(value: unknown, at: string, low: bigint, high: bigint): bigint {
  const range = `a whole number from ${low} to ${high}`;
  if (typeof value === "number") {
    if (!Number.isInteger(value)) throw wrong(at, value, range);
    if (!Number.isSafeInteger(value)) throw wrong(at, value, `${range}; above 2^53, write it as a text: "${high}"`);
  } else if (typeof value !== "string" || !/^-?\d{1,20}$/.test(value)) throw wrong(at, value, range);
  const number = BigInt(value);
  if (number < low || number > high) throw wrong(at, value, range);
  return number;
}

function enumFromJson(type: protobuf.Enum, value: unknown, at: string): number {
  const number = typeof value === "string" ? type.values[value] : value;
  if (typeof number === "number" && type.valuesById[number] !== undefined) return number;
  throw wrong(at, value, `one of ${Object.keys(type.values).join(", ")}`);
}

const BYTES = 'base64, or {"text": "…"}, {"hex": "…"}, {"file": "path"}';

function bytesFromJson(value: unknown, at: string): Buffer {
  if (typeof value === "string") {
    if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(value) || value.replace(/=+$/, "").length % 4 === 1)
      throw wrong(at, value, BYTES);
    return Buffer.from(value, "base64");
  }
  if (!isObject(value)) throw wrong(at, value, BYTES);
  const [[how, what] = ["", undefined], another] = Object.entries(value);
  if (another !== undefined || typeof what !== "string") throw wrong(at, value, BYTES);
  switch (how) {
    case "text":
      return Buffer.from(what);
    case "hex":
      if (!/^(?:[0-9a-fA-F]{2})*$/.test(what)) throw wrong(at, what, "pairs of hex digits");
      return Buffer.from(what, "hex");
    case "file":
      return readFileSync(what);
    default:
      throw wrong(at, value, BYTES);
  }
}

function kindOf(field: protobuf.Field): string {
  return field.resolvedType === null ? `${field.type} values` : `${field.resolvedType.name} objects`;
}

function names(type: protobuf.Type): string {
  const list = fieldsOf(type).map((field) => field.name);
  return list.length === 0 ? "no fields" : list.join(", ");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(at: string, value: unknown, right: string): UsageFailure {
  const shown = JSON.stringify(value) ?? String(value);
  return new UsageFailure(`${at} is ${shown.length > 60 ? `${shown.slice(0, 60)}…` : shown}: give ${right}`);
}
