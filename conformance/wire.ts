/**
 * gRPC as it is on the wire: one connection to one driver, every call with a time after which it is given up, every answer
 * with what came beside it. Nothing is retried, interpreted or repaired here.
 */
import {
  type ChannelCredentials,
  Client,
  status as Code,
  type CallOptions as GrpcCallOptions,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { contract, type Services } from "../proto/load.ts";
import type { AnyMethod } from "../proto/transport.ts";
import type { Answer, Incoming } from "./contract.ts";
import { type Fault, faultOf, Silence } from "./faults.ts";
import type { CallLog, Recorder } from "./recorder.ts";
import { type Codec, Duplex, decode, headOf, IncomingStream, type StreamCall } from "./wire-streams.ts";

export type WireMethod = AnyMethod | "health.Check";

/** Where a driver answers, and how. */
export interface Target {
  readonly address: string;
  readonly credentials: ChannelCredentials;
  readonly serverName?: string;
  readonly secure?: boolean;
}

/** Beside the message: what is sent with a call, and how long its answer may take. */
export interface Sending {
  readonly metadata: Readonly<Record<string, string>>;
  readonly patienceMs: number;
}

/** More than any right message, so that a larger one is seen and told by its size; not so much that it fills memory. */
const RECEIVE_BYTES = 16 * 1024 * 1024;
const channelOptions = {
  "grpc.max_receive_message_length": RECEIVE_BYTES,
  "grpc.max_send_message_length": -1,
  "grpc.enable_retries": 0,
  "grpc.enable_http_proxy": 0,
  "grpc.service_config_disable_resolution": 1,
  // A connection of its own: what happens to another one does not happen to this one.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.initial_reconnect_backoff_ms": 50,
  "grpc.max_reconnect_backoff_ms": 500,
} as const;

const identity = (bytes: Buffer) => bytes;

export class Wire {
  readonly #client: Client;
  readonly #recorder: Recorder;
  readonly #open = new Set<{ cancel(): void }>();
  readonly address: string;

  constructor(target: Target, recorder: Recorder) {
    this.address = target.address;
    this.#recorder = recorder;
    this.#client = new Client(target.address, target.credentials, {
      ...channelOptions,
      ...(target.serverName === undefined ? {} : { "grpc.ssl_target_name_override": target.serverName }),
    });
  }

  /** Cancels whatever is open and closes the connection. */
  close(): void {
    for (const call of [...this.#open]) call.cancel();
    this.#client.close();
  }

  unary(method: WireMethod, request: object, sending: Sending): Promise<Answer<object>> {
    const codec = codecOf(method);
    const log = this.#recorder.begin(method, this.address, sending.metadata);
    const message = codec.requestSerialize(request);
    log.sent(request, message.length);
    const startedMs = performance.now();
    return new Promise((resolve, reject) => {
      let initial: Metadata | undefined;
      let trailers: Metadata | undefined;
      const call = this.#client.makeUnaryRequest<Buffer, Buffer>(
        codec.path,
        identity,
        identity,
        message,
        metadataOf(sending.metadata),
        deadlineIn(sending.patienceMs),
        (failure: ServiceError | null, bytes?: Buffer) => {
          this.#open.delete(call);
          const tookMs = performance.now() - startedMs;
          const head = headOf(initial, trailers ?? failure?.metadata);
          try {
            if (failure !== null) throw failureOf(method, failure, sending.patienceMs, tookMs);
            const response = decode(method, codec, bytes ?? Buffer.alloc(0));
            log.received(response, bytes?.length ?? 0);
            log.end(undefined, head);
            resolve({ ...head, response, sizeBytes: bytes?.length ?? 0, tookMs });
          } catch (error) {
            log.end(error, head);
            reject(error);
          }
        },
      );
      this.#open.add(call);
      call.on("metadata", (received) => {
        initial = received;
      });
      call.on("status", (status) => {
        trailers = status.metadata;
      });
    });
  }

  stream(method: WireMethod, request: object, sending: Sending): Incoming<object> {
    const codec = codecOf(method);
    const log = this.#recorder.begin(method, this.address, sending.metadata);
    const message = codec.requestSerialize(request);
    log.sent(request, message.length);
    const call = this.#client.makeServerStreamRequest<Buffer, Buffer>(
      codec.path,
      identity,
      identity,
      message,
      metadataOf(sending.metadata),
    );
    return this.#incoming(method, codec, call, sending, log);
  }

  duplex(method: WireMethod, sending: Sending): Duplex {
    const codec = codecOf(method);
    const log = this.#recorder.begin(method, this.address, sending.metadata);
    const call = this.#client.makeBidiStreamRequest<Buffer, Buffer>(
      codec.path,
      identity,
      identity,
      metadataOf(sending.metadata),
    );
    const incoming = this.#incoming(method, codec, call, sending, log);
    return new Duplex(method, codec, call, incoming, sending.patienceMs, log);
  }

  #incoming(method: WireMethod, codec: Codec, call: StreamCall, sending: Sending, log: CallLog): IncomingStream {
    this.#open.add(call);
    return new IncomingStream(method, codec, call, sending.patienceMs, log, () => this.#open.delete(call));
  }
}

function codecOf(method: WireMethod): Codec {
  const [service = "", name = ""] = method.split(".");
  return contract()[service as keyof Services].service[name as never] as unknown as Codec;
}

function metadataOf(entries: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(entries)) metadata.set(name, value);
  return metadata;
}

function deadlineIn(ms: number): GrpcCallOptions {
  return { deadline: Date.now() + ms };
}

function failureOf(method: WireMethod, failure: ServiceError, patienceMs: number, tookMs: number): Fault | Silence {
  const fault = faultOf(method, failure.code, failure.details, failure.metadata ?? new Metadata());
  // The local deadline: nothing of it came from the other side.
  const late = failure.code === Code.DEADLINE_EXCEEDED && fault.reason === undefined && tookMs >= patienceMs - 50;
  return late ? new Silence(`${method}: no answer`, patienceMs) : fault;
}
