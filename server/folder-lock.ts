/**
 * A lock that dies with its process. Node has no flock; what the kernel does give up for a killed process is a listening
 * unix socket. Sockets are named `lock.<n>`: whoever listens on the highest one holds the folder. To take over from a
 * dead one, a socket that listens already is linked as `lock.<n + 1>`, which exactly one process can do; the names only
 * ever grow, so that a process that looked long ago cannot come back under an old one. Seen by every process that
 * shares the folder on one machine, also from other containers; not across machines.
 */
import fs from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Clock } from "../proto/clock.ts";

const RETRY_MS = 100;
const ANSWER_MS = 500;
/** Of sun_path, with its ending zero. */
const MAX_SOCKET_PATH = 107;

export interface FolderLock {
  release(): Promise<void>;
}

/** Somebody else holds the lock; the message says who. */
export class FolderLocked extends Error {
  constructor(message: string) {
    super(message);
    this.name = "FolderLocked";
  }
}

/**
 * @param waitMs how long another process may take to give it up; 0: none
 * @throws FolderLocked
 */
export async function lockFolder(
  folder: string,
  waitMs: number,
  clock: Clock,
  signal?: AbortSignal,
): Promise<FolderLock> {
  const until = clock.monotonic() + waitMs;
  const short = await shortPath(folder);
  try {
    for (;;) {
      signal?.throwIfAborted();
      const taken = await tryLock(folder, short.path);
      if (!("holder" in taken)) return taken;
      const left = until - clock.monotonic();
      if (left <= 0) throw new FolderLocked(taken.holder);
      // Of the process's own timers: a clock's let the process end, which is all that this one does.
      await wait(Math.min(RETRY_MS, left), undefined, signal === undefined ? {} : { signal });
    }
  } finally {
    await short.close();
  }
}

async function tryLock(folder: string, short: string): Promise<FolderLock | { readonly holder: string }> {
  const highest = await highestNumber(folder);
  if (highest > 0) {
    const holder = await ask(path.join(short, `lock.${highest}`));
    if (holder !== undefined) return { holder };
  }
  const connections = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.end(`process ${process.pid}`);
  });
  const release = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of connections) socket.destroy();
    await closed;
  };
  const name = `taking.${process.pid}.${process.hrtime.bigint()}`;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path.join(short, name), () => {
      server.off("error", reject);
      resolve();
    });
  });
  server.unref();
  try {
    await fs.link(path.join(folder, name), path.join(folder, `lock.${highest + 1}`));
    await fs.unlink(path.join(folder, name));
    // Somebody may have gone further while this process slept between looking and linking.
    if ((await highestNumber(folder)) > highest + 1) {
      await release();
      return { holder: "another process" };
    }
  } catch (error) {
    await release();
    await fs.rm(path.join(folder, name), { force: true });
    if (isErrno(error, "EEXIST")) return { holder: "another process" };
    throw error;
  }
  await sweep(folder, highest);
  return { release };
}

/** Who listens there; undefined: nobody. */
function ask(socketPath: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = net.connect(socketPath);
    // A stopped process accepts and says nothing: it holds the folder all the same.
    const timer = setTimeout(() => done("a process that does not answer"), ANSWER_MS);
    const done = (holder: string | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(holder);
    };
    socket.setEncoding("utf8");
    socket.on("data", (piece: string) => {
      text += piece;
    });
    socket.on("end", () => done(text === "" ? "another process" : text));
    socket.on("error", (error) => {
      if (isErrno(error, "ECONNREFUSED", "ENOENT")) return done(undefined);
      if (isErrno(error, "EAGAIN", "ECONNRESET", "EPIPE")) return done("a process that does not answer");
      if (isErrno(error, "EACCES", "EPERM")) return done("a process of another user");
      clearTimeout(timer);
      reject(error);
    });
  });
}

async function highestNumber(folder: string): Promise<number> {
  let highest = 0;
  for (const name of await fs.readdir(folder)) {
    const number = /^lock\.(\d+)$/.exec(name)?.[1];
    if (number !== undefined) highest = Math.max(highest, Number(number));
  }
  return highest;
}

/** Takes away names that no longer count. */
async function sweep(folder: string, below: number): Promise<void> {
  for (const name of await fs.readdir(folder)) {
    const number = /^lock\.(\d+)$/.exec(name)?.[1];
    if (number !== undefined && Number(number) <= below) await fs.rm(path.join(folder, name), { force: true });
  }
}

/** A path to the folder that leaves room for a socket's name: by way of an open descriptor where it is too long. */
async function shortPath(folder: string): Promise<{ readonly path: string; close(): Promise<void> }> {
  if (Buffer.byteLength(folder) + 50 <= MAX_SOCKET_PATH || process.platform !== "linux") {
    return { path: folder, close: async () => {} };
  }
  const handle = await fs.open(folder, "r");
  return { path: `/proc/self/fd/${handle.fd}`, close: () => handle.close() };
}

function isErrno(error: unknown, ...wanted: readonly string[]): boolean {
  return error instanceof Error && "code" in error && wanted.includes(String(error.code));
}

/** NFS, SMB, CIFS, SMB2, as statfs(2) tells them. */
const networkTypes: ReadonlySet<number> = new Set([0x6969, 0x517b, 0xff534d42, 0xfe534d42]);

/** Whether other machines may have the folder too, against which the lock does not hold. */
export async function isNetworkFolder(folder: string): Promise<boolean> {
  return networkTypes.has((await fs.statfs(folder)).type);
}
