/**
 * Who may write (architecture.md, "Several cores"). With `cores: one` a core holds the lease alone and may serve tags and
 * links from memory while its last renewal, counted from when it was sent, is recent. With `cores: many` nobody may hold
 * it: every Write checks that the holder's key is absent.
 *
 * Two keys: the holder's, put only at takeover, which every Write of its owner checks by etag; and the beat's, put again at
 * each renewal. Who takes over must have seen the beat unchanged for twice its time by its own clock, and the owner stops
 * using its memory at one and a half times: neither relies on the other's clock, only on its rate.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import type { MetaItem, MetaOperation, MetaStore } from "../../client/contract.ts";
import { type Clock, sleep } from "../../proto/clock.ts";
import { hasReason } from "../../proto/errors.ts";
import { RegistryError } from "../errors.ts";
import { leaseBeatKey, leaseHolderKey } from "./keys.ts";

export const DEFAULT_BEAT_MS = 2_000;
const FRESH_BEATS = 1.5;
const TAKEOVER_BEATS = 2;
/** A store that is away must not hold up the end of a process. */
const GIVE_BACK_MS = 2_000;

export interface Lease {
  /** Resolves once this core may write. */
  start(signal?: AbortSignal): Promise<void>;
  /** Goes first in every Write. */
  check(): MetaOperation;
  /** Whether memory may be used. */
  isFresh(): boolean;
  /** A Write's check, as `check` gave it, has failed: the error to answer with. */
  lost(check: MetaOperation, cause: unknown): RegistryError;
  /** The store behind the address is another one, or was changed: what is known of the lease is void. */
  forget(): void;
  /** The store was exchanged, and the lease is not yet taken in the new one. */
  isMoving(): boolean;
  close(): Promise<void>;
}

export interface LeaseOptions {
  readonly meta: MetaStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly beatMs?: number;
  /** Called when memory must be dropped. */
  readonly onLost?: () => void;
}

interface Beat {
  readonly holder: string;
  readonly everyMs: number;
  readonly count: number;
}

/** `cores: many`, and commands that write beside such cores. */
export class NoLease implements Lease {
  readonly #options: LeaseOptions;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  /** Clears what a core left that has died, once that is certain. @throws UNAVAILABLE while another core holds the store alone */
  async start(signal?: AbortSignal): Promise<void> {
    await untilVacant({ ...this.#options, refuseLive: true }, signal, async (holder, beat) => {
      if (holder === undefined) return;
      await this.#options.meta.write(clearing(holder, beat), signal === undefined ? {} : { signal });
    });
  }

  check(): MetaOperation {
    return { kind: "check", key: leaseHolderKey, condition: { ifAbsent: true } };
  }

  isFresh(): boolean {
    return false;
  }

  lost(_check: MetaOperation, cause: unknown): RegistryError {
    return heldElsewhere(cause);
  }

  forget(): void {}

  isMoving(): boolean {
    return false;
  }

  async close(): Promise<void> {}
}

