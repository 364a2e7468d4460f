/**
 * gRPC as it is on the wire: one connection to one driver, every call with a time after which it is given up, every answer
 * with what came beside it. Nothing is retried, interpreted or repaired here.
 */
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  status as Code,
  type CallOptions as GrpcCallOptions,
  Metadata,
  type ServiceError,
  type StatusObject,
} from "@grpc/grpc-js";
import { contract, type Services } from "../proto/load.ts";
import type { AnyMethod } from "../proto/transport.ts";
import type { Answer, AnswerHead, Incoming } from "./contract.ts";
import { type Fault, faultOf, Garbled, Silence } from "./faults.ts";
import type { CallLog, Recorder } from "./recorder.ts";

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

interface Codec {
  readonly path: string;
  requestSerialize(message: object): Buffer;
  responseDeserialize(bytes: Buffer): object;
}

/** More than any right message, so that a larger one is seen and told by its size; not so much that it fills memory. */
const RECEIVE_BYTES = 16 * 1024 * 1024;
/** Messages that wait for a test that does not read; then the connection's own backpressure begins. */
const QUEUE = 16;

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

type StreamCall = ClientReadableStream<Buffer> | ClientDuplexStream<Buffer, Buffer>;

/** The answering half of a stream. */
class IncomingStream implements Incoming<object> {
  readonly #method: WireMethod;
  readonly #codec: Codec;
  readonly #call: StreamCall;
  readonly #patienceMs: number;
  readonly #log: CallLog;
  readonly #queue: Buffer[] = [];
  readonly #waiting = new Set<() => void>();
  #initial: Metadata | undefined;
  #status: StatusObject | undefined;
  #drained = false;
  #cancelled = false;
  /** Set once the end was told: what each further call says. */
  #ended: { readonly error: unknown } | undefined;
  largestBytes = 0;

