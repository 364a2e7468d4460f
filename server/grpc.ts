/** The gRPC server of one driver: services, limits, windows, health, drain. */
import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { Server, type ServerCredentials, type ServiceDefinition, type UntypedHandleCall } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { encodeChunk } from "../proto/chunk-codec.ts";
import type { Clock } from "../proto/clock.ts";
import { OutriggerError } from "../proto/errors.ts";
import type { ReadResponse } from "../proto/gen/outrigger/blob/v1/ReadResponse.ts";
import { limits } from "../proto/limits.ts";
import { contract } from "../proto/load.ts";
import type { AnyMethod, Handlers, StreamMethod, UnaryMethod } from "../proto/transport.ts";
import type { Driver } from "./contract.ts";
import { type ActiveCall, createCalls } from "./grpc-calls.ts";
import { Health } from "./health.ts";
import type { Instruments } from "./instruments.ts";
import { openReceiveWindow, RECEIVE_WINDOW_BYTES } from "./receive-window.ts";
import { addReflection } from "./reflection.ts";

export interface GrpcServerOptions {
  readonly driver: Driver;
  readonly handlers: Handlers;
  readonly clock: Clock;
  readonly log: Logger;
  readonly instruments: Instruments;
  /** Decides at the start of a connection whether its calls are answered. Default: yes. */
  readonly allowSession?: (session: ServerHttp2Session) => boolean;
  /** Default: RECEIVE_WINDOW_BYTES. */
  readonly windowBytes?: number;
}

export interface GrpcServer {
  readonly health: Health;
  /** Calls under way. */
  readonly active: ReadonlySet<ActiveCall>;
  /** @returns the port, or 1 for a unix socket */
  bind(address: string, credentials: ServerCredentials): Promise<number>;
  /** [process.drain.01] Resolves once every call has ended, or `withinMs` later; then nothing is connected any more. */
  drain(withinMs: number): Promise<void>;
}

export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  const { driver, handlers, clock, log, instruments, allowSession = () => true } = options;
  const server = new Server({
    "grpc.max_receive_message_length": limits.messageBytes,
    "grpc.max_send_message_length": limits.messageBytes,
    "grpc.enable_channelz": 0,
  });
  const refused = new Set<string>();
  const active = new Set<ActiveCall>();
  const health = new Health(driver, clock, log);
  let draining = false;

  const sockets = new Set<Socket>();
  const raised = openReceiveWindow(server, options.windowBytes ?? RECEIVE_WINDOW_BYTES, {
    onSession(session) {
      if (allowSession(session)) return;
      const peer = `${session.socket.remoteAddress}:${session.socket.remotePort}`;
      refused.add(peer);
      session.on("close", () => refused.delete(peer));
    },
    onSocket(socket) {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    },
  });
  if (!raised) {
    // Without the hook no client name is checked: that must not pass silently.
    if (options.allowSession !== undefined)
      throw new Error("this release of @grpc/grpc-js has no place to check clients");
    log.warn("this release of @grpc/grpc-js has no place to raise the receive window: pushes are slower");
  }

  const calls = createCalls({
    handlers,
    instruments,
    active,
    admit(peer) {
      if (draining) throw drainingError();
      if (refused.has(peer)) {
        throw new OutriggerError("NOT_ALLOWED", "the client's certificate has none of the names this driver allows");
      }
    },
  });

  const services = contract();
  const served = ["grpc.health.v1.Health"];
  addService(services.handshake.service, "handshake");
  if (driver.blob !== undefined) addService(withOwnCodec(services.blob.service as ServiceDefinition), "blob");
  if (driver.meta !== undefined) addService(services.meta.service, "meta");
  server.addService(services.health.service as ServiceDefinition, {
    Check: health.check(),
    List: health.list(),
    Watch: health.watch(),
  });
  addReflection(server, served);

  function addService(service: object, api: string): void {
    const implementation: Record<string, UntypedHandleCall> = {};
    served.push(`outrigger.${api}.v1.${api.charAt(0).toUpperCase()}${api.slice(1)}Service`);
    for (const [name, method] of Object.entries(service as ServiceDefinition)) {
      const full = `${api}.${name}` as AnyMethod;
      implementation[name] = (
        method.requestStream
          ? calls.append()
          : method.responseStream
            ? calls.stream(full as StreamMethod)
            : calls.unary(full as UnaryMethod)
      ) as UntypedHandleCall;
    }
    server.addService(service as ServiceDefinition, implementation);
  }

  return {
    health,
    active,

    bind: (address, credentials) =>
      new Promise((resolve, reject) => {
        server.bindAsync(address, credentials, (error, port) => (error ? reject(error) : resolve(port)));
      }),

    async drain(withinMs) {
      draining = true;
      health.drain();
      const reason = drainingError();
      for (const call of active) if (call.streaming) call.abort.abort(reason);
      let over = () => {};
      const late = new Promise<void>((resolve) => {
        over = clock.after(withinMs, resolve);
      });
      const ended = Promise.all([...active].map((call) => call.ended)).then(
        () => new Promise<void>((resolve) => server.tryShutdown(() => resolve())),
      );
      await Promise.race([ended, late]);
      over();
      server.forceShutdown();
      // The library ends a connection in good order, which takes a peer that reads.
      for (const socket of sockets) socket.destroy();
    },
  };
}

function withOwnCodec(service: ServiceDefinition): ServiceDefinition {
  const read = service["Read"];
  if (read === undefined) throw new Error("the blob service has no Read");
  const responseSerialize = (message: ReadResponse) =>
    message.chunk ? encodeChunk(message.chunk.offset, message.chunk.data) : read.responseSerialize(message);
  return { ...service, Read: { ...read, responseSerialize } };
}

function drainingError(): OutriggerError {
  return new OutriggerError("DRAINING", "the driver is about to stop");
}
