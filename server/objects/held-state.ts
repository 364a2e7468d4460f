/** An upload's state as this process holds it: compared and set, with lost answers settled by looking. */
import { type Clock, sleep } from "../../proto/clock.ts";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import type { ObjectFacts, ObjectStore, RequestHow } from "./contract.ts";
import { conditionLost, isPassing } from "./holds.ts";
import { stateName } from "./names.ts";
import { decodeState, encodeState, fenced, newToken, STATE_MOST_BYTES, type UploadState } from "./state.ts";
import { readWhole } from "./whole.ts";

/** How often a change is sent when its outcome is not known, or the backend asks for a slower pace. */
const ATTEMPTS = 4;
const WAIT_MS = 200;

export const untimed: RequestHow = { signal: new AbortController().signal, assertInTime() {} };

export class HeldState {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly uploadId: string;
  /** What is changed from here on is no use of the upload, but the end that somebody else began. */
  idle = false;
  #state: UploadState;
  #etag: string;
  #changedMs: number;

  private constructor(
    store: ObjectStore,
    clock: Clock,
    uploadId: string,
    state: UploadState,
    { etag, modifiedMs }: Pick<ObjectFacts, "etag" | "modifiedMs">,
  ) {
    this.store = store;
    this.clock = clock;
    this.uploadId = uploadId;
    this.#state = state;
    this.#etag = etag;
    this.#changedMs = modifiedMs;
  }

  get state(): UploadState {
    return this.#state;
  }

  get etag(): string {
    return this.#etag;
  }

  /** When anybody changed it last, for use or not; unix ms. */
  get changedMs(): number {
    return this.#changedMs;
  }

  /** @throws STORED_CORRUPT */
  static async load(
    store: ObjectStore,
    clock: Clock,
    uploadId: string,
    signal: AbortSignal,
  ): Promise<HeldState | undefined> {
    const name = stateName(uploadId);
    const found = await readWhole(store, name, signal, STATE_MOST_BYTES);
    if (found === undefined) return undefined;
    return new HeldState(store, clock, uploadId, decodeState(found.data, name), found.facts);
  }

  /** @returns undefined where the upload is there already */
  static async create(
    store: ObjectStore,
    clock: Clock,
    uploadId: string,
    state: UploadState,
    how: RequestHow,
  ): Promise<HeldState | undefined> {
    const etag = await write(store, clock, uploadId, state, undefined, how);
    if (etag === undefined) return undefined;
    return new HeldState(store, clock, uploadId, state, { etag, modifiedMs: clock.now() });
  }

  /** @throws UPLOAD_FENCED when it is not what this process holds any more */
  async swap(change: Partial<UploadState>, how: RequestHow = untimed): Promise<void> {
    const usedMs = this.idle ? this.#state.usedMs : this.clock.now();
    const next: UploadState = { ...this.#state, ...change, nonce: newToken(), usedMs };
    const before = { etag: this.#etag, nonce: this.#state.nonce };
    const etag = await write(this.store, this.clock, this.uploadId, next, before, how);
    if (etag === undefined) throw fenced();
    this.#etag = etag;
    this.#state = next;
    this.#changedMs = this.clock.now();
  }

  /** An absent one, or another one by now, is fine. */
  async remove(): Promise<void> {
    try {
      await this.removeHeld();
    } catch (error) {
      if (!hasReason(error, "UPLOAD_FENCED")) throw error;
    }
  }

  /** An absent one is fine. @throws UPLOAD_FENCED when it is another one by now */
  async removeHeld(): Promise<void> {
    try {
      await this.store.delete(stateName(this.uploadId), { ifEtag: this.#etag }, untimed);
    } catch (error) {
      throw conditionLost(error) ? fenced() : error;
    }
  }
}

/** @returns the new etag, or undefined where the condition does not hold */
async function write(
  store: ObjectStore,
  clock: Clock,
  uploadId: string,
  next: UploadState,
  before: { readonly etag: string; readonly nonce: string } | undefined,
  how: RequestHow,
): Promise<string | undefined> {
  const name = stateName(uploadId);
  const data = encodeState(next);
  const condition = before === undefined ? { ifAbsent: true as const } : { ifEtag: before.etag };
  for (let attempt = 1; ; attempt++) {
    try {
      return (await store.put(name, data, { condition }, how)).etag;
    } catch (error) {
      if (!conditionLost(error) && !isPassing(error)) throw error;
      if (conditionLost(error) && attempt === 1) {
        // Nothing was sent before, and the store does not repeat what has a condition.
        return undefined;
      }
      if (!conditionLost(error)) {
        if (attempt === ATTEMPTS) throw error;
        await sleep(clock, Math.max(retryAfter(error), WAIT_MS * attempt), how.signal);
      }
      const there = await lookUntil(() => HeldState.load(store, clock, uploadId, how.signal), clock, how.signal);
      if (there?.state.nonce === next.nonce) return there.etag;
      if (there?.state.nonce !== before?.nonce || conditionLost(error)) return undefined;
    }
  }
}

async function lookUntil<Value>(look: () => Promise<Value>, clock: Clock, signal: AbortSignal): Promise<Value> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await look();
    } catch (error) {
      if (!isPassing(error) || attempt === ATTEMPTS) throw error;
      await sleep(clock, Math.max(retryAfter(error), WAIT_MS * attempt), signal);
    }
  }
}

export function retryAfter(error: unknown): number {
  return error instanceof OutriggerError ? (error.retryAfterMs ?? 0) : 0;
}
