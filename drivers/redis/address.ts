/** Where the server is, read from a URL that may hold a password: what is shown of it never does. */
import { UsageError } from "../../server/option-values.ts";

export interface Address {
  readonly endpoint: { readonly host: string; readonly port: number } | { readonly path: string };
  readonly database: number;
  readonly tls: boolean;
  /** For sentences and logs: "10.0.0.5:6379", "/run/redis.sock". */
  readonly shown: string;
}

export interface ParsedAddress {
  readonly address: Address;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

/** @throws UsageError that shows nothing of the URL but its scheme: the rest may be a password */
export function parseAddress(text: string): ParsedAddress {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    // The parser's own error quotes the URL, and so is no cause.
    throw new UsageError("--url is no URL: redis://HOST:6379/0, rediss://… for TLS, or unix:///path/redis.sock");
  }
  if (url.protocol === "unix:") return unixAddress(url);
  if (url.protocol !== "redis:" && url.protocol !== "rediss:")
    throw new UsageError(`--url begins with ${url.protocol}//: redis://, rediss:// and unix:/// are known`);
  if (url.hostname === "") throw new UsageError("--url names no host: redis://HOST:6379/0");
  if (url.search !== "" || url.hash !== "")
    throw new UsageError("--url has something after ? or #: use the driver's options (and %3F or %23 in a password)");
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? 6379 : Number(url.port);
  return {
    address: {
      endpoint: { host, port },
      database: databaseOf(url.pathname.replace(/^\//, "")),
      tls: url.protocol === "rediss:",
      shown: `${url.hostname}:${port}`,
    },
    username: decoded(url.username),
    password: decoded(url.password),
  };
}

function unixAddress(url: URL): ParsedAddress {
  if (url.hostname !== "" || url.pathname.length < 2)
    throw new UsageError("--url names no socket: unix:///path/redis.sock, with three slashes");
  const database = url.searchParams.get("db") ?? "";
  const path = decodeURIComponent(url.pathname);
  return {
    address: { endpoint: { path }, database: databaseOf(database), tls: false, shown: path },
    username: undefined,
    password: undefined,
  };
}

function databaseOf(text: string): number {
  if (text === "") return 0;
  if (!/^\d{1,5}$/.test(text)) throw new UsageError("--url ends with something that is no database's number: …/0");
  return Number(text);
}

function decoded(text: string): string | undefined {
  if (text === "") return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UsageError("--url: the user or the password has a % that begins no %XX: write %25 for it");
  }
}
