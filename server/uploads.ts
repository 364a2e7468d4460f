/**
 * Uploads of one blob store: who may write which one now. Every open takes over, one stream at a time has the turn, and
 * a newer stream is answered only after the older one's last driver operation has ended [blob.append.04].
 */
import type { Logger } from "pino";
import type { Clock } from "../proto/clock.ts";
import { hasReason, OutriggerError } from "../proto/errors.ts";
import type { AppendRequest } from "../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendResponseInput } from "../proto/gen/outrigger/blob/v1/AppendResponse.ts";
import type { Open } from "../proto/gen/outrigger/blob/v1/Open.ts";
import { type Algorithm, assertKey, assertUploadId, invalidField, isAlgorithm } from "../proto/keys.ts";
import { limits as protocol } from "../proto/limits.ts";
import type { IncomingCall } from "../proto/transport.ts";
import { asOutriggerError, assertInTime, backgroundContext, createContext, uploadBusy } from "./calls.ts";
import type { BlobDriver, CallContext, Page, UploadFacts } from "./contract.ts";
import type { UploadLimits } from "./facts.ts";
import * as fields from "./fields.ts";
import type { CreateHasher } from "./hasher.ts";
import { Inbox, Outbox } from "./stream-ends.ts";
import { type CommittedMessage, type RunningHash, UploadStream } from "./upload-stream.ts";

/** A core makes one sender a request; older ones than this many have long ended. */
const SENDERS_REMEMBERED = 64;

export interface UploadsOptions {
  readonly driver: BlobDriver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: UploadLimits;
  readonly createHasher: CreateHasher;
}

/** What this process remembers of an upload while it is there. */
interface Entry {
  readonly id: string;
  /** The rank of the newest open or abort. */
  newest: number;
  /** Resolves when whoever came last has ended. */
  turn: Promise<void>;
  /** How many streams and aborts have the turn or wait for it. */
  users: number;
  /** The stream that has the turn. */
  current: Inbox | undefined;
  /** Highest attempt by sender, oldest sender first [blob.append.05]. */
  readonly senders: Map<string, number>;
  hash: RunningHash | undefined;
  /** By the monotonic clock: last opened or grown here. */
  usedMs: number;
  /** The driver does not know the upload. */
  gone: boolean;
}

export class Uploads {
  readonly #options: UploadsOptions;
  readonly #entries = new Map<string, Entry>();
  #fence = 0;

  constructor(options: UploadsOptions) {
    this.#options = options;
  }

  /** One Append call, from its first message to its end. @throws OutriggerError, or what the driver threw */
  async append(
    requests: AsyncIterable<AppendRequest>,
    send: (response: AppendResponseInput) => Promise<void>,
    call: IncomingCall,
    assertWritable: () => void,
  ): Promise<void> {
    const { clock, limits, log } = this.#options;
    const inbox = new Inbox(requests, clock, limits.streamIdleMs);
    const outbox = new Outbox(send, (error) => inbox.stop(error));
    const onAbort = () => inbox.stop(asOutriggerError(call.signal.reason, "Append", log, call.signal));
    call.signal.addEventListener("abort", onAbort, { once: true });
    if (call.signal.aborted) onAbort();
    try {
      const open = readOpen(await inbox.next(), limits.maxBlobBytes);
      assertWritable();
      const notAfterMs = open.notAfterMs === 0 ? undefined : open.notAfterMs;
      assertInTime(clock, notAfterMs);
      const committed = await this.#takeOver(open, inbox, outbox, createContext(clock, log, call, notAfterMs));
      // Only now, without the turn: a caller that is slow to read holds nobody up.
      if (committed !== undefined) await inbox.deliver(outbox.send({ step: "committed", committed }));
    } finally {
      call.signal.removeEventListener("abort", onAbort);
      inbox.close();
    }
  }

