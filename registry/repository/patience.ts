/**
 * What waits while metadata are moved: a store whose driver runs with `--read-only` is sealed until the cores are switched
 * to the next one, and after an exchange a core that is alone (`cores: one`) has yet to take its lease there. Writes wait
 * for both, a bounded time for each request; reads go on.
 */
import type { Logger } from "pino";
import type { CallOptions } from "../../client/contract.ts";
import { type Clock, sleep } from "../../proto/clock.ts";
import { hasReason } from "../../proto/errors.ts";
import { RegistryError } from "../errors.ts";
import type { Lease } from "./lease.ts";

export const DEFAULT_SEALED_WAIT_MS = 60_000;
const LOOK_EVERY_MS = 200;
const LINE_EVERY_MS = 10_000;
const RETRY_AFTER_SECONDS = 10;

export interface PatienceOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  readonly lease: Lease;
  /** How long one request's writes wait in all, as of now; 0: not at all. */
  readonly sealedWaitMs: () => number;
}

export class Patience {
  readonly #options: PatienceOptions;
  /** Of each request, since when it waits (monotonic). A request has one object of options from its beginning to its end. */
  readonly #since = new WeakMap<CallOptions, number>();
  #waiting = 0;
  #linedMs = Number.NEGATIVE_INFINITY;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** Writes that wait now. */
  get waiting(): number {
    return this.#waiting;
  }

  /** @throws UNAVAILABLE after the wait; what `attempt` throws otherwise */
  async whileSealed<Result>(options: CallOptions, attempt: () => Promise<Result>): Promise<Result> {
    let counted = false;
    try {
      for (;;) {
        let why: unknown;
        if (!this.#options.lease.isMoving()) {
          try {
            return await attempt();
          } catch (error) {
            if (!hasReason(error, "READ_ONLY")) throw error;
            why = error;
          }
        }
        if (!counted) this.#waiting += 1;
        counted = true;
        await this.#wait(options, why);
      }
    } finally {
      if (counted) this.#left();
    }
  }

  async #wait(options: CallOptions, why: unknown): Promise<void> {
    const { clock, log, random } = this.#options;
    const sealedWaitMs = this.#options.sealedWaitMs();
    const nowMs = clock.monotonic();
    const sinceMs = this.#since.get(options) ?? nowMs;
    this.#since.set(options, sinceMs);
    const untilMs = sinceMs + sealedWaitMs;
    const seconds = sealedWaitMs / 1000;
    const what =
      why === undefined ? "the lease is not yet taken in the new meta store" : "the meta store is sealed (--read-only)";
    if (nowMs >= untilMs) {
      throw new RegistryError(
        "UNAVAILABLE",
        `metadata are being moved, and nothing could be written for ${seconds} s; try again later`,
        { retryAfterSeconds: RETRY_AFTER_SECONDS, detail: { reason: "READ_ONLY", waitedSeconds: seconds }, cause: why },
      );
    }
    if (nowMs - this.#linedMs >= LINE_EVERY_MS) {
      this.#linedMs = nowMs;
      log.warn({ writesWaiting: this.#waiting }, `${what}: each write waits up to ${seconds} s for that to end`);
    }
    const pauseMs = LOOK_EVERY_MS * (0.5 + random());
    await sleep(clock, Math.min(pauseMs, untilMs - nowMs), options.signal);
  }

  #left(): void {
    this.#waiting -= 1;
    if (this.#waiting > 0 || this.#linedMs === Number.NEGATIVE_INFINITY) return;
    this.#linedMs = Number.NEGATIVE_INFINITY;
    this.#options.log.info("no write waits for the meta store any more");
  }
}
