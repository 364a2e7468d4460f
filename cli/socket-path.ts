/** Where a unix socket goes: names longer than the kernel allows cannot be bound. */
import { mkdtemp, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

/** sockaddr_un holds 108 bytes with the closing NUL (unix(7)); a driver makes its socket as `<path>.new` first. */
const LONGEST_PATH_BYTES = 107 - ".new".length;

export interface SocketPath {
  readonly path: string;
  /** A folder made only for it. */
  readonly temporaryFolder?: string;
}

/** `wanted` where it is short enough, else a path in a new folder (0700) below `temporary`. */
export async function shortSocketPath(wanted: string, temporary: string): Promise<SocketPath> {
  if (Buffer.byteLength(wanted) <= LONGEST_PATH_BYTES) return { path: wanted };
  const folder = await mkdtemp(join(temporary, "outrigger-"));
  return { path: join(folder, "driver.sock"), temporaryFolder: folder };
}

/** Takes away what was made for the socket; its file is the driver's own. */
export async function releaseSocket(socket: SocketPath): Promise<void> {
  if (socket.temporaryFolder !== undefined) await rm(dirname(socket.path), { recursive: true, force: true });
}
