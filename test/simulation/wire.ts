/**
 * What the wire does to a message, without the wire: the answer shares no memory with the message sent, and has every
 * default filled in as proto-loader fills it (proto/options.ts).
 */
import { join } from "node:path";
import protobuf from "protobufjs";
import { protoFolder } from "../../proto/load.ts";
import { protoFiles } from "../../proto/options.ts";
import type { AnyMethod, StreamMethods, UnaryMethods } from "../../proto/transport.ts";

type Fields = Record<string, unknown>;
type Copy = (input: Fields) => Fields;

const root = new protobuf.Root();
root.resolvePath = (_origin, target) => (target.startsWith(protoFolder) ? target : join(protoFolder, target));
root.loadSync([...protoFiles]);
root.resolveAll();

const copies = new Map<protobuf.Type, Copy>();

function copier(type: protobuf.Type): Copy {
  const known = copies.get(type);
  if (known !== undefined) return known;
  let fields: ((input: Fields, output: Fields) => void)[] | undefined;
  let absent: Fields = {};
  const copy: Copy = (input) => {
    if (fields === undefined) {
      fields = type.fieldsArray.map(fieldCopier);
      absent = absentFields(type);
    }
    // All at once: one by one, each would be another shape to find.
    const output = { ...absent };
    for (const field of fields) field(input, output);
    return output;
  };
  copies.set(type, copy);
  return copy;
}

function fieldCopier(field: protobuf.Field): (input: Fields, output: Fields) => void {
  const { name } = field;
  const one = valueCopier(field);
  if (field.map) {
    return (input, output) => {
      output[name] = Object.fromEntries(Object.entries((input[name] ?? {}) as Fields).map(([k, v]) => [k, one(v)]));
    };
  }
  if (field.repeated) {
    return (input, output) => {
      output[name] = ((input[name] ?? []) as unknown[]).map(one);
    };
  }
  const group = field.partOf?.name;
  if (group !== undefined) {
    return (input, output) => {
      const value = input[name];
      if (value === undefined || value === null) return;
      output[name] = one(value);
      output[group] = name;
    };
  }
  return (input, output) => {
    const value = input[name];
    if (value !== undefined && value !== null) output[name] = one(value);
  };
}

/** A message of which nothing is set, but for what `fieldCopier` makes anew each time. */
function absentFields(type: protobuf.Type): Fields {
  const single = type.fieldsArray.filter(({ partOf }) => partOf === null);
  return Object.fromEntries(
    single.map((field) => [field.name, field.map || field.repeated ? undefined : emptyOf(field)]),
  );
}

function valueCopier(field: protobuf.Field): (value: unknown) => unknown {
  const type = field.resolvedType;
  if (type instanceof protobuf.Type) {
    const copy = copier(type);
    return (value) => copy(value as Fields);
  }
  if (type instanceof protobuf.Enum) return (value) => (typeof value === "number" ? type.valuesById[value] : value);
  switch (field.type) {
    case "bytes":
      return (value) => Buffer.from(value as Uint8Array);
    case "string":
      return (value) => String(value);
    case "bool":
      return (value) => Boolean(value);
    default:
      return (value) => Number(value);
  }
}

const NO_BYTES = Buffer.alloc(0);

function emptyOf(field: protobuf.Field): unknown {
  if (field.resolvedType instanceof protobuf.Type) return null;
  if (field.resolvedType instanceof protobuf.Enum) return field.resolvedType.valuesById[0];
  if (field.type === "bytes") return NO_BYTES;
  if (field.type === "string") return "";
  if (field.type === "bool") return false;
  return 0;
}

const packages = { handshake: "outrigger.handshake.v1", blob: "outrigger.blob.v1", meta: "outrigger.meta.v1" } as const;
const messages = new Map<string, Copy>();

function message(method: AnyMethod, part: "Request" | "Response"): Copy {
  const id = method + part;
  let copy = messages.get(id);
  if (copy === undefined) {
    const [api, name] = method.split(".") as [keyof typeof packages, string];
    copy = copier(root.lookupType(`${packages[api]}.${name}${part}`));
    messages.set(id, copy);
  }
  return copy;
}

/** The request as the driver decodes it. */
export function asReceived<Message>(method: AnyMethod, request: object): Message {
  return message(method, "Request")(request as Fields) as Message;
}

/** The answer as the core decodes it. */
export function asAnswered<Method extends keyof UnaryMethods>(
  method: Method,
  response: object,
): UnaryMethods[Method][1];
export function asAnswered<Method extends keyof StreamMethods>(
  method: Method,
  response: object,
): StreamMethods[Method][1];
export function asAnswered<Message>(method: "blob.Append", response: object): Message;
export function asAnswered(method: AnyMethod, response: object): unknown {
  return message(method, "Response")(response as Fields);
}
