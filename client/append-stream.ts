/** One Append stream of an upload: from its Open to its end, or to what broke it. */
import { OutriggerError } from "../proto/errors.ts";
import type { AppendRequestInput } from "../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponse } from "../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import type { Committed } from "../proto/gen/outrigger/blob/v1/Committed.ts";
import { isDigest } from "../proto/keys.ts";
import { limits } from "../proto/limits.ts";
import type { AppendStream } from "../proto/transport.ts";
import type { StoreChannel } from "./channel.ts";
import { blobInfo, violation, wholeNumber } from "./checks.ts";
import type { AppendResult, CallOptions } from "./contract.ts";
import { OwedTimer } from "./owed.ts";
import type { Upload } from "./upload.ts";

export interface StreamPlan {
  readonly sender: string;
  readonly attempt: number;
  readonly create: boolean;
  /** Chunks may follow Open before it is answered: only while nothing can be persisted yet. */
  readonly pipelined: boolean;
  /** How long Open may stay unanswered. */
  readonly openMs: number;
  readonly options: CallOptions | undefined;
  /** Called when Open is answered. */
  readonly opened: () => void;
}

/**
 * A commit is fenced by every later Open, so its not-after only has to be finite: it must leave room for a driver that
 * reads a large upload again to hash it.
 */
const COMMIT_MS = 15 * 60_000;
/** A source that failed leaves bytes behind; persisting them may take so long. */
const FAREWELL_MS = 5_000;

export class AppendAttempt {
  readonly #channel: StoreChannel;
  readonly #upload: Upload;
  readonly #plan: StreamPlan;
  readonly #ending = new AbortController();
  readonly #openTimer: OwedTimer;
  readonly #timer: OwedTimer;
  #opened = false;
  #sending = false;
  /** Everything was sent: the stream is half-closed. */
  #finishing = false;
  #flushAtBytes: number | undefined;
  #receivedBytes = 0;
  #over = false;
  /** Since when the driver owed when the stream ended (monotonic ms). */
  owedSinceMs: number | undefined;

  constructor(channel: StoreChannel, upload: Upload, plan: StreamPlan) {
    this.#channel = channel;
    this.#upload = upload;
    this.#plan = plan;
    this.#openTimer = new OwedTimer(channel.clock, plan.openMs, () => this.#expire(plan.openMs));
    this.#timer = new OwedTimer(channel.clock, limits.streamOwedMs, () => this.#expire(limits.streamOwedMs));
  }

  get wasOpened(): boolean {
    return this.#opened;
  }

