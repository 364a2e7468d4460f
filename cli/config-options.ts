/** Flags of the registry that stand over its file and environment, by the setting that each one is. */
import { resolve } from "node:path";
import type { Command } from "commander";
import type { ConfigSources } from "../registry/config.ts";

interface Flag {
  readonly flags: string;
  readonly doc: string;
  /** Dotted path of the setting. */
  readonly path: string;
}

/** By commander's name of the option. */
const flags: Readonly<Record<string, Flag>> = {
  blobs: { flags: "--blobs <addr>", doc: "address of the driver of the blob store", path: "stores.blobs.address" },
  meta: {
    flags: "--meta <addr>",
    doc: "address of the driver of the meta store (default: the blobs' address)",
    path: "stores.meta.address",
  },
  listen: { flags: "--listen <host:port>", doc: "where to listen (default: 127.0.0.1:5000)", path: "http.listen" },
  localRoot: {
    flags: "--local-root <dir>",
    doc: "the blob store's folder as this process sees it: read blobs straight from it",
    path: "stores.blobs.localRoot",
  },
  cores: {
    flags: "--cores <one|many>",
    doc: "one: no other registry uses these stores (default: many)",
    path: "cores",
  },
  anonymous: {
    flags: "--anonymous <none|pull|push>",
    doc: "what callers without a login may do",
    path: "auth.anonymous",
  },
  htpasswd: {
    flags: "--htpasswd <file>",
    doc: "who may log in: lines made by htpasswd -B",
    path: "auth.htpasswd.file",
  },
  tlsCert: { flags: "--tls-cert <file>", doc: "serve TLS with this certificate, PEM", path: "http.tls.cert" },
  tlsKey: { flags: "--tls-key <file>", doc: "its key, PEM", path: "http.tls.key" },
  readOnly: { flags: "--read-only", doc: "refuse pushes and deletes", path: "readOnly" },
  logLevel: { flags: "--log-level <level>", doc: "debug, info, warn, error or silent", path: "log.level" },
};

export type ConfigOptions = Readonly<Record<string, unknown>> & { readonly config?: string };

export function addConfigOptions(command: Command): Command {
  command.option("--config <file>", "YAML file; flags stand over OUTRIGGER_* variables, and those over the file");
  for (const { flags: names, doc } of Object.values(flags)) command.option(names, doc);
  return command;
}

/** Where loadConfig is to look, for these options. */
export function configSources(options: ConfigOptions): ConfigSources {
  const overrides: Record<string, unknown> = {};
  for (const [name, { path }] of Object.entries(flags)) {
    const value = options[name];
    if (value !== undefined) overrides[path] = name === "localRoot" ? resolve(String(value)) : value;
  }
  return { ...(options.config === undefined ? {} : { file: options.config }), env: process.env, overrides };
}
