/** Transport over grpc-js: one call each on its low-level interface, where every message and its backpressure are seen. */
import { status as Code, type MethodDefinition } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { decodeReadChunk, encodeChunk } from "../proto/chunk-codec.ts";
import type { Clock } from "../proto/clock.ts";
import { hasReason, OutriggerError } from "../proto/errors.ts";
import type { AppendRequestInput } from "../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponse } from "../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import { contract } from "../proto/load.ts";
import type {
  AnswerMetadata,
  AnyMethod,
  AppendStream,
  IncomingStream,
  StreamMethod,
  StreamMethods,
  Transport,
  TransportCall,
  UnaryMethod,
  UnaryMethods,
} from "../proto/transport.ts";
import type { StoreTarget } from "./contract.ts";
import { GrpcChannels } from "./grpc-channels.ts";
import { type CallEnd, toError } from "./grpc-status.ts";
import {
  answerMetadata,
  beginCall,
  type Call,
  type Codec,
  codecFrom,
  requestMetadata,
  unaryCall,
  unreadable,
} from "./grpc-unary.ts";

/** The calls of one address. @throws INVALID_FIELD for an address of no known form */
export function grpcTransport(target: StoreTarget, parts: { readonly clock: Clock; readonly log: Logger }): Transport {
  return new GrpcTransport(target, parts.clock, parts.log);
}

/** Calls with many bytes, by the way these go: a Put may carry 1 MiB. */
const bulk: Partial<Record<AnyMethod | "health", "reads" | "writes">> = {
  "blob.Read": "reads",
  "blob.Put": "writes",
  "blob.Append": "writes",
};

class GrpcTransport implements Transport {
  readonly #address: string;
  readonly #channels: GrpcChannels;

  constructor(target: StoreTarget, clock: Clock, log: Logger) {
    this.#address = target.address;
    this.#channels = new GrpcChannels(target, clock, log);
  }

  unary<Method extends UnaryMethod>(
    method: Method,
    request: UnaryMethods[Method][0],
    call: TransportCall,
  ): Promise<{ response: UnaryMethods[Method][1]; metadata: AnswerMetadata }> {
    return this.#unary(method, codecOf(method), request, call) as Promise<{
      response: UnaryMethods[Method][1];
      metadata: AnswerMetadata;
    }>;
  }

  async health(service: string, call: TransportCall): Promise<boolean | undefined> {
    try {
      const { response } = await this.#unary("health", healthCodec(), { service }, call);
      return (response as { status?: string }).status === "SERVING";
    } catch (error) {
      // No health service, or not this one (NOT_FOUND without a reason of ours).
      if (hasReason(error, "CAPABILITY_MISSING") || (error instanceof OutriggerError && error.metadata["grpc"] === "5"))
        return undefined;
      throw error;
    }
  }

  #unary(what: AnyMethod | "health", codec: Codec, request: object, call: TransportCall) {
    const channel = this.#channels[bulk[what] ?? "small"]();
    return unaryCall(channel, codec, request, call, `${what} at ${this.#address}`);
  }

  stream<Method extends StreamMethod>(
    method: Method,
    request: StreamMethods[Method][0],
    call: TransportCall,
  ): IncomingStream<StreamMethods[Method][1]> {
    const codec = codecOf(method);
    const grpcCall = this.#call(method, codec.path, call);
    const incoming = new Incoming<StreamMethods[Method][1]>(grpcCall, codec.decode as never, call, (end, answered) =>
      this.#error(end, method, answered),
    );
    incoming.start();
    grpcCall.sendMessageWithContext({}, codec.encode(request));
    grpcCall.halfClose();
    return incoming;
  }

  append(call: TransportCall): AppendStream {
    const codec = codecOf("blob.Append");
    const grpcCall = this.#call("blob.Append", codec.path, call);
    const incoming = new Incoming<AppendResponse>(grpcCall, codec.decode as never, call, (end, answered) =>
      this.#error(end, "blob.Append", answered),
    );
    const outgoing = new Outgoing(grpcCall, (message) => codec.encode(message));
    incoming.onEnd = () => outgoing.stop();
    incoming.start();
    return { incoming, send: (message) => outgoing.send(message), end: () => outgoing.end() };
  }

  async reconnected(method: AnyMethod, ms: number): Promise<boolean> {
    try {
      return await this.#channels.reconnected(bulk[method] ?? "small", ms);
    } catch {
      // Closed: there is nothing to wait for.
      return false;
    }
  }

  turnEnd(run: () => void): void {
    setImmediate(run);
  }

  close(): void {
    this.#channels.close();
  }

  #call(what: AnyMethod, path: string, call: TransportCall): Call {
    return beginCall(this.#channels[bulk[what] ?? "small"](), path, call);
  }

  #error(end: CallEnd, what: string, answered: boolean): OutriggerError {
    return toError(end, `${what} at ${this.#address}`, answered);
  }
}

/** What arrives on a stream: one message is read ahead, no more. */
class Incoming<Message> implements IncomingStream<Message>, AsyncIterator<Message> {
  readonly metadata: Promise<AnswerMetadata>;
  onEnd: (() => void) | undefined;
  readonly #call: Call;
  readonly #decode: (bytes: Buffer) => Message;
  readonly #context: TransportCall;
  readonly #toError: (end: CallEnd, answered: boolean) => OutriggerError;
  readonly #messages: Message[] = [];
  #tellMetadata: (metadata: AnswerMetadata) => void = () => undefined;
  #waiting: { resolve(result: IteratorResult<Message>): void; reject(error: unknown): void } | undefined;
  #reading = false;
  #answered = false;
  #end: { readonly error: unknown } | undefined;
  #onAbort: () => void;

