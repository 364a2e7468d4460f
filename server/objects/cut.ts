/** Requests that must be over at a time, whatever their own patience. */
import type { Clock } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";

/** What a timer can wait for: some 25 days. */
const MOST_TIMER_MS = 2 ** 31 - 1;

export interface Cut {
  /** Follows the other one, and aborts with BACKEND_DOWN at the time: what it ends may have its effect still. */
  readonly signal: AbortSignal;
  /** Must be called. */
  end(): void;
}

/** @param atMs unix ms */
export function cutAt(clock: Clock, atMs: number, signal: AbortSignal): Cut {
  const controller = new AbortController();
  const follow = () => controller.abort(signal.reason);
  if (signal.aborted) follow();
  signal.addEventListener("abort", follow, { once: true });
  const late = () => controller.abort(new OutriggerError("BACKEND_DOWN", "the backend did not answer in time"));
  const cancel = clock.after(Math.min(Math.max(0, atMs - clock.now()), MOST_TIMER_MS), late);
  return {
    signal: controller.signal,
    end() {
      cancel();
      signal.removeEventListener("abort", follow);
    },
  };
}
