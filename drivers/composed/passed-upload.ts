/** An upload that lies in one member: every step goes there, and the member verifies what it commits. */
import type { RemoteUpload } from "../../client/remote-upload.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import type { BlobDriver, BlobInfo, CallContext, Upload, VerifiedCommit } from "../../server/contract.ts";
import { type Member, mutating, newSender } from "./member.ts";

/** How a composition commits: `passOn` sends it to the member. */
export type CommitUpload = (
  target: VerifiedCommit,
  call: CallContext,
  passOn: (target: VerifiedCommit) => Promise<{ readonly info: BlobInfo; readonly digest: string }>,
) => Promise<{ readonly info: BlobInfo; readonly digest: string }>;

/** A commit without a time of its own must not take effect at any time. */
export const COMMIT_MS = 15 * 60_000;

/** @throws UPLOAD_NOT_FOUND, UPLOAD_FENCED, BACKEND_DOWN */
export async function openPassed(
  member: Member,
  uploadId: string,
  options: Parameters<BlobDriver["open"]>[1],
  call: CallContext,
  commit: CommitUpload,
): Promise<Upload> {
  const { key, sizeBytes, create, sender, attempt, algorithm } = options;
  const remote = await member.openUpload(
    {
      uploadId,
      create,
      // Without a sender there is nobody whose late open could be told from a newer one.
      sender: sender === undefined || sender === "" ? newSender() : sender,
      attempt: attempt ?? 1,
      algorithm: algorithm ?? "sha256",
      ...(key === undefined ? {} : { key }),
      ...(sizeBytes === undefined ? {} : { sizeBytes }),
    },
    mutating(call),
  );
  return new PassedUpload(member, remote, commit);
}

class PassedUpload implements Upload {
  readonly #member: Member;
  readonly #remote: RemoteUpload;
  readonly #commit: CommitUpload;

  constructor(member: Member, remote: RemoteUpload, commit: CommitUpload) {
    this.#member = member;
    this.#remote = remote;
    this.#commit = commit;
  }

  get persistedBytes(): number {
    return this.#remote.persistedBytes;
  }

  async write(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; at += limits.chunkBytes) {
      const piece = data.subarray(at, at + limits.chunkBytes);
      await this.#member.asked(() => this.#remote.write(piece));
    }
  }

  flush(): Promise<void> {
    return this.#member.asked(() => this.#remote.flush());
  }

  commitVerified(target: VerifiedCommit, call: CallContext) {
    return this.#commit(target, call, (passed) =>
      this.#member.asked(() =>
        this.#remote.commit({
          key: passed.key,
          sizeBytes: passed.sizeBytes,
          ifAbsent: passed.ifAbsent,
          notAfterMs: call.notAfterMs ?? Date.now() + COMMIT_MS,
          ...(passed.digest === undefined ? {} : { digest: passed.digest }),
        }),
      ),
    );
  }

  close(): Promise<void> {
    return this.#remote.close();
  }

  read(): never {
    throw new OutriggerError("INTERNAL", "an upload behind another driver is verified there, not read");
  }

  commit(): never {
    throw new OutriggerError("INTERNAL", "an upload behind another driver is committed by commitVerified");
  }
}
