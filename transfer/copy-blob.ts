/** One blob from a store to another: verified, whole or not at all, and going on where an earlier copy stopped. */
import { createHash } from "node:crypto";
import type { BlobInfo, BlobStore, CallOptions, Condition } from "../client/contract.ts";
import { sleep, systemClock } from "../proto/clock.ts";
import { hasReason, OutriggerError } from "../proto/errors.ts";
import { algorithmOf } from "../proto/keys.ts";
import { limits } from "../proto/limits.ts";
import { collect } from "../registry/repository/core.ts";
import { parseBlobKey } from "../registry/repository/keys.ts";
import type { TransferOptions } from "./contract.ts";
import { Patience } from "./patience.ts";
import { paced } from "./rate.ts";

/** `same`: the target had it. `gone`: the source no longer has it. */
export type BlobOutcome = "copied" | "same" | "gone";

/** A blob that changes under the copy, or is written by another copy at the same time, is begun again so often. */
const ATTEMPTS = 5;
const RIVAL_MS = 30_000;
const RIVAL_POLL_MS = 1_000;
const RIVAL_IDLE_MS = 5_000;

export interface BlobCopyParts extends TransferOptions {
  readonly from: BlobStore;
  readonly to: BlobStore;
  readonly patience?: Patience;
  /** Told of bytes as they pass. */
  readonly passed?: (bytes: number) => void;
}

/** The upload that a blob is copied by: the same for each run, so that a later one finds what an earlier one has sent. */
export function uploadIdOf(info: BlobInfo): string {
  // Under a digest the bytes are always the same; any other key may come to hold other ones.
  const content = parseBlobKey(info.key) === undefined ? `${info.key} ${info.sizeBytes} ${info.etag}` : info.key;
  return `copy-${createHash("sha256").update(content).digest("hex").slice(0, 32)}`;
}

export class BlobCopier {
  readonly #parts: BlobCopyParts;
  readonly #patience: Patience;
  readonly #call: CallOptions;

  constructor(parts: BlobCopyParts) {
    this.#parts = parts;
    this.#patience = parts.patience ?? new Patience(parts);
    this.#call = parts.signal === undefined ? {} : { signal: parts.signal };
  }

