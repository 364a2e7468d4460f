/**
 * Stores that go away and come back: the client's own retries are for requests that somebody waits for; a copy has more
 * time. Bounded by how long nothing at all got further.
 */
import { isAway } from "../client/channel.ts";
import { backOffMs } from "../client/retry.ts";
import { type Clock, sleep, systemClock } from "../proto/clock.ts";
import { hasReason, OutriggerError } from "../proto/errors.ts";

const PATIENCE_MS = 60_000;
const BACK_OFF = { firstMs: 200, mostMs: 2_000 };

export interface PatienceOptions {
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
  readonly patienceMs?: number | undefined;
  readonly waiting?: ((why: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class Patience {
  readonly #clock: Clock;
  readonly #options: PatienceOptions;
  /** Monotonic ms of the first failure since anything got further. */
  #stuckMs: number | undefined;
  #told = "";

  constructor(options: PatienceOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Something got further: bytes passed, a call was answered. */
  progressed(): void {
    this.#stuckMs = undefined;
    this.#told = "";
  }

  /** Repeats `work`, which must bear that, while stores are away. @throws its error, or the last one when patience ends */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    const { signal, random = Math.random, patienceMs = PATIENCE_MS } = this.#options;
    for (let tried = 0; ; tried += 1) {
      signal?.throwIfAborted();
      try {
        const result = await work();
        this.progressed();
        return result;
      } catch (error) {
        signal?.throwIfAborted();
        if (!isPassing(error)) throw error;
        const nowMs = this.#clock.monotonic();
        this.#stuckMs ??= nowMs;
        const pauseMs = backOffMs(tried, random, BACK_OFF);
        if (nowMs - this.#stuckMs + pauseMs > patienceMs) throw new StoreAway(patienceMs, error);
        this.#tell(error.message);
        await sleep(this.#clock, pauseMs, signal);
      }
    }
  }

  #tell(why: string): void {
    if (why === this.#told) return;
    this.#told = why;
    this.#options.waiting?.(why);
  }
}

/** A store stayed away for longer than it is waited for. */
export class StoreAway extends Error {
  constructor(patienceMs: number, cause: OutriggerError) {
    super(`nothing got further for ${patienceMs / 1000} s: ${cause.message}`, { cause });
    this.name = "StoreAway";
  }
}

function isPassing(error: unknown): error is OutriggerError {
  return error instanceof OutriggerError && (isAway(error) || hasReason(error, "RESUME_EXHAUSTED", "TOO_LATE"));
}
