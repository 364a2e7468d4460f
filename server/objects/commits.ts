/**
 * The end of an upload under its key. The state says first what is to become of it, so that whoever finds it so can go on;
 * doing any of it twice is harmless, since both put the same bytes under the same key.
 */
import type { Logger } from "pino";
import { type Clock, sleep } from "../../proto/clock.ts";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { algorithmOf } from "../../proto/keys.ts";
import { assertInTime } from "../calls.ts";
import { Cleaning } from "./cleaning.ts";
import type { ObjectFacts, ObjectStore, PartFacts, RequestHow } from "./contract.ts";
import { cutAt } from "./cut.ts";
import { HeldState, retryAfter, untimed } from "./held-state.ts";
import { conditionLost, holds, isPassing } from "./holds.ts";
import type { UploadMemory } from "./memory.ts";
import { type Ending, stagedIn, type Target, type UploadState } from "./state.ts";
import { readTailsWhole } from "./tails.ts";

/** How often a request of a commit is sent whose outcome is not known. */
const LOOKS = 4;
const WAIT_MS = 300;
/** How long a commit that somebody else began may show that it lives, before it is finished here as well. */
const PATIENCE_MS = 1_000;
const LOOK_EVERY_MS = 100;
/** How long after its not-after time a request that was sent in time may still take effect. */
const IN_FLIGHT_MS = 10_000;
/** Then it is cut, however long the backend may take otherwise: before anybody takes it for ended, by his own clock. */
const CUT_MS = IN_FLIGHT_MS - 2_000;
/** How far two clocks may be apart for one to say what the other's time was. */
const SKEW_MS = 60_000;
/** Backends tell times in whole seconds. */
const WHOLE_SECONDS_MS = 1_000;

/** What the process knows that began the commit, and saves it from looking. */
export interface Known {
  /** All bytes, where there are no parts. */
  readonly data?: Uint8Array;
  readonly parts?: ReadonlyMap<number, PartFacts>;
}

export class Commits {
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #memory: UploadMemory;
  readonly #cleaning: Cleaning;

  constructor(store: ObjectStore, clock: Clock, log: Logger, memory: UploadMemory) {
    this.#store = store;
    this.#memory = memory;
    this.#clock = clock;
    this.#log = log;
    this.#cleaning = new Cleaning(store, log);
  }

  /**
   * What a state in phase `committing` says.
   * @throws KEY_EXISTS, ETAG_MISMATCH, TOO_LATE: it has no effect and never will; UPLOAD_NOT_FOUND when its bytes are gone;
   * anything else: it may still have one
   */
  async place(state: UploadState, uploadId: string, known: Known, how: RequestHow): Promise<ObjectFacts> {
    const { notAfterMs } = targetOf(state);
    // What is late already sends nothing that could be cut.
    if (notAfterMs === undefined || this.#clock.now() > notAfterMs) return this.#place(state, uploadId, known, how);
    const cut = cutAt(this.#clock, notAfterMs + CUT_MS, how.signal);
    try {
      return await this.#place(state, uploadId, known, { ...how, signal: cut.signal });
    } catch (error) {
      if (!(error instanceof OutriggerError)) cut.signal.throwIfAborted();
      throw error;
    } finally {
      cut.end();
    }
  }

  async #place(state: UploadState, uploadId: string, known: Known, how: RequestHow): Promise<ObjectFacts> {
    let uncertain = false;
    const counted: RequestHow = {
      signal: how.signal,
      assertInTime: () => {
        how.assertInTime();
        uncertain = true;
      },
    };
    for (let look = 1; ; look++) {
      try {
        return await this.#effect(state, uploadId, known, how, counted);
      } catch (error) {
        if (isPassing(error)) {
          if (look === LOOKS) throw error;
          await sleep(this.#clock, Math.max(retryAfter(error), WAIT_MS * look), how.signal);
          continue;
        }
        if (hasReason(error, "TOO_LATE") && uncertain) {
          throw new OutriggerError("BACKEND_DOWN", "the commit's outcome is not known yet", { cause: error });
        }
        if (!conditionLost(error) && !hasReason(error, "UPLOAD_NOT_FOUND", "KEY_NOT_FOUND")) throw error;
        const there = await this.#placed(state);
        if (there !== undefined) return there;
        if (conditionLost(error)) throw error;
        throw new OutriggerError("UPLOAD_NOT_FOUND", "the upload's bytes were taken away from the backend", {
          cause: error,
        });
      }
    }
  }

  /** `counted` is asked by the request that gives the key its bytes, `how` by what leads to it. */
  async #effect(
    state: UploadState,
    uploadId: string,
    known: Known,
    how: RequestHow,
    counted: RequestHow,
  ): Promise<ObjectFacts> {
    const { key, condition, digest } = targetOf(state);
    const ending = endingOf(state);
    const conditional = condition === undefined ? {} : { condition };
    if (state.sealed) {
      const source = await this.#store.head(stagedIn(state, uploadId), how.signal);
      return this.#copy(source, state, counted);
    }
    if (state.ranges.length === 0 && ending.last === undefined) {
      const put = (data: Uint8Array) => this.#store.put(key, data, { ...conditional, digest }, counted);
      if (known.data !== undefined) return put(known.data);
      // Whoever waits for memory holds none.
      return this.#memory.during(ending.sizeBytes, how.signal, async () =>
        put(await readTailsWhole(this.#store, state.tails)),
      );
    }
    const { assembly } = state;
    if (assembly === undefined) throw corrupt("its state names no parts");
    if (!assembly.direct) return this.#copy(await this.#staged(state, known.parts, how), state, counted);
    const parts = await this.#parts(state, ending, known.parts, how.signal);
    return this.#store.parts.complete(assembly.name, assembly.ref, parts, conditional, counted);
  }

  /** The parts as one object under the private name, which an earlier attempt may have made of them already. */
  async #staged(state: UploadState, known: Known["parts"], how: RequestHow): Promise<ObjectFacts> {
    const { name = "", ref = "" } = state.assembly ?? {};
    const ending = endingOf(state);
    try {
      const parts = await this.#parts(state, ending, known, how.signal);
      return await this.#store.parts.complete(name, ref, parts, {}, how);
    } catch (error) {
      if (!hasReason(error, "UPLOAD_NOT_FOUND")) throw error;
      const facts = await this.#store.head(name, how.signal);
      if (facts?.sizeBytes !== ending.sizeBytes) throw error;
      await this.#cleaning.parts(state);
      return facts;
    }
  }

  #copy(source: ObjectFacts | undefined, state: UploadState, how: RequestHow): Promise<ObjectFacts> {
    const { key, condition, digest } = targetOf(state);
    const { sizeBytes } = endingOf(state);
    if (source === undefined) throw new OutriggerError("KEY_NOT_FOUND", "what was put together is gone");
    if (source.sizeBytes !== sizeBytes) throw corrupt(`${source.name} has ${source.sizeBytes} bytes, not ${sizeBytes}`);
    return this.#store.copy(source, key, { ...(condition === undefined ? {} : { condition }), digest }, how);
  }

