/** One blob from a store to another, as a core needs it at once. What there is besides is `outrigger copy`'s work. */
import { randomUUID } from "node:crypto";
import type { BlobStore, CallOptions } from "../../client/contract.ts";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { algorithmOf } from "../../proto/keys.ts";

/**
 * Resolves once `to` has the blob.
 * @throws KEY_NOT_FOUND where neither has it
 */
export async function assertCopied(
  from: BlobStore,
  to: BlobStore,
  key: string,
  digest: string | undefined,
  options: CallOptions = {},
): Promise<void> {
  const [there] = await to.stat([key], options);
  if (there !== undefined) return;
  const read = await from.read(key, {}, options);
  const { sizeBytes } = read.info;
  try {
    const { committed } = await to.append(
      {
        uploadId: randomUUID(),
        create: true,
        algorithm: digest === undefined ? "sha256" : algorithmOf(digest),
        offsetBytes: 0,
        body: read.body,
        key,
        sizeBytes,
        commit: { key, sizeBytes, ifAbsent: true, ...(digest === undefined ? {} : { digest }) },
      },
      options,
    );
    if (committed === undefined) throw new OutriggerError("UPLOAD_LOST", `${key} was copied and is not there`);
  } catch (error) {
    if (!hasReason(error, "KEY_EXISTS")) throw error;
  } finally {
    await read.cancel();
  }
}
