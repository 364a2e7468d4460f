/**
 * One Append stream, step by step, without replay: for who stands between a core and a driver. What breaks ends it, and
 * the core, which holds what is not persisted yet, opens the upload anew [blob.append.04].
 */
import { OutriggerError } from "../proto/errors.ts";
import type { AppendRequestInput } from "../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponse } from "../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import { type Algorithm, isDigest } from "../proto/keys.ts";
import { limits } from "../proto/limits.ts";
import type { AppendStream } from "../proto/transport.ts";
import type { StoreChannel } from "./channel.ts";
import { blobInfo, violation, wholeNumber } from "./checks.ts";
import type { BlobInfo, CallOptions } from "./contract.ts";
import { Gate } from "./gate.ts";
import { OwedTimer } from "./owed.ts";

export interface RemoteOpen {
  readonly uploadId: string;
  readonly sender: string;
  readonly attempt: number;
  readonly create: boolean;
  readonly algorithm: Algorithm;
  readonly key?: string;
  readonly sizeBytes?: number;
  /** How long the answer may take. Default: as long as any message of a stream. */
  readonly openMs?: number;
}

export interface RemoteCommit {
  readonly key: string;
  readonly sizeBytes: number;
  readonly digest?: string;
  readonly ifAbsent: boolean;
  readonly notAfterMs: number;
}

export class RemoteUpload {
  readonly #channel: StoreChannel;
  readonly #stream: AppendStream;
  readonly #release: () => void;
  readonly #ending: AbortController;
  readonly #timer: OwedTimer;
  readonly #openTimer: OwedTimer;
  readonly #gate = new Gate();
  readonly #over: Promise<void>;
  #opened = false;
  #sentBytes = 0;
  #persistedBytes = 0;
  #failure: { readonly error: unknown } | undefined;
  #ended = false;
  #committed: { readonly info: BlobInfo; readonly digest: string } | undefined;
  #commitKey: string | undefined;

