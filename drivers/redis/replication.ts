/** --wait-replicas: a Write counts once so many replicas have received it, and nothing is read that may not count. */
import type { Clock } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { textOf } from "./inspect.ts";
import type { Link } from "./link.ts";
import type { Settings } from "./options.ts";

export interface ReplicationOptions {
  /** Only Writes go through it: WAIT holds up whatever is sent behind it. */
  readonly link: Link;
  readonly settings: Settings;
  readonly clock: Clock;
  /** A Write of nothing, through the link: what a WAIT waits for on a new connection. */
  readonly touch: (signal: AbortSignal) => Promise<void>;
}

/** A WAIT that is sent with the answer of a Write at hand covers that Write and all before it. */
export class Replication {
  readonly #options: ReplicationOptions;
  /** The WAIT that is not sent yet: whoever has its answer by now may join. */
  #next: Promise<void> | undefined;
  #current: Promise<unknown> = Promise.resolve();
  #short: OutriggerError | undefined;

  constructor(options: ReplicationOptions) {
    this.#options = options;
  }

  /** @throws BACKEND_DOWN when a Write may be on the primary alone: what it wrote must not be taken for kept */
  assertReceived(): void {
    if (this.#short !== undefined) throw this.#short;
  }

  /** Resolves once every Write answered so far is with the replicas. @throws BACKEND_DOWN */
  async received(signal: AbortSignal): Promise<void> {
    this.#next ??= this.#current.then(
      () => this.#wait(),
      () => this.#wait(),
    );
    await this.#next;
    signal.throwIfAborted();
  }

  /** Asks again after a WAIT that fell short. */
  async recover(signal: AbortSignal): Promise<void> {
    if (this.#short === undefined) return;
    await this.#options.touch(signal);
    await this.received(signal);
  }

  #wait(): Promise<void> {
    const waiting = this.#ask();
    this.#current = waiting;
    this.#next = undefined;
    return waiting;
  }

  async #ask(): Promise<void> {
    const { link, settings } = this.#options;
    const { waitReplicas, timeoutMs, address } = settings;
    const never = new AbortController().signal;
    let found: number;
    try {
      const args = [String(waitReplicas), String(Math.round(timeoutMs * 0.8))];
      found = Number(textOf(await link.call("WAIT", args, never)));
    } catch (cause) {
      this.#short = this.#tooFew(`the wait for ${waitReplicas} replicas of ${address.shown} broke off`, cause);
      throw this.#short;
    }
    if (found < waitReplicas) {
      this.#short = this.#tooFew(
        `${found} of ${waitReplicas} replicas of ${address.shown} have received the last Writes (--wait-replicas)`,
      );
      throw this.#short;
    }
    this.#short = undefined;
  }

  #tooFew(sentence: string, cause?: unknown): OutriggerError {
    return new OutriggerError("BACKEND_DOWN", `whether the last Writes outlive a failover is not known: ${sentence}`, {
      metadata: { outcome: "unknown" },
      ...(cause === undefined ? {} : { cause }),
    });
  }
}
