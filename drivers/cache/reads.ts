/**
 * Reads: what is served was asked of the slow store in the same call, so that nothing that was deleted or overwritten is
 * given out; the bytes come from the fast store, from a fill, or from the slow store, and from there too whenever one of
 * the others fails in the middle.
 */
import type { Logger } from "pino";
import { type Clock, sleep } from "../../proto/clock.ts";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import type { BlobBytes, BlobInfo, CallContext } from "../../server/contract.ts";
import { type Member, mutating, reading } from "../composed/member.ts";
import { type Entry, entryOf, LARGEST_BYTES, placeOf } from "./entry.ts";
import type { Fast } from "./fast.ts";
import { type Attached, Detached, Fill } from "./fill.ts";
import { verified } from "./verified.ts";

export interface Range {
  readonly offsetBytes: number;
  readonly limitBytes?: number;
  readonly ifEtag?: string;
}

export interface ReadsOptions {
  readonly slow: Member;
  readonly fast: Fast;
  readonly clock: Clock;
  readonly log: Logger;
  readonly maxBlobBytes: number;
}

const FILLS_AT_ONCE = 16;
/** Who comes when a fill's first bytes are gone waits so long for its end before it reads beside it. */
const LATE_MS = 2_000;
const DOOMED_MS = 5_000;

export class Reads {
  readonly #options: ReadsOptions;
  readonly #fills = new Map<string, Fill>();
  /** Fills about to begin: the first reader's answer is everybody's. */
  readonly #opening = new Map<string, Promise<unknown>>();

  constructor(options: ReadsOptions) {
    this.#options = options;
  }

  async read(key: string, range: Range, call: CallContext): Promise<BlobBytes> {
    const { fast } = this.#options;
    const place = placeOf(key);
    const isWhole = range.offsetBytes === 0 && range.limitBytes === undefined;
    if (isWhole) await this.#opening.get(place)?.catch(() => undefined);
    if (fast.holds(place) || (isWhole && this.#fills.has(place))) return this.#known(key, range, call);
    return isWhole && fast.isUsable ? this.#first(key, place, range, call) : this.#slow(key, range, call);
  }

  #slow(key: string, range: Range, call: CallContext): Promise<BlobBytes> {
    return this.#options.slow.read(key, range, reading(call));
  }

  /** There is a copy, or one in the making: of what the slow store has now? */
  async #known(key: string, range: Range, call: CallContext): Promise<BlobBytes> {
    const info = await this.#options.slow.statOne(key, reading(call));
    if (info === undefined) throw new OutriggerError("KEY_NOT_FOUND", `there is no key ${key}`);
    if (range.ifEtag !== undefined && range.ifEtag !== info.etag)
      throw new OutriggerError("ETAG_MISMATCH", `key ${key} has etag ${info.etag}, not ${range.ifEtag}`);
    const startBytes = range.offsetBytes;
    if (startBytes > info.sizeBytes)
      throw new OutriggerError("OFFSET_MISMATCH", `offset ${startBytes} is beyond the ${info.sizeBytes} bytes`, {
        metadata: { persisted: String(info.sizeBytes) },
      });
    const lengthBytes = Math.min(range.limitBytes ?? Number.POSITIVE_INFINITY, info.sizeBytes - startBytes);
    const fill = await this.#joinable(info, range);
    const first = fill?.attach() ?? (await this.#copied(info, startBytes, startBytes + lengthBytes));
    // Without either, the slow store is asked anew: what it was asked may be overwritten by now.
    return first === undefined ? this.#slow(key, range, call) : this.#bytes(info, startBytes, lengthBytes, call, first);
  }

  /** The fill of just these bytes. Who comes too late for it waits a little for its end. */
  async #joinable(info: BlobInfo, { offsetBytes, limitBytes }: Range): Promise<Fill | undefined> {
    const fill = this.#fills.get(placeOf(info.key));
    if (fill === undefined || fill.info.etag !== info.etag || offsetBytes !== 0 || limitBytes !== undefined)
      return undefined;
    if (fill.isYoung) return fill;
    await this.#waited(fill.finished, LATE_MS);
    return undefined;
  }

  async #waited(work: Promise<void>, ms: number): Promise<void> {
    const ending = new AbortController();
    const late = sleep(this.#options.clock, ms, ending.signal).catch(() => undefined);
    await Promise.race([work, late]);
    ending.abort();
  }

