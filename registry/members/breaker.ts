/** Whether a member is asked at all: after some failures in a row not for a while, then by one request. */
import type { Clock } from "../../proto/clock.ts";

const FAILURES = 5;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 10_000;

export class Breaker {
  readonly #clock: Clock;
  #failures = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #openUntilMs: number | undefined;
  #isProbing = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isOpen(): boolean {
    return this.#openUntilMs !== undefined;
  }

  /** Whether to ask now. Whoever is let through tells how it ended. */
  lets(): boolean {
    if (this.#openUntilMs === undefined) return true;
    if (this.#isProbing || this.#clock.monotonic() < this.#openUntilMs) return false;
    this.#isProbing = true;
    return true;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#openUntilMs = undefined;
    this.#isProbing = false;
  }

  failed(): void {
    this.#failures += 1;
    this.#isProbing = false;
    if (this.#failures < FAILURES) return;
    this.#openUntilMs = this.#clock.monotonic() + this.#pauseMs;
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs);
  }

  /** Its asker left before there was an outcome. */
  unknown(): void {
    this.#isProbing = false;
  }
}
