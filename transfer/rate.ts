/** A limit of bytes a second that many readers share: who has read waits until the bytes were due. */
import { type Clock, sleep, systemClock } from "../proto/clock.ts";

/** Bytes that may be ahead of their time, as a part of a second. */
const AHEAD_SECONDS = 0.25;

export class Rate {
  readonly bytesPerSecond: number;
  readonly #clock: Clock;
  /** Monotonic ms at which everything taken so far is due. */
  #dueMs = Number.NEGATIVE_INFINITY;

  constructor(bytesPerSecond: number, clock: Clock = systemClock) {
    this.bytesPerSecond = bytesPerSecond;
    this.#clock = clock;
  }

  /** Resolves once `bytes` more are due. Rejects with the signal's reason. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonic();
    // Time in which nobody read is lost: it gives no burst later.
    this.#dueMs = Math.max(this.#dueMs, nowMs) + (bytes / this.bytesPerSecond) * 1000;
    const waitMs = this.#dueMs - nowMs - AHEAD_SECONDS * 1000;
    if (waitMs > 0) await sleep(this.#clock, waitMs, signal);
  }
}

/** The pieces of `source` as they are due; `passed` is told of each. */
export async function* paced(
  source: AsyncIterable<Buffer>,
  rate: Rate | undefined,
  signal: AbortSignal | undefined,
  passed: (bytes: number) => void,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const piece of source) {
    await rate?.take(piece.length, signal);
    passed(piece.length);
    yield piece;
  }
}
