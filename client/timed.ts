/** One unary call with a deadline that the injected clock owns, so that a simulation decides when it is over. */
import type { Clock } from "../proto/clock.ts";
import { OutriggerError } from "../proto/errors.ts";
import type { AnswerMetadata, RequestMetadata, Transport, UnaryMethod, UnaryMethods } from "../proto/transport.ts";

export interface TimedCall {
  readonly metadata: RequestMetadata;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Holds this call's end while it is under way, for who wants to end it early. */
  readonly stops?: Set<(reason: OutriggerError) => void>;
}

/** @throws TIMED_OUT, whatever the transport throws, or the signal's reason */
export async function timedUnary<Method extends UnaryMethod>(
  transport: Transport,
  clock: Clock,
  method: Method,
  request: UnaryMethods[Method][0],
  call: TimedCall,
): Promise<{ response: UnaryMethods[Method][1]; metadata: AnswerMetadata }> {
  call.signal?.throwIfAborted();
  const ending = new AbortController();
  let settle: ((error: unknown) => void) | undefined;
  const ended = new Promise<never>((_, reject) => {
    settle = reject;
  });
  // The race below may be over before it rejects.
  ended.catch(() => undefined);
  const stop = (reason: unknown) => {
    settle?.(reason);
    ending.abort(reason);
  };
  const cancelTimer = clock.after(call.deadlineMs, () =>
    stop(
      new OutriggerError("TIMED_OUT", `${method} was not answered within ${call.deadlineMs} ms`, { side: "driver" }),
    ),
  );
  const onAbort = () => stop(call.signal?.reason);
  call.signal?.addEventListener("abort", onAbort, { once: true });
  call.stops?.add(stop);
  try {
    const answer = transport.unary(method, request, {
      metadata: call.metadata,
      deadlineMs: call.deadlineMs,
      signal: ending.signal,
    });
    return await Promise.race([answer, ended]);
  } catch (error) {
    call.signal?.throwIfAborted();
    throw error;
  } finally {
    cancelTimer();
    call.stops?.delete(stop);
    call.signal?.removeEventListener("abort", onAbort);
  }
}
