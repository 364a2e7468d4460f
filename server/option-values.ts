/** Options of a program: from flags, then environment, then a YAML file, then defaults. Unknown flags and keys are errors. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import type { OptionSpec, OptionSpecs, OptionValues } from "./contract.ts";

/** A sentence that says what to change; shown without a stack. */
export class UsageError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "UsageError";
  }
}

type Value = string | number | boolean;

/** "lockWait" → "--lock-wait" */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** "lockWait" → "OUTRIGGER_LOCK_WAIT" */
export function environmentOf(name: string): string {
  return `OUTRIGGER_${name.replace(/[A-Z]/g, "_$&").toUpperCase()}`;
}

/** @throws UsageError that names the flag, variable or key */
export function readOptions<Specs extends OptionSpecs>(
  specs: Specs,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): OptionValues<Specs> {
  const flags = readFlags(specs, argv);
  const config = flags["config"] ?? env[environmentOf("config")];
  const file = config === undefined || specs["config"] === undefined ? {} : readFile(specs, String(config));
  const values: Record<string, Value | undefined> = {};
  for (const [name, spec] of Object.entries(specs)) {
    const variable = environmentOf(name);
    const fromEnv = env[variable];
    const value =
      flags[name] !== undefined
        ? convert(flagOf(name), spec, flags[name])
        : fromEnv !== undefined && fromEnv !== ""
          ? convert(variable, spec, fromEnv)
          : file[name] !== undefined
            ? convert(`${name} in ${config}`, spec, file[name])
            : spec.default;
    if (value === undefined && spec.required) {
      throw new UsageError(`${flagOf(name)} is missing: ${spec.doc} (or set ${variable})`);
    }
    values[name] = value;
  }
  return values as OptionValues<Specs>;
}

function readFlags(specs: OptionSpecs, argv: readonly string[]): Record<string, string | boolean | undefined> {
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [
      flagOf(name).slice(2),
      { type: spec.kind === "boolean" ? ("boolean" as const) : ("string" as const) },
    ]),
  );
  let values: Record<string, string | boolean | undefined>;
  try {
    ({ values } = parseArgs({ args: [...argv], options, strict: true, allowNegative: true }));
  } catch (cause) {
    const text = (cause as Error).message.split(". ")[0] ?? "";
    throw new UsageError(`${text.charAt(0).toLowerCase()}${text.slice(1)}: --help lists the flags`, { cause });
  }
  return Object.fromEntries(Object.keys(specs).map((name) => [name, values[flagOf(name).slice(2)]]));
}

function readFile(specs: OptionSpecs, path: string): Record<string, Value> {
  // Most drivers are started without a file, and need not wait for 72 modules.
  const { parse: parseYaml } = createRequire(import.meta.url)("yaml") as typeof import("yaml");
  let parsed: unknown;
  try {
    parsed = parseYaml(readFileSync(path, "utf8")) ?? {};
  } catch (cause) {
    throw new UsageError(`the configuration file ${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new UsageError(`the configuration file ${path} is not a list of "name: value" lines`);
  }
  for (const name of Object.keys(parsed)) {
    if (!Object.hasOwn(specs, name) || name === "config") {
      throw new UsageError(`${path} has the unknown key ${name}; known are ${Object.keys(specs).join(", ")}`);
    }
  }
  return parsed as Record<string, Value>;
}

function convert(where: string, spec: OptionSpec, value: Value): Value {
  const wrong = (expected: string) =>
    new UsageError(`${where} is ${spec.secret ? "not" : `${JSON.stringify(value)}, not`} ${expected}`);
  switch (spec.kind) {
    case "boolean":
      if (typeof value === "boolean") return value;
      if (value === "true" || value === "1") return true;
      if (value === "false" || value === "0") return false;
      throw wrong("true or false");
    case "integer":
      if (!/^-?\d+$/.test(String(value))) throw wrong("a whole number");
      return Number(value);
    case "bytes": {
      const bytes = parseUnits(String(value), { "": 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 });
      if (bytes === undefined) throw wrong("a size such as 64MiB or 1048576");
      return bytes;
    }
    case "duration": {
      const ms = parseUnits(String(value), { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 });
      if (ms === undefined) throw wrong("a time such as 500ms, 30s, 5m or 24h");
      return ms;
    }
    case "string":
      if (typeof value !== "string") throw wrong("text");
      if (spec.choices !== undefined && !spec.choices.includes(value)) throw wrong(`one of ${spec.choices.join(", ")}`);
      return value;
  }
}

function parseUnits(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text.trim());
  if (match === null) return undefined;
  if (Number(match[1]) === 0) return 0;
  const unit = units[match[2] ?? ""];
  return unit === undefined ? undefined : Math.round(Number(match[1]) * unit);
}

/** The options as --help shows them. */
export function describeOptions(specs: OptionSpecs): string {
  const rows = Object.entries(specs).map(([name, spec]) => {
    const flag = spec.kind === "boolean" ? flagOf(name) : `${flagOf(name)} ${spec.kind.toUpperCase()}`;
    const preset = spec.default === undefined ? "" : ` (default ${spec.default})`;
    return [flag, `${spec.doc}${preset} [${environmentOf(name)}]`] as const;
  });
  const width = Math.max(...rows.map(([flag]) => flag.length));
  return rows.map(([flag, doc]) => `  ${flag.padEnd(width)}  ${doc}`).join("\n");
}
