/** Round trips, and what they allow. */
import { limits } from "../../proto/limits.ts";
import { formatBytes, formatMs } from "../terminal.ts";
import { type Finding, note, ok, problem } from "./findings.ts";

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

/** @param samples at least one */
export function percentiles(samples: readonly number[]): Percentiles {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

/** Above this the breaker and the deadlines come within reach. */
const SLOW_P99_MS = 1_000;

export function roundTripFinding(what: string, times: Percentiles): Finding {
  const text = `${what}: p50 ${formatMs(times.p50)}, p99 ${formatMs(times.p99)}`;
  if (times.p99 < SLOW_P99_MS) return ok(text);
  return problem(
    text,
    `the driver's machine or backend is too slow: calls are given up after ${formatMs(limits.unaryDeadlineMs)}`,
  );
}

/** Receive window of a stream, either way. */
const WINDOW_BYTES = 1024 * 1024;
const ENOUGH_BYTES_PER_SECOND = 100 * 1024 * 1024;

/** A stream moves at most one window a round trip: on a network that, not the bandwidth, may be the limit. */
export function windowFinding(roundTripMs: number): Finding | undefined {
  const most = WINDOW_BYTES / (roundTripMs / 1000);
  if (most >= ENOUGH_BYTES_PER_SECOND) return undefined;
  return note(
    `at this round trip one stream moves at most ${formatBytes(Math.round(most))}/s (a window of ${formatBytes(WINDOW_BYTES)} each)`,
    "run the driver nearer to the registry, best on the same host over a unix socket",
  );
}

/** Nearer than this nobody needs to know. */
const SAME_MS = 5;

/**
 * @param aheadMs the driver's clock less ours, at the middle of a round trip
 * @param tookMs that round trip
 */
export function clockFinding(aheadMs: number, tookMs: number): Finding {
  const off = Math.abs(aheadMs);
  const text = `clock: ${off <= Math.max(tookMs, SAME_MS) ? "the same" : `${formatMs(off)} ${aheadMs > 0 ? "ahead" : "behind"}`}`;
  if (off - tookMs / 2 <= limits.clockSkewMs) return ok(text);
  return problem(text, `set both clocks by NTP: a registry refuses more than ${formatMs(limits.clockSkewMs)}`);
}
