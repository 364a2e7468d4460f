/** A blob from one member to another: hashed on the way, and visible there only whole and with that digest. */
import { createHash } from "node:crypto";
import type { BlobInfo } from "../../client/contract.ts";
import type { RemoteUpload } from "../../client/remote-upload.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { algorithmOf } from "../../proto/keys.ts";
import { type Member, newSender } from "./member.ts";

export interface Copy {
  readonly from: Member;
  readonly info: BlobInfo;
  readonly to: Member;
  readonly key: string;
  /** What the bytes must be, where somebody has verified that. Default: as the source tells, if it does. */
  readonly digest?: string;
  /** Of the copy alone: what an earlier one left under it is taken away, and an earlier one still under way is fenced. */
  readonly uploadId: string;
  readonly ifAbsent?: boolean;
  /** Asked right before the commit leaves. */
  readonly notAfterMs: () => Promise<number>;
  readonly signal?: AbortSignal;
}

/** @throws STORED_CORRUPT when the source does not give the bytes of the digest, KEY_EXISTS */
export async function copyBlob(copy: Copy): Promise<BlobInfo> {
  const { to, info, uploadId, key } = copy;
  const known = copy.digest ?? info.digests.find((digest) => digest.startsWith("sha256:"));
  const algorithm = known === undefined ? "sha256" : algorithmOf(known);
  const hash = createHash(algorithm);
  const signal = copy.signal === undefined ? {} : { signal: copy.signal };
  await to.abortUpload(uploadId);
  const upload = await to.openUpload(
    {
      uploadId,
      sender: newSender(),
      attempt: 1,
      create: true,
      algorithm,
      key,
      sizeBytes: info.sizeBytes,
    },
    signal,
  );
  try {
    await pour(copy, async (piece) => {
      hash.update(piece);
      await to.asked(() => upload.write(piece));
    });
    const digest = `${algorithm}:${hash.digest("hex")}`;
    if (known !== undefined && known !== digest)
      throw new OutriggerError(
        "STORED_CORRUPT",
        `${copy.from.who} gives bytes of ${digest} for ${info.key}, which is ${known}`,
      );
    return await commit(copy, upload, digest);
  } catch (error) {
    await upload.close();
    await to.abortUpload(uploadId).catch(() => undefined);
    throw error;
  }
}

async function commit({ to, key, info, ...copy }: Copy, upload: RemoteUpload, digest: string): Promise<BlobInfo> {
  const notAfterMs = await copy.notAfterMs();
  const target = { key, sizeBytes: info.sizeBytes, digest, ifAbsent: copy.ifAbsent ?? false, notAfterMs };
  const committed = await to.asked(() => upload.commit(target));
  return committed.info;
}

/** All bytes of the source, in pieces that one chunk takes [blob.read.09]. */
async function pour({ from, info, signal }: Copy, write: (piece: Uint8Array) => Promise<void>): Promise<void> {
  const read = await from.read(info.key, { ifEtag: info.etag }, signal === undefined ? {} : { signal });
  for await (const piece of read.body) {
    signal?.throwIfAborted();
    await write(piece);
  }
  signal?.throwIfAborted();
}
