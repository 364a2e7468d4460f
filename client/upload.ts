/** What one append keeps across the streams it needs: its source, what it holds for replay, and what the driver told. */
import { OutriggerError } from "../proto/errors.ts";
import type { Share, UploadBudget } from "./budget.ts";
import type { AppendRequest } from "./contract.ts";
import { Gate } from "./gate.ts";
import { Replay } from "./replay.ts";

/** How far the source is read ahead of what was sent: enough to fill the next chunk while one is on its way. */
const READ_AHEAD_BYTES = 512 * 1024;

export class Upload {
  readonly request: AppendRequest;
  readonly replay: Replay;
  readonly share: Share;
  /** Opens whenever something here, or on the stream, has changed. */
  readonly gate = new Gate();
  /** The highest persisted size told in this append. */
  toldBytes: number | undefined;
  /** The next offset to send on the stream at hand. */
  sentBytes: number;
  /** The budget wants its bytes back. */
  flushAsked = false;
  /** A Commit left, on whichever stream. */
  commitSent = false;
  sourceDone = false;
  sourceFailure: { readonly error: unknown } | undefined;
  readonly #iterator: AsyncIterator<Uint8Array>;
  /** Aborts when the source is not to be read any more. */
  readonly #stop = new AbortController();
  readonly #failing = new AbortController();
  /** Where the source has come to: behind replay.endBytes while bytes that the driver has are skipped. */
  #sourceBytes: number;
  #pieces = 0;

  constructor(request: AppendRequest, budget: UploadBudget) {
    this.request = request;
    this.replay = new Replay(request.offsetBytes, budget.blocks);
    this.sentBytes = request.offsetBytes;
    this.#sourceBytes = request.offsetBytes;
    this.share = budget.open({
      flush: () => {
        this.flushAsked = true;
        this.gate.open();
      },
    });
    this.#iterator = request.body[Symbol.asyncIterator]();
  }

  /** Aborts when the source fails. */
  get failing(): AbortSignal {
    return this.#failing.signal;
  }

  /** How many pieces came so far: a sign that the client still sends. */
  get pieces(): number {
    return this.#pieces;
  }

  /** Reads the source to its end, with backpressure. Never rejects. */
  async read(): Promise<void> {
    try {
      while (!this.#stop.signal.aborted) {
        while (this.replay.endBytes - this.sentBytes >= READ_AHEAD_BYTES) {
          await this.gate.wait();
          if (this.#stop.signal.aborted) return;
        }
        await this.share.room(this.#stop.signal);
        const result = await this.#iterator.next();
        if (this.#stop.signal.aborted) return;
        if (result.done) {
          this.sourceDone = true;
          this.gate.open();
          return;
        }
        this.#take(result.value);
        this.gate.open();
      }
    } catch (error) {
      this.fail(error);
    }
  }

  #take(piece: Uint8Array): void {
    this.#pieces++;
    const known = Math.min(piece.length, Math.max(0, this.replay.endBytes - this.#sourceBytes));
    this.#sourceBytes += piece.length;
    if (known === piece.length) return;
    this.replay.push(known === 0 ? piece : piece.subarray(known));
    this.share.take(piece.length - known);
  }

  /** The source ends here, otherwise than by its end. */
  fail(error: unknown): void {
    if (this.#stop.signal.aborted || this.sourceDone || this.sourceFailure) return;
    this.sourceFailure = { error };
    this.#failing.abort(error);
    this.gate.open();
  }

  /** The driver told what survives it. @throws UPLOAD_LOST when it is less than it told before */
  persisted(bytes: number): void {
    if (this.toldBytes !== undefined && bytes < this.toldBytes) {
      throw new OutriggerError(
        "UPLOAD_LOST",
        `upload ${this.request.uploadId}: the driver told ${this.toldBytes} bytes to be persisted and has ${bytes} [blob.append.19]`,
      );
    }
    this.toldBytes = bytes;
    this.share.give(this.replay.dropBelow(bytes));
    if (bytes > this.replay.endBytes) this.replay.skipTo(bytes);
    this.gate.open();
  }

  /** No stream: what is held counts as unsent. */
  detached(): void {
    this.sentBytes = this.replay.startBytes;
    this.flushAsked = false;
    this.share.live(false);
  }

  close(): void {
    this.#stop.abort(new Error("the append is over"));
    this.share.close();
    this.gate.open();
    // A generator that waits for its client answers only after that: nobody waits for it here.
    if (!this.sourceDone && !this.sourceFailure) void Promise.resolve(this.#iterator.return?.()).catch(() => undefined);
  }
}
