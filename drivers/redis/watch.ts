/** Looks at the server now and then: what it must be can be changed while it runs. */
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { UnfitError } from "./errors.ts";

export interface WatchOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** @throws why the server may not be used */
  readonly probe: (signal: AbortSignal) => Promise<void>;
  readonly recover: (signal: AbortSignal) => Promise<void>;
}

const EVERY_MS = 5_000;

export class Watch {
  readonly #options: WatchOptions;
  readonly #stop = new AbortController();
  #refusal: UnfitError | undefined;
  #looking: Promise<void> | undefined;
  #cancel: () => void = () => {};

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** @throws why the last look found that the server may not be used */
  assertUsable(): void {
    if (this.#refusal !== undefined) throw this.#refusal;
  }

  /** Looks now. @throws why the server may not be used */
  check(signal: AbortSignal): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    const looking = this.#looking;
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      if (signal.aborted) onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      looking.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
    });
  }

  start(): void {
    const { clock } = this.#options;
    this.#cancel = clock.after(EVERY_MS, () => {
      this.check(this.#stop.signal)
        .catch(() => {}) // kept in #refusal, or told by the connection
        .finally(() => {
          if (!this.#stop.signal.aborted) this.start();
        });
    });
  }

  stop(): void {
    this.#stop.abort(new OutriggerError("DRAINING", "the driver is about to stop"));
    this.#cancel();
  }

  async #look(): Promise<void> {
    const { probe, recover, log } = this.#options;
    const { signal } = this.#stop;
    try {
      await probe(signal);
      await recover(signal);
      if (this.#refusal !== undefined) log.info("the server is as it must be again");
      this.#refusal = undefined;
    } catch (error) {
      // Away is not wrong: calls find that out by themselves, sooner.
      if (error instanceof UnfitError) {
        if (this.#refusal === undefined) log.error(error.message);
        this.#refusal = error;
      }
      throw error;
    }
  }
}