  #bytes(info: BlobInfo, startBytes: number, lengthBytes: number, call: CallContext, first: Attached): BlobBytes {
    const body = this.#body(info, startBytes, startBytes + lengthBytes, call, first);
    return { info, startBytes, lengthBytes, body, cancel: async () => first.detach() };
  }

  /** Nobody has read it yet: the answer is read for all who come now. */
  async #first(key: string, place: string, range: Range, call: CallContext): Promise<BlobBytes> {
    // Not under the caller's signal: who goes away does not end the others.
    const asking = this.#options.slow.read(key, range, mutating(call));
    this.#opening.set(place, asking);
    try {
      const source = await asking;
      const { info } = source;
      if (!this.#takes(info) || this.#fills.has(place)) return source;
      const fill = new Fill({
        ...this.#options,
        source,
        onEnd: () => {
          if (this.#fills.get(place) === fill) this.#fills.delete(place);
        },
      });
      this.#fills.set(place, fill);
      return this.#bytes(info, 0, info.sizeBytes, call, fill.attach());
    } finally {
      if (this.#opening.get(place) === asking) this.#opening.delete(place);
    }
  }

  #takes({ sizeBytes }: BlobInfo): boolean {
    const { maxBlobBytes } = this.#options;
    return this.#fills.size < FILLS_AT_ONCE && sizeBytes > 0 && sizeBytes <= Math.min(maxBlobBytes, LARGEST_BYTES);
  }

  async *#body(
    info: BlobInfo,
    startBytes: number,
    endBytes: number,
    call: CallContext,
    first: Attached,
  ): AsyncGenerator<Uint8Array> {
    let atBytes = startBytes;
    let attached: Attached | undefined = first;
    try {
      for (const tried of [1, 2]) {
        for await (const piece of asFarAsItGoes(attached)) {
          yield piece;
          atBytes += piece.length;
        }
        if (atBytes === endBytes) return;
        attached.detach();
        attached = tried === 1 ? await this.#copied(info, atBytes, endBytes) : undefined;
        if (attached === undefined) break;
      }
    } finally {
      attached?.detach();
    }
    const range = { offsetBytes: atBytes, limitBytes: endBytes - atBytes, ifEtag: info.etag };
    const { body } = await this.#slow(info.key, range, call);
    yield* body;
  }

  /**
   * The fast store's copy, opened and its first piece verified: from then on it is read as it is, whatever becomes of the
   * key. `undefined`: there is none.
   */
  async #copied(info: BlobInfo, fromBytes: number, toBytes: number): Promise<Attached | undefined> {
    const { fast } = this.#options;
    const entry = fast.find(entryOf(info));
    if (entry === undefined) return undefined;
    const pieces = verified(fast, entry, fromBytes, toBytes);
    try {
      const first = await pieces.next();
      const detach = () => void pieces.return(undefined).catch(() => undefined);
      return { body: this.#rest(first, pieces, entry, info.key), detach };
    } catch (error) {
      await this.#failed(error, entry, info.key);
      return undefined;
    }
  }

  async *#rest(
    first: IteratorResult<Uint8Array>,
    pieces: AsyncGenerator<Uint8Array>,
    entry: Entry,
    key: string,
  ): AsyncGenerator<Uint8Array> {
    if (first.done) return;
    yield first.value;
    try {
      yield* pieces;
    } catch (error) {
      await this.#failed(error, entry, key);
      throw new Detached("the fast store does not give its copy to the end", { cause: error });
    }
  }

  /** Evicted a moment ago, or damaged: either way it is no copy any more. */
  async #failed(err: unknown, entry: Entry, key: string): Promise<void> {
    const { fast, log } = this.#options;
    if (hasReason(err, "STORED_CORRUPT", "KEY_NOT_FOUND", "OFFSET_MISMATCH")) {
      if (hasReason(err, "STORED_CORRUPT")) log.warn({ err, key }, "a damaged copy is dropped");
      await fast.discard(entry);
    } else log.info({ err, key }, "the fast store does not give its copy");
  }

  /** The key was changed: what is being copied is not kept. Resolves once it is gone. */
  async forget(key: string): Promise<void> {
    const { fast } = this.#options;
    const place = placeOf(key);
    // A reading of before the change that is not a fill yet becomes one that nobody is told of.
    await this.#opening.get(place)?.catch(() => undefined);
    const fill = this.#fills.get(place);
    if (fill !== undefined) {
      this.#fills.delete(place);
      await this.#waited(fill.doom(), DOOMED_MS);
    }
    await fast.drop(place);
  }

  async close(): Promise<void> {
    const fills = [...this.#fills.values()];
    await Promise.all(fills.map((fill) => (fill.isRead ? fill.finished : fill.doom())));
  }
}

async function* asFarAsItGoes({ body }: Attached): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    if (!(error instanceof Detached)) throw error;
  }
}
