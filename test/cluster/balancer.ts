/** What stands before the cores of a member: each connection goes to the next core that takes it. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { Scope } from "../helpers/processes.ts";

/** Listens until the scope closes. @param cores host:port each, in turn */
export async function balance(scope: Scope, address: string, cores: readonly string[]): Promise<void> {
  const sockets = new Set<Socket>();
  const kept = (socket: Socket) => {
    sockets.add(socket);
    // What is wrong with it is told by its close.
    return socket.on("error", () => {}).once("close", () => sockets.delete(socket));
  };
  let turn = 0;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, async (client) => {
    kept(client);
    for (let tried = 0; tried < cores.length; tried += 1) {
      const core = kept(connect({ ...at(cores[turn++ % cores.length]), allowHalfOpen: true, noDelay: true }));
      if (await isTaken(core)) return join(client, core);
    }
    client.resetAndDestroy();
  });
  server.listen(at(address));
  await once(server, "listening");
  scope.defer(async () => {
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
    await Promise.all([...sockets].map((socket) => once(socket, "close")));
  });
}

function at(address = ""): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
}

function isTaken(core: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    core.once("connect", () => resolve(true)).once("close", () => resolve(false));
  });
}

/** The end of one direction is passed on; one that breaks breaks the other. */
function join(client: Socket, core: Socket): void {
  for (const [one, other] of [
    [client, core],
    [core, client],
  ] as const) {
    if (one.destroyed) other.destroy();
    one.pipe(other);
    one.once("close", () => {
      if (one.errored !== null || !one.readableEnded) other.resetAndDestroy();
    });
  }
}
