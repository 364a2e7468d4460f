/** What may sit at an address instead of a right driver. Each serves at a unix socket until the scope closes. */
import { createServer as createHttp } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import {
  status as Code,
  Server as GrpcServer,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import { contract } from "../../proto/load.ts";
import type { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";

interface Listening {
  listen(path: string, ready: () => void): unknown;
  close(): unknown;
  once(event: "error", run: (error: Error) => void): unknown;
}

async function serve(scope: Scope, server: Listening, sockets: ReadonlySet<Socket> = new Set()): Promise<string> {
  const path = join(tempFolder(scope), "h.sock");
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => resolve());
  });
  scope.defer(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `unix://${path}`;
}

/** A server of bare connections. */
function raw(scope: Scope, onConnection: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  return serve(scope, server, sockets);
}

/** Accepts connections and says nothing. */
export function silent(scope: Scope): Promise<string> {
  return raw(scope, (socket) => socket.resume());
}

/** Closes every connection at once. */
export function closing(scope: Scope): Promise<string> {
  return raw(scope, (socket) => socket.destroy());
}

/** Says bytes that are no HTTP/2, for ever. */
export function garbage(scope: Scope): Promise<string> {
  const bytes = Buffer.from(Array.from({ length: 4096 }, (_, at) => (at * 131 + 17) & 0xff));
  return raw(scope, (socket) => {
    socket.resume();
    socket.write(bytes);
  });
}

export function http1(scope: Scope): Promise<string> {
  return serve(
    scope,
    createHttp((_, response) => response.end("<html>It works!</html>")),
  );
}

export function http2(scope: Scope): Promise<string> {
  const server = createHttp2();
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 404, "content-type": "text/html" });
    stream.end("<html>no such page</html>");
  });
  server.on("sessionError", () => {});
  return serve(scope, server);
}

/** A connection to a right driver of which only so many bytes of the answers come through; then silence, or the end. */
export function cut(scope: Scope, driver: string, afterBytes: number, then: "silence" | "close"): Promise<string> {
  return raw(scope, (socket) => {
    const upstream = connect(driver.slice("unix://".length));
    let left = afterBytes;
    socket.pipe(upstream);
    upstream.on("data", (bytes) => {
      if (left > 0) socket.write(bytes.subarray(0, left));
      left -= bytes.length;
      if (left <= 0 && then === "close") socket.destroy();
    });
    upstream.on("error", () => {});
    socket.on("close", () => upstream.destroy());
    upstream.on("close", () => socket.destroy());
  });
}

/** How a gRPC server answers a call whose message it does not look at. `undefined`: never. */
export type Habit = (method: string, stream: boolean) => readonly Buffer[] | "fail" | undefined;

const varint = (value: number): number[] => (value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)]);

/** A field of bytes, as protobuf writes it. */
export function field(number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([...varint((number << 3) | 2), ...varint(bytes.length)]), bytes]);
}

/** gRPC with a right handshake, both stores claimed with everything, and one habit for all the rest. */
export async function grpc(scope: Scope, habit: Habit, handshake = true): Promise<string> {
  const server = new GrpcServer({ "grpc.max_send_message_length": -1 });
  const identity = (bytes: Buffer) => bytes;
  const services = contract();
  for (const name of ["handshake", "blob", "meta", "health"] as const) {
    const handlers: Record<string, UntypedHandleCall> = {};
    const definition: Record<string, object> = {};
    for (const [method, original] of Object.entries(services[name].service)) {
      const right = handshake && name === "handshake";
      definition[method] = right
        ? original
        : {
            ...original,
            requestDeserialize: identity,
            responseSerialize: identity,
            requestSerialize: identity,
            responseDeserialize: identity,
          };
      handlers[method] = right
        ? (_: unknown, answer: (error: null, response: object) => void) => answer(null, described[method] ?? {})
        : habitually(`${name}.${method}`, original, habit);
    }
    server.addService(definition as unknown as ServiceDefinition, handlers as never);
  }
  const path = join(tempFolder(scope), "g.sock");
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    ),
  );
  scope.defer(() => server.forceShutdown());
  return `unix://${path}`;
}

interface Answerable {
  write(message: Buffer): boolean;
  end(): void;
  emit(event: "error", error: object): boolean;
  on(event: string, run: () => void): unknown;
  once(event: string, run: () => void): unknown;
  readonly cancelled: boolean;
}

function habitually(
  method: string,
  { requestStream, responseStream }: { readonly requestStream: boolean; readonly responseStream: boolean },
  habit: Habit,
): UntypedHandleCall {
  const failure = { code: Code.UNKNOWN, details: "it just fails" };
  const handler = (call: Answerable, answer?: (error: object | null, response?: Buffer) => void) => {
    const answers = habit(method, responseStream);
    if (requestStream) {
      call.on("data", () => {});
      call.on("error", () => {});
    }
    if (answers === undefined) return;
    if (!responseStream) {
      if (answers === "fail") answer?.(failure);
      else answer?.(null, answers[0] ?? Buffer.alloc(0));
      return;
    }
    if (answers === "fail") call.emit("error", failure);
    else {
      for (const message of answers) call.write(message);
      call.end();
    }
  };
  return handler as unknown as UntypedHandleCall;
}

const versions = {
  "outrigger.blob": { versions: [{ major: 1, minor: 0 }] },
  "outrigger.meta": { versions: [{ major: 1, minor: 0 }] },
};

const described: Readonly<Record<string, object>> = {
  Version: { api: versions },
  Describe: {
    driver: "test.hostile",
    version: "6.6.6",
    apis: versions,
    stores: ["STORE_KIND_BLOB", "STORE_KIND_META"].map((kind, at) => ({
      kind,
      id: `00000000-0000-4000-8000-00000000000${at}`,
      capabilities: ["DURABLE", "REPLICAS", "SIGN_URL", "LOCAL_FILE"],
      limits: { persistStepBytes: 1 << 20, uploadTtlMs: 86_400_000, streamIdleMs: 60_000, maxValueBytes: 262_144 },
    })),
  },
};
