/** The blob store of a core: one function of BlobStore each, the long ones in files of their own. */
import { hasReason, OutriggerError, type Reason, reasons } from "../proto/errors.ts";
import type { MoveResponse } from "../proto/gen/outrigger/blob/v1/MoveResponse.ts";
import type { UploadInfo as WireUpload } from "../proto/gen/outrigger/blob/v1/UploadInfo.ts";
import { assertAscii, assertDigest, assertKey, assertUploadId, invalidField } from "../proto/keys.ts";
import { limits } from "../proto/limits.ts";
import { append } from "./append.ts";
import { readBlob } from "./blob-read.ts";
import type { UploadBudget } from "./budget.ts";
import type { StoreChannel } from "./channel.ts";
import { blobInfo, checkPage, violation, wholeNumber } from "./checks.ts";
import type {
  AppendRequest,
  AppendResult,
  BlobInfo,
  BlobRead,
  BlobStore,
  CallOptions,
  Condition,
  Page,
  PageRequest,
  StoreFacts,
  UploadInfo,
} from "./contract.ts";
import { LocalFiles } from "./local-file.ts";
import { OwedTimer } from "./owed.ts";
import { hadNoEffect, isAnswerLost, waitMs } from "./retry.ts";

export interface BlobStoreParts {
  readonly channel: StoreChannel;
  readonly budget: UploadBudget;
  readonly resumeBudgetMs: number;
}

const RETRY = { firstMs: 25, mostMs: 1_000 };
const RETRY_BUDGET_MS = 10_000;

export class DriverBlobStore implements BlobStore {
  readonly #parts: BlobStoreParts;
  readonly #localFiles: LocalFiles | undefined;

  constructor(parts: BlobStoreParts) {
    this.#parts = parts;
    const { localRoot } = parts.channel.target;
    this.#localFiles = localRoot === undefined ? undefined : new LocalFiles(localRoot, parts.channel.log);
  }

