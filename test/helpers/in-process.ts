/** A channel to handlers in this process: no sockets, the same messages. */
import { fromStatus, OutriggerError, toStatus } from "../../proto/errors.ts";
import type { AppendRequest } from "../../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponse } from "../../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import { contract, type Services } from "../../proto/load.ts";
import type {
  AnswerMetadata,
  AnyMethod,
  AppendStream,
  Handlers,
  IncomingStream,
  ReceivedRequests,
  Transport,
  TransportCall,
} from "../../proto/transport.ts";
import { deferred } from "./gates.ts";

export interface InProcessOptions {
  /** Whether the bytes of chunks go through encoding too; without it they are handed over as they are. Default true. */
  readonly encodeChunks?: boolean;
}

interface Definition {
  requestSerialize(message: object): Buffer;
  requestDeserialize(bytes: Buffer): never;
  responseSerialize(message: object): Buffer;
  responseDeserialize(bytes: Buffer): never;
}

export function createInProcess(handlers: Handlers, options: InProcessOptions = {}): Transport {
  const { encodeChunks = true } = options;

  const request = (method: AnyMethod, message: object) => {
    const definition = definitionOf(method);
    return definition.requestDeserialize(definition.requestSerialize(message));
  };
  const response = (method: AnyMethod, message: object) => {
    const chunk = (message as { chunk?: unknown }).chunk;
    if (!encodeChunks && chunk !== undefined && chunk !== null) return message as never;
    const definition = definitionOf(method);
    return definition.responseDeserialize(definition.responseSerialize(message));
  };

  return {
    async unary(method, message, call) {
      const signal = signalOf(call);
      try {
        const answer = await handlers.unary(method, request(method, message), { metadata: call.metadata, signal });
        return { response: response(method, answer), metadata: handlers.answerMetadata() };
      } catch (error) {
        throw overTheWire(error);
      }
    },

    stream(method, message, call) {
      const abort = new AbortController();
      const signal = AbortSignal.any([abort.signal, signalOf(call)]);
      const metadata = deferred<AnswerMetadata>();
      async function* messages() {
        try {
          const received: ReceivedRequests[typeof method] = request(method, message);
          for await (const one of handlers.stream(method, received, { metadata: call.metadata, signal })) {
            metadata.resolve(handlers.answerMetadata());
            yield response(method, one);
          }
        } catch (error) {
          throw overTheWire(error);
        } finally {
          metadata.resolve(handlers.answerMetadata());
        }
      }
      return incoming(messages(), metadata.promise, () => abort.abort(gone()));
    },

    append(call): AppendStream {
      const abort = new AbortController();
      const signal = AbortSignal.any([abort.signal, signalOf(call)]);
      const requests = new Pipe<AppendRequest>();
      const responses = new Pipe<AppendResponse>();
      const metadata = deferred<AnswerMetadata>();
      signal.addEventListener("abort", () => {
        requests.fail(gone());
        responses.fail(signal.reason);
      });
      const send = (one: object) => {
        metadata.resolve(handlers.answerMetadata());
        return responses.push(response("blob.Append", one));
      };
      handlers.append(requests, send, { metadata: call.metadata, signal }).then(
        () => {
          responses.end();
          requests.fail(gone());
        },
        (error) => {
          responses.endWith(overTheWire(error));
          requests.fail(gone());
          metadata.resolve(handlers.answerMetadata());
        },
      );
      return {
        incoming: incoming(responses, metadata.promise, () => abort.abort(gone())),
        send(message) {
          const bare = !encodeChunks && message.chunk?.offset !== undefined;
          return requests.push(bare ? bareChunk(message.chunk) : request("blob.Append", message));
        },
        end: () => requests.end(),
      };
    },

    close() {},
  };
}

/** The sender may use the bytes' memory again; who receives them keeps them. */
function bareChunk(chunk: unknown): AppendRequest {
  const { offset, data } = chunk as { offset: number; data: Uint8Array };
  return { step: "chunk", chunk: { offset, data: Buffer.from(data) } } as AppendRequest;
}

/** Messages from one side to the other, one at a time. */
class Pipe<Message> implements AsyncIterable<Message> {
  readonly #queue: { message: Message; taken: () => void; lost: (error: unknown) => void }[] = [];
  #wake: () => void = () => {};
  #ended = false;
  #failure: { error: unknown } | undefined;

  /** Resolves when the message is taken. */
  push(message: Message): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(gone());
    return new Promise((taken, lost) => {
      this.#queue.push({ message, taken, lost });
      this.#wake();
    });
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** An end that is an error: what was pushed before is still delivered. */
  endWith(error: unknown): void {
    if (this.#ended) return;
    this.#failure ??= { error };
    this.#wake();
  }

  /** As on a connection that breaks: what is not taken yet is lost. */
  fail(error: unknown): void {
    this.endWith(error);
    for (const { lost } of this.#queue.splice(0)) lost(gone());
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) {
        next.taken();
        yield next.message;
      } else if (this.#failure !== undefined) {
        throw this.#failure.error;
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

function incoming<Message>(
  messages: AsyncIterable<Message>,
  metadata: Promise<AnswerMetadata>,
  cancel: () => void,
): IncomingStream<Message> {
  return { [Symbol.asyncIterator]: () => messages[Symbol.asyncIterator](), metadata, cancel };
}

function definitionOf(method: AnyMethod): Definition {
  const [service = "", name = ""] = method.split(".");
  return contract()[service as keyof Services].service[name as never] as unknown as Definition;
}

/** What is left of an error after its journey through status and trailers. */
function overTheWire(error: unknown): unknown {
  if (!(error instanceof OutriggerError)) return error;
  const { code, details, metadata } = toStatus(error);
  return fromStatus(code, details, metadata, error) ?? error;
}

function signalOf({ signal, deadlineMs }: TransportCall): AbortSignal {
  const signals = [
    ...(signal === undefined ? [] : [signal]),
    ...(deadlineMs === undefined ? [] : [AbortSignal.timeout(Math.ceil(deadlineMs))]),
  ];
  return signals.length === 0 ? new AbortController().signal : AbortSignal.any(signals);
}

function gone(): OutriggerError {
  return new OutriggerError("STREAM_BROKEN", "the stream was cancelled", { side: "transport" });
}
