/**
 * Keeps one store connected: describes it until it answers, listens for its heart, and is the breaker that makes calls
 * fail at once after a timeout until health answers again (protocol.md sections 4 and 11). It never blocks a caller.
 */
import type { Logger } from "pino";
import type { Clock } from "../proto/clock.ts";
import { hasReason, OutriggerError } from "../proto/errors.ts";
import { backOffMs } from "./retry.ts";

export interface KeeperParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** For sentences: "blob store at unix:///run/driver.sock". */
  readonly what: string;
  readonly signal: AbortSignal;
  /** Rejects when the store cannot be used; refusing it is the callee's business. */
  readonly describe: (signal: AbortSignal) => Promise<void>;
  /** Rejects when the store does not answer. */
  readonly probe: (signal: AbortSignal) => Promise<void>;
  /** The breaker has opened: what waits for an answer and changes nothing need not wait longer. */
  readonly onOpen: (error: OutriggerError) => void;
}

const BREAKER_PROBE_MS = 2_000;
/** From one heartbeat's beginning to the next: three of them, each waited for 2 s, fit into 10 s. */
const HEARTBEAT_MS = 2_600;
/** Not ready after so many unanswered heartbeats. */
const MISSES = 3;
const LINE_EVERY_MS = 10_000;
/** A driver whose hash changes with each answer must not be described without end. */
const DESCRIBE_AT_MOST_EVERY_MS = 1_000;
const RECONNECT = { firstMs: 100, mostMs: 2_000 };

export class Keeper {
  readonly #parts: KeeperParts;
  #described = false;
  #describeWanted = true;
  #describedAtMs = Number.NEGATIVE_INFINITY;
  #openedBy: OutriggerError | undefined;
  #lastProblem: OutriggerError | undefined;
  #misses = 0;
  #answeredMs = Number.NEGATIVE_INFINITY;
  /** When the last heartbeat began. */
  #beatMs = Number.NEGATIVE_INFINITY;
  #lineMs = Number.NEGATIVE_INFINITY;
  #wake: (() => void) | undefined;

