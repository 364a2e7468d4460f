/** What a request looks like as JSON, for whoever types one. */
import protobuf from "protobufjs";
import { fieldsOf, type Method, oneofOf, shortName } from "./schema.ts";

/** `{"key": text, "offset"?: uint64}`; alternatives of a oneof stand between bars. */
export function shapeOf(type: protobuf.Type): string {
  const seen = new Set<protobuf.OneOf>();
  const parts: string[] = [];
  for (const field of fieldsOf(type)) {
    const oneof = oneofOf(field);
    if (oneof === undefined) parts.push(fieldShape(field));
    else if (!seen.has(oneof)) {
      seen.add(oneof);
      parts.push(oneof.fieldsArray.map(fieldShape).join(" | "));
    }
  }
  return `{${parts.join(", ")}}`;
}

function fieldShape(field: protobuf.Field): string {
  const optional = field.options?.["proto3_optional"] === true ? "?" : "";
  const value = valueShape(field);
  const whole = field instanceof protobuf.MapField ? `{…: ${value}}` : field.repeated ? `[${value}…]` : value;
  return `"${field.name}"${optional}: ${whole}`;
}

function valueShape(field: protobuf.Field): string {
  if (field.resolvedType instanceof protobuf.Type) return shapeOf(field.resolvedType);
  if (field.resolvedType instanceof protobuf.Enum) return Object.keys(field.resolvedType.values).join("|");
  return { string: "text", bytes: "base64", bool: "true|false" }[field.type] ?? field.type;
}

/** The methods of every service with the shapes of their requests. */
export function listing(methods: readonly Method[]): string[] {
  const lines: string[] = [];
  let service = "";
  for (const method of methods) {
    const [own = ""] = method.name.split(".");
    if (own !== service) lines.push(...(service === "" ? [] : [""]), own);
    service = own;
    const streams = `${method.requestStream ? ", requests as JSON lines" : ""}${method.responseStream ? ", answers as JSON lines" : ""}`;
    lines.push(`  ${shortName(method)}${streams}`, `    ${shapeOf(method.request)}`);
  }
  return lines;
}

/** One method: its comment with its rules, and both shapes. */
export function details(method: Method): string[] {
  return [
    `${method.name}  ${method.path}`,
    "",
    ...method.comment.split("\n").map((line) => `  ${line}`.trimEnd()),
    "",
    `request${method.requestStream ? "s" : ""}  ${shapeOf(method.request)}`,
    `answer${method.responseStream ? "s" : ""}   ${shapeOf(method.response)}`,
  ];
}
