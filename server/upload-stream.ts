/** One Append stream that has the turn on its upload: chunks, flushes, commit, and a clean end whatever happens. */
import type { Logger } from "pino";
import type { Clock } from "../proto/clock.ts";
import { hasReason, OutriggerError } from "../proto/errors.ts";
import type { AppendRequest } from "../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { Chunk } from "../proto/gen/outrigger/blob/v1/Chunk.ts";
import type { Commit } from "../proto/gen/outrigger/blob/v1/Commit.ts";
import { type Algorithm, algorithmOf, assertKey, invalidField } from "../proto/keys.ts";
import { limits as protocol } from "../proto/limits.ts";
import { assertInTime } from "./calls.ts";
import type { BlobDriver, BlobInfo, CallContext, Upload } from "./contract.ts";
import type { UploadLimits } from "./facts.ts";
import * as fields from "./fields.ts";
import type { CreateHasher, Hasher } from "./hasher.ts";
import type { Inbox, Outbox } from "./stream-ends.ts";

/** Progress is told this many times a step, so that a core can let go early of what a driver persists by itself. */
const TELLS_PER_STEP = 4;
/** How often a commit looks again at a key that changes under it. */
const COMMIT_LOOKS = 5;

/** A hash of an upload's first `position` bytes. */
export interface RunningHash {
  readonly hasher: Hasher;
  position: number;
}

/** What the caller is told of a commit. */
export interface CommittedMessage {
  readonly info: ReturnType<typeof infoMessage>;
  readonly digest: string;
}

export interface UploadStreamOptions {
  readonly driver: BlobDriver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly requestId?: string | undefined;
  readonly limits: UploadLimits;
  readonly progressEveryMs: number;
  readonly createHasher: CreateHasher;
  readonly upload: Upload;
  readonly algorithm: Algorithm;
  /** Left by the stream before, if it is of just these bytes. */
  readonly hash: RunningHash | undefined;
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  /** Called whenever the upload grew. */
  readonly onUse: () => void;
}

export class UploadStream {
  readonly #options: UploadStreamOptions;
  readonly #upload: Upload;
  #hash: RunningHash | undefined;
  #received: number;
  /** Bytes of chunks since progress was told, skipped ones too. */
  #untold = 0;
  /** After an error of the driver only `close` may follow. */
  #broken = false;
  #committed = false;

  constructor(options: UploadStreamOptions) {
    this.#options = options;
    this.#upload = options.upload;
    this.#received = options.upload.persistedBytes;
    this.#hash = this.#startingHash();
  }

  get committed(): boolean {
    return this.#committed;
  }

  #startingHash(): RunningHash | undefined {
    const { hash, algorithm, createHasher } = this.#options;
    if (this.#upload.digest !== undefined) return undefined;
    if (this.#upload.commitVerified !== undefined) {
      hash?.hasher.close();
      return undefined;
    }
    if (hash !== undefined && hash.hasher.algorithm === algorithm && hash.position === this.#received) return hash;
    hash?.hasher.close();
    // Bytes that nobody here has hashed are read again at commit, and only then.
    return this.#received === 0 ? { hasher: createHasher(algorithm), position: 0 } : undefined;
  }

  /** Everything after `opened`. Resolves when the stream may end with OK, after `committed` was sent if there is one. */
  async run(): Promise<CommittedMessage | undefined> {
    const { inbox, outbox } = this.#options;
    for (;;) {
      const request = await inbox.next();
      if (request === undefined) {
        await this.#flush();
        this.#tell();
        await inbox.wait(outbox.told());
        return undefined;
      }
      const committed = await this.#step(request);
      if (committed !== undefined) return committed;
      inbox.check();
    }
  }

  async #step(request: AppendRequest): Promise<CommittedMessage | undefined> {
    switch (request.step) {
      case "chunk":
        await this.#chunk(request.chunk as Chunk);
        return undefined;
      case "flush":
        await this.#flush();
        this.#tell();
        return undefined;
      case "commit":
        return this.#commit(request.commit as Commit);
      case "open":
        throw invalidField("open", "only the first message opens"); // [blob.append.01]
      default:
        throw invalidField("step", "the message is none of chunk, flush and commit");
    }
  }

