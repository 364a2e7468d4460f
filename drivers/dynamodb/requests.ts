/** How one request is sent: never longer than its time, repeated a few times where that is harmless, told in a sentence. */
import { setTimeout as sleep } from "node:timers/promises";
import type { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { OutriggerError } from "../../proto/errors.ts";
import type { CallContext } from "../../server/contract.ts";
import { type Asked, type Failure, failureOf } from "./failures.ts";

/** The SDK's own repetitions are off: it knows nothing of a call's not-after. */
const TRIES = 5;
const FIRST_WAIT_MS = 25;
const MOST_WAIT_MS = 800;
/** Less than a core waits for an answer. */
const READ_BUDGET_MS = 8_000;

export type Send<Answer> = (client: DynamoDBClient, options: { readonly abortSignal: AbortSignal }) => Promise<Answer>;

export class Requests {
  readonly asked: Asked;
  readonly #client: DynamoDBClient;
  readonly #timeoutMs: number;

  constructor(client: DynamoDBClient, asked: Asked, timeoutMs: number) {
    this.#client = client;
    this.asked = asked;
    this.#timeoutMs = timeoutMs;
  }

  /** What changes nothing: sent again after a failure that may pass. @throws OutriggerError */
  async read<Answer>(signal: AbortSignal, send: Send<Answer>): Promise<Answer> {
    const startedMs = performance.now();
    for (let tried = 1; ; tried++) {
      signal.throwIfAborted();
      const leftMs = READ_BUDGET_MS - (performance.now() - startedMs);
      try {
        return await this.#once(signal, leftMs, send);
      } catch (thrown) {
        signal.throwIfAborted();
        const { error, passing } = failureOf(thrown, this.asked);
        const waitMs = backOffMs(tried);
        if (!passing || tried === TRIES || performance.now() - startedMs + waitMs >= READ_BUDGET_MS)
          throw toReader(error);
        await sleep(waitMs, undefined, { signal });
      }
    }
  }

  /**
   * One transaction under one token, by which DynamoDB knows a request that it has done already: sent again it is not done
   * again, for ten minutes. Nothing is sent past the call's not-after, and none of it is waited for any longer.
   *
   * What was sent and not answered may be done, or yet be done: from then on only success is told as it is. A condition that
   * fails, a throttle, a time that is over then say nothing about the earlier attempt, and the outcome is unknown
   * (BACKEND_DOWN), which a core finds out.
   * @throws OutriggerError; what `meaning` makes of a condition that does not hold
   */
  async transact(call: CallContext, send: Send<unknown>, meaning: (failure: Failure) => Error): Promise<void> {
    let lost: OutriggerError | undefined;
    for (let tried = 1; ; tried++) {
      try {
        call.signal.throwIfAborted();
        call.assertInTime();
      } catch (error) {
        throw lost ?? error;
      }
      const leftMs = call.notAfterMs === undefined ? this.#timeoutMs : call.notAfterMs - Date.now() + 1;
      try {
        // Not the call's signal: a Write that is under way is better known to be done than cut off.
        await this.#once(undefined, leftMs, send);
        return;
      } catch (thrown) {
        const failure = failureOf(thrown, this.asked);
        if (failure.mayHaveEffect) lost ??= outcomeUnknown(failure.error);
        if (!failure.passing || tried === TRIES) throw lost ?? meaning(failure);
        await sleep(backOffMs(tried));
      }
    }
  }

  async #once<Answer>(signal: AbortSignal | undefined, leftMs: number, send: Send<Answer>): Promise<Answer> {
    const timeoutMs = Math.max(1, Math.min(this.#timeoutMs, Math.ceil(leftMs)));
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), timeoutMs);
    try {
      const abortSignal = signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]);
      return await send(this.#client, { abortSignal });
    } catch (error) {
      // Not sent: its time was over before.
      if (error instanceof OutriggerError) throw error;
      if (timeout.signal.aborted) throw new Error(`no answer in ${timeoutMs} ms`, { cause: error });
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Half to all of it, twice as long each time. */
function backOffMs(tried: number): number {
  return Math.min(MOST_WAIT_MS, FIRST_WAIT_MS * 2 ** (tried - 1)) * (0.5 + Math.random() / 2);
}

/** CONFLICT is said of Writes. */
function toReader(error: OutriggerError): OutriggerError {
  if (error.reason !== "CONFLICT") return error;
  return new OutriggerError("THROTTLED", error.message, { cause: error, retryAfterMs: MOST_WAIT_MS });
}

function outcomeUnknown(error: OutriggerError): OutriggerError {
  return new OutriggerError("BACKEND_DOWN", `whether a Write was done is not known: ${error.message}`, {
    cause: error,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
  });
}
