/** The configuration: a YAML file, environment variables over it, flags over both; then checked as a whole. */
import { readFile } from "node:fs/promises";
import type { z } from "zod";
import { configKeys, firstRequired, type Key, namesIn, nearest } from "./config/keys.ts";
import { type Config, configSchema } from "./config/schema.ts";

export type { Config, ConfigInput } from "./config/schema.ts";

/** What is wrong, one line each; every line says what to change. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[], options?: ErrorOptions) {
    super(problems.join("\n"), options);
    this.name = "ConfigError";
    this.problems = problems;
  }
}

export interface ConfigSources {
  /** Path of a YAML file. */
  readonly file?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** By dotted path, as in `{ "stores.blobs.address": "unix:///run/d.sock" }`; undefined ones are left out. */
  readonly overrides?: Readonly<Record<string, unknown>>;
}

/** @throws ConfigError */
export async function loadConfig(sources: ConfigSources): Promise<Config> {
  const tree = sources.file === undefined ? {} : await readConfigFile(sources.file);
  const problems = applyEnvironment(tree, sources.env ?? {});
  for (const [path, value] of Object.entries(sources.overrides ?? {})) {
    if (value !== undefined) put(tree, path.split("."), value);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return checkConfig(tree, sources.file);
}

/** @throws ConfigError */
export function checkConfig(tree: unknown, file?: string): Config {
  const parsed = configSchema.safeParse(tree);
  const where = file === undefined ? "" : `${file}: `;
  if (!parsed.success)
    throw new ConfigError(parsed.error.issues.flatMap((issue) => explain(issue, tree)).map((line) => where + line));
  const wrong = [whyUnlocked(parsed.data), whyNotShown(parsed.data)].filter((why) => why !== undefined);
  if (wrong.length > 0) throw new ConfigError(wrong.map((why) => where + why));
  return parsed.data;
}

async function readConfigFile(file: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new ConfigError([`${file} cannot be read: ${(error as Error).message}`], { cause: error });
  }
  // Loaded only where there is a file: it has its part in how long a start takes.
  const { parseDocument } = await import("yaml");
  const document = parseDocument(text, { uniqueKeys: true });
  if (document.errors.length > 0)
    throw new ConfigError(document.errors.map((error) => `${file}: ${error.message.split("\n")[0]}`));
  const tree: unknown = document.toJS() ?? {};
  if (!isSection(tree)) throw new ConfigError([`${file}: is not a list of keys and values`]);
  return tree;
}

/** Reads OUTRIGGER_* into the tree. @returns problems */
function applyEnvironment(tree: Record<string, unknown>, env: Readonly<Record<string, string | undefined>>): string[] {
  const keys = new Map(configKeys().flatMap((key) => (key.variable === undefined ? [] : [[key.variable, key]])));
  const problems: string[] = [];
  for (const [variable, text] of Object.entries(env)) {
    if (text === undefined || !variable.startsWith("OUTRIGGER_")) continue;
    const key = keys.get(variable);
    if (key === undefined) {
      // Other names are other programs' business: drivers' settings, and what Kubernetes sets for a service "outrigger".
      if (/^OUTRIGGER_(?:HTTP|STORES|AUTH|LOG|CLUSTER)_/.test(variable)) {
        const meant = nearest(variable, [...keys.keys()]);
        problems.push(`${variable} is not a setting${meant === undefined ? "" : `: did you mean ${meant}?`}`);
      }
      continue;
    }
    const value = parseValue(text, key);
    if (value === undefined) problems.push(`${variable}=${text} is not a ${key.schema.type}`);
    else put(tree, key.path, value);
  }
  return problems;
}

function parseValue(text: string, key: Key): unknown {
  switch (key.schema.type) {
    case "boolean":
      return text === "true" ? true : text === "false" ? false : undefined;
    case "integer":
    case "number":
      return /^-?[0-9]+(?:\.[0-9]+)?$/.test(text) ? Number(text) : undefined;
    case "array":
      return text
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== "");
    default:
      return text;
  }
}

function put(tree: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let section = tree;
  for (const part of path.slice(0, -1)) {
    const next = section[part];
    if (isSection(next)) section = next;
    else {
      const made: Record<string, unknown> = {};
      section[part] = made;
      section = made;
    }
  }
  const last = path.at(-1);
  if (last !== undefined) section[last] = value;
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function explain(issue: z.core.$ZodIssue, tree: unknown): string[] {
  const path = issue.path.map(String).join(".");
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = namesIn(issue.path) ?? [];
      return issue.keys.map((key) => {
        const meant = nearest(key, known);
        const hint = meant === undefined ? `: there are ${known.join(", ")}` : `: did you mean ${meant}?`;
        return `${[...issue.path, key].map(String).join(".")} is not a setting${hint}`;
      });
    }
    case "invalid_type":
      if (valueAt(tree, issue.path) === undefined) return [`${firstRequired(issue.path)} is missing`];
      return [`${path} is not ${issue.expected === "object" ? "a section" : `a ${issue.expected}`}`];
    case "invalid_value":
      return [`${path} is none of ${issue.values.join(", ")}`];
    case "invalid_key":
      return [`${path} ${issue.issues[0]?.message ?? "is not a name"}`];
    default:
      return [`${path}${/^(?:is|has) /.test(issue.message) ? "" : ":"} ${issue.message}`];
  }
}

function valueAt(tree: unknown, path: readonly PropertyKey[]): unknown {
  let at = tree;
  for (const part of path) at = isSection(at) ? at[String(part)] : undefined;
  return at;
}

/** The rule of the door: open to everybody only where nobody else is. */
function whyUnlocked(config: Config): string | undefined {
  const { host } = parseListen(config.http.listen);
  if (config.auth.htpasswd !== undefined || isLoopback(host)) return undefined;
  if (config.auth.anonymous === "pull" || config.auth.anonymous === "push") return undefined;
  return `http.listen is ${config.http.listen}, which others can reach: set auth.htpasswd.file, or say auth.anonymous: pull (or push) to let everybody in`;
}

/** A proxy that ends TLS before this registry keeps the members' certificates to itself. */
function whyNotShown({ cluster, http }: Config): string | undefined {
  if (cluster?.peers.tls === undefined || http.tls !== undefined) return undefined;
  return "cluster.peers.tls is there, and http.tls is not: members show their certificates to this registry itself, so give it http.tls; where a proxy ends TLS before it, only cluster.peers.keyFile can prove who asks";
}

/** What whoever gives no credentials may do, once defaults are settled. */
export function anonymousOf(config: Config): "none" | "pull" | "push" {
  return config.auth.anonymous ?? (config.auth.htpasswd === undefined ? "push" : "none");
}

export function parseListen(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  return { host: host === "" ? "::" : host, port: Number(text.slice(colon + 1)) };
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host) || /^::ffff:127\./.test(host);
}
