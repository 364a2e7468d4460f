/**
 * One reading of the slow store for everybody who wants the same bytes now, written into the fast store on the way. The
 * newest bytes are kept for readers that are a little behind; who falls further behind, or leaves, ends nobody else's.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { Gate } from "../../client/gate.ts";
import type { RemoteUpload } from "../../client/remote-upload.ts";
import type { Clock } from "../../proto/clock.ts";
import type { BlobBytes, BlobInfo } from "../../server/contract.ts";
import { newSender } from "../composed/member.ts";
import { dataKey, type Entry, entryOf, Sums } from "./entry.ts";
import { type Fast, UPLOADS } from "./fast.ts";

export interface FillOptions {
  /** The whole blob, from the slow store. */
  readonly source: BlobBytes;
  readonly fast: Fast;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onEnd: () => void;
}

/** Bytes kept of each fill. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** A reader that takes nothing for so long is not waited for. */
const PATIENCE_MS = 5_000;
const COMMIT_MS = 60_000;

/** The reader has fallen behind what is kept, or the fill failed: it goes on by itself. */
export class Detached extends Error {}

export interface Attached {
  /** @throws Detached: go on elsewhere, behind what was given */
  readonly body: AsyncIterable<Uint8Array>;
  detach(): void;
}

interface Reader {
  atBytes: number;
}

export class Fill {
  readonly info: BlobInfo;
  readonly entry: Entry;
  readonly #options: FillOptions;
  readonly #readers = new Set<Reader>();
  readonly #gate = new Gate();
  /** The newest pieces, oldest first. */
  readonly #window: Uint8Array[] = [];
  #startBytes = 0;
  #endBytes = 0;
  #isOver = false;
  #failure: unknown;
  #isPaced = true;
  /** The key was changed or deleted: nothing of it stays in the fast store. */
  #isDoomed = false;
  readonly #finished: Promise<void>;
  readonly #writer: FastWriter;

  constructor(options: FillOptions) {
    this.#options = options;
    this.info = options.source.info;
    this.entry = entryOf(this.info);
    this.#writer = new FastWriter(options.fast, this.entry, options.log);
    this.#finished = this.#run();
  }

  /** Resolves once the bytes are in the fast store, or will not be. Never rejects. */
  get finished(): Promise<void> {
    return this.#finished;
  }

  /** Whether a reader may still begin at the first byte. */
  get isYoung(): boolean {
    return this.#startBytes === 0 && this.#failure === undefined;
  }

  /** Whether every byte came: what is left is the fast store's. */
  get isRead(): boolean {
    return this.#isOver;
  }

  /** The readers go on; resolves once the fast store has nothing of it. Never rejects. */
  doom(): Promise<void> {
    this.#isDoomed = true;
    return this.#writer.abandon();
  }

  /** A reader from the first byte on, waited for from now until it is read to its end, or let go. */
  attach(): Attached {
    const reader: Reader = { atBytes: 0 };
    this.#readers.add(reader);
    return { body: this.#read(reader), detach: () => this.#detach(reader) };
  }

  #detach(reader: Reader): void {
    this.#readers.delete(reader);
    this.#gate.open();
  }

