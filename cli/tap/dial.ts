/** Connections to a driver as a gRPC client makes them: a unix socket, TCP, TLS. */
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { StoreTarget } from "../../client/contract.ts";
import { assertAddress } from "../link.ts";

export interface Dialer {
  readonly scheme: "http" | "https";
  dial(): Socket;
}

/** @throws Failure for a bad address; the reading error of TLS files */
export function dialer({ address, tls }: StoreTarget): Dialer {
  assertAddress(address);
  const place = placeOf(address);
  if (tls === undefined) return { scheme: "http", dial: () => connect(place) };
  const read = (path: string | undefined) => (path === undefined ? undefined : readFileSync(path));
  const [ca, cert, key] = [read(tls.ca), read(tls.cert), read(tls.key)];
  const servername = tls.serverName ?? ("host" in place ? place.host : "localhost");
  const options = {
    ...place,
    ALPNProtocols: ["h2"],
    servername,
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
  };
  return { scheme: "https", dial: () => connectTls(options) };
}

function placeOf(address: string): { path: string } | { host: string; port: number } {
  if (address.startsWith("unix://")) return { path: address.slice("unix://".length) };
  const bare = address.replace(/^dns:\/\/\//, "");
  const at = bare.lastIndexOf(":");
  return { host: bare.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(bare.slice(at + 1)) };
}
