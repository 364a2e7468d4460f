/**
 * One copy at a time into a meta store. Two keys, as with a core's lease (registry/repository/lease.ts): the holder's,
 * which every Write of the copy checks by etag, and the beat's, put again while the copy lives. A copy that died is
 * succeeded once its beat has not changed for a while; one that only slept finds that its Writes are refused.
 */
import { randomUUID } from "node:crypto";
import type { MetaItem, MetaOperation, MetaStore } from "../client/contract.ts";
import { type Clock, sleep } from "../proto/clock.ts";
import { hasReason } from "../proto/errors.ts";
import { copyBeatKey, copyHolderKey, leaseHolderKey } from "../registry/repository/keys.ts";
import type { Patience } from "./patience.ts";

const BEAT_MS = 2_000;
/** Unchanged for so many beats, by the clock of who looks: dead. */
const DEAD_BEATS = 3;
const GIVE_BACK_MS = 2_000;

export interface TurnOptions {
  readonly meta: MetaStore;
  readonly clock: Clock;
  /** For a store that is away while the turn is taken. */
  readonly patience: Patience;
  readonly beatMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Another copy has the turn. */
export class TurnTaken extends Error {
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = "TurnTaken";
  }
}

export class CopyTurn {
  readonly #options: TurnOptions;
  readonly #beatMs: number;
  readonly #holderEtag: string;
  #beatEtag: string;
  readonly #closing = new AbortController();
  #running: Promise<void> = Promise.resolve();

  private constructor(options: TurnOptions, holderEtag: string, beatEtag: string) {
    this.#options = options;
    this.#beatMs = options.beatMs ?? BEAT_MS;
    this.#holderEtag = holderEtag;
    this.#beatEtag = beatEtag;
  }

  /**
   * Looks for up to three beats whether who has the turn is alive.
   * @throws TurnTaken when it is
   */
  static async take(options: TurnOptions): Promise<CopyTurn> {
    const { meta, clock, signal, patience, beatMs = BEAT_MS } = options;
    const call = signal === undefined ? {} : { signal };
    let seen: { readonly what: string; readonly atMs: number } | undefined;
    for (;;) {
      const [holder, beat] = await patience.run(() => meta.get([copyHolderKey, copyBeatKey], call));
      const what = `${holder?.etag} ${beat?.etag}`;
      if (seen !== undefined && seen.what !== what && holder !== undefined) throw taken(holder);
      seen ??= { what, atMs: clock.monotonic() };
      if (holder === undefined || clock.monotonic() - seen.atMs >= DEAD_BEATS * beatMs) {
        try {
          return await patience.run(() => CopyTurn.#acquire(options, holder, beat));
        } catch (error) {
          if (!hasReason(error, "CONDITION_FAILED", "CONFLICT")) throw error;
          // The lease is the first operation.
          if (error.metadata["index"] === "0") throw aloneElsewhere(error);
          continue;
        }
      }
      await sleep(clock, beatMs / 4, signal);
    }
  }

  static async #acquire(
    options: TurnOptions,
    holder: MetaItem | undefined,
    beat: MetaItem | undefined,
  ): Promise<CopyTurn> {
    const since = `${new Date(options.clock.now()).toISOString()} ${randomUUID()}`;
    const [, holderEtag = "", beatEtag = ""] = await options.meta.write(
      [
        { kind: "check", key: leaseHolderKey, condition: { ifAbsent: true } },
        put(copyHolderKey, holder, Buffer.from(since)),
        put(copyBeatKey, beat, beatValue()),
      ],
      options.signal === undefined ? {} : { signal: options.signal },
    );
    const turn = new CopyTurn(options, holderEtag, beatEtag);
    turn.#running = turn.#keep();
    return turn;
  }

  /** Goes into every Write of the copy. */
  check(): MetaOperation {
    return { kind: "check", key: copyHolderKey, condition: { ifEtag: this.#holderEtag } };
  }

  /** What it means that `check` has failed. */
  lost(cause: unknown): TurnTaken {
    return new TurnTaken("another copy into this target has begun while this one slept: this one ends here", { cause });
  }

  /** Gives the turn back, so that the next copy need not wait. Never rejects. */
  async close(): Promise<void> {
    this.#closing.abort(new Error("the copy is over"));
    await this.#running;
    await this.#options.meta
      .write(
        [
          { kind: "delete", key: copyHolderKey, condition: { ifEtag: this.#holderEtag } },
          { kind: "delete", key: copyBeatKey },
        ],
        { signal: AbortSignal.timeout(GIVE_BACK_MS) },
      )
      .catch(() => undefined);
  }

  /** Beats until closed. A beat that fails is only late: the Writes find out whose turn it is. */
  async #keep(): Promise<void> {
    const { meta, clock } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await sleep(clock, this.#beatMs / 2, signal);
        const [, etag = ""] = await meta.write(
          [this.check(), { kind: "put", key: copyBeatKey, value: beatValue(), condition: { ifEtag: this.#beatEtag } }],
          { signal },
        );
        this.#beatEtag = etag;
      } catch (error) {
        if (signal.aborted) return;
        if (!hasReason(error, "CONDITION_FAILED")) continue;
        const [holder, beat] = await meta.get([copyHolderKey, copyBeatKey], { signal }).catch(() => []);
        if (holder?.etag === this.#holderEtag && beat !== undefined) this.#beatEtag = beat.etag;
        else if (holder !== undefined && holder.etag !== this.#holderEtag) return;
      }
    }
  }
}

function put(key: string, held: MetaItem | undefined, value: Buffer): MetaOperation {
  return { kind: "put", key, value, condition: held === undefined ? { ifAbsent: true } : { ifEtag: held.etag } };
}

function beatValue(): Buffer {
  return Buffer.from(randomUUID());
}

function taken(holder: MetaItem): TurnTaken {
  const [since = ""] = holder.value.toString("utf8").split(" ");
  return new TurnTaken(
    `another copy into this target is at work since ${since}: wait until it has ended, or stop it, and run this again`,
  );
}

function aloneElsewhere(cause: unknown): TurnTaken {
  return new TurnTaken(
    "a registry with cores: one holds the target alone: stop it, or let it run with cores: many while it is copied into",
    { cause },
  );
}