  async #takeOver(
    open: OpenRequest,
    inbox: Inbox,
    outbox: Outbox,
    call: CallContext,
  ): Promise<CommittedMessage | undefined> {
    const entry = this.#entry(open.uploadId);
    claim(entry, open);
    const rank = this.#supersede(entry, "a newer stream has taken this upload over");
    return this.#inTurn(entry, async () => {
      if (entry.newest !== rank) throw fenced("a newer stream has taken this upload over");
      entry.current = inbox;
      try {
        inbox.check();
        return await this.#serve(entry, open, rank, inbox, outbox, call);
      } finally {
        entry.current = undefined;
      }
    });
  }

  async #serve(
    entry: Entry,
    open: OpenRequest,
    fence: number,
    inbox: Inbox,
    outbox: Outbox,
    call: CallContext,
  ): Promise<CommittedMessage | undefined> {
    const { driver, clock, limits, createHasher } = this.#options;
    call.assertInTime();
    const upload = await this.#open(entry, open, call);
    const stream = new UploadStream({
      driver,
      clock,
      limits,
      createHasher,
      upload,
      inbox,
      outbox,
      log: call.log,
      requestId: call.requestId,
      progressEveryMs: protocol.progressEveryMs,
      algorithm: open.algorithm,
      hash: this.#takeHash(entry),
      onUse: () => {
        entry.usedMs = clock.monotonic();
      },
    });
    upload.lost?.addEventListener("abort", () => inbox.stop(upload.lost?.reason), { once: true });
    try {
      // A newer open that came while the driver opened waits for this one's end: it must not be answered any more.
      inbox.check();
      await inbox.wait(outbox.send({ step: "opened", opened: { persisted: upload.persistedBytes, fence } }));
      return await stream.run();
    } finally {
      entry.hash = await stream.end();
      if (stream.committed) entry.gone = true;
    }
  }

  async #open(entry: Entry, open: OpenRequest, call: CallContext) {
    try {
      const upload = await this.#options.driver.open(entry.id, open.how, call);
      entry.gone = false;
      entry.usedMs = this.#options.clock.monotonic();
      return upload;
    } catch (error) {
      if (hasReason(error, "UPLOAD_NOT_FOUND")) entry.gone = true;
      throw error;
    }
  }

  /** Another replica may have ended the upload and begun one of the same id: then a hash of before says nothing. */
  #takeHash(entry: Entry): RunningHash | undefined {
    const { hash } = entry;
    entry.hash = undefined;
    if (!this.#options.driver.facts.capabilities.includes("REPLICAS")) return hash;
    hash?.hasher.close();
    return undefined;
  }

  /**
   * [blob.abort.01] to [blob.abort.03]
   * @throws UPLOAD_BUSY
   */
  async abort(uploadId: string, ifIdleMs: number | undefined, call: CallContext): Promise<void> {
    assertUploadId(uploadId);
    const entry = this.#entry(uploadId);
    entry.users++;
    try {
      if (ifIdleMs !== undefined) await this.#assertIdle(entry, ifIdleMs, call);
      // A stream that ends here persists what it has, which is no use that the abort should mind.
      const driversIdleMs = entry.current === undefined ? ifIdleMs : undefined;
      this.#supersede(entry, "the upload was aborted");
      await this.#inTurn(entry, async () => {
        call.assertInTime();
        await this.#options.driver.abort(uploadId, call, driversIdleMs);
        entry.gone = true;
      });
    } finally {
      entry.users--;
      this.#forget(entry);
    }
  }

  async #assertIdle(entry: Entry, ifIdleMs: number, call: CallContext): Promise<void> {
    const { newest } = entry;
    const upload = await this.#factsOfReadable(entry.id, call);
    const usedMeanwhile = entry.newest !== newest;
    if (usedMeanwhile || (upload !== undefined && upload.idleMs < ifIdleMs)) {
      throw uploadBusy(entry.id, ifIdleMs);
    }
  }

  /** @throws UPLOAD_NOT_FOUND */
  async get(uploadId: string, call: CallContext): Promise<UploadFacts> {
    assertUploadId(uploadId);
    const upload = await this.#facts(uploadId, call);
    if (upload === undefined) throw new OutriggerError("UPLOAD_NOT_FOUND", `there is no upload ${uploadId}`);
    return upload;
  }

  async list(request: { startAfter: string; limit: number }, call: CallContext): Promise<Page<UploadFacts>> {
    const { items, more } = await this.#options.driver.listUploads(request, call);
    return { items: items.map((upload) => this.#withOwnIdle(upload)), more };
  }

  async #facts(uploadId: string, call: CallContext): Promise<UploadFacts | undefined> {
    const { items } = await this.#options.driver.listUploads({ uploadId, startAfter: "", limit: 1 }, call);
    const upload = items.find((one) => one.uploadId === uploadId);
    return upload === undefined ? undefined : this.#withOwnIdle(upload);
  }

  /** One that cannot be read must still end: how old it is only the driver can say, and does. */
  async #factsOfReadable(uploadId: string, call: CallContext): Promise<UploadFacts | undefined> {
    try {
      return await this.#facts(uploadId, call);
    } catch (error) {
      if (!hasReason(error, "STORED_CORRUPT")) throw error;
      return undefined;
    }
  }

  /** Bytes received here and not yet persisted are use that the driver may not have noticed. */
  #withOwnIdle(upload: UploadFacts): UploadFacts {
    const entry = this.#entries.get(upload.uploadId);
    if (entry === undefined || entry.gone) return upload;
    const own = Math.floor(this.#options.clock.monotonic() - entry.usedMs);
    return own < upload.idleMs ? { ...upload, idleMs: own } : upload;
  }

  /** [blob.expiry.01] Ends the uploads that nobody used for upload_ttl_ms. @returns how many */
  async expire(): Promise<number> {
    const { limits, log, clock } = this.#options;
    const call = backgroundContext(log);
    let expired = 0;
    let startAfter = "";
    for (let more = true; more; ) {
      const page = await this.list({ startAfter, limit: protocol.listItems }, call);
      for (const { uploadId, idleMs } of page.items) {
        startAfter = uploadId;
        if (idleMs <= limits.uploadTtlMs) continue;
        try {
          await this.abort(uploadId, limits.uploadTtlMs, call);
          expired++;
          log.info({ uploadId, idleMs }, "an idle upload has expired");
        } catch (err) {
          if (!hasReason(err, "UPLOAD_BUSY")) log.warn({ err, uploadId }, "an idle upload could not be expired");
        }
      }
      more = page.more && page.items.length > 0;
    }
    for (const entry of this.#entries.values()) {
      if (entry.users === 0 && clock.monotonic() - entry.usedMs > limits.uploadTtlMs) entry.gone = true;
      this.#forget(entry);
    }
    return expired;
  }

  #entry(id: string): Entry {
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      entry = {
        id,
        newest: 0,
        turn: Promise.resolve(),
        users: 0,
        current: undefined,
        senders: new Map(),
        hash: undefined,
        usedMs: this.#options.clock.monotonic(),
        gone: true,
      };
      this.#entries.set(id, entry);
    }
    return entry;
  }

  /** Takes the newest rank and ends the stream that has the turn. */
  #supersede(entry: Entry, why: string): number {
    // From the clock, so that a rank is above those that this process's predecessor gave.
    this.#fence = Math.max(this.#fence + 1, this.#options.clock.now() * 1000);
    entry.newest = this.#fence;
    entry.current?.stop(fenced(why));
    return this.#fence;
  }

  /** One at a time, in the order of asking. */
  async #inTurn<Value>(entry: Entry, work: () => Promise<Value>): Promise<Value> {
    const before = entry.turn;
    let end: () => void = () => {};
    entry.turn = new Promise((resolve) => {
      end = resolve;
    });
    entry.users++;
    try {
      await before;
      return await work();
    } finally {
      entry.users--;
      this.#forget(entry);
      end();
    }
  }

  /** [blob.append.16] */
  #forget(entry: Entry): void {
    if (!entry.gone) return;
    entry.hash?.hasher.close();
    entry.hash = undefined;
    if (entry.users === 0) this.#entries.delete(entry.id);
  }
}