  constructor(parts: KeeperParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#run().catch((error) => {
      if (!this.#parts.signal.aborted)
        this.#parts.log.error({ err: error }, `the keeper of the ${this.#parts.what} ended`);
    });
  }

  /** Whether the breaker is open. */
  get isOpen(): boolean {
    return this.#openedBy !== undefined;
  }

  /** Why the store is not ready; `undefined`: it is. */
  get problem(): OutriggerError | undefined {
    if (!this.#described) return this.away();
    return this.#misses >= MISSES ? this.#lastProblem : undefined;
  }

  breakerError(): OutriggerError {
    return new OutriggerError(
      "BREAKER_OPEN",
      `the ${this.#parts.what} timed out a moment ago and has not answered since: ${this.#openedBy?.message ?? ""}`,
      { retryAfterMs: BREAKER_PROBE_MS, side: "core", cause: this.#openedBy },
    );
  }

  /** What a call gets before the first Describe. Nothing was sent. */
  away(): OutriggerError {
    const why = this.#lastProblem ? `: ${this.#lastProblem.message}` : "";
    return new OutriggerError("UNREACHABLE", `the ${this.#parts.what} is not connected yet${why}`, {
      metadata: { sent: "no" },
      side: "core",
      cause: this.#lastProblem,
    });
  }

  /** The driver answered a call. */
  answered(): void {
    this.#answeredMs = this.#parts.clock.monotonic();
    this.#misses = 0;
  }

  /** A Describe was accepted, whoever asked for it. */
  described(): void {
    this.#described = true;
    this.#describeWanted = false;
    this.#lastProblem = undefined;
    this.answered();
  }

  /** A call timed out: fail fast from now on. */
  timedOut(error: OutriggerError): void {
    if (this.#openedBy !== undefined) return;
    this.#openedBy = error;
    this.#lastProblem = error;
    this.#parts.log.warn(`the ${this.#parts.what} timed out; calls fail at once until it answers: ${error.message}`);
    this.#poke();
    this.#parts.onOpen(this.breakerError());
  }

  /** A call found nobody. */
  missed(error: OutriggerError): void {
    this.#lastProblem = error;
  }

  describeSoon(): void {
    this.#describeWanted = true;
    this.#poke();
  }

  async #run(): Promise<void> {
    const { signal } = this.#parts;
    for (let failures = 0; !signal.aborted; ) {
      if (this.#openedBy !== undefined) await this.#probeOpen();
      else if (this.#describeWanted) failures = (await this.#tryDescribe()) ? 0 : failures + 1;
      else await this.#heartbeat();
      if (signal.aborted) return;
      if (this.#describeWanted && failures > 0) {
        await this.#nap(backOffMs(failures - 1, this.#parts.random, RECONNECT));
      }
    }
  }

  async #tryDescribe(): Promise<boolean> {
    const { clock, signal, what, log } = this.#parts;
    const sinceMs = clock.monotonic() - this.#describedAtMs;
    if (sinceMs < DESCRIBE_AT_MOST_EVERY_MS) await this.#nap(DESCRIBE_AT_MOST_EVERY_MS - sinceMs, false);
    if (signal.aborted) return false;
    this.#describedAtMs = clock.monotonic();
    this.#describeWanted = false;
    try {
      await this.#parts.describe(signal);
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      this.#describeWanted = true;
      this.#describedAtMs = Number.NEGATIVE_INFINITY;
      if (error instanceof OutriggerError) this.#lastProblem = error;
      this.#misses++;
      if (
        hasReason(error, "UNREACHABLE", "TIMED_OUT", "DRIVER_STARTING", "BACKEND_DOWN", "DRAINING", "STREAM_BROKEN")
      ) {
        const nowMs = clock.monotonic();
        if (nowMs - this.#lineMs >= LINE_EVERY_MS) {
          this.#lineMs = nowMs;
          log.warn(`waiting for the ${what}: ${error.message}`);
        }
      }
      return false;
    }
  }

  /** The breaker is open: every 2 s, until health answers. */
  async #probeOpen(): Promise<void> {
    await this.#nap(BREAKER_PROBE_MS, false);
    if (this.#parts.signal.aborted || !(await this.#probed())) return;
    this.#openedBy = undefined;
    this.#parts.log.info(`the ${this.#parts.what} answers again`);
  }

  async #heartbeat(): Promise<void> {
    const { clock, signal } = this.#parts;
    const dueMs = Math.max(this.#beatMs, this.#answeredMs) + HEARTBEAT_MS;
    await this.#nap(Math.max(0, dueMs - clock.monotonic()));
    if (signal.aborted || this.#openedBy !== undefined || this.#describeWanted) return;
    if (clock.monotonic() < this.#answeredMs + HEARTBEAT_MS) return;
    this.#beatMs = clock.monotonic();
    if (await this.#probed()) return;
    // A stopped process answers nobody: long calls that nothing else would end are not left to their deadlines.
    if (this.#misses >= MISSES && hasReason(this.#lastProblem, "TIMED_OUT")) this.timedOut(this.#lastProblem);
  }

  async #probed(): Promise<boolean> {
    try {
      await this.#parts.probe(this.#parts.signal);
      if (this.#misses >= MISSES && this.#openedBy === undefined)
        this.#parts.log.info(`the ${this.#parts.what} answers again`);
      this.answered();
      return true;
    } catch (error) {
      if (this.#parts.signal.aborted) return false;
      this.#misses++;
      if (error instanceof OutriggerError) this.#lastProblem = error;
      if (this.#misses === MISSES)
        this.#parts.log.warn(`the ${this.#parts.what} does not answer: ${this.#lastProblem?.message ?? String(error)}`);
      return false;
    }
  }

  /** Sleeps until the time is over, somebody pokes (unless deaf), or the store is closed. Never rejects. */
  #nap(ms: number, pokable = true): Promise<void> {
    return new Promise((resolve) => {
      const { clock, signal } = this.#parts;
      if (signal.aborted) return resolve();
      const done = () => {
        cancel();
        signal.removeEventListener("abort", done);
        this.#wake = undefined;
        resolve();
      };
      const cancel = clock.after(ms, done);
      signal.addEventListener("abort", done, { once: true });
      if (pokable) this.#wake = done;
    });
  }

  #poke(): void {
    this.#wake?.();
  }
}
