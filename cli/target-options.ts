/** The options by which commands are told how to reach drivers. */
import type { Command } from "commander";
import type { StoreTarget } from "../client/contract.ts";
import { UsageFailure } from "./failure.ts";

export interface TlsOptions {
  readonly tls?: boolean;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsServerName?: string;
}

export function addTlsOptions(command: Command): Command {
  return command
    .option("--tls", "use TLS, trusting the system's authorities")
    .option("--tls-ca <file>", "use TLS, trusting the authorities of this PEM file")
    .option("--tls-cert <file>", "client certificate, PEM")
    .option("--tls-key <file>", "its key, PEM")
    .option("--tls-server-name <name>", "name that the driver's certificate must have");
}

/** @throws UsageFailure for half a key pair */
export function targetOf(address: string, options: TlsOptions): StoreTarget {
  const { tls, tlsCa: ca, tlsCert: cert, tlsKey: key, tlsServerName: serverName } = options;
  if ((cert === undefined) !== (key === undefined))
    throw new UsageFailure("--tls-cert and --tls-key belong together: give both or neither");
  const given = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { serverName }),
  };
  if (!tls && Object.keys(given).length === 0) return { address };
  return { address, tls: given };
}