  async *#read(reader: Reader): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        if (reader.atBytes < this.#startBytes) throw new Detached("the reader has fallen behind");
        if (reader.atBytes < this.#endBytes) {
          const piece = this.#pieceAt(reader.atBytes);
          yield piece;
          reader.atBytes += piece.length;
          this.#gate.open();
        } else if (this.#failure !== undefined) throw new Detached("the fill failed", { cause: this.#failure });
        else if (this.#isOver) return;
        else await this.#gate.wait();
      }
    } finally {
      this.#detach(reader);
    }
  }

  #pieceAt(atBytes: number): Uint8Array {
    let start = this.#startBytes;
    for (const piece of this.#window) {
      if (atBytes < start + piece.length) return piece.subarray(atBytes - start);
      start += piece.length;
    }
    throw new Error("no piece of the window holds the offset");
  }

  async #run(): Promise<void> {
    const { log, onEnd, source } = this.#options;
    const writer = this.#writer;
    try {
      for await (const piece of source.body) {
        this.#window.push(piece);
        this.#endBytes += piece.length;
        while (this.#endBytes - this.#startBytes > WINDOW_BYTES) this.#startBytes += this.#window.shift()?.length ?? 0;
        this.#gate.open();
        await writer.write(piece);
        if (this.#readers.size === 0 && writer.isAbandoned) break;
        await this.#pace();
      }
      this.#isOver = this.#endBytes === this.info.sizeBytes;
      if (!this.#isOver) throw new Detached("nobody wants the rest");
      this.#gate.open();
      // Whoever is still behind reads on from the window meanwhile.
      await writer.finish(this.info, () => this.#isDoomed);
    } catch (error) {
      if (!this.#isOver) this.#failure = error;
      if (!(error instanceof Detached))
        log.info({ err: error, key: this.info.key }, "a blob could not be taken into the fast store");
      await writer.abandon();
    } finally {
      this.#gate.open();
      onEnd();
    }
  }

  /** Not further ahead of the foremost reader than what is kept. */
  async #pace(): Promise<void> {
    const { clock } = this.#options;
    let isLate = false;
    let cancel: (() => void) | undefined;
    while (this.#isPaced && this.#isAhead() && !isLate) {
      cancel ??= clock.after(PATIENCE_MS, () => {
        isLate = true;
        this.#gate.open();
      });
      await this.#gate.wait();
    }
    cancel?.();
    if (isLate) this.#isPaced = false;
  }

  #isAhead(): boolean {
    let foremost = -1;
    for (const { atBytes } of this.#readers) foremost = Math.max(foremost, atBytes);
    return foremost >= 0 && this.#endBytes - foremost >= WINDOW_BYTES / 2;
  }
}

/** The fast store's side of a fill: whatever fails here, the readers do not notice. */
class FastWriter {
  readonly #fast: Fast;
  readonly #entry: Entry;
  readonly #log: Logger;
  readonly #uploadId = `${UPLOADS}${randomUUID()}`;
  readonly #sums = new Sums();
  #release: (() => void) | undefined;
  #upload: RemoteUpload | undefined;
  #opening: Promise<void> | undefined;
  #finishing: Promise<void> | undefined;
  isAbandoned = false;

  constructor(fast: Fast, entry: Entry, log: Logger) {
    this.#fast = fast;
    this.#entry = entry;
    this.#log = log;
  }

  async write(piece: Uint8Array): Promise<void> {
    if (this.isAbandoned) return;
    try {
      await this.#open();
      if (this.isAbandoned) return;
      this.#sums.update(piece);
      await this.#upload?.write(piece);
    } catch (err) {
      if (!this.isAbandoned) this.#log.info({ err }, "the fast store does not take a blob");
      await this.abandon();
    }
  }

  #open(): Promise<void> {
    this.#opening ??= this.#openOnce();
    return this.#opening;
  }

  async #openOnce(): Promise<void> {
    this.#release = await this.#fast.reserve(this.#entry.sizeBytes);
    if (this.#release === undefined) this.isAbandoned = true;
    if (this.isAbandoned) return;
    this.#upload = await this.#fast.member.openUpload({
      uploadId: this.#uploadId,
      sender: newSender(),
      attempt: 1,
      create: true,
      algorithm: "sha256",
      key: dataKey(this.#fast.prefix, this.#entry),
      sizeBytes: this.#entry.sizeBytes,
    });
  }

  finish(info: BlobInfo, isDoomed: () => boolean): Promise<void> {
    if (this.isAbandoned) return Promise.resolve();
    this.#finishing = this.#finish(info, isDoomed);
    return this.#finishing;
  }

  async #finish(info: BlobInfo, isDoomed: () => boolean): Promise<void> {
    await this.#open();
    if (this.#upload === undefined) return;
    const key = dataKey(this.#fast.prefix, this.#entry);
    const notAfterMs = Date.now() + COMMIT_MS;
    const { digest } = await this.#upload.commit({ key, sizeBytes: info.sizeBytes, ifAbsent: false, notAfterMs });
    const told = info.digests.find((one) => one.startsWith("sha256:"));
    const isRight = told === undefined || told === digest;
    if (!isRight)
      this.#log.error({ key: info.key, digest, told }, "the slow store gives other bytes than those of its digest");
    if (isRight && !isDoomed()) await this.#fast.add(this.#entry, this.#sums.bytes());
    this.isAbandoned = true;
    if (!isRight || isDoomed()) await this.#fast.discard(this.#entry);
    this.#release?.();
  }

  /** Never rejects. */
  async abandon(): Promise<void> {
    // A commit on its way is seen through, and taken back behind it.
    await this.#finishing?.catch(() => undefined);
    if (this.isAbandoned) return;
    this.isAbandoned = true;
    await this.#opening?.catch(() => undefined);
    await this.#upload?.close();
    if (this.#upload !== undefined) await this.#fast.member.abortUpload(this.#uploadId).catch(() => undefined);
    // Whether its commit took effect is not known, if there was one.
    if (this.#finishing !== undefined) await this.#fast.discard(this.#entry);
    this.#release?.();
  }
}
