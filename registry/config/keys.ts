/** The schema as a list of keys: for environment variables, the reference page, and the nearest name to a wrong one. */
import { z } from "zod";
import { configSchema } from "./schema.ts";

export interface JsonSchema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  /** Of a section whose entries have names of their own; `{}` and false elsewhere. */
  readonly additionalProperties?: JsonSchema | boolean;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

export interface Key {
  readonly path: readonly string[];
  readonly schema: JsonSchema;
  readonly required: boolean;
  /** Name of the environment variable that sets it; absent: a list's entries are set in the file alone. */
  readonly variable?: string;
}

export function configJsonSchema(): JsonSchema {
  return z.toJSONSchema(configSchema, { io: "input" }) as JsonSchema;
}

/** Every key that has a value of its own, in the schema's order. */
export function configKeys(): Key[] {
  return leaves(configJsonSchema(), [], true);
}

function leaves(schema: JsonSchema, path: readonly string[], required: boolean): Key[] {
  const last = path.at(-1);
  if (schema.items?.properties && last !== undefined)
    return leaves(schema.items, [...path.slice(0, -1), `${last}[]`], required);
  const entry = entryOf(schema);
  if (entry?.properties) return leaves(entry, [...path, "<id>"], required);
  const isInList = path.slice(0, -1).some((part) => part.endsWith("[]") || part === "<id>");
  // An entry's sections are those of the keys they are named after.
  if (!schema.properties || isInList)
    return [{ path, schema, required, ...(isInList ? {} : { variable: variableOf(path) }) }];
  return Object.entries(schema.properties).flatMap(([name, child]) =>
    leaves(child, [...path, name], schema.required?.includes(name) ?? false),
  );
}

/** `http.secretFile` → OUTRIGGER_HTTP_SECRET_FILE */
export function variableOf(path: readonly string[]): string {
  return ["outrigger", ...path]
    .map((part) =>
      part
        .replace("MiB", "Mib")
        .replace(/(?<=[a-z])(?=[A-Z])/g, "_")
        .toUpperCase(),
    )
    .join("_");
}

/** Names that a section has; `undefined`: the path leads to no section. */
export function namesIn(path: readonly PropertyKey[]): string[] | undefined {
  let schema: JsonSchema | undefined = configJsonSchema();
  for (const part of path) schema = within(schema, part);
  return schema?.properties && Object.keys(schema.properties);
}

/** The first key that a missing section cannot do without; the path itself when it is a key. */
export function firstRequired(path: readonly PropertyKey[]): string {
  let schema: JsonSchema | undefined = configJsonSchema();
  for (const part of path) schema = within(schema, part);
  const full = path.map(String);
  while (schema?.properties) {
    const name: string | undefined = schema.required?.[0];
    if (name === undefined) break;
    full.push(name);
    schema = schema.properties[name];
  }
  return full.join(".");
}

function within(schema: JsonSchema | undefined, part: PropertyKey): JsonSchema | undefined {
  if (typeof part === "number") return schema?.items;
  return schema?.properties?.[String(part)] ?? (schema && entryOf(schema));
}

function entryOf({ additionalProperties }: JsonSchema): JsonSchema | undefined {
  return typeof additionalProperties === "object" ? additionalProperties : undefined;
}

/** The candidate that most likely was meant. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const [best] = candidates
    .map((candidate) => ({ candidate, distance: distance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((left, right) => left.distance - right.distance);
  return best && best.distance <= Math.max(2, Math.ceil(name.length / 3)) ? best.candidate : undefined;
}

/** Levenshtein's. */
function distance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...left].entries()) {
    const next = [index + 1];
    for (const [column, other] of [...right].entries()) {
      const replaced = (row[column] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}
