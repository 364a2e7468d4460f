/** The two ends of one Append stream as the upload logic uses them: what interrupts waiting, and who owes whom. */
import type { Clock } from "../proto/clock.ts";
import { OutriggerError } from "../proto/errors.ts";
import type { AppendRequest } from "../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponseInput } from "../proto/gen/outrigger/blob/v1/AppendResponse.ts";

/**
 * Requests, one at a time: the next one is asked for only when the last one is dealt with, so that a driver that writes
 * slowly holds its sender back.
 */
export class Inbox {
  readonly #clock: Clock;
  readonly #idleMs: number;
  readonly #iterator: AsyncIterator<AppendRequest>;
  #stopped: Error | undefined;
  #wake: ((error: Error) => void) | undefined;

  constructor(requests: AsyncIterable<AppendRequest>, clock: Clock, idleMs: number) {
    this.#iterator = requests[Symbol.asyncIterator]();
    this.#clock = clock;
    this.#idleMs = idleMs;
  }

  /** Ends the stream with this error at the next wait, or at once when it waits now. The first error counts. */
  stop(error: Error): void {
    this.#stopped ??= error;
    this.#wake?.(this.#stopped);
  }

  /** @throws what `stop` was given */
  check(): void {
    if (this.#stopped !== undefined) throw this.#stopped;
  }

  /**
   * The next request, or `undefined` at the half-close.
   * @throws what `stop` was given, STREAM_IDLE [blob.append.23], or the transport's fault
   */
  async next(): Promise<AppendRequest | undefined> {
    this.check();
    const result = await this.wait(this.#iterator.next());
    return result.done ? undefined : result.value;
  }

  /** Waits for something that the other side owes. @throws as `next` */
  wait<Value>(owed: Promise<Value>): Promise<Value> {
    return this.#wait(owed, true);
  }

  /** As `wait`, but for the last message, which is sent whatever `stop` was given. @throws STREAM_IDLE */
  deliver(sent: Promise<void>): Promise<void> {
    return this.#wait(sent, false);
  }

  #wait<Value>(owed: Promise<Value>, stoppable: boolean): Promise<Value> {
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(this.#idleMs, () =>
        fail(new OutriggerError("STREAM_IDLE", `the other side owed this stream its next step for ${this.#idleMs} ms`)),
      );
      const fail = (error: unknown) => {
        cancel();
        reject(error);
      };
      // Promise.race would leave a reaction on a long-lived promise for every message of the stream.
      this.#wake = stoppable ? fail : undefined;
      owed.then((value) => {
        cancel();
        resolve(value);
      }, fail);
      if (stoppable && this.#stopped !== undefined) fail(this.#stopped);
    });
  }

  close(): void {
    // Not awaited: a generator that waits for its source would answer only when that does.
    this.#iterator.return?.().catch(() => {});
  }
}

/**
 * Answers. Progress never blocks reading and never piles up: while one message waits for room, only the newest progress
 * is kept.
 */
export class Outbox {
  readonly #send: (response: AppendResponseInput) => Promise<void>;
  readonly #onFailure: (error: Error) => void;
  #progress: { received: number; persisted: number } | undefined;
  #running: Promise<void> | undefined;

  constructor(send: (response: AppendResponseInput) => Promise<void>, onFailure: (error: Error) => void) {
    this.#send = send;
    this.#onFailure = onFailure;
  }

  progress(received: number, persisted: number): void {
    this.#progress = { received, persisted };
    this.#running ??= this.#drain();
  }

  /** Sends after everything told before. */
  async send(response: AppendResponseInput): Promise<void> {
    await this.told();
    await this.#send(response);
  }

  /** Resolves once all progress is sent. */
  async told(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #drain(): Promise<void> {
    try {
      while (this.#progress !== undefined) {
        const progress = this.#progress;
        this.#progress = undefined;
        await this.#send({ step: "progress", progress });
      }
    } catch (error) {
      this.#progress = undefined;
      this.#onFailure(error as Error);
    } finally {
      this.#running = undefined;
    }
  }
}
