/**
 * A blob's bytes by gRPC: checked as they come, and continued at the next byte, with the same etag, when the stream
 * breaks (protocol.md section 6). Nothing is buffered: one message is asked for when the reader wants the next piece.
 */
import { hasReason, OutriggerError } from "../proto/errors.ts";
import type { ReadResponse } from "../proto/gen/outrigger/blob/v1/ReadResponse.ts";
import { limits } from "../proto/limits.ts";
import type { IncomingStream } from "../proto/transport.ts";
import type { StoreChannel } from "./channel.ts";
import { blobInfo, violation, wholeNumber } from "./checks.ts";
import type { BlobInfo, BlobRead, CallOptions } from "./contract.ts";
import { OwedTimer } from "./owed.ts";
import { isPassing, waitMs } from "./retry.ts";

export interface Range {
  readonly offsetBytes?: number;
  readonly limitBytes?: number;
  readonly ifEtag?: string;
}

const RETRY = { firstMs: 50, mostMs: 1_000 };
/** A read that gets no further gives up after so long; every piece that arrives begins it anew. */
const STUCK_BUDGET_MS = 10_000;

/** @throws KEY_NOT_FOUND, ETAG_MISMATCH, OFFSET_MISMATCH, PROTOCOL_VIOLATION, or why nobody answers */
export async function readBlob(
  channel: StoreChannel,
  key: string,
  range: Range,
  options: CallOptions | undefined,
): Promise<BlobRead> {
  const reader = await channel.retrying("blob.Read", () => StreamReader.open(channel.live, key, range, options), {
    options,
  });
  let consumed = false;
  const read: BlobRead = {
    info: reader.info,
    startBytes: reader.startBytes,
    lengthBytes: reader.lengthBytes,
    body: {
      [Symbol.asyncIterator]() {
        if (consumed) throw new Error(`the body of ${key} was read already`);
        consumed = true;
        return pieces(channel, reader, options);
      },
    },
    cancel: async () => {
      consumed = true;
      reader.close();
    },
  };
  return read;
}

async function* pieces(
  channel: StoreChannel,
  first: StreamReader,
  options: CallOptions | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  let reader = first;
  const endBytes = first.startBytes + first.lengthBytes;
  let nextBytes = first.startBytes;
  let stuckSinceMs: number | undefined;
  let tried = 0;
  try {
    while (true) {
      try {
        const piece = await reader.next();
        if (piece === undefined) return;
        nextBytes += piece.length;
        stuckSinceMs = undefined;
        tried = 0;
        yield piece;
      } catch (error) {
        reader.close();
        if (channel.singleAttempts || (!isPassing(error) && !hasReason(error, "BREAKER_OPEN"))) throw error;
        const nowMs = channel.clock.monotonic();
        stuckSinceMs ??= nowMs;
        const pauseMs = waitMs(error, tried++, channel.random, RETRY);
        if (nowMs - stuckSinceMs + pauseMs >= STUCK_BUDGET_MS) throw error;
        await channel.live.pause("blob.Read", pauseMs, options?.signal);
        channel.log.info(
          { key: first.info.key, offset: nextBytes, err: error },
          "a read is continued after its stream broke",
        );
        reader = await reopened(channel, first, nextBytes, endBytes, options).catch((failure) => {
          if (!isPassing(failure) && !hasReason(failure, "BREAKER_OPEN")) throw failure;
          return new FailedReader(failure) as unknown as StreamReader;
        });
      }
    }
  } finally {
    reader.close();
  }
}

async function reopened(
  channel: StoreChannel,
  first: StreamReader,
  nextBytes: number,
  endBytes: number,
  options: CallOptions | undefined,
): Promise<StreamReader> {
  const range = { offsetBytes: nextBytes, limitBytes: endBytes - nextBytes, ifEtag: first.info.etag };
  const reader = await StreamReader.open(channel.live, first.info.key, range, options);
  if (reader.info.etag !== first.info.etag || reader.info.sizeBytes !== first.info.sizeBytes) {
    reader.close();
    throw violation(
      "blob.read.06",
      `${first.info.key} was read on with if_etag ${first.info.etag} and is ${reader.info.etag}`,
    );
  }
  return reader;
}

/** Stands for a stream that could not be opened: the loop above waits and tries again. */
class FailedReader {
  readonly #error: unknown;
  constructor(error: unknown) {
    this.#error = error;
  }
  async next(): Promise<never> {
    throw this.#error;
  }
  close(): void {}
}

/** One Read stream, from its `start` on. */
class StreamReader {
  readonly info: BlobInfo;
  readonly startBytes: number;
  readonly lengthBytes: number;
  readonly #pull: Puller;
  #nextBytes: number;

  private constructor(pull: Puller, info: BlobInfo, startBytes: number, lengthBytes: number) {
    this.#pull = pull;
    this.info = info;
    this.startBytes = startBytes;
    this.lengthBytes = lengthBytes;
    this.#nextBytes = startBytes;
  }

