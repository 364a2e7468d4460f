/** When an attempt is repeated, and how long to wait before: back-off with jitter, never sooner than the driver asked. */
import { hasReason, type OutriggerError } from "../proto/errors.ts";

export interface BackOffSteps {
  readonly firstMs: number;
  readonly mostMs: number;
}

/** Waits of half to all of `first * 2^attempt`, at most `most`: jitter without a wait of nothing. */
export function backOffMs(attempt: number, random: () => number, steps: BackOffSteps): number {
  const full = Math.min(steps.mostMs, steps.firstMs * 2 ** Math.min(attempt, 20));
  return full * (0.5 + random() / 2);
}

/** The wait before the next attempt, with the driver's own wish (RetryInfo) honoured up to 10 s. */
export function waitMs(error: unknown, attempt: number, random: () => number, steps: BackOffSteps): number {
  const asked = hasRetryAfter(error) ? Math.min(error.retryAfterMs, 10_000) : 0;
  return Math.max(asked, backOffMs(attempt, random, steps));
}

function hasRetryAfter(error: unknown): error is OutriggerError & { retryAfterMs: number } {
  return error instanceof Error && typeof (error as OutriggerError).retryAfterMs === "number";
}

/** Faults after which the same read may work a moment later. */
export function isPassing(error: unknown): boolean {
  return hasReason(
    error,
    "UNREACHABLE",
    "STREAM_BROKEN",
    "DRIVER_STARTING",
    "DRAINING",
    "BACKEND_DOWN",
    "THROTTLED",
    "STREAM_IDLE",
  );
}

/** Faults after which a mutating call has surely had no effect, and may be repeated whatever it is. */
export function hadNoEffect(error: unknown): boolean {
  return (
    hasReason(error, "DRIVER_STARTING", "THROTTLED", "CONFLICT") ||
    (hasReason(error, "UNREACHABLE") && error.metadata["sent"] === "no")
  );
}

/** Faults after which nobody knows whether a mutating call had its effect. */
export function isAnswerLost(error: unknown): boolean {
  return hasReason(error, "UNREACHABLE", "STREAM_BROKEN", "DRAINING", "BACKEND_DOWN", "TIMED_OUT", "INTERNAL");
}
