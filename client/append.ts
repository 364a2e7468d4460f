/**
 * An upload that survives its driver (protocol.md section 7): streams break, the source does not notice. Reconnect, Open
 * with the next attempt, replay from what is persisted, go on.
 */
import { createHash } from "node:crypto";
import { hasReason, OutriggerError } from "../proto/errors.ts";
import { algorithmOf, assertDigest, assertKey, assertUploadId, invalidField } from "../proto/keys.ts";
import { limits } from "../proto/limits.ts";
import { AppendAttempt } from "./append-stream.ts";
import { readBlob } from "./blob-read.ts";
import type { UploadBudget } from "./budget.ts";
import { isAway, type StoreChannel } from "./channel.ts";
import { blobInfo } from "./checks.ts";
import type { AppendRequest, AppendResult, BlobInfo, CallOptions } from "./contract.ts";
import { waitMs } from "./retry.ts";
import { Upload } from "./upload.ts";

export interface AppendParts {
  readonly channel: StoreChannel;
  readonly budget: UploadBudget;
  /** Time without an answered stream, since the upload last grew, after which it is given up. */
  readonly resumeBudgetMs: number;
}

const RECONNECT = { firstMs: 100, mostMs: 2_000 };
/** Where the budget is spent by the time a stall is noticed, one more Open may still take this. */
const LAST_CHANCE_MS = 3_000;

/** See BlobStore.append. */
export async function append(
  parts: AppendParts,
  request: AppendRequest,
  options: CallOptions | undefined,
): Promise<AppendResult> {
  assertRequest(request);
  options?.signal?.throwIfAborted();
  const upload = new Upload(request, parts.budget);
  const onAbort = () => upload.fail(options?.signal?.reason);
  options?.signal?.addEventListener("abort", onAbort, { once: true });
  void upload.read();
  try {
    const result = await new Append(parts, upload, options).run();
    // Only then: a stream that broke may still have a message that was never copied out of what is held.
    upload.replay.release();
    return result;
  } finally {
    options?.signal?.removeEventListener("abort", onAbort);
    upload.close();
  }
}

class Append {
  readonly #parts: AppendParts;
  readonly #upload: Upload;
  readonly #options: CallOptions | undefined;
  readonly #sender: string;
  /** Spent without an answered stream since the upload last grew. */
  #awayMs = 0;
  #awaySinceMs: number | undefined;
  #grownTo = 0;
  /** Failed streams since the upload last grew. */
  #failures = 0;
  #fenced = false;
  /** The key was looked at and is not there: the lost commit had no effect. */
  #commitHadNoEffect = false;

  constructor(parts: AppendParts, upload: Upload, options: CallOptions | undefined) {
    this.#parts = parts;
    this.#upload = upload;
    this.#options = options;
    this.#sender = hex(parts.channel.random, 16);
  }