export class HeldLease implements Lease {
  readonly #options: LeaseOptions;
  readonly #beatMs: number;
  readonly #id = randomUUID();
  /** Of the holder's key; `undefined` while this core does not hold the lease. */
  #holderEtag: string | undefined;
  #beatEtag = "";
  #count = 0;
  #moving = false;
  /** Monotonic, when the last renewal that succeeded was sent. */
  #renewedAt = Number.NEGATIVE_INFINITY;
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#beatMs = options.beatMs ?? DEFAULT_BEAT_MS;
  }

  /** May be called again when the caller failed later on: the lease is then kept already. */
  async start(signal?: AbortSignal): Promise<void> {
    const closing = this.#closing.signal;
    const either = signal === undefined ? closing : AbortSignal.any([closing, signal]);
    if (this.#running === undefined) {
      await this.#acquire(either);
      this.#running = this.#keep();
    }
    while (this.#holderEtag === undefined) await sleep(this.#options.clock, this.#beatMs / 4, either);
  }

  check(): MetaOperation {
    // Without a lease: a check that cannot hold while another core has it, and that lets nothing through without one.
    if (this.#holderEtag === undefined) throw heldElsewhere(undefined);
    return { kind: "check", key: leaseHolderKey, condition: { ifEtag: this.#holderEtag } };
  }

  isFresh(): boolean {
    return (
      this.#holderEtag !== undefined && this.#options.clock.monotonic() - this.#renewedAt < FRESH_BEATS * this.#beatMs
    );
  }

  lost(check: MetaOperation, cause: unknown): RegistryError {
    const etag = check.condition !== undefined && "ifEtag" in check.condition ? check.condition.ifEtag : undefined;
    if (etag === this.#holderEtag) this.#lose("a Write's check of the lease failed");
    return heldElsewhere(cause);
  }

  forget(): void {
    this.#moving = true;
    this.#lose("the meta store has changed");
  }

  isMoving(): boolean {
    return this.#moving;
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error("closing"));
    this.#wake?.();
    await this.#running;
    if (this.#holderEtag === undefined) return;
    const etag = this.#holderEtag;
    this.#holderEtag = undefined;
    try {
      await this.#options.meta.write(
        [
          { kind: "delete", key: leaseHolderKey, condition: { ifEtag: etag } },
          { kind: "delete", key: leaseBeatKey },
        ],
        { signal: AbortSignal.timeout(GIVE_BACK_MS) },
      );
    } catch (error) {
      this.#options.log.warn({ err: error }, "the lease was not given back: the next core waits until it has run out");
    }
  }

  #lose(why: string): void {
    if (this.#holderEtag === undefined) return;
    this.#holderEtag = undefined;
    this.#renewedAt = Number.NEGATIVE_INFINITY;
    this.#options.onLost?.();
    this.#options.log.warn({ why }, "this core no longer holds the store alone; trying to take the lease again");
    this.#wake?.();
  }

  async #acquire(signal: AbortSignal): Promise<void> {
    await untilVacant({ ...this.#options, beatMs: this.#beatMs, id: this.#id }, signal, async (holder, beat) => {
      const sentAt = this.#options.clock.monotonic();
      this.#count = 0;
      const [holderEtag = "", beatEtag = ""] = await this.#options.meta.write(
        [
          {
            kind: "put",
            key: leaseHolderKey,
            value: Buffer.from(this.#id),
            condition: holder === undefined ? { ifAbsent: true } : { ifEtag: holder.etag },
          },
          {
            kind: "put",
            key: leaseBeatKey,
            value: this.#beatValue(),
            condition: beat === undefined ? { ifAbsent: true } : { ifEtag: beat.etag },
          },
        ],
        { signal },
      );
      this.#holderEtag = holderEtag;
      this.#beatEtag = beatEtag;
      this.#moving = false;
      this.#renewedAt = sentAt;
      this.#options.log.debug({ holder: this.#id, beatMs: this.#beatMs }, "holds the store alone");
    });
  }

  /** Beats until closed; takes the lease anew when it was lost. */
  async #keep(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        if (this.#holderEtag === undefined) await this.#acquire(signal);
        else await this.#pause(signal);
        if (this.#holderEtag !== undefined && !signal.aborted) await this.#renew(signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log.warn({ err: error }, "the lease could not be renewed");
        await sleep(this.#options.clock, this.#beatMs / 4, signal).catch(() => {});
      }
    }
  }

  /** Half a beat, or until woken. */
  async #pause(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(this.#beatMs / 2, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
      if (signal.aborted) this.#wake();
    });
    this.#wake = undefined;
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { clock, meta } = this.#options;
    const holderEtag = this.#holderEtag;
    if (holderEtag === undefined) return;
    const sentAt = clock.monotonic();
    this.#count += 1;
    try {
      const [, beatEtag = ""] = await meta.write(
        [
          { kind: "check", key: leaseHolderKey, condition: { ifEtag: holderEtag } },
          { kind: "put", key: leaseBeatKey, value: this.#beatValue(), condition: { ifEtag: this.#beatEtag } },
        ],
        { signal },
      );
      if (this.#holderEtag !== holderEtag) return;
      this.#beatEtag = beatEtag;
      this.#renewedAt = sentAt;
    } catch (error) {
      if (!hasReason(error, "CONDITION_FAILED")) throw error;
      // Also after a renewal whose answer was lost: whose is the lease?
      const [holder, beat] = await meta.get([leaseHolderKey, leaseBeatKey], { signal });
      if (this.#holderEtag !== holderEtag) return;
      if (holder?.etag === holderEtag && beat !== undefined) this.#beatEtag = beat.etag;
      else this.#lose("another core has taken the lease over");
    }
  }

  #beatValue(): Buffer {
    const beat: Beat = { holder: this.#id, everyMs: this.#beatMs, count: this.#count };
    return Buffer.from(JSON.stringify(beat));
  }
}

/** Takes the lease away that a dead core left. */
function clearing(holder: MetaItem, beat: MetaItem | undefined): MetaOperation[] {
  const operations: MetaOperation[] = [{ kind: "delete", key: leaseHolderKey, condition: { ifEtag: holder.etag } }];
  // By etag: a beat since the look is a sign of life.
  operations.push(
    beat === undefined
      ? { kind: "check", key: leaseBeatKey, condition: { ifAbsent: true } }
      : { kind: "delete", key: leaseBeatKey, condition: { ifEtag: beat.etag } },
  );
  return operations;
}

/** Calls `take` once nobody holds the lease, or who does has not beaten for twice its time; again when that lost a race. */
async function untilVacant(
  options: LeaseOptions & { readonly id?: string; readonly refuseLive?: boolean },
  signal: AbortSignal | undefined,
  take: (holder: MetaItem | undefined, beat: MetaItem | undefined) => Promise<void>,
): Promise<void> {
  const { meta, clock, log } = options;
  let seen: { readonly what: string; readonly at: number } | undefined;
  let told = false;
  for (;;) {
    signal?.throwIfAborted();
    const [holder, beat] = await meta.get([leaseHolderKey, leaseBeatKey], signal === undefined ? {} : { signal });
    const answeredAt = clock.monotonic();
    const what = `${holder?.etag} ${beat?.etag}`;
    if (seen !== undefined && seen.what !== what && holder !== undefined && options.refuseLive) {
      throw heldElsewhere(undefined);
    }
    if (seen?.what !== what) seen = { what, at: answeredAt };
    const everyMs = Math.max(readBeatMs(beat), options.beatMs ?? 0);
    const waitedMs = answeredAt - seen.at;
    // Its own: a takeover whose answer was lost.
    const own = options.id !== undefined && holder?.value.toString("utf8") === options.id;
    if (holder === undefined || own || waitedMs >= TAKEOVER_BEATS * everyMs) {
      try {
        return await take(holder, beat);
      } catch (error) {
        if (!hasReason(error, "CONDITION_FAILED", "CONFLICT")) throw error;
        continue;
      }
    }
    if (!told) {
      log.info(
        { holder: holder.value.toString("utf8").slice(0, 64), waitMs: TAKEOVER_BEATS * everyMs },
        "another core holds this store alone (cores: one); waiting until it stops or has given no sign of life",
      );
      told = true;
    }
    await sleep(clock, Math.min(everyMs / 4, TAKEOVER_BEATS * everyMs - waitedMs), signal);
  }
}

function readBeatMs(beat: MetaItem | undefined): number {
  if (beat === undefined) return DEFAULT_BEAT_MS;
  try {
    const { everyMs } = JSON.parse(beat.value.toString("utf8")) as Partial<Beat>;
    // What cannot be true is not believed: a lease would never end.
    if (typeof everyMs === "number" && everyMs >= 1 && everyMs <= 3_600_000) return everyMs;
  } catch {
    // Falls through: whatever it says, it can be watched.
  }
  return DEFAULT_BEAT_MS;
}

function heldElsewhere(cause: unknown): RegistryError {
  return new RegistryError(
    "UNAVAILABLE",
    "another core holds this store alone (cores: one), so this one does not write; try again later",
    { retryAfterSeconds: 5, cause },
  );
}
