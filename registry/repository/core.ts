/** What every rule works with. */
import { createHash } from "node:crypto";
import type { Logger } from "pino";
import type { Stores } from "../../client/contract.ts";
import type { Clock } from "../../proto/clock.ts";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { algorithmOf, isDigest } from "../../proto/keys.ts";
import { RegistryError } from "../errors.ts";
import type { RequestContext } from "./contract.ts";
import type { CachedManifest, DigestCache } from "./digest-cache.ts";
import { blobKey } from "./keys.ts";
import type { Ledger } from "./ledger.ts";
import { MAX_MANIFEST_BYTES } from "./manifest.ts";

export interface Core {
  readonly stores: Stores;
  readonly ledger: Ledger;
  readonly cache: DigestCache;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

/** @throws DIGEST_INVALID */
export function assertDigestText(digest: string): void {
  if (isDigest(digest)) return;
  throw new RegistryError("DIGEST_INVALID", "a digest is sha256:<64 hex> or sha512:<128 hex>, in lower case", {
    detail: { digest: digest.slice(0, 200) },
  });
}

export function digestOfBytes(bytes: Uint8Array, algorithm: string): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

/**
 * A manifest's bytes, from memory or the blob store. `undefined`: the store has no such bytes.
 * @throws STORED_CORRUPT when they do not have their digest
 */
export async function loadManifest(
  core: Core,
  digest: string,
  context: Pick<RequestContext, "signal" | "requestId">,
): Promise<CachedManifest | undefined> {
  const cached = core.cache.manifest(digest);
  if (cached !== undefined) return cached;
  try {
    const read = await core.stores.blobs.read(blobKey(digest), { limitBytes: MAX_MANIFEST_BYTES }, context);
    if (read.info.sizeBytes > MAX_MANIFEST_BYTES) {
      await read.cancel();
      throw new OutriggerError(
        "STORED_CORRUPT",
        `${digest} is stored as a manifest, but has ${read.info.sizeBytes} bytes`,
      );
    }
    const bytes = await collect(read);
    if (digestOfBytes(bytes, algorithmOf(digest)) !== digest) {
      throw new OutriggerError("STORED_CORRUPT", `the bytes of ${digest} have another digest`);
    }
    return core.cache.keepManifest(digest, bytes);
  } catch (error) {
    if (hasReason(error, "KEY_NOT_FOUND")) return undefined;
    throw error;
  }
}

/** All bytes of a read that is known to be small. */
export async function collect(read: {
  readonly body: AsyncIterable<Buffer>;
  cancel(): Promise<void>;
}): Promise<Buffer> {
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of read.body) chunks.push(chunk);
    const [only] = chunks;
    return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks);
  } finally {
    await read.cancel();
  }
}