  async run(): Promise<AppendResult> {
    const upload = this.#upload;
    for (let attempt = 1; ; attempt++) {
      const stream = new AppendAttempt(this.#parts.channel.live, upload, {
        sender: this.#sender,
        attempt,
        create: this.#mayCreate(),
        pipelined: attempt === 1 && upload.request.create && upload.request.offsetBytes === 0,
        openMs: Math.max(LAST_CHANCE_MS, Math.min(limits.streamOwedMs, this.#leftMs())),
        options: this.#options,
        opened: () => this.#answered(),
      });
      let failure: unknown;
      try {
        const result = await stream.run();
        if (result !== undefined) return result;
      } catch (error) {
        failure = error;
      }
      if (upload.sourceFailure) throw upload.sourceFailure.error;
      failure = await this.#parts.channel.live.failed(failure);
      const settled = await this.#recover(failure, stream, attempt);
      if (settled !== undefined) return settled;
    }
  }

  /** Waits until another stream may be opened, or finds that none is needed. @throws when there is no going on */
  async #recover(failure: unknown, stream: AppendAttempt, attempt: number): Promise<AppendResult | undefined> {
    const upload = this.#upload;
    if (hasReason(failure, "UPLOAD_FENCED")) {
      await this.#afterFence(failure);
      return undefined;
    }
    if (hasReason(failure, "UPLOAD_NOT_FOUND") && upload.commitSent && !this.#fenced && !this.#commitHadNoEffect) {
      const found = await this.#lookForCommitted();
      if (found !== undefined) return found;
      this.#commitHadNoEffect = true;
      if (this.#mayCreate()) return undefined;
      throw failure;
    }
    if (hasReason(failure, "UPLOAD_LOST")) await this.#abort();
    if (!this.#isPassing(failure, stream)) throw failure;
    // Nothing was begun: fail at once, as every other call does while the breaker is open.
    if (attempt === 1 && hasReason(failure, "BREAKER_OPEN")) throw failure;

    const { clock, random, log } = this.#parts.channel;
    if ((upload.toldBytes ?? 0) > this.#grownTo) this.#grew();
    this.#awaySinceMs ??= stream.owedSinceMs ?? clock.monotonic();
    const pauseMs = waitMs(failure, this.#failures++, random, RECONNECT);
    if (this.#leftMs() <= pauseMs && !(stream.wasOpened && this.#failures === 1)) {
      throw new OutriggerError(
        "RESUME_EXHAUSTED",
        `upload ${upload.request.uploadId}: the driver stayed away for ${this.#parts.resumeBudgetMs / 1000} s; ${upload.toldBytes ?? 0} bytes are persisted and the upload can go on later`,
        { cause: failure, retryAfterMs: 5_000, metadata: { persisted: String(upload.toldBytes ?? 0) } },
      );
    }
    log.info(
      { uploadId: upload.request.uploadId, attempt, persisted: upload.toldBytes, err: failure },
      "an upload's stream broke and is opened again",
    );
    try {
      await this.#parts.channel.live.pause("blob.Append", pauseMs, upload.failing);
    } catch {
      throw upload.sourceFailure?.error;
    }
    return undefined;
  }

  #isPassing(failure: unknown, stream: AppendAttempt): boolean {
    if (isAway(failure)) return true;
    // The driver has less than was sent on this very stream: Open tells where to go on.
    if (hasReason(failure, "OFFSET_MISMATCH")) return stream.wasOpened && failure.side !== "core";
    // Ours had a time of its own, which a new attempt gets anew.
    return hasReason(failure, "TOO_LATE") && this.#options?.notAfterMs === undefined;
  }

  /** "Stop; reopen once if its client still sends": the next piece of the source is the proof. */
  async #afterFence(failure: OutriggerError): Promise<void> {
    const upload = this.#upload;
    if (this.#fenced || upload.sourceDone) throw failure;
    this.#fenced = true;
    const { pieces } = upload;
    // What is held keeps nobody from reading on, and the wait has an end even where the shared budget is full.
    upload.sentBytes = upload.replay.endBytes;
    upload.gate.open();
    let waiting = true;
    const cancel = this.#parts.channel.clock.after(limits.streamOwedMs, () => {
      waiting = false;
      upload.gate.open();
    });
    try {
      while (upload.pieces === pieces) {
        if (upload.sourceFailure) throw upload.sourceFailure.error;
        if (upload.sourceDone || !waiting) throw failure;
        await upload.gate.wait();
      }
    } finally {
      cancel();
    }
  }

  /** The answer to our Commit was lost and the upload is gone: there with that size (and digest) = done. */
  async #lookForCommitted(): Promise<AppendResult | undefined> {
    const { commit } = this.#upload.request;
    if (!commit) return undefined;
    const { results } = await this.#parts.channel.repeatable(
      "blob.Stat",
      { keys: [commit.key] },
      { options: this.#options },
    );
    const wire = results[0]?.info;
    if (!wire) return undefined;
    const info = blobInfo("blob.stat.01", wire, commit.key);
    if (info.sizeBytes !== (commit.sizeBytes ?? this.#upload.replay.endBytes)) return undefined;
    const algorithm = commit.digest === undefined ? this.#upload.request.algorithm : algorithmOf(commit.digest);
    const told = info.digests.find((digest) => digest.startsWith(`${algorithm}:`));
    if (told !== undefined && commit.digest !== undefined && told !== commit.digest) return undefined;
    const digest = commit.digest ?? told ?? (await this.#hash(info, algorithm));
    return { persistedBytes: info.sizeBytes, committed: { info, digest } };
  }

  /** A commit without a digest whose answer was lost: only the bytes can say. */
  async #hash(info: BlobInfo, algorithm: string): Promise<string> {
    const hash = createHash(algorithm);
    const read = await readBlob(this.#parts.channel, info.key, { ifEtag: info.etag }, this.#options);
    for await (const piece of read.body) hash.update(piece);
    return `${algorithm}:${hash.digest("hex")}`;
  }

  /** `create` only while nothing was ever acknowledged, and never where a commit may have taken the upload away. */
  #mayCreate(): boolean {
    const { request, toldBytes, commitSent } = this.#upload;
    return request.create && (toldBytes ?? 0) === 0 && (!commitSent || this.#commitHadNoEffect);
  }

  #answered(): void {
    if (this.#awaySinceMs !== undefined) this.#awayMs += this.#parts.channel.clock.monotonic() - this.#awaySinceMs;
    this.#awaySinceMs = undefined;
  }

  #grew(): void {
    this.#grownTo = this.#upload.toldBytes ?? 0;
    this.#awayMs = 0;
    this.#failures = 0;
  }

  #leftMs(): number {
    const sinceMs = this.#awaySinceMs === undefined ? 0 : this.#parts.channel.clock.monotonic() - this.#awaySinceMs;
    return this.#parts.resumeBudgetMs - this.#awayMs - sinceMs;
  }

  async #abort(): Promise<void> {
    const { channel } = this.#parts;
    await channel.live
      .unary("blob.AbortUpload", { uploadId: this.#upload.request.uploadId }, { options: this.#options, mutates: true })
      .catch((error) => channel.log.warn({ err: error }, "an upload that was lost could not be aborted"));
  }
}

function assertRequest(request: AppendRequest): void {
  assertUploadId(request.uploadId);
  if (!Number.isSafeInteger(request.offsetBytes) || request.offsetBytes < 0)
    throw invalidField("offset", `${request.offsetBytes} is not a whole number below 2^53`);
  if (request.key !== undefined) assertKey(request.key);
  if (!request.commit) return;
  assertKey(request.commit.key);
  if (request.commit.digest !== undefined) assertDigest(request.commit.digest);
}

/** Random lower-case hex from the injected source. */
export function hex(random: () => number, bytes: number): string {
  let text = "";
  for (let i = 0; i < bytes; i++)
    text += Math.floor(random() * 256)
      .toString(16)
      .padStart(2, "0");
  return text;
}
