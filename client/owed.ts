/**
 * The timer of a stream: it runs only while the other side owes the next message (protocol.md section 11). A slow reader
 * or a source that pauses owes nobody, and is never timed.
 */
import type { Clock } from "../proto/clock.ts";

export class OwedTimer {
  readonly #clock: Clock;
  readonly #afterMs: number;
  readonly #expire: () => void;
  #sinceMs: number | undefined;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, afterMs: number, expire: () => void) {
    this.#clock = clock;
    this.#afterMs = afterMs;
    this.#expire = expire;
  }

  /** Since when the other side owes (monotonic ms); `undefined`: it does not. */
  get sinceMs(): number | undefined {
    return this.#sinceMs;
  }

  /** Tells whether the other side owes now. Starts over each time it is told `true` after a sign of life. */
  owes(owing: boolean, signOfLife = false): void {
    if (!owing) {
      this.#sinceMs = undefined;
      return;
    }
    if (this.#sinceMs === undefined || signOfLife) this.#sinceMs = this.#clock.monotonic();
    // One timer for the stream's whole life, set anew only when it fires: chunks must not cost a timer each.
    this.#cancel ??= this.#clock.after(this.#afterMs, () => this.#fired());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#sinceMs = undefined;
  }

  #fired(): void {
    this.#cancel = undefined;
    if (this.#sinceMs === undefined) return;
    const leftMs = this.#sinceMs + this.#afterMs - this.#clock.monotonic();
    if (leftMs <= 0) this.#expire();
    else this.#cancel = this.#clock.after(leftMs, () => this.#fired());
  }
}