  private constructor(channel: StoreChannel, open: RemoteOpen, options: CallOptions | undefined) {
    this.#channel = channel;
    this.#ending = new AbortController();
    const openMs = open.openMs ?? channel.patience.streamMs;
    const expire = (what: string, ms: number) =>
      this.#ending.abort(
        new OutriggerError("TIMED_OUT", `upload ${open.uploadId}: the driver owed ${what} for ${ms} ms`),
      );
    this.#openTimer = new OwedTimer(channel.clock, openMs, () => expire("the answer to Open", openMs));
    const { streamMs } = channel.patience;
    this.#timer = new OwedTimer(channel.clock, streamMs, () => expire("the next message", streamMs));
    this.#stream = channel.append({ options, mutates: true, signal: this.#ending.signal });
    this.#release = channel.hold();
    this.#over = this.#receive(open.uploadId);
  }

  /** @throws UPLOAD_NOT_FOUND, UPLOAD_FENCED, or why nobody answers */
  static async open(channel: StoreChannel, open: RemoteOpen, options?: CallOptions): Promise<RemoteUpload> {
    options?.signal?.throwIfAborted();
    const upload = new RemoteUpload(channel, open, options);
    const { openMs: _, sizeBytes, ...message } = open;
    try {
      upload.#openTimer.owes(true);
      await upload.#send({
        open: {
          ...message,
          ...(sizeBytes === undefined ? {} : { size: sizeBytes }),
          notAfterMs: options?.notAfterMs ?? channel.clock.now() + limits.streamOwedMs,
        },
      });
      await upload.#until(() => upload.#opened, options?.signal);
      upload.#openTimer.stop();
      upload.#sentBytes = upload.#persistedBytes;
      return upload;
    } catch (error) {
      await upload.close();
      throw error;
    }
  }

  /** Survives the driver's process. */
  get persistedBytes(): number {
    return this.#persistedBytes;
  }

  /** At most 1 MiB. Resolves once there is room for more. */
  async write(data: Uint8Array): Promise<void> {
    if (data.length === 0) return;
    const offset = this.#sentBytes;
    this.#sentBytes += data.length;
    this.#timer.owes(true);
    await this.#send({ chunk: { offset, data } });
    // A stream that is not read by the other side is noticed by the write that waits, not by one that is through.
    this.#timer.owes(false);
  }

  /** Resolves once everything written survives the driver's process. */
  async flush(): Promise<void> {
    if (this.#persistedBytes === this.#sentBytes) return;
    await this.#send({ flush: {} });
    await this.#owed(() => this.#persistedBytes >= this.#sentBytes);
  }

  /** Ends the stream, whatever it answers. @throws SIZE_MISMATCH, DIGEST_MISMATCH, KEY_EXISTS, TOO_LATE */
  async commit(commit: RemoteCommit): Promise<{ readonly info: BlobInfo; readonly digest: string }> {
    this.#commitKey = commit.key;
    const { sizeBytes, digest = "", ...message } = commit;
    await this.#send({ commit: { ...message, size: sizeBytes, digest } });
    this.#stream.end();
    await this.#owed(() => this.#committed !== undefined);
    const committed = this.#committed;
    if (committed === undefined) throw violation("blob.append.12", "a commit ends with OK and without committed");
    if (committed.info.sizeBytes !== sizeBytes)
      throw violation("blob.append.12", `a commit of ${sizeBytes} bytes made a blob of ${committed.info.sizeBytes}`);
    if (digest !== "" && committed.digest !== digest)
      throw violation("blob.append.12", `a commit of ${digest} is answered with ${committed.digest}`);
    await this.close();
    return committed;
  }

  /** The upload stays as it is; what was written and not flushed may be lost. */
  async close(): Promise<void> {
    this.#ending.abort(new OutriggerError("STREAM_BROKEN", "the upload was closed", { side: "core" }));
    this.#stream.incoming.cancel();
    await this.#over;
  }

  async #send(message: AppendRequestInput): Promise<void> {
    this.#assertWhole();
    try {
      // Ending the stream from this side ends what waits here too.
      await this.#stream.send(message);
    } catch (error) {
      // Why it ended is what comes in.
      await this.#over;
      this.#assertWhole();
      throw error;
    }
  }

  #assertWhole(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #owed(holds: () => boolean): Promise<void> {
    this.#timer.owes(true, true);
    try {
      await this.#until(holds);
    } finally {
      this.#timer.owes(false);
    }
  }

  async #until(holds: () => boolean, signal?: AbortSignal): Promise<void> {
    const onAbort = () => this.#ending.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      while (!holds()) {
        this.#assertWhole();
        if (this.#ended) throw violation("blob.append.02", "an Append ends with OK and owes an answer");
        await this.#gate.wait();
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Never rejects. */
  async #receive(uploadId: string): Promise<void> {
    try {
      for await (const message of this.#stream.incoming) {
        this.#take(message);
        if (this.#timer.sinceMs !== undefined) this.#timer.owes(true, true);
        this.#gate.open();
      }
    } catch (error) {
      this.#failure = { error: await this.#channel.failed(error) };
      this.#channel.log.debug({ uploadId, err: error }, "an upload's stream to a member has ended");
    } finally {
      this.#ended = true;
      this.#timer.stop();
      this.#openTimer.stop();
      this.#stream.incoming.cancel();
      this.#release();
      this.#gate.open();
    }
  }

  #take({ opened, progress, committed }: AppendResponse): void {
    if (opened) {
      this.#persistedBytes = wholeNumber("blob.append.02", "opened.persisted", opened.persisted);
      this.#opened = true;
    } else if (!this.#opened) throw violation("blob.append.02", "an Append's first answer is not opened");
    else if (progress) {
      const persisted = wholeNumber("blob.append.09", "progress.persisted", progress.persisted);
      if (persisted > this.#sentBytes)
        throw violation("blob.append.09", `${persisted} bytes are told persisted, ${this.#sentBytes} were sent`);
      this.#persistedBytes = Math.max(this.#persistedBytes, persisted);
    } else if (committed) {
      if (!isDigest(committed.digest))
        throw violation("blob.append.15", `a commit is answered with the digest ${JSON.stringify(committed.digest)}`);
      const info = blobInfo("blob.append.12", committed.info, this.#commitKey);
      this.#committed = { info, digest: committed.digest };
    }
  }
}