  constructor(
    method: WireMethod,
    codec: Codec,
    call: StreamCall,
    patienceMs: number,
    log: CallLog,
    finished: () => void,
  ) {
    this.#method = method;
    this.#codec = codec;
    this.#call = call;
    this.#patienceMs = patienceMs;
    this.#log = log;
    call.on("metadata", (received: Metadata) => {
      this.#initial = received;
      this.#wake();
    });
    call.on("data", (bytes: Buffer) => {
      this.#queue.push(bytes);
      if (this.#queue.length >= QUEUE) call.pause();
      this.#wake();
    });
    call.on("end", () => {
      this.#drained = true;
      this.#wake();
    });
    // The same is told by "status", which always comes.
    call.on("error", () => {});
    call.on("status", (status: StatusObject) => {
      this.#status = status;
      finished();
      this.#wake();
    });
  }

  get ended(): boolean {
    return this.#status !== undefined;
  }

  /** Resolves at the next event. */
  event(run: () => void): () => void {
    this.#waiting.add(run);
    return () => this.#waiting.delete(run);
  }

  async next(withinMs = this.#patienceMs): Promise<object | undefined> {
    const deadlineMs = performance.now() + withinMs;
    for (;;) {
      const bytes = this.#queue.shift();
      if (bytes !== undefined) return this.#take(bytes);
      if (this.#status !== undefined && (this.#drained || this.#cancelled || this.#status.code !== Code.OK)) {
        // What was received before the end is still under way from the call's own buffer.
        if (this.#drained || this.#call.readableLength === 0) return this.#end(this.#status);
      }
      if (!(await this.#wait(deadlineMs - performance.now()))) {
        const error = new Silence(`${this.#method}: no message and no end`, withinMs);
        this.#log.note(error.message);
        throw error;
      }
    }
  }

  async rest(most = 100_000): Promise<object[]> {
    const messages: object[] = [];
    for (;;) {
      const message = await this.next();
      if (message === undefined) return messages;
      messages.push(message);
      if (messages.length >= most) {
        this.cancel();
        throw new Error(`${this.#method} sent ${most} messages and did not end`);
      }
    }
  }

  async head(): Promise<AnswerHead> {
    const deadlineMs = performance.now() + this.#patienceMs;
    while (this.#initial === undefined && this.#status === undefined) {
      if (!(await this.#wait(deadlineMs - performance.now())))
        throw new Silence(`${this.#method}: no answer at all`, this.#patienceMs);
    }
    return headOf(this.#initial, this.#status?.metadata);
  }

  cancel(): void {
    this.#cancelled = true;
    this.#call.cancel();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<object> {
    for (;;) {
      const message = await this.next();
      if (message === undefined) return;
      yield message;
    }
  }

  #take(bytes: Buffer): object {
    if (this.#queue.length < QUEUE / 2 && this.#call.isPaused()) this.#call.resume();
    if (bytes.length > this.largestBytes) this.largestBytes = bytes.length;
    try {
      const message = decode(this.#method, this.#codec, bytes);
      this.#log.received(message, bytes.length);
      return message;
    } catch (error) {
      this.#log.note((error as Error).message);
      this.cancel();
      throw error;
    }
  }

  #end(status: StatusObject): undefined {
    if (this.#ended === undefined) {
      const error =
        status.code === Code.OK ? undefined : faultOf(this.#method, status.code, status.details, status.metadata);
      this.#ended = { error };
      this.#log.end(error, headOf(this.#initial, status.metadata), this.#cancelled);
    }
    if (this.#ended.error !== undefined) throw this.#ended.error;
    return undefined;
  }

  /** Resolves with false when nothing happened for so long. */
  #wait(ms: number): Promise<boolean> {
    if (ms <= 0) return Promise.resolve(false);
    return new Promise((resolve) => {
      const finish = (happened: boolean) => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve(happened);
      };
      const wake = () => finish(true);
      const timer = setTimeout(() => finish(false), ms);
      this.#waiting.add(wake);
    });
  }

  #wake(): void {
    for (const run of [...this.#waiting]) run();
  }
}

/** Both halves of a stream. */
export class Duplex {
  readonly incoming: Incoming<object>;
  readonly #stream: IncomingStream;
  readonly #method: WireMethod;
  readonly #codec: Codec;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #patienceMs: number;
  readonly #log: CallLog;
  #halfClosed = false;

  constructor(
    method: WireMethod,
    codec: Codec,
    call: ClientDuplexStream<Buffer, Buffer>,
    incoming: IncomingStream,
    patienceMs: number,
    log: CallLog,
  ) {
    this.#method = method;
    this.#codec = codec;
    this.#call = call;
    this.incoming = incoming;
    this.#stream = incoming;
    this.#patienceMs = patienceMs;
    this.#log = log;
  }

  /** @see AppendSession.send */
  send(message: object): Promise<boolean> {
    if (this.#stream.ended || this.#halfClosed) return Promise.resolve(false);
    const bytes = this.#codec.requestSerialize(message);
    this.#log.sent(message, bytes.length);
    return new Promise((resolve, reject) => {
      const finish = (act: () => void) => {
        clearTimeout(timer);
        stop();
        act();
      };
      const timer = setTimeout(
        () => finish(() => reject(new Silence(`${this.#method}: no room for one more message`, this.#patienceMs))),
        this.#patienceMs,
      );
      const stop = this.#stream.event(() => {
        if (this.#stream.ended) finish(() => resolve(false));
      });
      this.#call.write(bytes, () => finish(() => resolve(!this.#stream.ended)));
    });
  }

  halfClose(): void {
    if (this.#halfClosed) return;
    this.#halfClosed = true;
    this.#log.note("half-close");
    this.#call.end();
  }
}

function codecOf(method: WireMethod): Codec {
  const [service = "", name = ""] = method.split(".");
  return contract()[service as keyof Services].service[name as never] as unknown as Codec;
}

function decode(method: WireMethod, codec: Codec, bytes: Buffer): object {
  try {
    return codec.responseDeserialize(bytes);
  } catch (error) {
    throw new Garbled(method, error);
  }
}

function metadataOf(entries: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(entries)) metadata.set(name, value);
  return metadata;
}

function deadlineIn(ms: number): GrpcCallOptions {
  return { deadline: Date.now() + ms };
}

function headOf(initial: Metadata | undefined, trailers: Metadata | undefined): AnswerHead {
  return { metadata: initial ?? trailers ?? new Metadata(), trailersOnly: initial === undefined };
}

function failureOf(method: WireMethod, failure: ServiceError, patienceMs: number, tookMs: number): Fault | Silence {
  const fault = faultOf(method, failure.code, failure.details, failure.metadata ?? new Metadata());
  // The local deadline: nothing of it came from the other side.
  const late = failure.code === Code.DEADLINE_EXCEEDED && fault.reason === undefined && tookMs >= patienceMs - 50;
  return late ? new Silence(`${method}: no answer`, patienceMs) : fault;
}
