/**
 * What grpc-js's server leaves at HTTP/2's defaults: its receive window (64 KiB, which halves what a core can push;
 * `grpc-node.flow_control_window` is read by the client side only, as of 1.14.7) and its read-ahead of 16 messages a
 * stream. Only this file touches the library's insides; its test says when the library has learnt the option.
 */
import type { Http2Server, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import type { Server, ServerCredentials } from "@grpc/grpc-js";

/** Measured: more gains nothing, and a stalled peer holds as much memory as this (protocol.md section 9). */
export const RECEIVE_WINDOW_BYTES = 2 * 1024 * 1024;

interface Insides {
  commonServerOptions?: { settings?: Record<string, number> };
  createHttp2Server?: (credentials: ServerCredentials) => Http2Server;
}

export interface ConnectionListener {
  onSession(session: ServerHttp2Session): void;
  /** The bare socket, which HTTP/2 does not hand out. */
  onSocket(socket: Socket): void;
}

/**
 * Raises the window of every stream and session of the server, and hands each new connection over. Call it before
 * binding.
 * @returns whether the library still has the places this needs; without them it works, only slower
 */
export function openReceiveWindow(server: Server, windowBytes: number, listener: ConnectionListener): boolean {
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
      listener.onSession(session);
    });
    http2Server.on("connection", (socket: Socket) => listener.onSocket(socket));
    return http2Server;
  };
  return true;
}

/** Lets a stream of messages read one ahead instead of 16: with chunks of 1 MiB that is what bounds memory. */
export function readOneAhead(call: Readable): void {
  const state = (call as unknown as { _readableState?: { highWaterMark: number } })._readableState;
  if (state !== undefined) state.highWaterMark = 1;
}
