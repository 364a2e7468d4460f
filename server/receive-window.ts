/**
 * What grpc-js's server leaves at HTTP/2's defaults: its receive window (64 KiB, which halves what a core can push;
 * `grpc-node.flow_control_window` is read by the client side only, as of 1.14.7) and its read-ahead of 16 messages a
 * stream. Only this file touches the library's insides; its test says when the library has learnt the option.
 */
import type { Http2Server, ServerHttp2Session } from "node:http2";
import type { Readable } from "node:stream";
import type { Server, ServerCredentials } from "@grpc/grpc-js";

/** Measured: more gains nothing, and a stalled peer holds as much memory as this (protocol.md section 9). */
export const RECEIVE_WINDOW_BYTES = 2 * 1024 * 1024;

interface Insides {
  commonServerOptions?: { settings?: Record<string, number> };
  createHttp2Server?: (credentials: ServerCredentials) => Http2Server;
}

/**
 * Raises the window of every stream and session of the server, and hands each new session over. Call it before binding.
 * @returns whether the library still has the places this needs; without them it works, only slower
 */
export function openReceiveWindow(
  server: Server,
  windowBytes: number,
  onSession: (session: ServerHttp2Session) => void,
): boolean {
  const insides = server as unknown as Insides;
  if (typeof insides.commonServerOptions !== "object" || typeof insides.createHttp2Server !== "function") return false;
  insides.commonServerOptions.settings = {
    ...insides.commonServerOptions.settings,
    initialWindowSize: windowBytes,
  };
  const create = insides.createHttp2Server.bind(server);
  insides.createHttp2Server = (credentials) => {
    const http2Server = create(credentials);
    http2Server.on("session", (session: ServerHttp2Session) => {
      session.setLocalWindowSize(windowBytes);
      onSession(session);
    });
    return http2Server;
  };
  return true;
}

/** Lets a stream of messages read one ahead instead of 16: with chunks of 1 MiB that is what bounds memory. */
export function readOneAhead(call: Readable): void {
  const state = (call as unknown as { _readableState?: { highWaterMark: number } })._readableState;
  if (state !== undefined) state.highWaterMark = 1;
}
