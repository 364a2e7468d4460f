/** Uploads of a blob store over an object store: opened by any replica, ended by any. */
import type { Clock } from "../../proto/clock.ts";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { uploadBusy } from "../calls.ts";
import type { BlobDriver, CallContext, Page, UploadFacts } from "../contract.ts";
import { eachAtOnce } from "./at-once.ts";
import { howOf } from "./blobs.ts";
import { Cleaning } from "./cleaning.ts";
import { Commits } from "./commits.ts";
import type { ObjectStore } from "./contract.ts";
import type { ObjectBlobSettings } from "./driver.ts";
import { FenceWatch } from "./fence-watch.ts";
import { HeldState } from "./held-state.ts";
import { conditionLost, isPassing } from "./holds.ts";
import { UploadMemory } from "./memory.ts";
import { stateName, UPLOADS } from "./names.ts";
import { partBytesFor } from "./part-size.ts";
import { ResumableHash } from "./saved-hash.ts";
import { newToken, rememberSender, type UploadState } from "./state.ts";
import { type StateObject, Sweep } from "./sweep.ts";
import { ObjectUpload } from "./upload.ts";
import { UploadWriter } from "./upload-writer.ts";

type OpenOptions = Parameters<BlobDriver["open"]>[1];

const LOADS_AT_ONCE = 16;
const FENCE_LOOK_MS = 3_000;
/**
 * How long an upload that is ending shows no change before a look at it ends it: whoever ends it may be about it, or have
 * no time left for it.
 */
const ENDING_MS = 5 * 60_000;
const LATE_MS = 60_000;

export class ObjectUploads {
  readonly memory: UploadMemory;
  readonly #store: ObjectStore;
  readonly #settings: ObjectBlobSettings & { readonly persistStepBytes: number };
  readonly #clock: Clock;
  readonly #commits: Commits;
  readonly #cleaning: Cleaning;
  readonly #sweep: Sweep;
  readonly #opened = new Set<ObjectUpload>();

  constructor(store: ObjectStore, settings: ObjectBlobSettings & { readonly persistStepBytes: number }) {
    const { clock, log } = settings;
    this.#store = store;
    this.#settings = settings;
    this.#clock = clock;
    this.memory = new UploadMemory(settings.uploadMemoryBytes, clock);
    this.#commits = new Commits(store, clock, log, this.memory);
    this.#cleaning = new Cleaning(store, log);
    this.#sweep = new Sweep({ store, clock, log, uploadTtlMs: settings.uploadTtlMs, uploads: this });
  }

  /** @throws UPLOAD_NOT_FOUND, UPLOAD_FENCED */
  async open(uploadId: string, options: OpenOptions, call: CallContext): Promise<ObjectUpload> {
    for (let makes = options.create; ; ) {
      const held = makes ? await this.#create(uploadId, options, call) : await this.#take(uploadId, options, call);
      if (held !== undefined) return this.#opening(held, options);
      if (!makes && !options.create) throw new OutriggerError("UPLOAD_NOT_FOUND", `there is no upload ${uploadId}`);
      // There already, or gone meanwhile.
      makes = !makes;
    }
  }