  /** @throws what ended the stream. `undefined`: the source failed, and what it gave is persisted */
  async run(): Promise<AppendResult | undefined> {
    const stream = this.#channel.append({ options: this.#plan.options, mutates: true, signal: this.#ending.signal });
    const release = this.#channel.hold();
    let farewell: (() => void) | undefined;
    const onFailing = () => {
      farewell ??= this.#channel.clock.after(FAREWELL_MS, () => this.#end(this.#upload.sourceFailure?.error));
    };
    if (this.#upload.failing.aborted) onFailing();
    this.#upload.failing.addEventListener("abort", onFailing, { once: true });
    const messages = stream.incoming[Symbol.asyncIterator]();
    const cleanUp = () => {
      this.#openTimer.stop();
      this.#timer.stop();
      stream.incoming.cancel();
      release();
    };
    let drains = false;
    try {
      const ended = new Promise<never>((_, reject) => {
        this.#ending.signal.addEventListener("abort", () => reject(this.#ending.signal.reason), { once: true });
      });
      ended.catch(() => undefined);
      const receiving = this.#receive(messages, ended).finally(() => {
        this.#over = true;
        this.#upload.gate.open();
      });
      // What a failed send means, the stream's end says.
      receiving.catch(() => undefined);
      await this.#send(stream, ended);
      const result = await receiving;
      if (result?.committed) {
        drains = true;
        void drain(messages).finally(cleanUp);
      }
      return result;
    } finally {
      this.#over = true;
      this.owedSinceMs = this.#openTimer.sinceMs ?? this.#timer.sinceMs;
      farewell?.();
      this.#upload.failing.removeEventListener("abort", onFailing);
      this.#upload.detached();
      if (!drains) cleanUp();
    }
  }

  #expire(afterMs: number): void {
    const what = this.#opened ? "the next message" : "the answer to Open";
    this.#end(
      new OutriggerError(
        "TIMED_OUT",
        `upload ${this.#upload.request.uploadId}: the driver owed ${what} for ${afterMs} ms`,
      ),
    );
  }

  #end(reason: unknown): void {
    this.owedSinceMs = this.#openTimer.sinceMs ?? this.#timer.sinceMs;
    this.#ending.abort(reason);
  }

  /** Whether the driver owes the next message now. */
  #tick(signOfLife: boolean): void {
    if (!this.#opened) {
      this.#openTimer.owes(true);
      return;
    }
    const step = this.#channel.facts.limits.persistStepBytes;
    const owing =
      this.#sending ||
      this.#finishing ||
      this.#flushAtBytes !== undefined ||
      this.#upload.sentBytes - this.#receivedBytes >= step;
    this.#timer.owes(owing, signOfLife);
  }

  async #send(stream: AppendStream, ended: Promise<never>): Promise<void> {
    const { request, replay, gate } = this.#upload;
    const send = async (message: AppendRequestInput) => {
      this.#sending = true;
      this.#tick(false);
      await Promise.race([stream.send(message), ended]);
      this.#sending = false;
      this.#tick(true);
    };
    try {
      await send({ open: this.#openMessage() });
      while (!this.#over) {
        const upload = this.#upload;
        if (!this.#opened && !this.#plan.pipelined) await gate.wait();
        else if (upload.sentBytes < replay.endBytes) {
          const offset = upload.sentBytes;
          const data = replay.at(offset);
          upload.sentBytes += data.length;
          gate.open();
          await send({ chunk: { offset, data } });
        } else if (upload.flushAsked && !upload.sourceDone) {
          upload.flushAsked = false;
          this.#flushAtBytes = upload.sentBytes;
          await send({ flush: {} });
        } else if (upload.sourceFailure) {
          this.#finishing = true;
          stream.end();
          break;
        } else if (upload.sourceDone) {
          this.#finishing = true;
          if (request.commit) {
            // Before it leaves: from here on nobody knows whether it took effect.
            upload.commitSent = true;
            await send({ commit: this.#commitMessage() });
          }
          stream.end();
          break;
        } else await gate.wait();
      }
      this.#tick(false);
    } catch {
      // Thrown by `send` only: the reason is what the incoming side ends with.
    }
  }

  #openMessage() {
    const { request } = this.#upload;
    const { sender, attempt, create, options } = this.#plan;
    return {
      uploadId: request.uploadId,
      sender,
      attempt,
      create,
      algorithm: request.algorithm,
      ...(request.key === undefined ? {} : { key: request.key }),
      ...(request.sizeBytes === undefined ? {} : { size: request.sizeBytes }),
      notAfterMs: options?.notAfterMs ?? this.#channel.clock.now() + limits.streamOwedMs,
    };
  }

  #commitMessage() {
    const { request, replay } = this.#upload;
    return {
      key: request.commit?.key ?? "",
      size: request.commit?.sizeBytes ?? replay.endBytes,
      digest: request.commit?.digest ?? "",
      ifAbsent: request.commit?.ifAbsent ?? false,
      notAfterMs: this.#plan.options?.notAfterMs ?? this.#channel.clock.now() + COMMIT_MS,
    };
  }

  async #receive(messages: AsyncIterator<AppendResponse>, ended: Promise<never>): Promise<AppendResult | undefined> {
    const upload = this.#upload;
    while (true) {
      const next = messages.next();
      next.catch(() => undefined);
      const result = await Promise.race([next, ended]);
      if (result.done) return this.#endedWell();
      const { opened, progress, committed } = result.value;
      if (opened) this.#open(opened.persisted, opened.fence);
      else if (!this.#opened) throw violation("blob.append.02", "an Append's first answer is not opened");
      else if (progress) this.#progress(progress.received, progress.persisted);
      else if (committed) return this.#committed(committed);
      else throw violation("blob.append.02", "an Append's answer is empty");
      this.#tick(true);
      upload.gate.open();
    }
  }

  #open(persistedBytes: number, fence: number): void {
    const upload = this.#upload;
    if (this.#opened) throw violation("blob.append.02", "an Append is opened twice");
    const persisted = wholeNumber("blob.append.02", "opened.persisted", persistedBytes);
    // Not compared with the last one: a rank that a host makes from its clock may be lower on another replica, or after a
    // restart with the clock set back, and nothing here rests on it.
    wholeNumber("blob.append.04", "fence", fence);
    if (upload.toldBytes === undefined && persisted < upload.request.offsetBytes) {
      throw new OutriggerError(
        "OFFSET_MISMATCH",
        `upload ${upload.request.uploadId} has ${persisted} bytes; its next ones begin there, not at ${upload.request.offsetBytes}`,
        { metadata: { persisted: String(persisted) }, side: "core" },
      );
    }
    this.#opened = true;
    this.#openTimer.stop();
    this.#receivedBytes = persisted;
    upload.persisted(persisted);
    if (!this.#plan.pipelined || persisted > upload.sentBytes) upload.sentBytes = persisted;
    upload.share.live(true);
    this.#plan.opened();
  }

  #progress(receivedBytes: number, persistedBytes: number): void {
    const upload = this.#upload;
    const received = wholeNumber("blob.append.08", "progress.received", receivedBytes);
    const persisted = wholeNumber("blob.append.09", "progress.persisted", persistedBytes);
    if (received > upload.sentBytes)
      throw violation("blob.append.08", `${received} bytes are told received, ${upload.sentBytes} were sent`);
    if (persisted > received)
      throw violation("blob.append.09", `${persisted} bytes are told persisted, ${received} received`);
    this.#receivedBytes = Math.max(this.#receivedBytes, received);
    upload.persisted(persisted);
    if (this.#flushAtBytes !== undefined && persisted >= this.#flushAtBytes) {
      this.#flushAtBytes = undefined;
      upload.share.flushed();
    }
  }

  #committed({ info: wire, digest }: Committed): AppendResult {
    const { request, commitSent } = this.#upload;
    if (!request.commit || !commitSent || !this.#finishing)
      throw violation("blob.append.11", "an Append without commit is answered by committed");
    const info = blobInfo("blob.append.12", wire, request.commit.key);
    const sizeBytes = request.commit.sizeBytes ?? this.#upload.replay.endBytes;
    if (info.sizeBytes !== sizeBytes)
      throw violation("blob.append.12", `a commit of ${sizeBytes} bytes made a blob of ${info.sizeBytes}`);
    if (!isDigest(digest))
      throw violation("blob.append.15", `a commit is answered with the digest ${JSON.stringify(digest)}`);
    if (request.commit.digest !== undefined && digest !== request.commit.digest)
      throw violation("blob.append.12", `a commit of ${request.commit.digest} is answered with ${digest}`);
    return { persistedBytes: info.sizeBytes, committed: { info, digest } };
  }

  /** The driver ended the stream with OK. */
  #endedWell(): AppendResult | undefined {
    const upload = this.#upload;
    if (!this.#opened) throw violation("blob.append.02", "an Append ends with OK before it is opened");
    if (!this.#finishing) throw violation("blob.append.10", "an Append ends with OK before it was half-closed");
    if (upload.sourceFailure) return undefined;
    if (upload.request.commit) throw violation("blob.append.12", "a commit ends with OK and without committed");
    if (upload.toldBytes !== upload.replay.endBytes)
      throw violation(
        "blob.append.10",
        `a half-close leaves ${upload.toldBytes} of ${upload.replay.endBytes} bytes persisted`,
      );
    return { persistedBytes: upload.toldBytes };
  }
}

/** What follows a commit's answer is the stream's end; it changes nothing any more. */
async function drain(messages: AsyncIterator<AppendResponse>): Promise<void> {
  try {
    while (!(await messages.next()).done);
  } catch {
    // Committed is committed.
  }
}
