/**
 * Keeps the secondary as the primary is, key by key: the primary is never written here, so that nothing that was deleted
 * there comes back. All work on a key is done while nothing else changes it.
 */
import { createHash } from "node:crypto";
import type { BlobInfo } from "../../client/contract.ts";
import type { Clock } from "../../proto/clock.ts";
import { hasReason } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import { copyBlob } from "../composed/copy.ts";
import type { KeyLocks } from "../composed/locks.ts";
import { type Member, newSender } from "../composed/member.ts";
import type { Journal } from "./journal.ts";

export interface CopiesOptions {
  readonly primary: Member;
  readonly secondary: Member;
  readonly journal: Journal;
  readonly locks: KeyLocks;
  readonly clock: Clock;
  /** Ends the copies under way that have not been sent to their end: their keys stay pending. */
  readonly ending?: AbortSignal;
}

/** A key as the primary has it now; the bytes where they are at hand, the digest where it was just verified. */
export interface Known {
  readonly here: BlobInfo | undefined;
  readonly digest?: string;
  readonly data?: Uint8Array;
}

/** What is sent to the secondary may take effect so much later. */
const SECONDARY_MS = 15_000;
/** A pusher whose driver died tries to go on for 30 s; most come back within two. */
const ABANDONED_MS = 15_000;
/** Contents known to be alike, by their etags on both sides, where no digest tells. */
const MOST_ALIKE = 10_000;

export class Copies {
  readonly #options: CopiesOptions;
  readonly #alike = new Map<string, string>();
  /** Pushers' Opens under way, by upload. */
  readonly #opening = new Map<string, number>();

  constructor(options: CopiesOptions) {
    this.#options = options;
  }

  /**
   * Makes the secondary's copy of one key what the primary has. Only while the key's lock is held.
   * @param known what the primary was just changed to, where that is known
   * @throws BACKEND_DOWN: the key stays pending
   */
  async settle(key: string, known?: Known): Promise<{ readonly againMs: number } | undefined> {
    const { primary, secondary, journal } = this.#options;
    // Before the primary is asked: what takes effect after it was is seen by a later pass alone.
    for (const [uploadId, { sinceMs }] of [...(journal.get(key)?.commits ?? [])])
      if (await this.#isOver(uploadId, sinceMs)) journal.commitOver(uploadId, key);
    const isQuiet = journal.isQuiet(key);
    if (!isQuiet) known = undefined;
    const here = known === undefined ? await primary.statOne(key) : known.here;
    if (here === undefined) {
      await this.#sent(key, (notAfterMs) => secondary.delete(key, { notAfterMs }));
      this.#alike.delete(key);
    } else {
      const there = known?.data === undefined ? await secondary.statOne(key) : undefined;
      if (there === undefined || !this.#same(key, here, there)) {
        this.#remember(key, here, await this.#copy(key, here, known));
      }
    }
    return isQuiet ? journal.settled(key) : journal.unsettled(key);
  }

  /** An Open of the pusher's: while it waits, none is made here that would take the upload from it. */
  async whileOpening<Result>(uploadId: string, opening: Promise<Result>): Promise<Result> {
    this.#opening.set(uploadId, (this.#opening.get(uploadId) ?? 0) + 1);
    try {
      return await opening;
    } finally {
      const left = (this.#opening.get(uploadId) ?? 1) - 1;
      if (left > 0) this.#opening.set(uploadId, left);
      else this.#opening.delete(uploadId);
    }
  }

  /** Whether a commit of the upload, in the primary, cannot take effect any more. */
  async #isOver(uploadId: string, sinceMs: number): Promise<boolean> {
    const { primary, clock } = this.#options;
    if ((await primary.getUpload(uploadId)) === undefined) return true;
    // Whoever pushes has come back by then, or does not: an Open of our own then is in nobody's way, and ends what may
    // still be under way [blob.append.04].
    if (clock.now() - sinceMs < ABANDONED_MS || this.#opening.has(uploadId)) return false;
    const open = { uploadId, sender: newSender(), attempt: 1, create: false, algorithm: "sha256" } as const;
    try {
      const upload = await primary.openUpload(open);
      await upload.close();
    } catch (error) {
      if (!hasReason(error, "UPLOAD_NOT_FOUND")) throw error;
    }
    return true;
  }

  /** Whatever the secondary says of its copy: one that believes to hold the digest already would keep what it has. */
  async settleAnew(key: string): Promise<{ readonly againMs: number } | undefined> {
    const { secondary } = this.#options;
    await this.#sent(key, (notAfterMs) => secondary.delete(key, { notAfterMs }));
    return this.settle(key);
  }

  /** A change of the secondary whose answer is lost may still take effect. */
  async #sent<Result>(key: string, send: (notAfterMs: number) => Promise<Result>): Promise<Result> {
    const { journal, clock } = this.#options;
    const notAfterMs = await journal.arm(key, clock.now() + SECONDARY_MS);
    try {
      return await send(notAfterMs);
    } catch (error) {
      journal.doubt(key, notAfterMs);
      throw error;
    }
  }

  async #copy(key: string, info: BlobInfo, known: Known | undefined): Promise<BlobInfo> {
    const { primary, secondary, journal, clock, ending } = this.#options;
    if (info.sizeBytes <= limits.putBytes) {
      const bytes = known?.data ?? (await primary.readWhole(info, {}, known?.digest));
      return this.#sent(key, (notAfterMs) => secondary.put(key, bytes, {}, { notAfterMs }));
    }
    let sentUntilMs: number | undefined;
    try {
      return await copyBlob({
        from: primary,
        info,
        to: secondary,
        key,
        ...(known?.digest === undefined ? {} : { digest: known.digest }),
        uploadId: copyId(key),
        ...(ending === undefined ? {} : { signal: ending }),
        notAfterMs: async () => {
          sentUntilMs = await journal.arm(key, clock.now() + SECONDARY_MS);
          return sentUntilMs;
        },
      });
    } catch (error) {
      if (sentUntilMs !== undefined) journal.doubt(key, sentUntilMs);
      throw error;
    }
  }

  #same(key: string, here: BlobInfo, there: BlobInfo): boolean {
    if (here.sizeBytes !== there.sizeBytes) return false;
    return sameDigest(here, there) ?? this.#alike.get(key) === pair(here, there);
  }

  #remember(key: string, here: BlobInfo, there: BlobInfo): void {
    if (this.#alike.size >= MOST_ALIKE) this.#alike.clear();
    this.#alike.set(key, pair(here, there));
  }
}

/** Whether the digests that both sides know are equal; `undefined` where they know none in common. */
export function sameDigest(here: BlobInfo, there: BlobInfo): boolean | undefined {
  for (const algorithm of ["sha256:", "sha512:"]) {
    const [one, other] = [here, there].map(({ digests }) => digests.find((digest) => digest.startsWith(algorithm)));
    if (one !== undefined && other !== undefined) return one === other;
  }
  return undefined;
}

function pair(here: BlobInfo, there: BlobInfo): string {
  return `${here.etag} ${there.etag}`;
}

/** One upload for each key: a newer copy fences what is left of an older one, also of a process that died. */
function copyId(key: string): string {
  return `outrigger-mirror-${createHash("sha256").update(key).digest("hex").slice(0, 40)}`;
}
