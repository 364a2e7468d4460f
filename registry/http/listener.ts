/** A listening socket with or without TLS, and its end. */
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { SecureContextOptions } from "node:tls";
import { RegistryError } from "../errors.ts";
import { expectsContinue } from "./body.ts";
import { errorBody } from "./errors.ts";

export interface TlsMaterial {
  /** PEM. */
  readonly cert: Buffer;
  readonly key: Buffer;
  /** PEM of authorities: clients are asked for a certificate of theirs, and need not have one. Settled at the start. */
  readonly clientCa?: Buffer;
}

export interface Listener {
  /** As it is: with the port that was given for 0. */
  readonly address: { readonly host: string; readonly port: number };
  /** New connections get this certificate. @throws when key and certificate do not fit */
  replaceTls(tls: TlsMaterial): void;
  /** Refuses new connections; those in use say that they close after their answer. */
  stopAccepting(): void;
  /** Resolves once every connection is closed; after `stopAccepting`. */
  closed(): Promise<void>;
  /** Ends what is left. */
  closeAll(): void;
}

/** One TCP read at a time is what a body's reader gets; a stalled pull's socket holds as much. */
const HIGH_WATER_BYTES = 256 * 1024;
const MIN_TLS = "TLSv1.2";

export async function listen(options: {
  readonly host: string;
  readonly port: number;
  readonly tls: TlsMaterial | undefined;
  readonly handler: RequestListener;
}): Promise<Listener> {
  const { host, port, tls, handler } = options;
  let draining = false;
  const serve: RequestListener = (request, response) => {
    if (draining) response.shouldKeepAlive = false;
    handler(request, response);
  };
  const common = {
    highWaterMark: HIGH_WATER_BYTES,
    // An upload takes as long as it takes; the body's reader has the idle limit.
    requestTimeout: 0,
    headersTimeout: 30_000,
    keepAliveTimeout: 75_000,
    noDelay: true,
  };
  const server: Server | TlsServer = tls
    ? createTlsServer({ ...common, ...contextOf(tls, tls), ...askingOf(tls) }, serve)
    : createServer(common, serve);
  server.on("checkContinue", (request, response) => {
    expectsContinue(request);
    serve(request, response);
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => answerBroken(error, socket as Socket));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const bound = server.address() as AddressInfo;
  let closing: Promise<void> | undefined;
  return {
    address: { host: bound.address, port: bound.port },
    replaceTls(next) {
      if ("setSecureContext" in server && tls) server.setSecureContext(contextOf(next, tls));
    },
    stopAccepting() {
      draining = true;
      closing ??= new Promise((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
    },
    closed: () => closing ?? Promise.resolve(),
    closeAll: () => server.closeAllConnections(),
  };
}

function contextOf({ cert, key, clientCa }: TlsMaterial, first: TlsMaterial): SecureContextOptions {
  // Who asks and names no authority has browsers offer every certificate that they have.
  const ca = clientCa ?? first.clientCa;
  return { cert, key, minVersion: MIN_TLS, ...(first.clientCa === undefined || ca === undefined ? {} : { ca }) };
}

function askingOf({ clientCa }: TlsMaterial): {
  readonly requestCert?: boolean;
  readonly rejectUnauthorized?: boolean;
} {
  return clientCa === undefined ? {} : { requestCert: true, rejectUnauthorized: false };
}

/** Bytes that are not HTTP still get an answer that a person can read. */
function answerBroken(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, code, message] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? (["431 Request Header Fields Too Large", "UNSUPPORTED", "the request's headers are too large"] as const)
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? (["408 Request Timeout", "UNSUPPORTED", "the request's head did not come in time"] as const)
        : (["400 Bad Request", "UNSUPPORTED", "this is not an HTTP request that can be read"] as const);
  const body = errorBody(new RegistryError(code, message));
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}
