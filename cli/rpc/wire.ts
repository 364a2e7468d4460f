/** One call on the wire, whatever its kind: messages out, messages in, metadata and trailers seen as they are. */
import { Client, type ClientDuplexStream, Metadata, type ServiceError, type StatusObject } from "@grpc/grpc-js";
import type protobuf from "protobufjs";
import type { StoreTarget } from "../../client/contract.ts";
import { assertAddress, channelCredentials } from "../link.ts";
import type { Method } from "./schema.ts";

export type Message = Record<string, unknown>;

export interface WireCallOptions {
  readonly metadata: Readonly<Record<string, string>>;
  /** Of the whole call. */
  readonly deadlineMs: number;
}

export class WireCall {
  /** Answers in order; backpressure is honoured. Throws grpc-js's ServiceError where the call fails. */
  readonly answers: AsyncIterable<Message>;
  /** Initial metadata; `undefined` where there was none (a trailers-only answer). */
  initial: Metadata | undefined;
  /** What the call ended with; `undefined` while it has not. */
  end: StatusObject | undefined;
  readonly #stream: ClientDuplexStream<Message, Message>;
  #ended = false;

  constructor(stream: ClientDuplexStream<Message, Message>) {
    this.#stream = stream;
    stream.on("metadata", (metadata: Metadata) => {
      this.initial = metadata;
    });
    stream.on("status", (status: StatusObject) => {
      this.end = status;
    });
    const over = () => {
      this.#ended = true;
    };
    // Iterating says why; a listener of its own, since it may come before anybody iterates.
    stream.on("error", over).on("end", over).on("close", over);
    this.answers = stream;
  }

  /** Resolves when there is room for more; false once the call has ended. */
  send(message: Message): Promise<boolean> {
    const stream = this.#stream;
    if (this.#ended) return Promise.resolve(false);
    return new Promise((resolve) => {
      const done = (open: boolean) => {
        stream.off("drain", onDrain).off("error", onEnd).off("end", onEnd).off("close", onEnd);
        resolve(open);
      };
      const onDrain = () => done(true);
      const onEnd = () => done(false);
      stream.once("drain", onDrain).once("error", onEnd).once("end", onEnd).once("close", onEnd);
      if (stream.write(message)) done(true);
    });
  }

  /** "I send no more." */
  finish(): void {
    if (!this.#ended) this.#stream.end();
  }

  cancel(): void {
    this.#stream.cancel();
  }
}

export interface Wire {
  call(method: Method, options: WireCallOptions): WireCall;
  close(): void;
}

/** @throws Failure for a bad address or unreadable TLS files */
export function openWire(target: StoreTarget): Wire {
  assertAddress(target.address);
  const client = new Client(target.address, channelCredentials(target), {
    // What the contract forbids can be tried by hand: the driver is who refuses it.
    "grpc.max_send_message_length": -1,
    "grpc.max_receive_message_length": -1,
    "grpc.enable_retries": 0,
    ...(target.tls?.serverName === undefined ? {} : { "grpc.ssl_target_name_override": target.tls.serverName }),
  });
  return {
    call({ path, request, response }, { metadata, deadlineMs }) {
      const sent = new Metadata();
      for (const [name, value] of Object.entries(metadata))
        sent.add(name, name.endsWith("-bin") ? Buffer.from(value, "base64") : value);
      // On the wire a call with one request is a stream of one.
      const stream = client.makeBidiStreamRequest<Message, Message>(
        path,
        (message) => Buffer.from(request.encode(request.create(message)).finish()),
        (bytes) => response.decode(bytes) as protobuf.Message & Message,
        sent,
        { deadline: Date.now() + deadlineMs },
      );
      return new WireCall(stream);
    },
    close: () => client.close(),
  };
}

/** Whether it is what grpc-js ends a failed call with. */
export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}