  static async open(
    channel: StoreChannel,
    key: string,
    range: Range,
    options: CallOptions | undefined,
  ): Promise<StreamReader> {
    const pull = new Puller(channel, key, range, options);
    try {
      const message = await pull.next();
      if (!message?.start) throw violation("blob.read.01", `the first message of a Read of ${key} is not start`);
      const info = blobInfo("blob.read.01", message.start.info, key);
      const startBytes = wholeNumber("blob.read.01", "start", message.start.start);
      const lengthBytes = wholeNumber("blob.read.01", "length", message.start.length);
      const asked = range.offsetBytes ?? 0;
      if (startBytes !== asked)
        throw violation("blob.read.02", `a Read of ${key} from ${asked} starts at ${startBytes}`);
      if (asked > info.sizeBytes) throw violation("blob.read.04", `a Read of ${key} beyond its end is answered`);
      const expected = Math.min(range.limitBytes ?? Number.POSITIVE_INFINITY, info.sizeBytes - asked);
      if (lengthBytes !== expected)
        throw violation("blob.read.05", `a Read of ${key} promises ${lengthBytes} bytes where ${expected} are there`);
      if (range.ifEtag !== undefined && info.etag !== range.ifEtag)
        throw violation("blob.read.06", `a Read of ${key} with if_etag ${range.ifEtag} gives ${info.etag}`);
      return new StreamReader(pull, info, startBytes, lengthBytes);
    } catch (error) {
      pull.close();
      throw error;
    }
  }

  /** The next piece; `undefined` once every byte came and the driver said OK. */
  async next(): Promise<Buffer | undefined> {
    const endBytes = this.startBytes + this.lengthBytes;
    while (true) {
      const message = await this.#pull.next();
      if (message === undefined) {
        if (this.#nextBytes !== endBytes)
          throw violation(
            "blob.read.03",
            `a Read of ${this.info.key} ends with OK at ${this.#nextBytes} of ${endBytes}`,
          );
        return undefined;
      }
      const { chunk } = message;
      if (!chunk) throw violation("blob.read.01", `a Read of ${this.info.key} sends start twice`);
      if (chunk.offset !== this.#nextBytes)
        throw violation(
          "blob.read.02",
          `a Read of ${this.info.key} sends offset ${chunk.offset} after ${this.#nextBytes}`,
        );
      if (chunk.data.length > limits.chunkBytes)
        throw violation("blob.read.09", `a Read of ${this.info.key} sends a chunk of ${chunk.data.length} bytes`);
      if (this.#nextBytes + chunk.data.length > endBytes)
        throw violation(
          "blob.read.03",
          `a Read of ${this.info.key} sends more than the ${this.lengthBytes} bytes it promised`,
        );
      this.#nextBytes += chunk.data.length;
      if (chunk.data.length > 0) return chunk.data as Buffer;
    }
  }

  close(): void {
    this.#pull.close();
  }
}

/** One stream's messages under the timer that runs while the driver owes one. */
class Puller {
  readonly #channel: StoreChannel;
  readonly #stream: IncomingStream<ReadResponse>;
  readonly #messages: AsyncIterator<ReadResponse>;
  readonly #release: () => void;
  readonly #options: CallOptions | undefined;
  readonly #key: string;
  readonly #onAbort: () => void;
  #fail: ((error: unknown) => void) | undefined;
  #first = true;
  #over = false;
  readonly #timer: OwedTimer;

  constructor(channel: StoreChannel, key: string, range: Range, options: CallOptions | undefined) {
    options?.signal?.throwIfAborted();
    this.#channel = channel;
    this.#key = key;
    this.#options = options;
    this.#stream = channel.stream(
      "blob.Read",
      {
        key,
        ...(range.offsetBytes === undefined ? {} : { offset: range.offsetBytes }),
        ...(range.limitBytes === undefined ? {} : { limit: range.limitBytes }),
        ifEtag: range.ifEtag ?? "",
      },
      { options, signal: options?.signal },
    );
    this.#release = channel.hold();
    this.#messages = this.#stream[Symbol.asyncIterator]();
    this.#timer = this.#newTimer(channel.patience.unaryMs);
    this.#onAbort = () => this.#fail?.(options?.signal?.reason);
    options?.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  // The first message is an answer like any other call's; later ones are a stream's.
  #newTimer(afterMs: number): OwedTimer {
    return new OwedTimer(this.#channel.clock, afterMs, () =>
      this.#fail?.(
        new OutriggerError("TIMED_OUT", `a Read of ${this.#key} got nothing for ${afterMs} ms`, { side: "driver" }),
      ),
    );
  }
  #later: OwedTimer | undefined;

  async next(): Promise<ReadResponse | undefined> {
    if (!this.#first) this.#later ??= this.#newTimer(this.#channel.patience.streamMs);
    const timer = this.#later ?? this.#timer;
    timer.owes(true, true);
    try {
      const result = await new Promise<IteratorResult<ReadResponse>>((resolve, reject) => {
        this.#fail = reject;
        this.#messages.next().then(resolve, reject);
      });
      if (this.#first) this.#timer.stop();
      this.#first = false;
      if (result.done) {
        this.close();
        return undefined;
      }
      return result.value;
    } catch (error) {
      this.close();
      this.#options?.signal?.throwIfAborted();
      throw await this.#channel.failed(error);
    } finally {
      timer.owes(false);
      this.#fail = undefined;
    }
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#timer.stop();
    this.#later?.stop();
    this.#options?.signal?.removeEventListener("abort", this.#onAbort);
    this.#stream.cancel();
    this.#release();
  }
}
