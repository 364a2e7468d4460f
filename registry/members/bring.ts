/** A blob that another member has, into a repository of this one: verified by its digest, as an upload is. */
import type { BlobRead } from "../../client/contract.ts";
import { algorithmOf } from "../../proto/keys.ts";
import type { Repositories, RequestContext } from "../repository/contract.ts";

/**
 * @param read of the other member; called only where the bytes are not here. `undefined`: it has not
 * @returns false when neither has it
 */
export async function bringBlob(
  local: Repositories,
  name: string,
  digest: string,
  read: () => Promise<BlobRead | undefined>,
  context: RequestContext,
): Promise<boolean> {
  if (await local.statBlob(name, digest, context)) return true;
  // The bytes may be here, in another repository.
  if (await local.mountBlob(name, digest, { mayRead: () => true }, context)) return true;
  const there = await read();
  // It may have come between the two looks, and gone there.
  if (there === undefined) return (await local.statBlob(name, digest, context)) !== undefined;
  try {
    const session = local.startUpload(name, algorithmOf(digest));
    const body = { offsetBytes: 0, sizeBytes: there.lengthBytes, bytes: there.body };
    await local.finishUpload(session, digest, body, context);
    return true;
  } finally {
    await there.cancel();
  }
}