  /** The parts that count, in order. @throws UPLOAD_NOT_FOUND when the backend has none of them, STORED_CORRUPT */
  async #parts(
    state: UploadState,
    { last, sizeBytes }: Ending,
    known: ReadonlyMap<number, PartFacts> | undefined,
    signal: AbortSignal,
  ): Promise<readonly PartFacts[]> {
    const numbers = state.ranges.flatMap(({ first, last: end }) =>
      Array.from({ length: end - first + 1 }, (_, index) => first + index),
    );
    if (last !== undefined) numbers.push(last.number);
    let parts = numbers.map((number) => known?.get(number));
    if (parts.includes(undefined)) {
      const { name = "", ref = "" } = state.assembly ?? {};
      const listed = await this.#store.parts.list(name, ref, signal);
      if (listed.length === 0) throw new OutriggerError("UPLOAD_NOT_FOUND", "the backend has none of the parts");
      const byNumber = new Map(listed.map((part) => [part.number, part]));
      parts = numbers.map((number) => byNumber.get(number));
    }
    const found = parts.filter((part) => part !== undefined);
    const bytes = found.reduce((sum, part) => sum + part.sizeBytes, 0);
    if (found.length < numbers.length || bytes !== sizeBytes) {
      throw corrupt(`the backend has ${found.length} of ${numbers.length} parts, ${bytes} of ${sizeBytes} bytes`);
    }
    return found;
  }

  /** Whether the key holds already what the state says, by an earlier attempt; then nothing of its parts stays. */
  async #placed(state: UploadState): Promise<ObjectFacts | undefined> {
    const there = await this.#there(state);
    if (there !== undefined) await this.#cleaning.parts(state);
    return there;
  }

  async #there(state: UploadState): Promise<ObjectFacts | undefined> {
    const { assembly } = state;
    const { key, digest } = targetOf(state);
    const { sizeBytes, sinceMs } = endingOf(state);
    const direct = !state.sealed && assembly?.direct === true;
    if (direct && (await this.#store.parts.list(assembly.name, assembly.ref, untimed.signal)).length > 0)
      return undefined;
    if (direct) {
      const facts = await this.#store.head(key, untimed.signal);
      // The parts are gone, and the key got as many bytes since: nobody else does both. It need not be read.
      if (facts?.sizeBytes === sizeBytes && facts.modifiedMs >= sinceMs - SKEW_MS) return facts;
    }
    return holds(this.#store, key, { sizeBytes, digest }, untimed.signal);
  }

  /** As far as one look tells it: the key got as many bytes since the commit began. */
  async seemsPlaced(state: UploadState, signal: AbortSignal): Promise<boolean> {
    const { key, digest } = targetOf(state);
    const { sizeBytes, sinceMs } = endingOf(state);
    const facts = await this.#store.head(key, signal);
    // Not by the skew that `placed` allows: in doubt the commit may still have its effect.
    if (facts?.sizeBytes !== sizeBytes || facts.modifiedMs < sinceMs - WHOLE_SECONDS_MS) return false;
    const known = facts.digests.find((one) => one.startsWith(`${algorithmOf(digest)}:`));
    return known === undefined || known === digest;
  }

  /** From here on the upload is unknown [blob.append.16]. What cannot be taken away now is by whoever meets it. */
  async end(held: HeldState): Promise<void> {
    try {
      await this.#cleaning.afterCommit(held);
    } catch (err) {
      this.#log.warn({ err, uploadId: held.uploadId }, "a committed upload could not be taken away");
    }
  }

  /** The commit had no effect: the upload is as it was, or one object that can be committed elsewhere. */
  async reopen(held: HeldState): Promise<void> {
    const { state, uploadId } = held;
    const ending = endingOf(state);
    if (!state.sealed && state.assembly?.direct === false) {
      const facts = await this.#store.head(stagedIn(state, uploadId), untimed.signal);
      if (facts?.sizeBytes === ending.sizeBytes) return this.#sealed(held, ending);
    }
    await held.swap({ phase: "open", ending: undefined, target: undefined });
  }

  /** Phase `sealing`: puts the parts together under the private name. Harmless to repeat. */
  async seal(held: HeldState, known: Known["parts"]): Promise<void> {
    const { state } = held;
    const ending = endingOf(state);
    if (state.assembly === undefined) throw corrupt("its state names no parts");
    await this.#staged(state, known, untimed);
    await this.#sealed(held, ending);
  }

  async #sealed(held: HeldState, { sizeBytes, hash }: Ending): Promise<void> {
    const { tails } = held.state;
    await held.swap({
      phase: "open",
      sealed: true,
      persistedBytes: sizeBytes,
      hash,
      ranges: [],
      tails: [],
      ending: undefined,
      target: undefined,
    });
    await this.#cleaning.tails(tails);
  }

  /**
   * An upload that is ending in other hands: waits for a sign that they live, then goes on with it. Once it resolves the
   * state is another one, or gone. The upload is no younger for it. @throws BACKEND_DOWN and the like: then it is as it was
   */
  async settle(held: HeldState, signal: AbortSignal): Promise<void> {
    if (await this.#moves(held, signal)) return;
    held.idle = true;
    try {
      // One of those who find it goes on.
      await held.swap({});
      if (held.state.phase === "sealing") await this.seal(held, undefined);
      else await this.#finish(held);
    } catch (error) {
      if (!hasReason(error, "UPLOAD_FENCED")) throw error;
    }
  }

  async #moves({ uploadId, state }: HeldState, signal: AbortSignal): Promise<boolean> {
    const since = this.#clock.monotonic();
    while (this.#clock.monotonic() - since < PATIENCE_MS) {
      await sleep(this.#clock, LOOK_EVERY_MS, signal);
      const now = await HeldState.load(this.#store, this.#clock, uploadId, signal);
      if (now?.state.nonce !== state.nonce) return true;
    }
    return false;
  }

  async #finish(held: HeldState): Promise<void> {
    const { state, uploadId } = held;
    const { notAfterMs } = targetOf(state);
    try {
      await this.place(
        state,
        uploadId,
        {},
        {
          signal: untimed.signal,
          assertInTime: () => assertInTime(this.#clock, notAfterMs),
        },
      );
      this.#log.info({ uploadId }, "a commit whose process died was finished");
    } catch (error) {
      if (hasReason(error, "UPLOAD_NOT_FOUND")) {
        this.#log.error({ err: error, uploadId }, "an upload has lost its bytes: it is ended");
        return this.#cleaning.end(held);
      }
      const late = hasReason(error, "TOO_LATE");
      if (!late && !conditionLost(error)) throw error;
      // What its own process sent in time may be on its way still.
      const waitMs = (notAfterMs ?? 0) + IN_FLIGHT_MS - this.#clock.now();
      if (late && waitMs > 0) await sleep(this.#clock, waitMs);
      if (!late || (await this.#placed(state)) === undefined) return this.reopen(held);
    }
    await this.end(held);
  }
}

export function targetOf({ target }: UploadState): Target {
  if (target === undefined) throw corrupt("it is committing, and does not say under which key");
  return target;
}

export function endingOf({ ending }: UploadState): Ending {
  if (ending === undefined) throw corrupt("it is ending, and does not say with which bytes");
  return ending;
}

function corrupt(why: string): OutriggerError {
  return new OutriggerError("STORED_CORRUPT", `an upload cannot be put together: ${why}: abort it`);
}
