/** A listener from an address of the configuration. */
import type { RequestListener } from "node:http";
import { parseListen } from "./config.ts";
import { type Listener, listen, type TlsMaterial } from "./http/listener.ts";

/** @throws Error, in one sentence */
export async function openListener(
  address: string,
  tls: TlsMaterial | undefined,
  handler: RequestListener,
): Promise<Listener> {
  const { host, port } = parseListen(address);
  try {
    return await listen({ host, port, tls, handler });
  } catch (error) {
    throw new Error(`cannot listen on ${address}: ${reasonOf(error as NodeJS.ErrnoException)}`, { cause: error });
  }
}

function reasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "EADDRINUSE":
      return "something else listens there: stop it, or choose another port";
    case "EACCES":
      return "no permission: ports below 1024 need more rights";
    case "EADDRNOTAVAIL":
      return "this machine does not have that address";
    default:
      return error.message;
  }
}

/** For URLs. */
export function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
