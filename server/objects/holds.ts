/** Whether a name holds certain bytes: what a request did whose answer was lost. */
import { createHash } from "node:crypto";
import { hasReason } from "../../proto/errors.ts";
import { algorithmOf } from "../../proto/keys.ts";
import { digestOf } from "../hasher.ts";
import type { ObjectFacts, ObjectStore } from "./contract.ts";

export type Content = { readonly sizeBytes: number } & ({ readonly digest: string } | { readonly data: Uint8Array });

/** The backend is not there or wants a pause: it says nothing of what was asked for, and may answer later. */
export function isPassing(error: unknown): boolean {
  return hasReason(error, "BACKEND_DOWN", "THROTTLED");
}

export function conditionLost(error: unknown): boolean {
  return hasReason(error, "KEY_EXISTS", "ETAG_MISMATCH");
}

/** What the name holds, if it is this content: as its backend knows, else by reading it. */
export async function holds(
  store: ObjectStore,
  name: string,
  content: Content,
  signal: AbortSignal,
): Promise<ObjectFacts | undefined> {
  const facts = await store.head(name, signal);
  if (facts === undefined || facts.sizeBytes !== content.sizeBytes) return undefined;
  const digest = "digest" in content ? content.digest : digestOf("sha256", content.data);
  const algorithm = algorithmOf(digest);
  const known = facts.digests.find((one) => one.startsWith(`${algorithm}:`));
  if (known !== undefined) return known === digest ? facts : undefined;
  try {
    const hash = createHash(algorithm);
    const { body } = await store.read(name, { offsetBytes: 0, ifEtag: facts.etag }, signal);
    for await (const piece of body) hash.update(piece);
    return `${algorithm}:${hash.digest("hex")}` === digest ? facts : undefined;
  } catch (error) {
    // Gone, changed or damaged: then it does not hold it.
    if (hasReason(error, "KEY_NOT_FOUND", "ETAG_MISMATCH", "STORED_CORRUPT")) return undefined;
    throw error;
  }
}
