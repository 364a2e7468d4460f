/**
 * Modification times that never repeat, so that time, size and inode of a file are an etag that no content of its key
 * had before: also after a restart, and with the clock set back.
 */
import type { Clock } from "../../proto/clock.ts";

/** Between two marks: more than what is lost when a double of seconds becomes a timespec (below 1 µs until 2100). */
const STEP_MICROS = 4;
/** How far ahead is made durable at once. A crash moves the next marks this far into the future at most. */
const RESERVE_MICROS = 10_000_000;

export class Marks {
  readonly #clock: Clock;
  readonly #reserve: (micros: number) => Promise<void>;
  #last: number;
  #reserved: number;
  #reserving: Promise<void> | undefined;

  /**
   * @param reserved no mark at or below was kept free: the last value that `reserve` was told
   * @param reserve resolves once the value survives a power loss
   */
  constructor(clock: Clock, reserved: number, reserve: (micros: number) => Promise<void>) {
    this.#clock = clock;
    this.#reserve = reserve;
    this.#last = reserved;
    this.#reserved = reserved;
  }

  /** Unix microseconds, above every mark before. */
  async next(): Promise<number> {
    const mark = Math.max(Math.floor(this.#clock.now() * 1000), this.#last + STEP_MICROS);
    this.#last = mark;
    while (mark > this.#reserved) {
      this.#reserving ??= this.#extend().finally(() => {
        this.#reserving = undefined;
      });
      await this.#reserving;
    }
    return mark;
  }

  /** What to keep at a clean end, so that the next start need not go into the future. */
  get last(): number {
    return this.#last;
  }

  async #extend(): Promise<void> {
    const until = this.#last + RESERVE_MICROS;
    await this.#reserve(until);
    this.#reserved = Math.max(this.#reserved, until);
  }
}
