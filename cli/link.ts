/**
 * A plain gRPC channel to one driver for commands that look at it from outside: one call, one answer, no retries, no
 * breaker. What serves requests uses client/ instead.
 */
import { readFileSync } from "node:fs";
import {
  type ChannelCredentials,
  type ClientUnaryCall,
  status as Code,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import type { StoreTarget } from "../client/contract.ts";
import { fromStatus } from "../proto/errors.ts";
import type { DescribeResponse } from "../proto/gen/outrigger/handshake/v1/DescribeResponse.ts";
import type { VersionResponse } from "../proto/gen/outrigger/handshake/v1/VersionResponse.ts";
import { contract } from "../proto/load.ts";
import { headers } from "../proto/metadata.ts";
import { spoken } from "../proto/versions.ts";
import { Failure } from "./failure.ts";
import { version } from "./version.ts";

const DEADLINE_MS = 5_000;

export interface Answer<Response> {
  readonly response: Response;
  /** The driver's clock when it answered; `undefined`: it did not say. */
  readonly nowMs: number | undefined;
  /** From sending to the whole answer. */
  readonly tookMs: number;
}

export interface Link {
  version(): Promise<Answer<VersionResponse>>;
  describe(): Promise<Answer<DescribeResponse>>;
  /** "SERVING", "NOT_SERVING", "UNKNOWN". */
  health(service: string): Promise<string>;
  close(): void;
}

/** Opens a channel; nothing is sent yet. @throws Failure for a bad address or unreadable TLS files */
export function openLink(target: StoreTarget): Link {
  assertAddress(target.address);
  const channel = channelCredentials(target);
  const options =
    target.tls?.serverName === undefined ? {} : { "grpc.ssl_target_name_override": target.tls.serverName };
  const handshake = new (contract().handshake)(target.address, channel, options);
  const health = new (contract().health)(target.address, channel, options);
  const call = <Response>(start: Start<Response>) => unary(target.address, start);
  return {
    version: () => call((metadata, until, done) => handshake.Version({}, metadata, until, done)),
    describe: () => {
      const request = { coreName: "outrigger-cli", coreVersion: version(), apis: newest() };
      return call((metadata, until, done) => handshake.Describe(request, metadata, until, done));
    },
    async health(service) {
      const { response } = await call<{ status: string | number }>((metadata, until, done) =>
        health.Check({ service }, metadata, until, done),
      );
      return String(response.status);
    },
    close() {
      handshake.close();
      health.close();
    },
  };
}

type Start<Response> = (
  metadata: Metadata,
  options: { deadline: number },
  done: (error: ServiceError | null, response?: Response) => void,
) => ClientUnaryCall;

function unary<Response>(address: string, start: Start<Response>): Promise<Answer<Response>> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    let nowMs: number | undefined;
    const call = start(new Metadata(), { deadline: Date.now() + DEADLINE_MS }, (error, response) => {
      if (error !== null) reject(translate(address, error));
      else if (response === undefined) reject(new Failure(`${address} gave an empty answer`));
      else resolve({ response, nowMs, tookMs: performance.now() - startedMs });
    });
    call.on("metadata", (metadata) => {
      const told = Number(metadata.get(headers.now)[0]);
      if (Number.isFinite(told)) nowMs = told;
    });
  });
}

/** The transport's or driver's error as one sentence that says what to change. */
export function translate(address: string, error: ServiceError): Error {
  const told = fromStatus(error.code, error.details, error.metadata, error);
  if (told !== undefined) return told;
  switch (error.code) {
    case Code.UNIMPLEMENTED:
      return new Failure(`${address} is not an Outrigger driver: it speaks gRPC, but has no handshake`, {
        cause: error,
      });
    case Code.DEADLINE_EXCEEDED:
      return new Failure(`${address} did not answer within ${DEADLINE_MS / 1000} s: is it a driver, and is it alive?`, {
        cause: error,
      });
    case Code.UNAVAILABLE:
      if (/ECONNREFUSED|ENOENT|EHOSTUNREACH|ENETUNREACH/.test(error.details))
        return new Failure(`nobody listens at ${address}: start the driver there, or give its address`, {
          cause: error,
        });
      if (/EACCES/.test(error.details))
        return new Failure(`no permission for ${address}: run as the socket's owner or in its group`, { cause: error });
      if (/Name resolution failed/.test(error.details))
        return new Failure(`${address} cannot be resolved: check its name`, { cause: error });
      for (const [words, told] of tlsFaults)
        if (words.test(error.details))
          return new Failure(`${told(address)} (${reasonIn(error.details)})`, { cause: error });
      return new Failure(
        `${address} is not an Outrigger driver, or expects TLS where none was given or the other way round (${error.details})`,
        { cause: error },
      );
    default:
      return new Failure(`${address} is not an Outrigger driver (${Code[error.code]}: ${error.details})`, {
        cause: error,
      });
  }
}

/** What OpenSSL and Node.js say when two sides do not trust each other, and what to change. */
const tlsFaults: readonly (readonly [RegExp, (address: string) => string])[] = [
  [
    /alert (?:certificate required|bad certificate|unknown ca|handshake failure)/,
    (address) => `${address} wants a client's certificate that it trusts: give one and its key`,
  ],
  [/certificate has expired/, (address) => `the certificate of ${address} has expired: renew it`],
  [
    /altname|does not match certificate/i,
    (address) => `the certificate of ${address} has another name: reach it by that, or give it as the TLS server name`,
  ],
  [
    /self[- ]signed certificate|unable to (?:verify|get)/,
    (address) =>
      `the certificate of ${address} is of no authority that is trusted here: give that authority's (tls ca)`,
  ],
];

/** Without the library's words around the cause. */
function reasonIn(details: string): string {
  return details.replace(/^.*Last error: (?:Error: )?/, "").replace(/(?: \([^)]*\))?\. Resolution note:.*$/, "");
}

/** @throws Failure unless it is unix:///path, host:port or dns:///name:port */
export function assertAddress(address: string): void {
  if (/^unix:\/\/\/./.test(address)) return;
  if (/^(?:dns:\/\/\/)?(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/.test(address)) return;
  throw new Failure(`${address} is not an address: write unix:///path/driver.sock, host:port or dns:///name:port`);
}

/** @throws Failure for unreadable TLS files */
export function channelCredentials({ tls }: StoreTarget): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const read = (path: string | undefined) => (path === undefined ? null : readFileSync(path));
  const [ca, key, cert] = [read(tls.ca), read(tls.key), read(tls.cert)];
  try {
    return credentials.createSsl(ca, key, cert);
  } catch (error) {
    const files = [tls.cert, tls.key, tls.ca].filter((file) => file !== undefined).join(", ");
    throw new Failure(`${files}: no certificate and its key, in PEM: ${(error as Error).message}`, { cause: error });
  }
}

function newest() {
  return Object.fromEntries(
    Object.entries(spoken).flatMap(([api, versions]) => {
      const last = versions.at(-1);
      return last === undefined ? [] : [[api, last]];
    }),
  );
}
