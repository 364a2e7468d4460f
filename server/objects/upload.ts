/** One opened upload, as the host wants it. */
import { createHash } from "node:crypto";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { type Algorithm, invalidField } from "../../proto/keys.ts";
import type { BlobInfo, CallContext, Upload } from "../contract.ts";
import { howOf, infoOf } from "./blobs.ts";
import type { Cleaning } from "./cleaning.ts";
import type { Commits, Known } from "./commits.ts";
import type { ObjectStore, RequestHow } from "./contract.ts";
import type { FenceWatch } from "./fence-watch.ts";
import { untimed } from "./held-state.ts";
import { conditionLost } from "./holds.ts";
import { stagedIn } from "./state.ts";
import { pieceByPiece } from "./tails.ts";
import type { UploadWriter } from "./upload-writer.ts";

type Commit = Parameters<Upload["commit"]>[0];

export class ObjectUpload implements Upload {
  readonly #store: ObjectStore;
  readonly #writer: UploadWriter;
  readonly #commits: Commits;
  readonly #cleaning: Cleaning;
  readonly #watch: FenceWatch;
  readonly #onClose: () => void;

  constructor(parts: {
    readonly store: ObjectStore;
    readonly writer: UploadWriter;
    readonly commits: Commits;
    readonly cleaning: Cleaning;
    readonly watch: FenceWatch;
    readonly onClose: () => void;
  }) {
    this.#store = parts.store;
    this.#writer = parts.writer;
    this.#commits = parts.commits;
    this.#cleaning = parts.cleaning;
    this.#watch = parts.watch;
    this.#onClose = parts.onClose;
    this.lost.addEventListener("abort", () => this.#writer.fail(this.lost.reason), { once: true });
  }

  get lost(): AbortSignal {
    return this.#watch.lost;
  }

  get persistedBytes(): number {
    return this.#writer.persistedBytes;
  }

  write(data: Uint8Array): Promise<void> {
    return this.#writer.write(data);
  }

  flush(): Promise<void> {
    return this.#writer.flush();
  }

  // biome-ignore lint/correctness/useYield: the host asks for `digest`
  async *read(): AsyncGenerator<Uint8Array> {
    throw new OutriggerError("CAPABILITY_MISSING", "an upload's parts cannot be read: ask for its digest");
  }

  async digest(algorithm: Algorithm, call: CallContext): Promise<string> {
    const { hash } = this.#writer;
    if (hash?.algorithm === algorithm) return hash.digest();
    if (!this.#writer.hasParts && !this.#writer.held.state.sealed) return this.#digestOfTails(algorithm);
    await this.#seal(algorithm);
    const { held } = this.#writer;
    const { body } = await this.#store.read(stagedIn(held.state, held.uploadId), { offsetBytes: 0 }, call.signal);
    return digestOfPieces(algorithm, body);
  }

  /** What parts hold can be read only once they are one object. */
  async #seal(algorithm: Algorithm): Promise<void> {
    const writer = this.#writer;
    const { held } = writer;
    if (held.state.sealed) return;
    await writer.flush();
    if (held.state.assembly?.direct) {
      throw invalidField(
        "commit.digest",
        `is not of the algorithm that the upload was opened with, and its parts lie under the key already: open it with algorithm ${algorithm}`,
      );
    }
    const ending = await writer.ending();
    await writer.swap({ phase: "sealing", ending }, untimed);
    await this.#commits.seal(held, writer.known);
    writer.forget();
    writer.goOn();
  }

  async #digestOfTails(algorithm: Algorithm): Promise<string> {
    await this.#writer.flush();
    const { tails } = this.#writer.held.state;
    const store = this.#store;
    return digestOfPieces(
      algorithm,
      (async function* () {
        for (const tail of tails) yield* pieceByPiece(store, tail);
      })(),
    );
  }

  async commit(commit: Commit, call: CallContext): Promise<BlobInfo> {
    const how = howOf(call);
    // From here on what is written to the state tells as much.
    this.#watch.stop();
    const info = commit.keep ? await this.#keep(commit, how) : await this.#place(commit, call.notAfterMs, how);
    await this.#close();
    return info;
  }

  /** The key holds these bytes already. */
  async #keep({ key, condition }: Commit, how: RequestHow): Promise<BlobInfo> {
    const there = await this.#store.head(key, how.signal);
    if (there === undefined || (condition && (!("ifEtag" in condition) || condition.ifEtag !== there.etag))) {
      throw new OutriggerError("ETAG_MISMATCH", `key ${key} has another etag, or is absent`);
    }
    const writer = this.#writer;
    await writer.stop();
    await writer.swap({ phase: "done" }, how);
    await this.#cleaning.afterCommit(writer.held);
    return infoOf(there);
  }

  async #place({ key, condition, digest }: Commit, notAfterMs: number | undefined, how: RequestHow): Promise<BlobInfo> {
    const writer = this.#writer;
    const { held } = writer;
    const inHand = writer.hasParts || held.state.sealed ? undefined : writer.dataInHand();
    try {
      const ending = await writer.ending();
      const { assembly } = writer;
      if (writer.hasParts && assembly?.direct && assembly.name !== key) {
        throw invalidField("commit.key", `the upload was opened for ${assembly.name}, and its parts lie there already`);
      }
      const target = {
        key,
        digest,
        ...(condition === undefined ? {} : { condition }),
        ...(notAfterMs === undefined ? {} : { notAfterMs }),
      };
      await writer.swap({ phase: "committing", ending, target }, how);
      const known: Known = { parts: writer.known, ...(inHand === undefined ? {} : { data: inHand.data }) };
      return await this.#placed(known, how);
    } finally {
      writer.goOn();
      inHand?.left();
    }
  }

  async #placed(known: Known, how: RequestHow): Promise<BlobInfo> {
    const { held } = this.#writer;
    try {
      const facts = await this.#commits.place(held.state, held.uploadId, known, how);
      await this.#commits.end(held);
      return infoOf(facts);
    } catch (error) {
      if (hasReason(error, "UPLOAD_NOT_FOUND")) await this.#cleaning.end(held);
      if (conditionLost(error) || hasReason(error, "TOO_LATE")) {
        await this.#commits.reopen(held);
        if (held.state.sealed) this.#writer.forget();
      }
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#close();
  }

  async #close(): Promise<void> {
    this.#watch.stop();
    this.#onClose();
    await this.#writer.close();
  }
}

async function digestOfPieces(algorithm: Algorithm, pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash(algorithm);
  for await (const piece of pieces) hash.update(piece);
  return `${algorithm}:${hash.digest("hex")}`;
}
