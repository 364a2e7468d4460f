/** --wait-replicas: a Write counts once so many replicas have received it, and nothing is read that may not count. */
import { OutriggerError } from "../../proto/errors.ts";
import { textOf } from "./inspect.ts";
import type { Link } from "./link.ts";
import type { Settings } from "./options.ts";
import type { Runner } from "./runner.ts";
import { touchScript } from "./scripts.ts";

export interface ReplicationOptions {
  /** Only Writes go through it: WAIT holds up whatever is sent behind it. */
  readonly link: Link;
  readonly settings: Settings;
  readonly runner: Runner;
}

interface Round {
  /** The most Writes that anyone who joined it waits for. */
  wanted: number;
  /** How many its WAIT covers, once that is sent. */
  covers: number;
  readonly promise: Promise<void>;
}

/**
 * A WAIT covers the last change of its own connection and all before it, whoever made that. What another driver wrote, and
 * what this one wrote through a connection that is gone, takes a change of nothing first.
 */
export class Replication {
  readonly #options: ReplicationOptions;
  /** The last change that was answered: a WAIT on the same connection covers so many Writes. */
  #last = { connection: -1, writes: 0 };
  #current: Round | undefined;
  /** Begins when the current one ends; whoever has an answer by then may join. */
  #next: Round | undefined;
  #short: OutriggerError | undefined;

  constructor(options: ReplicationOptions) {
    this.#options = options;
  }

  /** A change was answered. @param connection the link's before it was sent */
  answered(connection: number, writes: number): void {
    if (connection !== this.#options.link.connection) return;
    this.#last = { connection, writes: Math.max(writes, this.#last.connection === connection ? this.#last.writes : 0) };
  }

  /** @throws BACKEND_DOWN at once where the last wait for such Writes fell short: the watch asks again, and each Write */
  assertMayBeReceived(writes: number): void {
    if (this.#short !== undefined && writes > this.#options.runner.heldWrites) throw this.#short;
  }

  /** Resolves once the store's first so many Writes are with the replicas. @throws BACKEND_DOWN */
  async received(writes: number, signal: AbortSignal): Promise<void> {
    if (writes <= this.#options.runner.heldWrites) return;
    const current = this.#current;
    if (current !== undefined && current.covers >= writes) await current.promise;
    else await this.#join(writes);
    signal.throwIfAborted();
    if (writes > this.#options.runner.heldWrites) throw this.#tooFew("the server went back behind this answer");
  }

  /** Asks again after a wait that fell short. */
  async recover(signal: AbortSignal): Promise<void> {
    if (this.#short === undefined) return;
    await this.#join(Number.POSITIVE_INFINITY);
    signal.throwIfAborted();
  }

  #join(writes: number): Promise<void> {
    if (this.#next === undefined) {
      const round: Round = { wanted: writes, covers: 0, promise: this.#after(this.#current, () => this.#begin(round)) };
      this.#next = round;
    }
    this.#next.wanted = Math.max(this.#next.wanted, writes);
    return this.#next.promise;
  }

  async #after(round: Round | undefined, begin: () => Promise<void>): Promise<void> {
    await round?.promise.catch(() => {}); // told to those who wait for it
    // Those whose answers came in one piece share one.
    await new Promise((resolve) => setImmediate(resolve));
    return begin();
  }

  async #begin(round: Round): Promise<void> {
    this.#current = round;
    this.#next = undefined;
    try {
      await this.#ask(round);
      this.#short = undefined;
    } catch (error) {
      this.#short = error as OutriggerError;
      throw error;
    } finally {
      this.#current = undefined;
    }
  }

  async #ask(round: Round): Promise<void> {
    const { link, settings, runner } = this.#options;
    const { waitReplicas, timeoutMs, address } = settings;
    let found: number;
    let last = this.#last;
    try {
      if (last.connection !== link.connection || last.writes < round.wanted) last = await this.#touch();
      round.covers = last.writes;
      const args = [String(waitReplicas), String(Math.round(timeoutMs * 0.8))];
      found = Number(textOf(await link.call("WAIT", args, new AbortController().signal)));
    } catch (cause) {
      throw this.#tooFew(`the wait for ${waitReplicas} replicas of ${address.shown} broke off`, cause);
    }
    if (last.connection !== link.connection)
      throw this.#tooFew(`the connection to ${address.shown} broke before the wait for ${waitReplicas} replicas`);
    if (found < waitReplicas)
      throw this.#tooFew(
        `${found} of ${waitReplicas} replicas of ${address.shown} have received the last Writes (--wait-replicas)`,
      );
    runner.hold(last.writes);
  }

  async #touch(): Promise<{ readonly connection: number; readonly writes: number }> {
    const { link, runner } = this.#options;
    const { connection } = link;
    const { writes } = await runner.run(link, touchScript, [], new AbortController().signal);
    this.answered(connection, writes);
    return { connection, writes };
  }

  #tooFew(sentence: string, cause?: unknown): OutriggerError {
    return new OutriggerError("BACKEND_DOWN", `whether the last Writes outlive a failover is not known: ${sentence}`, {
      metadata: { outcome: "unknown" },
      ...(cause === undefined ? {} : { cause }),
    });
  }
}