interface OpenRequest {
  readonly uploadId: string;
  readonly sender: string;
  readonly attempt: number;
  readonly algorithm: Algorithm;
  readonly notAfterMs: number;
  readonly how: Parameters<BlobDriver["open"]>[1];
}

/** [blob.append.01], [blob.append.22] */
function readOpen(request: AppendRequest | undefined, maxBlobBytes: number): OpenRequest {
  if (request === undefined) throw invalidField("open", "the stream ended before it");
  if (request.step !== "open" || !request.open) throw invalidField("open", "must be the first message");
  const open: Open = request.open;
  assertUploadId(open.uploadId);
  if (open.sender.length > 256) throw invalidField("open.sender", "has more than 256 characters");
  const algorithm = open.algorithm === "" ? "sha256" : open.algorithm;
  if (!isAlgorithm(algorithm)) throw invalidField("open.algorithm", "is neither sha256 nor sha512");
  if (open.key !== "") assertKey(open.key);
  const attempt = fields.safeInteger("open.attempt", open.attempt);
  const size = open.size === undefined ? undefined : fields.safeInteger("open.size", open.size);
  if (size !== undefined && size > maxBlobBytes) {
    throw invalidField("open.size", `${size} bytes are more than this store's ${maxBlobBytes} bytes for a blob`);
  }
  return {
    uploadId: open.uploadId,
    sender: open.sender,
    attempt,
    algorithm,
    notAfterMs: fields.safeInteger("open.not_after_ms", open.notAfterMs),
    how: {
      create: open.create,
      sender: open.sender,
      attempt,
      algorithm,
      ...(open.key === "" ? {} : { key: open.key }),
      ...(size === undefined ? {} : { sizeBytes: size }),
    },
  };
}

/** [blob.append.05] */
function claim(entry: Entry, { sender, attempt }: OpenRequest): void {
  const highest = entry.senders.get(sender);
  if (highest !== undefined && attempt <= highest) {
    throw fenced(`attempt ${attempt} of this sender is not above its ${highest}`);
  }
  entry.senders.delete(sender);
  entry.senders.set(sender, attempt);
  for (const oldest of entry.senders.keys()) {
    if (entry.senders.size <= SENDERS_REMEMBERED) break;
    entry.senders.delete(oldest);
  }
}

function fenced(why: string): OutriggerError {
  return new OutriggerError("UPLOAD_FENCED", why);
}
