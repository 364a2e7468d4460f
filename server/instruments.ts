/** What the host measures of each call; metrics and traces implement it. */
import type { status as Code } from "@grpc/grpc-js";
import type { AnyMethod, RequestMetadata } from "../proto/transport.ts";

export interface CallObserver {
  /** Data bytes of chunks and values, not of frames. */
  received(bytes: number): void;
  sent(bytes: number): void;
  end(code: Code, error?: Error): void;
  /** Runs the call's work where its span is the current one. */
  within<Value>(work: () => Value): Value;
}

export interface Instruments {
  begin(method: AnyMethod, metadata: RequestMetadata): CallObserver;
}

/** Several at once; the first one's `within` is outermost. */
export function combine(all: readonly Instruments[]): Instruments {
  return {
    begin(method, metadata) {
      const observers = all.map((one) => one.begin(method, metadata));
      return {
        received: (bytes) => {
          for (const one of observers) one.received(bytes);
        },
        sent: (bytes) => {
          for (const one of observers) one.sent(bytes);
        },
        end: (code, error) => {
          for (const one of observers) one.end(code, error);
        },
        within: (work) =>
          observers.reduceRight<() => ReturnType<typeof work>>((run, one) => () => one.within(run), work)(),
      };
    },
  };
}
