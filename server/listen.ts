/** Addresses to listen on: unix sockets that are replaced when stale, and TCP that is plain only where nobody else sees it. */
import { constants } from "node:fs";
import { access, chmod, lstat, rename, unlink } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, resolve } from "node:path";
import type { ServerCredentials } from "@grpc/grpc-js";
import type { GrpcServer } from "./grpc.ts";
import { UsageError } from "./option-values.ts";

export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

const SOCKET_MODE = 0o660;
/** sockaddr_un's 108 bytes, the ending 0, and what the socket is called until it has its mode. */
const SOCKET_PATH_BYTES = 107 - ".new".length;

/** @throws UsageError */
export function parseListen(text: string): ListenAddress {
  if (text.startsWith("unix:")) {
    const path = resolve(text.slice("unix:".length).replace(/^\/\/(?=\/)/, ""));
    if (Buffer.byteLength(path) > SOCKET_PATH_BYTES) {
      throw new UsageError(`the socket's path ${path} is longer than ${SOCKET_PATH_BYTES} bytes: choose a shorter one`);
    }
    return { kind: "unix", path };
  }
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:/\s]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match?.[1] === undefined || port > 65535) {
    throw new UsageError(`--listen ${text} is neither unix:///path/x.sock nor host:port`);
  }
  return { kind: "tcp", host: match[1], port };
}

/** [process.tls.01] */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

export interface Listening {
  /** As a core is given it: unix:///path or host:port. */
  readonly address: string;
  /** Takes the socket file away. */
  close(): Promise<void>;
}

/** @throws UsageError */
export async function listen(
  server: Pick<GrpcServer, "bind">,
  address: ListenAddress,
  credentials: ServerCredentials,
): Promise<Listening> {
  if (address.kind === "unix") return listenUnix(server, address.path, credentials);
  const { host, port } = address;
  try {
    const bound = await server.bind(`${host}:${port}`, credentials);
    return { address: `${host}:${bound}`, async close() {} };
  } catch (cause) {
    throw new UsageError(`${host}:${port} cannot be listened on: ${(cause as Error).message}`, { cause });
  }
}

/** [process.listen.02] The socket gets its mode before it gets its name: nobody else ever sees it open to all. */
async function listenUnix(
  server: Pick<GrpcServer, "bind">,
  path: string,
  credentials: ServerCredentials,
): Promise<Listening> {
  await assertFolder(path);
  await assertFree(path);
  const early = `${path}.new`;
  await unlink(early).catch(ignoreAbsent);
  try {
    await server.bind(`unix:${early}`, credentials);
    await chmod(early, SOCKET_MODE);
    await rename(early, path);
  } catch (cause) {
    throw new UsageError(`the socket ${path} cannot be made: ${(cause as Error).message}`, { cause });
  }
  const { ino } = await lstat(path);
  return {
    address: `unix://${path}`,
    async close() {
      const now = await lstat(path).catch(() => undefined);
      // A successor may have put its own socket there.
      if (now?.ino === ino) await unlink(path).catch(ignoreAbsent);
    },
  };
}

async function assertFolder(path: string): Promise<void> {
  const folder = dirname(path);
  try {
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const why =
      (cause as NodeJS.ErrnoException).code === "ENOENT"
        ? `there is no folder ${folder}: make it`
        : `this process may not write to ${folder}: change its owner or mode`;
    throw new UsageError(`the socket ${path} cannot be made: ${why}, or choose another path`, { cause });
  }
}

async function assertFree(path: string): Promise<void> {
  const there = await lstat(path).catch((error) => ignoreAbsent(error));
  if (there === undefined) return;
  if (!there.isSocket()) throw new UsageError(`${path} is there and is no socket: choose another path or remove it`);
  if (await answers(path)) throw new UsageError(`another process serves at ${path}: stop it or choose another path`);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // Without a listener: refused. A socket that we may not open may well be served.
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  });
}

function ignoreAbsent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
