/** How one request is sent: never longer than its time, repeated only where that is harmless, its failure in a sentence. */
import { setTimeout as sleep } from "node:timers/promises";
import { OutriggerError } from "../../proto/errors.ts";
import { bodyMs } from "../../server/objects/body-time.ts";
import { type Asked, type Failure, failureOf } from "./failures.ts";

/** The SDK's own repetitions are off: it would repeat what must not be, and past a call's not-after. */
const TRIES = 5;
const FIRST_WAIT_MS = 200;
const MOST_WAIT_MS = 4000;

/** Makes something else of a failure; undefined: it stays what it is. */
export type Meaning = (failure: Failure) => OutriggerError | undefined;

export interface Sent {
  readonly signal: AbortSignal;
  /** Before each time it is sent. */
  readonly assertInTime?: () => void;
  readonly meaning?: Meaning;
  /** Of the body that goes with it. */
  readonly bodyBytes?: number;
}

export class Requests {
  readonly asked: Asked;
  readonly timeoutMs: number;

  constructor(asked: Asked, timeoutMs: number) {
    this.asked = asked;
    this.timeoutMs = timeoutMs;
  }

  /** Sent once: whatever happens to it is told. */
  async once<Answer>(sent: Sent, send: (signal: AbortSignal) => Promise<Answer>): Promise<Answer> {
    const failure = await this.#attempt(sent, send);
    if ("answer" in failure) return failure.answer;
    throw failure.error;
  }

  /** Sent again after a failure that may pass, a few times, in time. */
  async harmless<Answer>(sent: Sent, send: (signal: AbortSignal) => Promise<Answer>): Promise<Answer> {
    for (let tried = 1; ; tried++) {
      const outcome = await this.#attempt(sent, send);
      if ("answer" in outcome) return outcome.answer;
      if (!outcome.passing || tried === TRIES) throw outcome.error;
      await pause(tried, outcome.error.retryAfterMs, sent.signal);
    }
  }

  async #attempt<Answer>(
    { signal, assertInTime, meaning, bodyBytes = 0 }: Sent,
    send: (signal: AbortSignal) => Promise<Answer>,
  ): Promise<{ readonly answer: Answer } | Pick<Failure, "error" | "passing">> {
    signal.throwIfAborted();
    assertInTime?.();
    const patience = patienceOf(signal, this.timeoutMs + bodyMs(bodyBytes));
    try {
      return { answer: await send(patience.signal) };
    } catch (error) {
      signal.throwIfAborted();
      if (patience.over) return { error: this.slow(), passing: true };
      const failure = failureOf(error, this.asked);
      const meant = meaning?.(failure);
      return meant === undefined ? failure : { error: meant, passing: false };
    } finally {
      patience.end();
    }
  }

  slow(): OutriggerError {
    return new OutriggerError("BACKEND_DOWN", `${this.asked.place} did not answer in ${this.timeoutMs} ms`);
  }
}

/** Grows with each time, by a random amount, and is at least what the server asked for. */
export async function pause(tried: number, leastMs = 0, signal?: AbortSignal): Promise<void> {
  const most = Math.min(MOST_WAIT_MS, FIRST_WAIT_MS * 2 ** (tried - 1));
  const waitMs = Math.max(Math.min(leastMs, MOST_WAIT_MS), most * (0.5 + Math.random() / 2));
  await sleep(waitMs, undefined, signal === undefined ? {} : { signal });
}

export interface PatienceSignal {
  readonly signal: AbortSignal;
  /** Whether it was the time that ended it. */
  readonly over: boolean;
  stopClock(): void;
  end(): void;
}

/** A signal that follows another one and aborts by itself after a time, unless it is ended before. */
export function patienceOf(signal: AbortSignal, timeoutMs: number): PatienceSignal {
  const controller = new AbortController();
  let over = false;
  const follow = () => controller.abort(signal.reason);
  if (signal.aborted) follow();
  signal.addEventListener("abort", follow, { once: true });
  const timer = setTimeout(() => {
    over = true;
    controller.abort();
  }, timeoutMs);
  return {
    signal: controller.signal,
    get over() {
      return over;
    },
    /** No longer for time: what was answered may go on. */
    stopClock() {
      clearTimeout(timer);
    },
    end() {
      clearTimeout(timer);
      signal.removeEventListener("abort", follow);
    },
  };
}