  /**
   * @param held what the target has under the key, where that is known to be wrong
   * @throws STORED_CORRUPT when the source's bytes are not those of the key's digest
   */
  async copy(info: BlobInfo, held?: BlobInfo): Promise<BlobOutcome> {
    const digest = parseBlobKey(info.key);
    const { maxBlobBytes } = this.#parts.to.facts.limits;
    if (info.sizeBytes > maxBlobBytes) {
      throw new OutriggerError(
        "SIZE_MISMATCH",
        `it has ${info.sizeBytes} bytes, and the target takes at most ${maxBlobBytes}`,
      );
    }
    let [source, target] = [info, held];
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#patience.run(() => this.#once(source, target, digest));
      } catch (error) {
        if (hasReason(error, "DIGEST_MISMATCH", "SIZE_MISMATCH")) await this.#blame(source, digest, error);
        else if (!isRace(error)) throw error;
        if (attempt >= ATTEMPTS) throw error;
        if (hasReason(error, "UPLOAD_FENCED")) await this.#letFinish(uploadIdOf(source), error);
        const [now, there] = await this.#look(source.key);
        if (now === undefined) return "gone";
        // Another copy was first, or a push.
        if (there !== undefined && there.etag !== target?.etag && isSame(now, there)) return "same";
        [source, target] = [now, there];
      }
    }
  }

  /** Another copy sends the same blob: it is left to it, unless it stops. @throws `fenced` when that takes long */
  async #letFinish(uploadId: string, fenced: OutriggerError): Promise<void> {
    const { clock = systemClock, signal, to } = this.#parts;
    for (let waitedMs = 0; waitedMs < RIVAL_MS; waitedMs += RIVAL_POLL_MS) {
      await sleep(clock, RIVAL_POLL_MS, signal);
      const upload = await this.#patience.run(() => to.getUpload(uploadId, this.#call));
      if (upload === undefined || upload.idleMs > RIVAL_IDLE_MS) return;
    }
    throw new OutriggerError("UPLOAD_FENCED", "another copy is sending it to the target at this moment", {
      cause: fenced,
    });
  }

  async #look(key: string): Promise<readonly [BlobInfo | undefined, BlobInfo | undefined]> {
    const { from, to } = this.#parts;
    const [[source], [target]] = await this.#patience.run(() =>
      Promise.all([from.stat([key], this.#call), to.stat([key], this.#call)]),
    );
    return [source, target];
  }

  async #once(source: BlobInfo, held: BlobInfo | undefined, digest: string | undefined): Promise<BlobOutcome> {
    try {
      const expected = digest ?? (await this.hash(this.#parts.from, source, "sha256"));
      if (source.sizeBytes <= limits.putBytes) await this.#put(source, held, expected);
      else await this.#append(source, held, expected);
      return "copied";
    } catch (error) {
      if (hasReason(error, "KEY_NOT_FOUND")) return "gone";
      throw error;
    }
  }

  async #put(source: BlobInfo, held: BlobInfo | undefined, digest: string): Promise<void> {
    const { from, to, rate, signal } = this.#parts;
    const read = await from.read(source.key, { ifEtag: source.etag }, this.#call);
    const bytes = await collect(read);
    await rate?.take(bytes.length, signal);
    const condition: Condition = held === undefined ? { ifAbsent: true } : { ifEtag: held.etag };
    await to.put(source.key, bytes, { digest, condition }, this.#call);
    this.#passed(bytes.length);
  }

  async #append(source: BlobInfo, held: BlobInfo | undefined, digest: string): Promise<void> {
    const { from, to, rate, signal } = this.#parts;
    const { key, sizeBytes, etag } = source;
    const uploadId = uploadIdOf(source);
    const found = await to.getUpload(uploadId, this.#call);
    if (found !== undefined && found.persistedBytes > sizeBytes) await to.abortUpload(uploadId, {}, this.#call);
    const resumes = found !== undefined && found.persistedBytes <= sizeBytes;
    const offsetBytes = resumes ? found.persistedBytes : 0;
    const read = await from.read(key, { offsetBytes, ifEtag: etag }, this.#call);
    let passedBytes = offsetBytes;
    this.#passed(offsetBytes);
    const body = paced(read.body, rate, signal, (bytes) => {
      passedBytes += bytes;
      this.#passed(bytes);
    });
    try {
      await to.append(
        {
          uploadId,
          create: !resumes,
          algorithm: algorithmOf(digest),
          offsetBytes,
          body,
          key,
          sizeBytes,
          commit: { key, digest, sizeBytes, ifAbsent: held === undefined },
        },
        this.#call,
      );
    } catch (error) {
      // Bytes count once, when they are there.
      this.#parts.passed?.(-passedBytes);
      if (hasReason(error, "DIGEST_MISMATCH", "SIZE_MISMATCH", "UPLOAD_LOST"))
        await to.abortUpload(uploadId, {}, this.#call);
      throw error;
    } finally {
      await read.cancel();
    }
  }

  /** The target did not get the bytes of the digest. @throws STORED_CORRUPT when that is the source's fault */
  async #blame(source: BlobInfo, digest: string | undefined, cause: Error): Promise<void> {
    if (digest === undefined) return;
    const real = await this.#patience.run(() => this.hash(this.#parts.from, source, algorithmOf(digest)));
    if (real === digest) return;
    throw new OutriggerError("STORED_CORRUPT", `its bytes are damaged at the source: they have the digest ${real}`, {
      cause,
    });
  }

  /** The digest of a blob's bytes. */
  async hash(store: BlobStore, info: BlobInfo, algorithm: string): Promise<string> {
    const { rate, signal } = this.#parts;
    const hash = createHash(algorithm);
    const read = await store.read(info.key, { ifEtag: info.etag }, this.#call);
    for await (const piece of paced(read.body, rate, signal, () => this.#patience.progressed())) hash.update(piece);
    return `${algorithm}:${hash.digest("hex")}`;
  }

  #passed(bytes: number): void {
    this.#patience.progressed();
    this.#parts.passed?.(bytes);
  }
}

/** By what is known without reading: the same key, so a digest's bytes are those; any other key needs its digests told. */
export function isSame(from: BlobInfo, to: BlobInfo): boolean {
  if (from.sizeBytes !== to.sizeBytes) return false;
  const digest = parseBlobKey(from.key);
  if (digest !== undefined) {
    const told = to.digests.find((one) => algorithmOf(one) === algorithmOf(digest));
    return told === undefined || told === digest;
  }
  return from.digests.some((one) => to.digests.includes(one));
}

function isRace(error: unknown): boolean {
  return hasReason(
    error,
    "KEY_EXISTS",
    "ETAG_MISMATCH",
    "OFFSET_MISMATCH",
    "UPLOAD_NOT_FOUND",
    "UPLOAD_FENCED",
    "UPLOAD_LOST",
  );
}