  get #channel(): StoreChannel {
    return this.#parts.channel.live;
  }

  get facts(): StoreFacts {
    return this.#channel.facts;
  }

  async stat(keys: readonly string[], options?: CallOptions): Promise<(BlobInfo | undefined)[]> {
    for (const key of keys) assertKey(key);
    const found: (BlobInfo | undefined)[] = [];
    for (let at = 0; at < keys.length; at += limits.statKeys) {
      const asked = keys.slice(at, at + limits.statKeys);
      const { results } = await this.#channel.repeatable("blob.Stat", { keys: asked }, { options });
      if (results.length !== asked.length)
        throw violation("blob.stat.01", `a Stat of ${asked.length} keys is answered by ${results.length} results`);
      for (const [index, result] of results.entries()) {
        if (result.key !== asked[index])
          throw violation("blob.stat.01", `result ${index} is about ${result.key}, not ${asked[index]}`);
        found.push(result.info ? blobInfo("blob.stat.01", result.info, result.key) : undefined);
      }
    }
    return found;
  }

  async read(
    key: string,
    range: { offsetBytes?: number; limitBytes?: number; ifEtag?: string } = {},
    options?: CallOptions,
  ): Promise<BlobRead> {
    assertKey(key);
    for (const [field, value] of Object.entries({ offset: range.offsetBytes, limit: range.limitBytes }))
      if (value !== undefined && (!Number.isSafeInteger(value) || value < 0))
        throw invalidField(field, `${value} is not a whole number below 2^53`);
    const local = await this.#localFiles?.read(this.#channel, key, range, options);
    return local ?? readBlob(this.#channel, key, range, options);
  }

  async put(
    key: string,
    data: Uint8Array,
    how: { digest?: string; condition?: Condition; once?: boolean } = {},
    options?: CallOptions,
  ): Promise<BlobInfo> {
    assertKey(key);
    if (how.digest !== undefined) assertDigest(how.digest);
    if (data.length > limits.putBytes)
      throw invalidField(
        "data",
        `${data.length} bytes; a Put takes at most ${limits.putBytes}, a larger blob an Append`,
      );
    let { condition } = how;
    let lost: unknown;
    const { clock, random } = this.#channel;
    const startMs = clock.monotonic();
    for (let tried = 0; ; tried++) {
      let failure: unknown;
      try {
        const { info } = await this.#channel.unary(
          "blob.Put",
          { key, data: data as Buffer, digest: how.digest ?? "", ...wireCondition(condition) },
          { options, mutates: true },
        );
        return this.#written(info, key, data);
      } catch (error) {
        if (how.once || this.#channel.singleAttempts) throw error;
        failure = error;
      }
      const lostRace = lost !== undefined && hasReason(failure, "KEY_EXISTS", "ETAG_MISMATCH");
      if (isAnswerLost(failure) && !hadNoEffect(failure)) lost ??= failure;
      else if (!lostRace && !hadNoEffect(failure)) throw failure;
      if (lost !== undefined) {
        // Nobody knows whether it took effect: look, and compare the bytes themselves.
        const now = await this.#holds(key, data, options);
        if (now !== "absent" && now !== "other") return now;
        if (lostRace) throw how.condition === undefined ? lost : failure;
        if (condition === undefined) {
          // Bytes of somebody else may be newer than ours: what has no condition is not repeated over them.
          if (now === "other") throw lost;
          condition = { ifAbsent: true };
        }
      }
      const pauseMs = waitMs(failure, tried, random, RETRY);
      if (clock.monotonic() - startMs + pauseMs >= RETRY_BUDGET_MS) throw lost ?? failure;
      await this.#channel.pause("blob.Put", pauseMs, options?.signal);
    }
  }

  #written(wire: Parameters<typeof blobInfo>[1], key: string, data: Uint8Array): BlobInfo {
    const info = blobInfo("blob.put.02", wire, key);
    if (info.sizeBytes !== data.length)
      throw violation("blob.visible.01", `a Put of ${data.length} bytes made a blob of ${info.sizeBytes}`);
    return info;
  }

  /** The key's info if it holds exactly `data`. */
  async #holds(
    key: string,
    data: Uint8Array,
    options: CallOptions | undefined,
  ): Promise<BlobInfo | "absent" | "other"> {
    try {
      const read = await readBlob(this.#channel, key, { limitBytes: limits.putBytes + 1 }, options);
      if (read.info.sizeBytes !== data.length) {
        await read.cancel();
        return "other";
      }
      const parts: Buffer[] = [];
      for await (const piece of read.body) parts.push(piece);
      return Buffer.concat(parts).equals(data) ? read.info : "other";
    } catch (error) {
      if (hasReason(error, "KEY_NOT_FOUND")) return "absent";
      // It changed while it was read: somebody else is writing it.
      if (hasReason(error, "ETAG_MISMATCH")) return "other";
      throw error;
    }
  }

  append(request: AppendRequest, options?: CallOptions): Promise<AppendResult> {
    const { budget, resumeBudgetMs } = this.#parts;
    return append({ channel: this.#channel, budget, resumeBudgetMs }, request, options);
  }

  async getUpload(uploadId: string, options?: CallOptions): Promise<UploadInfo | undefined> {
    assertUploadId(uploadId);
    try {
      const { upload } = await this.#channel.repeatable("blob.GetUpload", { uploadId }, { options });
      if (!upload || upload.uploadId !== uploadId)
        throw violation("blob.getupload.01", `asked for upload ${uploadId}, the answer is about ${upload?.uploadId}`);
      return uploadInfo("blob.getupload.01", upload);
    } catch (error) {
      if (hasReason(error, "UPLOAD_NOT_FOUND")) return undefined;
      throw error;
    }
  }

  async listUploads(
    request: { startAfter?: string; limit?: number },
    options?: CallOptions,
  ): Promise<Page<UploadInfo>> {
    const page = { prefix: "", startAfter: request.startAfter ?? "", limit: request.limit ?? limits.listItems };
    assertPage(page);
    const { uploads, more } = await this.#channel.repeatable(
      "blob.ListUploads",
      { startAfter: page.startAfter, limit: page.limit },
      { options, deadlineMs: limits.listDeadlineMs },
    );
    const rule = "blob.listuploads.02";
    checkPage(
      { order: rule, more: rule, limit: rule },
      uploads.map((upload) => upload.uploadId),
      more,
      page,
    );
    return { items: uploads.map((upload) => uploadInfo(rule, upload)), more };
  }

  async abortUpload(uploadId: string, how: { ifIdleMs?: number } = {}, options?: CallOptions): Promise<void> {
    assertUploadId(uploadId);
    const request = { uploadId, ...(how.ifIdleMs === undefined ? {} : { ifIdleMs: how.ifIdleMs }) };
    // An id is used for one upload only, and an unknown one is fine: aborting twice is aborting once.
    await this.#channel.repeatable("blob.AbortUpload", request, { options, mutates: true });
  }

  async move(source: string, destination: string, options?: CallOptions): Promise<BlobInfo> {
    assertKey(source);
    assertKey(destination);
    const [before] = await this.stat([source], options);
    if (before === undefined) throw new OutriggerError("KEY_NOT_FOUND", `there is no ${source} to move`);
    const { clock, random } = this.#channel;
    const startMs = clock.monotonic();
    for (let tried = 0; ; tried++) {
      try {
        return await this.#moveOnce(source, destination, options);
      } catch (error) {
        const isRetryGone = tried > 0 && hasReason(error, "KEY_NOT_FOUND");
        if (this.#channel.singleAttempts || (!isAnswerLost(error) && !hadNoEffect(error) && !isRetryGone)) throw error;
        // The source goes with the effect: while it is there, moving it again is the same move. Other bytes put there since
        // are somebody else's.
        const [from, to] = await this.stat([source, destination], options).catch(() => {
          throw error;
        });
        if (from?.etag !== before.etag) {
          if (to?.sizeBytes === before.sizeBytes) return to;
          throw error;
        }
        const pauseMs = waitMs(error, tried, random, RETRY);
        if (clock.monotonic() - startMs + pauseMs >= RETRY_BUDGET_MS) throw error;
        await this.#channel.pause("blob.Move", pauseMs, options?.signal);
      }
    }
  }

  async #moveOnce(source: string, destination: string, options: CallOptions | undefined): Promise<BlobInfo> {
    const channel = this.#channel;
    const ending = new AbortController();
    const { streamMs } = channel.patience;
    const timer = new OwedTimer(channel.clock, streamMs, () =>
      ending.abort(new OutriggerError("TIMED_OUT", `a Move of ${source} got nothing for ${streamMs} ms`)),
    );
    const onAbort = () => ending.abort(options?.signal?.reason);
    options?.signal?.throwIfAborted();
    options?.signal?.addEventListener("abort", onAbort, { once: true });
    const release = channel.hold();
    try {
      const call = { options, mutates: true, signal: ending.signal };
      const stream = channel.stream("blob.Move", { source, destination }, call);
      const messages = stream[Symbol.asyncIterator]();
      const ended = new Promise<never>((_, reject) => {
        ending.signal.addEventListener("abort", () => reject(ending.signal.reason), { once: true });
      });
      ended.catch(() => undefined);
      let info: MoveResponse["info"];
      while (true) {
        timer.owes(true, true);
        const result = await Promise.race([messages.next(), ended]);
        if (result.done) break;
        if (result.value.info) info = result.value.info;
      }
      return blobInfo("blob.move.01", info, destination);
    } catch (error) {
      options?.signal?.throwIfAborted();
      throw await channel.failed(error);
    } finally {
      timer.stop();
      release();
      options?.signal?.removeEventListener("abort", onAbort);
    }
  }

  async delete(keys: readonly string[], options?: CallOptions): Promise<void> {
    for (const key of keys) assertKey(key);
    let first: OutriggerError | undefined;
    for (let at = 0; at < keys.length; at += limits.deleteKeys) {
      const asked = keys.slice(at, at + limits.deleteKeys);
      const { results } = await this.#channel.once("blob.Delete", { keys: asked }, { options });
      if (results.length !== asked.length)
        throw violation("blob.delete.01", `a Delete of ${asked.length} keys is answered by ${results.length} results`);
      for (const [index, { key, reason, message }] of results.entries()) {
        if (key !== asked[index])
          throw violation("blob.delete.01", `result ${index} is about ${key}, not ${asked[index]}`);
        if (reason === "") continue;
        if (!Object.hasOwn(reasons, reason))
          throw violation("call.error.01", `deleting ${key} failed for the unknown reason ${reason}: ${message}`);
        first ??= new OutriggerError(reason as Reason, `deleting ${key}: ${message}`, { metadata: { key } });
      }
    }
    if (first !== undefined) throw first;
  }

  async list(request: PageRequest, options?: CallOptions): Promise<Page<BlobInfo>> {
    const page = {
      prefix: request.prefix,
      startAfter: request.startAfter ?? "",
      limit: request.limit ?? limits.listItems,
    };
    assertPage(page);
    const { items, more } = await this.#channel.repeatable("blob.List", page, {
      options,
      deadlineMs: limits.listDeadlineMs,
    });
    const rules = { order: "blob.list.01", more: "blob.list.03", limit: "blob.list.05" };
    checkPage(
      rules,
      items.map((item) => item.key),
      more,
      page,
    );
    return { items: items.map((item) => blobInfo("blob.list.01", item)), more };
  }

  async count(prefix: string, options?: CallOptions): Promise<{ count: number; exact: boolean }> {
    assertAscii("prefix", prefix);
    const answer = await this.#channel.repeatable(
      "blob.Count",
      { prefix },
      { options, deadlineMs: limits.listDeadlineMs },
    );
    return { count: wholeNumber("blob.count.01", "count", answer.count), exact: answer.exact };
  }

  async signUrl(
    key: string,
    ttlMs: number,
    options?: CallOptions,
  ): Promise<{ url: string; expiresMs: number } | undefined> {
    assertKey(key);
    if (!this.facts.capabilities.has("SIGN_URL")) return undefined;
    try {
      const { url, expiresMs } = await this.#channel.repeatable("blob.SignUrl", { key, ttlMs }, { options });
      return { url, expiresMs: wholeNumber("blob.signurl.02", "expires_ms", expiresMs) };
    } catch (error) {
      if (hasReason(error, "CAPABILITY_MISSING")) return undefined;
      throw error;
    }
  }
}

function wireCondition(condition: Condition | undefined): { ifAbsent?: boolean; ifEtag?: string } {
  if (condition === undefined) return {};
  return "ifAbsent" in condition ? { ifAbsent: true } : { ifEtag: condition.ifEtag };
}

function uploadInfo(rule: string, wire: WireUpload): UploadInfo {
  return {
    uploadId: wire.uploadId,
    persistedBytes: wholeNumber(rule, "persisted", wire.persisted),
    idleMs: wholeNumber(rule, "idle_ms", wire.idleMs),
  };
}

function assertPage(page: { prefix: string; startAfter: string; limit: number }): void {
  assertAscii("prefix", page.prefix);
  assertAscii("start_after", page.startAfter);
  if (!Number.isSafeInteger(page.limit) || page.limit < 1 || page.limit > limits.listItems)
    throw invalidField("limit", `${page.limit} is not 1 to ${limits.listItems}`);
}
