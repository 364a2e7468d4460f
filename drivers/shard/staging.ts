/**
 * A commit whose key belongs to another shard than the upload lies on. The upload is committed where it lies, under a
 * private key, which verifies it; the bytes are copied to the key's shard; then the private key is deleted. A note beside
 * it says what was asked, so that an Open after a crash finishes what it finds under way [blob.append.20].
 */
import { createHash } from "node:crypto";
import type { BlobInfo } from "../../client/contract.ts";
import type { Clock } from "../../proto/clock.ts";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import { assertInTime } from "../../server/calls.ts";
import type { CallContext, VerifiedCommit } from "../../server/contract.ts";
import { copyBlob } from "../composed/copy.ts";
import type { KeyLocks } from "../composed/locks.ts";
import { type Member, mutating, newSender } from "../composed/member.ts";
import type { PrivateKeys } from "../composed/private-keys.ts";

export interface Note {
  readonly key: string;
  readonly ifAbsent: boolean;
  readonly digest?: string;
  /** The commit's own: whoever finishes it has no other (unix ms). */
  readonly notAfterMs: number;
}

export interface StagingOptions {
  readonly privateKeys: PrivateKeys;
  readonly clock: Clock;
  readonly locks: KeyLocks;
  readonly memberOf: (key: string) => Member;
}

type Committed = { readonly info: BlobInfo; readonly digest: string };

/** Where a call tells no time of its own. */
const COMMIT_MS = 15 * 60_000;

export class Staging {
  readonly #options: StagingOptions;

  constructor(options: StagingOptions) {
    this.#options = options;
  }

  #staged(uploadId: string): string {
    return `${this.#options.privateKeys.prefix}staged/${uploadId}`;
  }

  #note(uploadId: string): string {
    return `${this.#options.privateKeys.prefix}notes/${uploadId}`;
  }

  /** What is staged for the upload at this member. */
  staged(home: Member, uploadId: string): Promise<BlobInfo | undefined> {
    return home.statOne(this.#staged(uploadId));
  }

  /** @throws DIGEST_MISMATCH, KEY_EXISTS, TOO_LATE: the upload stays, or is there again */
  async commit(
    home: Member,
    uploadId: string,
    target: VerifiedCommit,
    call: CallContext,
    passOn: (target: VerifiedCommit) => Promise<Committed>,
  ): Promise<Committed> {
    const { key, ifAbsent, digest } = target;
    const notAfterMs = call.notAfterMs ?? this.#options.clock.now() + COMMIT_MS;
    const note: Note = { key, ifAbsent, notAfterMs, ...(digest === undefined ? {} : { digest }) };
    await home.putValue(this.#note(uploadId), note, mutating(call));
    let staged: Committed;
    try {
      staged = await passOn({ ...target, key: this.#staged(uploadId), ifAbsent: false });
    } catch (error) {
      // Without what it speaks of, a note says nothing.
      if (hasReason(error, "DIGEST_MISMATCH", "SIZE_MISMATCH", "TOO_LATE"))
        await home.delete(this.#note(uploadId)).catch(() => undefined);
      throw error;
    }
    const info = await this.#place(home, uploadId, { ...note, digest: staged.digest }, staged.info);
    return { info, digest: staged.digest };
  }

  /**
   * What an Open finds: a commit that was cut off behind its staging is brought to its end, once it is over here.
   * @returns whether the upload is there again, because its key holds something else by now, or its time is past
   */
  async finish(home: Member, uploadId: string): Promise<boolean> {
    const value = await home.getValue(this.#note(uploadId));
    if (value === undefined) {
      if ((await this.staged(home, uploadId)) === undefined) return false;
      // The note goes last: nothing is staged without one but by a hand from outside.
      throw new OutriggerError("STORED_CORRUPT", `upload ${uploadId} is staged at ${home.who} without its note`);
    }
    const note = JSON.parse(value.text) as Note;
    return this.#options.locks.during([note.key], async () => {
      const staged = await this.staged(home, uploadId);
      if (staged === undefined) return (await home.getUpload(uploadId)) !== undefined;
      try {
        await this.#place(home, uploadId, note, staged);
        return false;
      } catch (error) {
        if (hasLost(error)) return true;
        throw error;
      }
    });
  }

  async #place(home: Member, uploadId: string, note: Note, staged: BlobInfo): Promise<BlobInfo> {
    const { memberOf, clock } = this.#options;
    let info: BlobInfo;
    try {
      assertInTime(clock, note.notAfterMs);
      info = await copyBlob({
        from: home,
        info: staged,
        to: memberOf(note.key),
        key: note.key,
        ...(note.digest === undefined ? {} : { digest: note.digest }),
        uploadId: copyId(uploadId),
        ifAbsent: note.ifAbsent,
        notAfterMs: async () => {
          assertInTime(clock, note.notAfterMs);
          return note.notAfterMs;
        },
      });
    } catch (error) {
      if (hasLost(error)) await this.#restore(home, uploadId, staged);
      throw error;
    }
    await this.forget(home, uploadId);
    return info;
  }

  /** A commit that has lost leaves the upload as it was. */
  async #restore(home: Member, uploadId: string, staged: BlobInfo): Promise<void> {
    await home.abortUpload(uploadId);
    const open = { uploadId, sender: newSender(), attempt: 1, create: true, algorithm: "sha256" } as const;
    const upload = await home.openUpload(open);
    try {
      const read = await home.read(staged.key, { ifEtag: staged.etag });
      for await (const piece of read.body) await home.asked(() => upload.write(piece));
      await home.asked(() => upload.flush());
    } finally {
      await upload.close();
    }
    await this.forget(home, uploadId);
  }

  /** The bytes first: a note alone is nothing under way. */
  async forget(home: Member, uploadId: string): Promise<void> {
    await home.delete(this.#staged(uploadId));
    await home.delete(this.#note(uploadId));
  }

  /**
   * What nobody came back for.
   * @param isUpload whether there is still an upload that the pointer at this key leads to
   */
  async expire(home: Member, ttlMs: number, isUpload: (pointerKey: string) => Promise<boolean>): Promise<void> {
    const { privateKeys, clock } = this.#options;
    for (const folder of ["staged", "notes", "pointers"]) {
      const prefix = `${privateKeys.prefix}${folder}/`;
      for (let startAfter = ""; ; ) {
        const page = await home.list({ prefix, startAfter, limit: limits.listItems });
        for (const { key, modifiedMs } of page.items) {
          startAfter = key;
          if (modifiedMs === 0 || clock.now() - modifiedMs <= ttlMs) continue;
          if (folder === "pointers" && (await isUpload(key))) continue;
          await home.delete(key);
        }
        if (!page.more) break;
      }
    }
  }
}

function hasLost(error: unknown): boolean {
  return hasReason(error, "KEY_EXISTS", "TOO_LATE");
}

/** Copies of one upload's commit fence each other. */
function copyId(uploadId: string): string {
  return `${COPY}${createHash("sha256").update(uploadId).digest("hex").slice(0, 40)}`;
}

/** Uploads of this driver's own at its members. */
export const COPY = "shardcopy-";
