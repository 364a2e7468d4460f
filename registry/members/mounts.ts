/** Mounting a blob from a repository that another member owns: the owner of the target fetches the bytes. */
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import { algorithmOf } from "../../proto/keys.ts";
import type { BlobFound, Repositories, RequestContext } from "../repository/contract.ts";
import { untilAgreed } from "./agree.ts";
import type { MemberClient } from "./client.ts";
import { isMemberError } from "./errors.ts";
import { blobPath } from "./paths.ts";
import type { View } from "./view.ts";

export interface MountOptions {
  readonly view: () => View;
  readonly client: MemberClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly local: Repositories;
  readonly account: string;
}

/** `undefined`: not to be had there, or not now; the client uploads it, as the spec has it (end-11). */
export async function mountFrom(
  options: MountOptions,
  name: string,
  digest: string,
  from: string,
  context: RequestContext,
): Promise<BlobFound | undefined> {
  const { view, client, clock, log, local, account } = options;
  const { list, self } = view();
  const owner = list.ownerOf(from);
  if (owner === undefined || owner === self) return undefined;
  try {
    const request = {
      method: "GET",
      path: blobPath(from, digest),
      role: "owner",
      account,
      signal: context.signal,
    } as const;
    const answer = await untilAgreed(clock, context.signal, () => client.open(owner, request));
    try {
      const sizeBytes = Number(answer.headers["content-length"]);
      if (answer.status !== 200 || !Number.isSafeInteger(sizeBytes)) return undefined;
      const session = local.startUpload(name, algorithmOf(digest));
      // The storage hashes what it gets: other bytes are refused there.
      return await local.finishUpload(session, digest, { offsetBytes: 0, sizeBytes, bytes: answer.body }, context);
    } finally {
      answer.discard();
    }
  } catch (error) {
    if (!isMemberError(error) && !isOtherBytes(error)) throw error;
    log.warn(
      { err: error, requestId: context.requestId, member: owner },
      "a blob could not be mounted from another member",
    );
    return undefined;
  }
}

/** The member's fault, not the client's. */
function isOtherBytes(error: unknown): boolean {
  const { reason, code } = error as { readonly reason?: unknown; readonly code?: unknown };
  return (
    reason === "DIGEST_MISMATCH" || reason === "SIZE_MISMATCH" || code === "DIGEST_INVALID" || code === "SIZE_INVALID"
  );
}
