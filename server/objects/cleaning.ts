/** Takes away what an upload leaves: its state last, so that what is interrupted is begun anew by whoever meets it. */
import type { Logger } from "pino";
import { hasReason } from "../../proto/errors.ts";
import { eachAtOnce } from "./at-once.ts";
import type { ObjectStore } from "./contract.ts";
import { type HeldState, untimed } from "./held-state.ts";
import { bytesFolder } from "./names.ts";
import { stagedIn, type Tail, type UploadState } from "./state.ts";

const DELETES_AT_ONCE = 8;

export class Cleaning {
  readonly #store: ObjectStore;
  readonly #log: Logger;

  constructor(store: ObjectStore, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** Nothing is lost when it fails: the sweep finds them. */
  async tails(tails: readonly Tail[]): Promise<void> {
    try {
      await this.#deleteAll(tails.map(({ name }) => name));
    } catch (err) {
      this.#log.warn({ err }, "tails that are not needed any more could not be taken away");
    }
  }

  /** What became one object by an attempt whose process may have been killed before it took the last of the parts away. */
  async parts({ assembly }: UploadState): Promise<void> {
    if (assembly === undefined) return;
    try {
      await this.#store.parts.abandon(assembly.name, assembly.ref, untimed);
    } catch (err) {
      this.#log.warn({ err, name: assembly.name }, "parts that are not needed any more could not be taken away");
    }
  }

  /** The parts are the blob by now, or the key held it already. */
  async afterCommit(held: HeldState): Promise<void> {
    const { state, uploadId } = held;
    const { assembly } = state;
    if (state.phase === "done" && assembly !== undefined) {
      await this.#store.parts.abandon(assembly.name, assembly.ref, untimed);
    }
    const names = state.tails.map(({ name }) => name);
    if (state.sealed || state.assembly?.direct === false) names.push(stagedIn(state, uploadId));
    await this.#deleteAll(names);
    if (state.left) await this.#leftovers(uploadId, state);
    await held.remove();
  }

  /** An upload that becomes nothing. @throws UPLOAD_FENCED when it is in other hands */
  async end(held: HeldState): Promise<void> {
    if (held.state.phase !== "done") await this.#fence(held);
    const { state, uploadId } = held;
    if (state.assembly !== undefined) await this.#store.parts.abandon(state.assembly.name, state.assembly.ref, untimed);
    await this.#leftovers(uploadId, state);
    await held.remove();
  }

  /**
   * Nobody else holds it from here on. Where the backend is full and takes no other state the state goes first, or nothing
   * could ever be freed: what is interrupted is then the sweep's.
   */
  async #fence(held: HeldState): Promise<void> {
    try {
      await held.swap({ phase: "done" });
    } catch (error) {
      if (!hasReason(error, "QUOTA")) throw error;
      this.#log.warn({ uploadId: held.uploadId }, "the backend is full: an upload's state is deleted before its bytes");
      await held.removeHeld();
    }
  }

  async #leftovers(uploadId: string, { incarnation }: UploadState): Promise<void> {
    const folder = bytesFolder(uploadId, incarnation);
    for await (const { name, ref } of this.#store.parts.begun(folder, untimed.signal)) {
      await this.#store.parts.abandon(name, ref, untimed);
    }
    for (;;) {
      const { items, more } = await this.#store.list({ prefix: folder, startAfter: "", limit: 1000 }, untimed.signal);
      await this.#deleteAll(items.map(({ name }) => name));
      if (!more || items.length === 0) return;
    }
  }

  #deleteAll(names: readonly string[]): Promise<void> {
    return eachAtOnce(DELETES_AT_ONCE, names, (name) => this.#store.delete(name, undefined, untimed));
  }
}
