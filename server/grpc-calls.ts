/** The handlers behind grpc-js's three shapes of calls. */
import {
  status as Code,
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
} from "@grpc/grpc-js";
import { OutriggerError, toStatus } from "../proto/errors.ts";
import type { AppendRequest } from "../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponseInput } from "../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import type {
  AnyMethod,
  Handlers,
  IncomingCall,
  ReceivedRequests,
  StreamMethod,
  UnaryMethod,
} from "../proto/transport.ts";
import { incomingCall } from "./calls.ts";
import { answerHeaders, readMetadata } from "./grpc-metadata.ts";
import { messagesOf, senderTo } from "./grpc-streams.ts";
import type { CallObserver, Instruments } from "./instruments.ts";

/** What each shape of grpc-js's calls has. */
interface Surface {
  readonly metadata: Metadata;
  readonly cancelled: boolean;
  getPeer(): string;
  sendMetadata(metadata: Metadata): void;
  on(event: "cancelled", listener: () => void): unknown;
}

/** A call under way. */
export interface ActiveCall {
  readonly method: AnyMethod;
  /** Ended by the host at once when it drains; a unary call is left to end by itself. */
  readonly streaming: boolean;
  readonly abort: AbortController;
  readonly ended: Promise<void>;
}

export interface CallsOptions {
  readonly handlers: Handlers;
  readonly instruments: Instruments;
  /** @throws OutriggerError when the peer may not call, or no call is taken any more */
  admit(peer: string): void;
  readonly active: Set<ActiveCall>;
}

export function createCalls({ handlers, instruments, admit, active }: CallsOptions) {
  /** Runs one call; `failed` gets its error as a status with everything that an answer carries. */
  async function run(
    method: AnyMethod,
    streaming: boolean,
    surface: Surface,
    work: (call: IncomingCall, observer: CallObserver) => Promise<void>,
    failed: (status: ReturnType<typeof toStatus>) => void,
    answered: () => boolean,
  ): Promise<void> {
    const metadata = readMetadata(surface.metadata);
    const observer = instruments.begin(method, metadata);
    const abort = new AbortController();
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const one: ActiveCall = { method, streaming, abort, ended };
    active.add(one);
    // Told of every call, also of one that has ended well.
    surface.on("cancelled", () => {
      if (active.has(one)) abort.abort(new OutriggerError("STREAM_BROKEN", "the caller has gone"));
    });
    try {
      admit(surface.getPeer());
      await observer.within(() => work(incomingCall(metadata, abort), observer));
      observer.end(Code.OK);
    } catch (fault) {
      const error = fault instanceof OutriggerError ? fault : new OutriggerError("INTERNAL", "fault", { cause: fault });
      observer.end(surface.cancelled ? Code.CANCELLED : error.code, error);
      if (!surface.cancelled) {
        failed(toStatus(error, answered() ? undefined : answerHeaders(handlers.answerMetadata())));
      }
    } finally {
      active.delete(one);
      end();
    }
  }

  function unary<Method extends UnaryMethod>(method: Method): handleUnaryCall<ReceivedRequests[Method], unknown> {
    return (call, callback) => {
      void run(
        method,
        false,
        call,
        async (incoming) => {
          const response = await handlers.unary(method, call.request, incoming);
          call.sendMetadata(answerHeaders(handlers.answerMetadata()));
          callback(null, response);
        },
        (status) => callback(status),
        () => false,
      );
    };
  }

  function stream<Method extends StreamMethod>(
    method: Method,
  ): handleServerStreamingCall<ReceivedRequests[Method], unknown> {
    return (call) => {
      let answered = false;
      const send = senderTo<unknown>(call);
      void run(
        method,
        true,
        call,
        async (incoming, observer) => {
          const { signal } = incoming;
          for await (const message of handlers.stream(method, call.request, incoming)) {
            signal.throwIfAborted();
            if (!answered) call.sendMetadata(answerHeaders(handlers.answerMetadata()));
            answered = true;
            const bytes = "chunk" in message ? (message.chunk?.data.length ?? 0) : 0;
            observer.sent(bytes);
            await orAborted(send(message, bytes), signal);
          }
          call.end();
        },
        (status) => call.emit("error", status),
        () => answered,
      );
    };
  }

  function append(): handleBidiStreamingCall<AppendRequest, AppendResponseInput> {
    return (call) => {
      let answered = false;
      const write = senderTo<AppendResponseInput>(call);
      const requests = messagesOf<AppendRequest>(call);
      void run(
        "blob.Append",
        true,
        call,
        async (incoming, observer) => {
          const send = (message: AppendResponseInput) => {
            if (!answered) call.sendMetadata(answerHeaders(handlers.answerMetadata()));
            answered = true;
            return write(message, 0);
          };
          await handlers.append(counted(requests, observer), send, incoming);
          call.end();
        },
        (status) => call.emit("error", status),
        () => answered,
      );
    };
  }

  return { unary, stream, append };
}

/** Counts the bytes that a core sends. */
function counted(requests: AsyncIterable<AppendRequest>, observer: CallObserver): AsyncIterable<AppendRequest> {
  const iterator = requests[Symbol.asyncIterator]();
  return {
    [Symbol.asyncIterator]: () => ({
      async next() {
        const result = await iterator.next();
        if (!result.done && result.value.chunk) observer.received(result.value.chunk.data.length);
        return result;
      },
    }),
  };
}

/** A reader that stalls must not hold a drain up. */
function orAborted(sent: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    sent.then(
      () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      },
      (error) => {
        signal.removeEventListener("abort", onAbort);
        reject(error);
      },
    );
  });
}
