/** Every blob read and hashed, in the order of keys, so that a run can go on where another stopped. */
import { createHash } from "node:crypto";
import type { BlobInfo } from "../client/contract.ts";
import { systemClock } from "../proto/clock.ts";
import { hasReason, OutriggerError } from "../proto/errors.ts";
import { algorithmOf } from "../proto/keys.ts";
import { parseBlobKey } from "../registry/repository/keys.ts";
import { DEFAULT_JOBS, type Problem } from "./contract.ts";
import { isOfOneThing } from "./faults.ts";
import { pagesOf } from "./join.ts";
import { forEach } from "./pool.ts";
import { paced } from "./rate.ts";
import type { VerifyParts } from "./verify.ts";

export interface BytesChecked {
  readonly blobs: number;
  readonly bytes: number;
  readonly damaged: number;
  /** Under keys that name no digest: they could be read, and that is all that can be said. */
  readonly unnamed: number;
}

/** JSON in a file: fields are only added. */
export interface BytesState extends BytesChecked {
  /** Of the blob store: another one's state is of no use. */
  readonly storeId: string;
  /** Every key up to this one was read. "": none; the store's end: see `done`. */
  readonly after: string;
  readonly done: boolean;
  readonly problems: readonly Problem[];
}

const SAVE_EVERY_MS = 2_000;

export async function verifyBytes(parts: VerifyParts): Promise<BytesChecked> {
  const run = new BytesRun(parts);
  return run.all();
}

class BytesRun {
  readonly #parts: VerifyParts;
  readonly #counts: { blobs: number; bytes: number; damaged: number; unnamed: number };
  readonly #problems: Problem[];
  /** Being read, or read while an earlier one is not yet, in order. */
  readonly #open: { readonly key: string; done: boolean }[] = [];
  #after: string;
  #passedBytes = 0;
  #saving: Promise<void> = Promise.resolve();

  constructor(parts: VerifyParts) {
    this.#parts = parts;
    const { state } = parts.options;
    const usable = state !== undefined && !state.done && state.storeId === parts.stores.blobs.facts.id;
    const { blobs = 0, bytes = 0, damaged = 0, unnamed = 0, after = "", problems = [] } = usable ? state : {};
    this.#counts = { blobs, bytes, damaged, unnamed };
    this.#problems = [...problems];
    this.#after = after;
    for (const { what, why } of problems) parts.problems.add(what, why);
  }

  async all(): Promise<BytesChecked> {
    const { stores, options, patience, call } = this.#parts;
    const { clock = systemClock, jobs = DEFAULT_JOBS } = options;
    const list = pagesOf(
      (request) => stores.blobs.list(request, call),
      { prefix: "", ...(this.#after === "" ? {} : { startAfter: this.#after }) },
      patience,
    );
    async function* each() {
      for await (const page of list) yield* page;
    }
    let savedMs = clock.monotonic();
    try {
      await forEach(this.#opened(each()), jobs, async ({ info, entry }) => {
        await this.#check(info);
        entry.done = true;
        this.#settle();
        if (clock.monotonic() - savedMs < SAVE_EVERY_MS) return;
        savedMs = clock.monotonic();
        this.#save(false);
      });
    } catch (error) {
      this.#save(false);
      await this.#saving;
      throw error;
    }
    this.#save(true);
    await this.#saving;
    return this.#counts;
  }

  async *#opened(infos: AsyncIterable<BlobInfo>) {
    for await (const info of infos) {
      const entry = { key: info.key, done: false };
      this.#open.push(entry);
      yield { info, entry };
    }
  }

  #settle(): void {
    while (this.#open[0]?.done) this.#after = this.#open.shift()?.key ?? this.#after;
  }

  /** Blobs read ahead of an unfinished one are read again by the run that goes on. */
  #save(done: boolean): void {
    const { options, stores } = this.#parts;
    const state: BytesState = {
      storeId: stores.blobs.facts.id,
      after: this.#after,
      done,
      ...this.#counts,
      problems: [...this.#problems],
    };
    this.#saving = this.#saving.then(() => options.save?.(state));
    // Whoever waits for it hears of it.
    this.#saving.catch(() => undefined);
  }

  async #check(info: BlobInfo): Promise<void> {
    const { problems, patience } = this.#parts;
    const digest = parseBlobKey(info.key);
    try {
      const real = await patience.run(() => this.#hash(info, digest === undefined ? "sha256" : algorithmOf(digest)));
      if (real === undefined) return;
      this.#counts.blobs += 1;
      this.#counts.bytes += info.sizeBytes;
      if (digest === undefined) this.#counts.unnamed += 1;
      else if (real !== digest) throw new OutriggerError("STORED_CORRUPT", `its bytes have the digest ${real}`);
    } catch (error) {
      if (!isOfOneThing(error)) throw error;
      this.#counts.damaged += 1;
      const problem = { what: digest ?? info.key, why: error.message };
      problems.add(problem.what, problem.why);
      this.#problems.push(problem);
    }
  }

  /** `undefined`: it was deleted, or written anew, since it was listed. */
  async #hash(info: BlobInfo, algorithm: string): Promise<string | undefined> {
    const { stores, options, call } = this.#parts;
    const hash = createHash(algorithm);
    try {
      const read = await stores.blobs.read(info.key, { ifEtag: info.etag }, call);
      for await (const piece of paced(read.body, options.rate, options.signal, (bytes) => this.#passed(bytes))) {
        hash.update(piece);
      }
    } catch (error) {
      if (hasReason(error, "KEY_NOT_FOUND", "ETAG_MISMATCH")) return undefined;
      throw error;
    }
    return `${algorithm}:${hash.digest("hex")}`;
  }

  #passed(bytes: number): void {
    const { options, patience } = this.#parts;
    this.#passedBytes += bytes;
    patience.progressed();
    const { blobs, damaged } = this.#counts;
    options.doing?.(`bytes: ${blobs} blobs read, ${Math.floor(this.#passedBytes / 1024 ** 2)} MiB, ${damaged} damaged`);
  }
}