  async #create(uploadId: string, options: OpenOptions, call: CallContext): Promise<HeldState | undefined> {
    const { sizeBytes, sender, attempt, algorithm = "sha256" } = options;
    const { limits } = this.#store.parts;
    const state: UploadState = {
      v: 1,
      nonce: newToken(),
      incarnation: newToken(),
      phase: "open",
      fence: 1,
      token: newToken(),
      usedMs: this.#clock.now(),
      senders: sender === undefined || attempt === undefined ? [] : [[sender, attempt]],
      partBytes: partBytesFor(limits, sizeBytes, this.#settings.partBytes),
      persistedBytes: 0,
      ranges: [],
      reservedTo: 0,
      tails: [],
      quiet: false,
      left: false,
      hash: (await ResumableHash.begin(algorithm)).save(),
    };
    return HeldState.create(this.#store, this.#clock, uploadId, state, howOf(call));
  }

  /** @returns undefined where there is none */
  async #take(uploadId: string, options: OpenOptions, call: CallContext): Promise<HeldState | undefined> {
    for (;;) {
      call.signal.throwIfAborted();
      const held = await this.#settled(uploadId, call);
      if (held === undefined) return undefined;
      const { state } = held;
      const { sender, attempt, algorithm } = options;
      const senders =
        sender === undefined || attempt === undefined ? state.senders : rememberSender(state.senders, sender, attempt);
      const fresh = state.persistedBytes === 0 && algorithm !== undefined && algorithm !== state.hash?.algorithm;
      try {
        await held.swap(
          {
            senders,
            fence: state.fence + 1,
            token: newToken(),
            quiet: false,
            left: state.left || !state.quiet,
            ...(fresh ? { hash: (await ResumableHash.begin(algorithm)).save() } : {}),
          },
          howOf(call),
        );
        if (!held.state.assembly?.direct || (await this.#hashOf(held)) !== undefined) return held;
        // Parts under a key cannot be read: nobody could commit it any more.
        await this.#cleaning.end(held);
        return undefined;
      } catch (error) {
        if (!hasReason(error, "UPLOAD_FENCED")) throw error;
      }
    }
  }

  /** An upload that can be written; what is ending is let end first [blob.append.20]. */
  async #settled(uploadId: string, call: CallContext): Promise<HeldState | undefined> {
    for (;;) {
      const held = await HeldState.load(this.#store, this.#clock, uploadId, call.signal);
      if (held === undefined || held.state.phase === "open") return held;
      if (held.state.phase === "done") await this.#cleaning.end(held);
      else await this.#commits.settle(held, call.signal);
    }
  }

  async #opening(held: HeldState, options: OpenOptions): Promise<ObjectUpload> {
    const { memory, log, clock, persistStepBytes } = { ...this.#settings, memory: this.memory };
    const hash = await this.#hashOf(held);
    const writer = new UploadWriter(
      { store: this.#store, memory, log, clock, persistStepBytes },
      held,
      hash,
      // What has to be read again is not put under its key.
      hash === undefined ? undefined : options.key,
    );
    const upload: ObjectUpload = new ObjectUpload({
      store: this.#store,
      writer,
      commits: this.#commits,
      cleaning: this.#cleaning,
      watch: new FenceWatch(held, clock, this.#settings.fenceLookMs ?? FENCE_LOOK_MS),
      onClose: () => this.#opened.delete(upload),
    });
    this.#opened.add(upload);
    return upload;
  }

  async #hashOf({ state, uploadId }: HeldState): Promise<ResumableHash | undefined> {
    if (state.hash === undefined) return undefined;
    try {
      return await ResumableHash.resume(state.hash);
    } catch (err) {
      this.#settings.log.warn(
        { err, uploadId },
        "an upload's saved digest is another release's: its bytes are read again, or it is ended where they cannot be",
      );
      return undefined;
    }
  }

  /** @throws UPLOAD_BUSY */
  async abort(uploadId: string, call: CallContext, ifIdleMs = 0): Promise<void> {
    for (;;) {
      try {
        const held = await HeldState.load(this.#store, this.#clock, uploadId, call.signal);
        if (held === undefined) return;
        // Each time: who has changed it meanwhile may have taken it over.
        if (held.state.phase !== "done") this.#assertIdle(uploadId, held.state.usedMs, ifIdleMs);
        if (held.state.phase === "committing") await this.#settleForAbort(held, call);
        else {
          call.assertInTime();
          return await this.#cleaning.end(held);
        }
      } catch (error) {
        if (hasReason(error, "STORED_CORRUPT")) return this.#endUnreadable(uploadId, ifIdleMs, call);
        if (!hasReason(error, "UPLOAD_FENCED")) throw error;
      }
    }
  }

  #assertIdle(uploadId: string, usedMs: number, ifIdleMs: number): void {
    if (this.#idleMs(usedMs) < ifIdleMs) throw uploadBusy(uploadId, ifIdleMs);
  }

  /** Another replica's clock may be ahead of this one's. */
  #idleMs(usedMs: number): number {
    return Math.max(0, this.#clock.now() - usedMs);
  }

  /** Nothing can be known of it; what it leaves is the sweep's. */
  async #endUnreadable(uploadId: string, ifIdleMs: number, call: CallContext): Promise<void> {
    const name = stateName(uploadId);
    const facts = await this.#store.head(name, call.signal);
    if (facts === undefined) return;
    this.#assertIdle(uploadId, facts.modifiedMs, ifIdleMs);
    try {
      await this.#store.delete(name, { ifEtag: facts.etag }, howOf(call));
    } catch (error) {
      if (!conditionLost(error)) throw error;
      await this.abort(uploadId, call, ifIdleMs);
    }
  }

  /** An end that can never be reached must not keep the upload for ever. */
  async #settleForAbort(held: HeldState, call: CallContext): Promise<void> {
    try {
      await this.#commits.settle(held, call.signal);
    } catch (err) {
      call.signal.throwIfAborted();
      if (isPassing(err)) throw err;
      this.#settings.log.warn({ err, uploadId: held.uploadId }, "a commit that cannot be finished is aborted");
      await this.#cleaning.end(held);
    }
  }

  async list(
    request: Parameters<BlobDriver["listUploads"]>[0],
    call: Pick<CallContext, "signal">,
  ): Promise<Page<UploadFacts>> {
    if (request.uploadId !== undefined) {
      const facts = await this.#facts(request.uploadId, call.signal);
      return { items: facts === undefined ? [] : [facts], more: false };
    }
    let { startAfter } = request;
    for (;;) {
      const { items: states, more } = await this.states(startAfter, request.limit, call.signal);
      const found = new Map<string, UploadFacts>();
      await eachAtOnce(LOADS_AT_ONCE, states, async (state) => {
        const facts = await this.#factsOrAge(state, call.signal);
        if (facts !== undefined) found.set(state.uploadId, facts);
      });
      const items = states.flatMap(({ uploadId }) => found.get(uploadId) ?? []);
      if (items.length > 0 || !more) return { items, more };
      startAfter = states.at(-1)?.uploadId ?? startAfter;
    }
  }

  async states(startAfter: string, limit: number, signal: AbortSignal): Promise<Page<StateObject>> {
    const after = startAfter === "" ? "" : stateName(startAfter);
    const { items, more } = await this.#store.list({ prefix: UPLOADS, startAfter: after, limit }, signal);
    const states = items.map(({ name, modifiedMs }) => ({ uploadId: name.slice(UPLOADS.length), modifiedMs }));
    return { items: states, more };
  }

  /** One that cannot be read is as old as its state, so that it expires, and hides no other one. */
  async #factsOrAge({ uploadId, modifiedMs }: StateObject, signal: AbortSignal): Promise<UploadFacts | undefined> {
    try {
      return await this.#facts(uploadId, signal);
    } catch (err) {
      signal.throwIfAborted();
      if (isPassing(err)) throw err;
      this.#settings.log.warn({ err, uploadId }, "an upload cannot be read: it is listed by its age alone");
      return { uploadId, persistedBytes: 0, idleMs: this.#idleMs(modifiedMs) };
    }
  }

  async #facts(uploadId: string, signal: AbortSignal): Promise<UploadFacts | undefined> {
    let held = await HeldState.load(this.#store, this.#clock, uploadId, signal);
    if (held !== undefined && this.#endsUnattended(held)) {
      await this.#trySettle(held, signal);
      held = await HeldState.load(this.#store, this.#clock, uploadId, signal);
    }
    if (held === undefined || held.state.phase === "done") return undefined;
    // It may have been answered, with only its state left to be taken away [blob.append.16].
    if (held.state.phase === "committing" && (await this.#commits.seemsPlaced(held.state, signal))) return undefined;
    const { persistedBytes, usedMs } = held.state;
    return { uploadId, persistedBytes, idleMs: this.#idleMs(usedMs) };
  }

  /** A commit whose process died has an effect, or has none, and only its end can tell; others' commits are let be. */
  #endsUnattended({ state, changedMs }: HeldState): boolean {
    if (this.#settings.readOnly || (state.phase !== "committing" && state.phase !== "sealing")) return false;
    const now = this.#clock.now();
    const notAfterMs = state.target?.notAfterMs;
    const isLate = notAfterMs !== undefined && now > notAfterMs;
    return now - changedMs > (isLate ? LATE_MS : ENDING_MS);
  }

  async #trySettle(held: HeldState, signal: AbortSignal): Promise<void> {
    try {
      await this.#commits.settle(held, signal);
    } catch (err) {
      signal.throwIfAborted();
      this.#settings.log.warn({ err, uploadId: held.uploadId }, "an upload that is ending could not be ended yet");
    }
  }

  sweep(): Promise<void> {
    return this.#sweep.run();
  }

  sweepNowAndThen(): () => void {
    return this.#sweep.nowAndThen();
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#opened].map((upload) => upload.close()));
  }
}