  constructor(
    call: Call,
    decode: (bytes: Buffer) => Message,
    context: TransportCall,
    toErrorOf: (end: CallEnd, answered: boolean) => OutriggerError,
  ) {
    this.#call = call;
    this.#decode = decode;
    this.#context = context;
    this.#toError = toErrorOf;
    this.#onAbort = () => this.cancel();
    this.metadata = new Promise((resolve) => {
      this.#tellMetadata = resolve;
    });
  }

  start(): void {
    const { signal } = this.#context;
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#call.start(requestMetadata(this.#context), {
      onReceiveMetadata: (metadata) => {
        this.#answered = true;
        this.#tellMetadata(answerMetadata(metadata));
      },
      onReceiveMessage: (bytes: Buffer) => this.#received(bytes),
      onReceiveStatus: (end) => this.#ended(end),
    });
    if (signal?.aborted) this.cancel();
    else this.#readOn();
  }

  [Symbol.asyncIterator](): AsyncIterator<Message> {
    return this;
  }

  next(): Promise<IteratorResult<Message>> {
    const message = this.#messages.shift();
    if (message !== undefined) {
      this.#readOn();
      return Promise.resolve({ done: false, value: message });
    }
    if (this.#end !== undefined) {
      return this.#end.error === undefined
        ? Promise.resolve({ done: true, value: undefined })
        : Promise.reject(this.#end.error);
    }
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#readOn();
    });
  }

  async return(): Promise<IteratorResult<Message>> {
    this.cancel();
    return { done: true, value: undefined };
  }

  cancel(): void {
    if (this.#end === undefined) this.#call.cancelWithStatus(Code.CANCELLED, "cancelled by the core");
  }

  #readOn(): void {
    if (this.#reading || this.#messages.length > 0 || this.#end !== undefined) return;
    this.#reading = true;
    this.#call.startRead();
  }

  #received(bytes: Buffer): void {
    this.#reading = false;
    let message: Message;
    try {
      message = this.#decode(bytes);
    } catch (error) {
      this.#finish(unreadable("a stream's message", error));
      this.#call.cancelWithStatus(Code.INTERNAL, "unreadable");
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting) waiting.resolve({ done: false, value: message });
    else this.#messages.push(message);
    this.#readOn();
  }

  #ended(end: CallEnd): void {
    // In a trailers-only answer, what every answer carries is in the trailers.
    this.#tellMetadata(answerMetadata(end.metadata));
    const { signal } = this.#context;
    if (end.code === Code.OK) this.#finish(undefined);
    else this.#finish(signal?.aborted ? signal.reason : this.#toError(end, this.#answered));
  }

  #finish(error: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#context.signal?.removeEventListener("abort", this.#onAbort);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (error === undefined) waiting?.resolve({ done: true, value: undefined });
    else waiting?.reject(error);
    this.onEnd?.();
  }
}

/** What leaves on a stream: one message on its way and one behind it, so that bytes in flight are bounded by us. */
class Outgoing {
  readonly #call: Call;
  readonly #encode: (message: AppendRequestInput) => Buffer;
  #next:
    | { readonly bytes: Buffer; readonly resolve: () => void; readonly reject: (error: unknown) => void }
    | undefined;
  #busy = false;
  #ending = false;
  #stopped = false;

  constructor(call: Call, encode: (message: AppendRequestInput) => Buffer) {
    this.#call = call;
    this.#encode = encode;
  }

  /** Resolves once this message is the one on its way. */
  send(message: AppendRequestInput): Promise<void> {
    if (this.#stopped) return Promise.reject(ended());
    const bytes = message.chunk
      ? encodeChunk(message.chunk.offset as number, message.chunk.data as Uint8Array)
      : this.#encode(message);
    if (!this.#busy) {
      this.#write(bytes);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      this.#next = { bytes, resolve, reject };
    });
  }

  end(): void {
    this.#ending = true;
    if (!this.#busy && !this.#stopped) this.#call.halfClose();
  }

  stop(): void {
    this.#stopped = true;
    this.#next?.reject(ended());
    this.#next = undefined;
  }

  #write(bytes: Buffer): void {
    this.#busy = true;
    this.#call.sendMessageWithContext({ callback: () => this.#written() }, bytes);
  }

  #written(): void {
    this.#busy = false;
    if (this.#stopped) return;
    const next = this.#next;
    this.#next = undefined;
    if (next) {
      this.#write(next.bytes);
      next.resolve();
    } else if (this.#ending) this.#call.halfClose();
  }
}

function ended(): OutriggerError {
  return new OutriggerError("STREAM_BROKEN", "the stream has ended", { side: "transport" });
}

const codecs = new Map<AnyMethod, Codec>();

function codecOf(method: AnyMethod): Codec {
  let codec = codecs.get(method);
  if (codec === undefined) {
    const [api, name] = method.split(".") as ["handshake" | "blob" | "meta", string];
    const definition = (contract()[api].service as unknown as Record<string, MethodDefinition<object, object>>)[name];
    if (definition === undefined) throw new Error(`${method} is not in the contract`);
    const whole = codecFrom(definition);
    codec =
      method === "blob.Read" ? { ...whole, decode: (bytes) => decodeReadChunk(bytes) ?? whole.decode(bytes) } : whole;
    codecs.set(method, codec);
  }
  return codec;
}

function healthCodec(): Codec {
  return codecFrom(contract().health.service.Check);
}
