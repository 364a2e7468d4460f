/** The options, and what they mean together. */
import { readFileSync } from "node:fs";
import type { OptionSpecs, OptionValues } from "../../server/contract.ts";
import { UsageError } from "../../server/option-values.ts";
import { type Address, parseAddress } from "./address.ts";

export const optionSpecs = {
  url: {
    kind: "string",
    required: true,
    // It may hold a password.
    secret: true,
    doc: "Redis or Valkey: redis://HOST:6379/DATABASE, rediss://… for TLS, or unix:///path/redis.sock; USER:PASSWORD@ may stand before HOST.",
  },
  username: { kind: "string", doc: "The ACL user; none: the default user." },
  password: { kind: "string", secret: true, doc: "The user's password; --password-file is safer." },
  passwordFile: {
    kind: "string",
    doc: "A file that holds the password and nothing else; read anew at each connection.",
  },
  redisTlsCa: { kind: "string", doc: "PEM file with the authorities that may sign the server's certificate." },
  redisTlsCert: { kind: "string", doc: "PEM file with the certificate that the driver shows the server." },
  redisTlsKey: { kind: "string", doc: "PEM file with that certificate's key." },
  redisTlsServerName: {
    kind: "string",
    doc: "The name that the server's certificate must have, where it is not HOST.",
  },
  keyPrefix: {
    kind: "string",
    default: "outrigger",
    doc: "What the store's keys in the database begin with, as {PREFIX}:…; two stores in one database have two.",
  },
  timeout: {
    kind: "duration",
    default: 5_000,
    doc: "How long the server may owe an answer, or a connection; then the connection is made anew.",
  },
  waitReplicas: {
    kind: "integer",
    default: 0,
    doc: "How many replicas must have received a Write before it is acknowledged.",
  },
  allowLoss: {
    kind: "boolean",
    default: false,
    doc: "Run on a server that does not sync every Write to its disk: acknowledged Writes may be lost, and DURABLE is not claimed.",
  },
  assumeDurable: {
    kind: "boolean",
    default: false,
    doc: "Where the service forbids CONFIG: you state that it keeps every acknowledged Write over a power loss, and evicts no key.",
  },
} as const satisfies OptionSpecs;

export type RedisDriverOptions = OptionValues<typeof optionSpecs>;

export interface Credentials {
  readonly username: string | undefined;
  readonly password: string | undefined;
}

export interface TlsSettings {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly servername?: string;
}

export interface Settings {
  readonly address: Address;
  /** Asked at each connection. @throws Error with one sentence when the file cannot be read */
  readonly credentials: () => Credentials;
  readonly tls: TlsSettings | undefined;
  readonly keyPrefix: string;
  readonly timeoutMs: number;
  readonly waitReplicas: number;
  readonly allowLoss: boolean;
  readonly assumeDurable: boolean;
}

/** @throws UsageError with one sentence that names the option */
export function settingsOf(options: RedisDriverOptions): Settings {
  const { address, username, password } = parseAddress(options.url);
  const given = [
    password !== undefined && "in --url",
    options.password !== undefined && "by --password",
    options.passwordFile !== undefined && "by --password-file",
  ].filter((way) => way !== false);
  if (given.length > 1) throw new UsageError(`the password is given ${given.join(" and ")}: give it once`);
  if (username !== undefined && options.username !== undefined)
    throw new UsageError("the user is given in --url and by --username: give it once");
  const user = username ?? options.username;
  if (user !== undefined && given.length === 0)
    throw new UsageError("there is a user and no password: give --password-file");
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(options.keyPrefix))
    throw new UsageError(`--key-prefix ${JSON.stringify(options.keyPrefix)} is not 1 to 64 of A-Z a-z 0-9 . _ -`);
  if (options.timeout < 100 || options.timeout > 60_000)
    throw new UsageError(`--timeout is ${options.timeout} ms, not from 100ms to 60s`);
  if (options.waitReplicas < 0 || options.waitReplicas > 100)
    throw new UsageError(`--wait-replicas is ${options.waitReplicas}, not from 0 to 100`);
  if (options.allowLoss && options.assumeDurable)
    throw new UsageError("--allow-loss and --assume-durable contradict each other: give one");
  const { passwordFile } = options;
  const credentials = () => ({
    username: user,
    password: passwordFile === undefined ? (password ?? options.password) : passwordOf(passwordFile),
  });
  credentials(); // told now if the file is not there
  return {
    address,
    credentials,
    tls: tlsOf(address, options),
    keyPrefix: options.keyPrefix,
    timeoutMs: options.timeout,
    waitReplicas: options.waitReplicas,
    allowLoss: options.allowLoss,
    assumeDurable: options.assumeDurable,
  };
}

function passwordOf(path: string): string {
  const password = fileOf("--password-file", path)
    .toString("utf8")
    .replace(/\r?\n$/, "");
  if (password === "") throw new UsageError(`--password-file ${path} is empty`);
  return password;
}

function tlsOf(address: Address, options: RedisDriverOptions): TlsSettings | undefined {
  const { redisTlsCa, redisTlsCert, redisTlsKey, redisTlsServerName } = options;
  if (!address.tls) {
    const said = Object.entries({ redisTlsCa, redisTlsCert, redisTlsKey, redisTlsServerName }).filter(
      ([, value]) => value !== undefined,
    );
    if (said.length > 0) throw new UsageError("--redis-tls-… options need TLS: let --url begin with rediss://");
    return undefined;
  }
  if ((redisTlsCert === undefined) !== (redisTlsKey === undefined))
    throw new UsageError("--redis-tls-cert and --redis-tls-key belong together: one is missing");
  return {
    ...(redisTlsCa === undefined ? {} : { ca: fileOf("--redis-tls-ca", redisTlsCa) }),
    ...(redisTlsCert === undefined ? {} : { cert: fileOf("--redis-tls-cert", redisTlsCert) }),
    ...(redisTlsKey === undefined ? {} : { key: fileOf("--redis-tls-key", redisTlsKey) }),
    ...(redisTlsServerName === undefined ? {} : { servername: redisTlsServerName }),
  };
}

function fileOf(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new UsageError(`${flag} ${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
}