  /** [blob.append.06], [blob.append.07], [blob.append.18] */
  async #chunk({ offset, data }: Chunk): Promise<void> {
    if (offset === undefined) throw new OutriggerError("OFFSET_REQUIRED", "chunk.offset: is absent");
    fields.safeInteger("chunk.offset", offset);
    if (data.length > protocol.chunkBytes) {
      throw invalidField("chunk.data", `${data.length} bytes are more than ${protocol.chunkBytes}`);
    }
    if (offset > this.#received) {
      await this.#flush();
      throw new OutriggerError("OFFSET_MISMATCH", `offset ${offset} is beyond the ${this.#received} bytes received`, {
        metadata: { persisted: String(this.#upload.persistedBytes) },
      });
    }
    this.#untold += data.length;
    const known = this.#received - offset;
    if (known < data.length) await this.#write(known === 0 ? data : data.subarray(known));
    await this.#keepPace();
  }

  async #write(data: Buffer): Promise<void> {
    const { limits, onUse } = this.#options;
    if (this.#received + data.length > limits.maxBlobBytes) {
      throw invalidField("chunk.data", `the upload would pass this store's ${limits.maxBlobBytes} bytes for a blob`);
    }
    await this.#driver(async () => {
      const writing = this.#upload.write(data);
      // Hashed while the driver's write is under way.
      const hashing = this.#hash?.hasher.update(data);
      if (hashing !== undefined) await Promise.all([writing, hashing]);
      else await writing;
    });
    this.#received += data.length;
    if (this.#hash !== undefined) this.#hash.position += data.length;
    onUse();
  }

  /** [blob.append.08], [blob.append.09]; a driver that persists by itself is never made to wait. */
  async #keepPace(): Promise<void> {
    const step = this.#options.limits.persistStepBytes;
    const behind = this.#received - this.#upload.persistedBytes >= step;
    if (behind) await this.#flush();
    if (behind || this.#untold * TELLS_PER_STEP >= step) this.#tell();
  }

  #tell(): void {
    this.#untold = 0;
    this.#options.outbox.progress(this.#received, this.#upload.persistedBytes);
  }

  /** [blob.append.10] */
  async #flush(): Promise<void> {
    if (this.#upload.persistedBytes === this.#received) return;
    await this.#driver(() => this.#upload.flush());
    if (this.#upload.persistedBytes !== this.#received) {
      this.#broken = true;
      throw new OutriggerError(
        "INTERNAL",
        `the driver's flush left ${this.#upload.persistedBytes} of ${this.#received} bytes persisted`,
      );
    }
  }

  async #commit(commit: Commit): Promise<CommittedMessage> {
    const { clock, log, requestId, progressEveryMs, outbox, algorithm } = this.#options;
    assertKey(commit.key);
    const wanted = fields.optionalDigest(commit.digest);
    const notAfterMs = commit.notAfterMs === 0 ? undefined : commit.notAfterMs;
    const call: CallContext = {
      // Not the caller's: who has lost its stream in the middle of a commit asks for the key, and finds it sooner so.
      signal: new AbortController().signal,
      log,
      requestId,
      notAfterMs,
      assertInTime: () => assertInTime(clock, notAfterMs),
    };
    call.assertInTime();
    if (commit.size !== undefined && fields.safeInteger("commit.size", commit.size) !== this.#received) {
      throw new OutriggerError("SIZE_MISMATCH", `the upload holds ${this.#received} bytes, not ${commit.size}`, {
        metadata: { size: String(this.#received) },
      });
    }
    // [blob.append.17]
    const stopTicking = every(clock, progressEveryMs, () =>
      outbox.progress(this.#received, this.#upload.persistedBytes),
    );
    try {
      if (this.#upload.commitVerified !== undefined) return await this.#commitVerified(commit, wanted, call);
      const digest = await this.#verify(wanted === undefined ? algorithm : algorithmOf(wanted), call);
      if (wanted !== undefined && digest !== wanted) {
        throw new OutriggerError("DIGEST_MISMATCH", `the upload's bytes have digest ${digest}, not ${wanted}`, {
          metadata: { digest },
        });
      }
      const info = await this.#place(commit, digest, call);
      this.#committed = true;
      return { info: infoMessage(info), digest };
    } finally {
      stopTicking();
    }
  }

  /** What lies behind the driver looks at the bytes and at the key. */
  async #commitVerified(
    { key, ifAbsent }: Commit,
    digest: string | undefined,
    call: CallContext,
  ): Promise<CommittedMessage> {
    const { algorithm } = this.#options;
    const target = { key, ifAbsent, algorithm, sizeBytes: this.#received, ...(digest === undefined ? {} : { digest }) };
    const done = await this.#driver(async () => this.#upload.commitVerified?.(target, call));
    if (done === undefined) throw new OutriggerError("INTERNAL", "the driver's upload cannot be committed any more");
    this.#committed = true;
    return { info: infoMessage(done.info), digest: done.digest };
  }

  /** The digest of the upload's own bytes: the driver's, or from the running hash, or by reading what the driver holds. */
  async #verify(algorithm: Algorithm, call: CallContext): Promise<string> {
    const own = this.#upload.digest?.bind(this.#upload);
    if (own !== undefined) return this.#driver(() => own(algorithm, call));
    const running = this.#hash;
    if (running?.hasher.algorithm === algorithm && running.position === this.#received) return running.hasher.digest();
    const hasher = this.#options.createHasher(algorithm);
    let position = 0;
    try {
      await this.#driver(async () => {
        for await (const piece of this.#upload.read(call)) {
          await hasher.update(piece);
          position += piece.length;
        }
      });
    } catch (error) {
      hasher.close();
      throw error;
    }
    if (position !== this.#received) {
      hasher.close();
      this.#broken = true;
      throw new OutriggerError(
        "STORED_CORRUPT",
        `the driver gives back ${position} of the upload's ${this.#received} bytes`,
      );
    }
    this.#hash?.hasher.close();
    this.#hash = { hasher, position };
    return hasher.digest();
  }

  /** [blob.append.13], [blob.append.14]: a key that changes meanwhile is looked at again. */
  async #place(commit: Commit, digest: string, call: CallContext): Promise<BlobInfo> {
    const { key, ifAbsent } = commit;
    for (let look = 1; ; look++) {
      const [there] = await this.#options.driver.stat([key], call);
      const keep = there !== undefined && (await this.#holds(there, digest, call));
      if (there !== undefined && !keep && ifAbsent) {
        throw new OutriggerError("KEY_EXISTS", `key ${key} holds other content already`);
      }
      const condition = keep ? { ifEtag: there.etag } : ifAbsent ? { ifAbsent: true as const } : undefined;
      call.assertInTime();
      try {
        return await this.#upload.commit(
          { key, digest, keep, ...(condition === undefined ? {} : { condition }) },
          call,
        );
      } catch (error) {
        const raced = hasReason(error, "KEY_EXISTS", "ETAG_MISMATCH");
        if (!raced && !hasReason(error, "TOO_LATE")) this.#broken = true;
        if (!raced || look === COMMIT_LOOKS) throw error;
      }
    }
  }

  /** Whether the key holds bytes of this digest: as its driver knows, else by reading them. */
  async #holds(there: BlobInfo, digest: string, call: CallContext): Promise<boolean> {
    if (there.sizeBytes !== this.#received) return false;
    const algorithm = algorithmOf(digest);
    const known = there.digests.find((one) => one.startsWith(`${algorithm}:`));
    if (known !== undefined) return known === digest;
    const hasher = this.#options.createHasher(algorithm);
    try {
      const { body } = await this.#options.driver.read(there.key, { offsetBytes: 0, ifEtag: there.etag }, call);
      for await (const piece of body) await hasher.update(piece);
      return (await hasher.digest()) === digest;
    } catch (error) {
      // Gone, changed or damaged: then it does not hold them.
      if (hasReason(error, "KEY_NOT_FOUND", "ETAG_MISMATCH", "STORED_CORRUPT")) return false;
      throw error;
    } finally {
      hasher.close();
    }
  }

  /**
   * Persists what was received, as far as the driver can, and frees the upload. Never rejects.
   * @returns the hash for whoever goes on, if it is of exactly the persisted bytes
   */
  async end(): Promise<RunningHash | undefined> {
    const { log } = this.#options;
    if (!this.#committed && !this.#broken) {
      await this.#flush().catch((err) => log.warn({ err }, "an upload's last bytes could not be persisted"));
    }
    if (!this.#committed) {
      await this.#upload.close().catch((err) => log.warn({ err }, "an upload could not be closed"));
    }
    const hash = this.#hash;
    const usable = !this.#committed && !this.#broken && hash?.position === this.#upload.persistedBytes;
    if (!usable) hash?.hasher.close();
    return usable ? hash : undefined;
  }

  async #driver<Value>(work: () => Promise<Value>): Promise<Value> {
    try {
      return await work();
    } catch (error) {
      this.#broken = true;
      throw error;
    }
  }
}

export function infoMessage(info: BlobInfo) {
  const { key, sizeBytes, etag, modifiedMs, digests } = info;
  return { key, size: sizeBytes, etag, modifiedMs, digests: [...digests] };
}

/** Runs again and again until the answer is called. */
export function every(clock: Clock, ms: number, run: () => void): () => void {
  let cancel = clock.after(ms, tick);
  function tick() {
    run();
    cancel = clock.after(ms, tick);
  }
  return () => cancel();
}
