/** A transport that tells how each call ended: for metrics. */
import type { Clock } from "../proto/clock.ts";
import { OutriggerError, type Reason } from "../proto/errors.ts";
import type { AnyMethod, IncomingStream, Transport } from "../proto/transport.ts";

export interface ObservedCall {
  /** "meta.Get"; what is said before a store is known ("handshake.Describe", "health") too. */
  readonly method: AnyMethod | "health";
  /** Absent: the call was answered with OK. "INTERNAL" also stands for what was no Outrigger error. */
  readonly reason?: Reason;
  /** Of streams, from their first message to their end. */
  readonly durationMs: number;
}

export type ObserveCall = (call: ObservedCall) => void;

export function observed(transport: Transport, clock: Clock, observe: ObserveCall): Transport {
  const begin = (method: ObservedCall["method"]) => {
    const startMs = clock.monotonic();
    let ended = false;
    return (...failure: readonly [] | readonly [unknown]) => {
      if (ended) return;
      ended = true;
      const durationMs = clock.monotonic() - startMs;
      observe(failure.length === 0 ? { method, durationMs } : { method, durationMs, reason: reasonOf(failure[0]) });
    };
  };
  const watched = async <Result>(method: ObservedCall["method"], work: Promise<Result>): Promise<Result> => {
    const end = begin(method);
    try {
      const result = await work;
      end();
      return result;
    } catch (error) {
      end(error);
      throw error;
    }
  };
  const { health, reconnected, turnEnd } = transport;
  return {
    unary: (method, request, call) => watched(method, transport.unary(method, request, call)),
    stream: (method, request, call) => watchedStream(transport.stream(method, request, call), begin(method)),
    append(call) {
      const stream = transport.append(call);
      return {
        incoming: watchedStream(stream.incoming, begin("blob.Append")),
        send: (message) => stream.send(message),
        end: () => stream.end(),
      };
    },
    ...(health && { health: (service, call) => watched("health", health.call(transport, service, call)) }),
    ...(reconnected && { reconnected: (method, ms) => reconnected.call(transport, method, ms) }),
    ...(turnEnd && { turnEnd: (run) => turnEnd.call(transport, run) }),
    close: () => transport.close(),
  };
}

/** A stream that its reader leaves is answered well as far as it went. */
function watchedStream<Message>(
  stream: IncomingStream<Message>,
  end: (...failure: readonly [] | readonly [unknown]) => void,
): IncomingStream<Message> {
  return {
    metadata: stream.metadata,
    cancel() {
      end();
      stream.cancel();
    },
    [Symbol.asyncIterator]() {
      const messages = stream[Symbol.asyncIterator]();
      return {
        async next() {
          try {
            const result = await messages.next();
            if (result.done) end();
            return result;
          } catch (error) {
            end(error);
            throw error;
          }
        },
        async return() {
          end();
          return (await messages.return?.()) ?? { done: true, value: undefined };
        },
      };
    },
  };
}

function reasonOf(error: unknown): Reason {
  return error instanceof OutriggerError ? error.reason : "INTERNAL";
}
