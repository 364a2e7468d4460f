/** What killed processes left and no state names: found now and then, by every replica, and taken away twice at worst. */
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import { hasReason } from "../../proto/errors.ts";
import type { Page } from "../contract.ts";
import { Cleaning } from "./cleaning.ts";
import type { ObjectStore } from "./contract.ts";
import { HeldState, untimed } from "./held-state.ts";
import { isPassing } from "./holds.ts";
import { BYTES, ownerOf } from "./names.ts";
import { stagedIn, type UploadState } from "./state.ts";

const MINUTE_MS = 60_000;
const FIRST_MS = 5 * MINUTE_MS;
const EVERY_MS = 60 * MINUTE_MS;
/** Bytes come before the state that names them, but not by so much. */
const UNNAMED_MS = 60 * MINUTE_MS;

/** The state of an upload as the listing tells it. */
export interface StateObject {
  readonly uploadId: string;
  readonly modifiedMs: number;
}

export interface SweepParts {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly uploadTtlMs: number;
  readonly uploads: {
    states(startAfter: string, limit: number, signal: AbortSignal): Promise<Page<StateObject>>;
  };
}

type Found = HeldState | "unreadable" | undefined;

export class Sweep {
  readonly #parts: SweepParts;
  readonly #cleaning: Cleaning;

  constructor(parts: SweepParts) {
    this.#parts = parts;
    this.#cleaning = new Cleaning(parts.store, parts.log);
  }

  /** @returns what stops it */
  nowAndThen(): () => void {
    const { clock, log } = this.#parts;
    let stopped = false;
    const next = (ms: number) => {
      // Replicas that started together do not sweep together.
      cancel = clock.after(ms * (0.8 + Math.random() * 0.4), () => {
        this.run()
          .catch((err) => log.warn({ err }, "what uploads left could not be looked for"))
          .finally(() => {
            if (!stopped) next(EVERY_MS);
          });
      });
    };
    let cancel = () => {};
    next(FIRST_MS);
    return () => {
      stopped = true;
      cancel();
    };
  }

  async run(): Promise<void> {
    await this.#unnamedBytes();
    await this.#unnamedParts();
  }

  async #unnamedBytes(): Promise<void> {
    const { store, clock } = this.#parts;
    let startAfter = "";
    let last: { readonly uploadId: string; readonly held: Found } | undefined;
    for (;;) {
      const { items, more } = await store.list({ prefix: BYTES, startAfter, limit: 1000 }, untimed.signal);
      for (const { name, modifiedMs } of items) {
        startAfter = name;
        if (clock.now() - modifiedMs < UNNAMED_MS) continue;
        const { uploadId } = ownerOf(name);
        if (last?.uploadId !== uploadId) last = { uploadId, held: await this.#load(uploadId) };
        if (last.held === "unreadable" || (last.held && mayName(last.held.state, uploadId, name))) continue;
        await this.#each(uploadId, () => store.delete(name, undefined, untimed));
      }
      if (!more || items.length === 0) return;
    }
  }

  async #unnamedParts(): Promise<void> {
    const { store, clock, uploadTtlMs, log } = this.#parts;
    const old = [];
    for await (const one of store.parts.begun("", untimed.signal)) {
      if (clock.now() - one.begunMs > uploadTtlMs) old.push(one);
    }
    if (old.length === 0) return;
    const { refs, unreadable } = await this.#named();
    for (const { name, ref } of old) {
      if (refs.has(ref)) continue;
      // Parts under a key may be those of an upload that cannot be read: it expires first.
      if (name.startsWith(BYTES) ? unreadable.has(ownerOf(name).uploadId) : unreadable.size > 0) continue;
      await this.#each(name, async () => {
        await store.parts.abandon(name, ref, untimed);
        log.info({ name }, "parts that no upload names were taken away");
      });
    }
  }

  /** By all uploads; those whose end was interrupted are ended. */
  async #named(): Promise<{ readonly refs: ReadonlySet<string>; readonly unreadable: ReadonlySet<string> }> {
    const { uploads, clock } = this.#parts;
    const refs = new Set<string>();
    const unreadable = new Set<string>();
    let startAfter = "";
    for (;;) {
      const { items, more } = await uploads.states(startAfter, 1000, untimed.signal);
      for (const { uploadId } of items) {
        startAfter = uploadId;
        const held = await this.#load(uploadId);
        if (held === undefined) continue;
        if (held === "unreadable") {
          unreadable.add(uploadId);
          continue;
        }
        if (held.state.assembly !== undefined) refs.add(held.state.assembly.ref);
        if (held.state.phase === "done" && clock.now() - held.state.usedMs > MINUTE_MS) {
          await this.#each(uploadId, () => this.#cleaning.end(held));
        }
      }
      if (!more || items.length === 0) return { refs, unreadable };
    }
  }

  async #load(uploadId: string): Promise<Found> {
    const { store, clock } = this.#parts;
    let found: Found = "unreadable";
    await this.#each(uploadId, async () => {
      found = await HeldState.load(store, clock, uploadId, untimed.signal);
    });
    return found;
  }

  /** What fails for one of them keeps nothing from the others, unless the backend is not there. */
  async #each(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (err) {
      if (isPassing(err)) throw err;
      if (!hasReason(err, "UPLOAD_FENCED")) this.#parts.log.warn({ err, what }, "the sweep passes it over");
    }
  }
}

/** Whether the name may be one that the upload still needs. */
function mayName(state: UploadState, uploadId: string, name: string): boolean {
  if (ownerOf(name).incarnation !== state.incarnation) return false;
  if (state.phase !== "open") return true;
  return name === stagedIn(state, uploadId) || state.tails.some((tail) => tail.name === name);
}
