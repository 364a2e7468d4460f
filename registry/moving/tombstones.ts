/**
 * Marks of blobs that were deleted while blobs are moved. A copier that read such a blob before it was deleted must not
 * bring it back: it looks for marks before each blob and after it, and takes back what it wrote where one has come up.
 *
 * A mark is `deleted`, or `undoing` while a copier takes its copy away again. Both change by etag only, so of a copier's
 * undoing and a push of the same bytes one always sees the other: a push clears the mark before it writes and looks again
 * afterwards; a copier deletes only what it has marked `undoing`, which a push waits for.
 */
import type { CallOptions, MetaItem, MetaStore } from "../../client/contract.ts";
import { type Clock, sleep } from "../../proto/clock.ts";
import { hasReason } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import { RegistryError } from "../errors.ts";

export const tombstonesPrefix = "outrigger/move/deleted/";

/** Past a delete's not-after, with the clocks' allowed skew: whoever was undoing has died, and its delete with it. */
const UNDOING_MS = limits.unaryDeadlineMs + 5_000;
const POLL_MS = 250;
const ATTEMPTS = 20;

interface Tombstone {
  readonly state: "deleted" | "undoing";
  /** Unix ms. */
  readonly atMs: number;
}

export class Tombstones {
  readonly #meta: MetaStore;
  readonly #clock: Clock;

  constructor(meta: MetaStore, clock: Clock) {
    this.#meta = meta;
    this.#clock = clock;
  }

  /** Which of these blobs are marked. */
  async marked(keys: readonly string[], options: CallOptions = {}): Promise<ReadonlySet<string>> {
    const found = await this.#items(keys, options);
    return new Set(keys.filter((_, index) => found[index] !== undefined));
  }

  /** Before the blobs are deleted. */
  async mark(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    for (const key of keys) await this.#untilSettled(key, options, (item) => this.#put(key, item, "deleted", options));
  }

  /** Before a blob is written. Usually one Get. */
  async clear(key: string, options: CallOptions = {}): Promise<void> {
    await this.#untilSettled(key, options, async (item) => {
      if (item === undefined) return;
      await this.#meta.write([{ kind: "delete", key: item.key, condition: { ifEtag: item.etag } }], options);
    });
  }

  /**
   * For a copier: takes away again what it has just written, where the blob was deleted meanwhile and not pushed since.
   * @returns the keys taken back
   */
  async undo(
    keys: readonly string[],
    remove: (key: string) => Promise<void>,
    options: CallOptions = {},
  ): Promise<string[]> {
    const undone: string[] = [];
    for (const key of await this.marked(keys, options)) {
      const [item] = await this.#items([key], options);
      if (item === undefined || read(item).state !== "deleted") continue;
      try {
        const [etag = ""] = await this.#put(key, item, "undoing", options);
        await remove(key);
        await this.#put(key, { ...item, etag }, "deleted", options);
        undone.push(key);
      } catch (error) {
        // Pushed again, or deleted again, at this moment: whoever did that answers for the bytes.
        if (!hasReason(error, "CONDITION_FAILED", "CONFLICT")) throw error;
      }
    }
    return undone;
  }

  /** Calls `act` with a mark that no copier is at work on; again while that loses a race. */
  async #untilSettled(
    key: string,
    options: CallOptions,
    act: (item: MetaItem | undefined) => Promise<unknown>,
  ): Promise<void> {
    for (let raced = 0; raced < ATTEMPTS; ) {
      const [item] = await this.#items([key], options);
      const mark = item && read(item);
      if (mark?.state === "undoing" && this.#clock.now() < mark.atMs + UNDOING_MS) {
        await sleep(this.#clock, POLL_MS, options.signal);
        continue;
      }
      try {
        await act(item);
        return;
      } catch (error) {
        if (!hasReason(error, "CONDITION_FAILED", "CONFLICT")) throw error;
        raced += 1;
      }
    }
    throw new RegistryError("UNAVAILABLE", "the same bytes are deleted and pushed again and again; try again", {
      retryAfterSeconds: 1,
    });
  }

  #put(key: string, item: MetaItem | undefined, state: Tombstone["state"], options: CallOptions): Promise<string[]> {
    const tombstone: Tombstone = { state, atMs: this.#clock.now() };
    const condition = item === undefined ? ({ ifAbsent: true } as const) : { ifEtag: item.etag };
    const value = Buffer.from(JSON.stringify(tombstone));
    return this.#meta.write([{ kind: "put", key: tombstonesPrefix + key, value, condition }], options);
  }

  async #items(keys: readonly string[], options: CallOptions): Promise<(MetaItem | undefined)[]> {
    const found: (MetaItem | undefined)[] = [];
    for (let at = 0; at < keys.length; at += limits.getKeys) {
      const asked = keys.slice(at, at + limits.getKeys).map((key) => tombstonesPrefix + key);
      found.push(...(await this.#meta.get(asked, options)));
    }
    return found;
  }
}

/** What cannot be read counts as deleted. */
function read(item: MetaItem): Tombstone {
  try {
    const { state, atMs } = JSON.parse(item.value.toString("utf8")) as Partial<Tombstone>;
    if (state === "undoing" && typeof atMs === "number") return { state, atMs };
  } catch {
    // Below.
  }
  return { state: "deleted", atMs: 0 };
}
