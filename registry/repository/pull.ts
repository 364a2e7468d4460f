/** Pulls: what a repository has is asked of the meta store (or of memory, under the lease), the bytes of the blob store. */
import type { BlobRead } from "../../client/contract.ts";
import { hasReason } from "../../proto/errors.ts";
import { algorithmOf, isDigest } from "../../proto/keys.ts";
import { isReadable } from "./condemned.ts";
import type { BlobFound, ManifestFound, Reference, RequestContext } from "./contract.ts";
import { assertDigestText, type Core, collect, digestOfBytes, loadManifest } from "./core.ts";
import { SMALL_BLOB_BYTES } from "./digest-cache.ts";
import { blobKey, condemnedKey, layerLink, revisionLink, tagKey, tagLink } from "./keys.ts";
import { assertName, isTag } from "./names.ts";

type Range = { readonly offsetBytes: number; readonly limitBytes?: number } | undefined;

/** A Get; and a Stat when the size is not known. */
export async function statBlob(
  core: Core,
  name: string,
  digest: string,
  context: RequestContext,
): Promise<BlobFound | undefined> {
  if (!(await hasLayer(core, name, digest, context))) return undefined;
  const known = core.cache.size(digest);
  if (known !== undefined) return { digest, sizeBytes: known };
  const [info] = await core.stores.blobs.stat([blobKey(digest)], context);
  if (info === undefined) return undefined;
  core.cache.keepSize(digest, info.sizeBytes);
  return { digest, sizeBytes: info.sizeBytes };
}

/** A Get and a Read, or memory. */
export async function readBlob(
  core: Core,
  name: string,
  digest: string,
  range: Range,
  context: RequestContext,
): Promise<BlobRead | undefined> {
  if (!(await hasLayer(core, name, digest, context))) return undefined;
  const key = blobKey(digest);
  const held = core.cache.blob(digest);
  if (held !== undefined) return fromMemory(key, held, range);
  let read: BlobRead;
  try {
    read = await core.stores.blobs.read(key, range, context);
  } catch (error) {
    if (!hasReason(error, "KEY_NOT_FOUND")) throw error;
    // Or a HEAD would go on saying that it is there, and a push would skip it.
    core.cache.forget(digest);
    return undefined;
  }
  core.cache.keepSize(digest, read.info.sizeBytes);
  if (read.lengthBytes !== read.info.sizeBytes || read.info.sizeBytes > SMALL_BLOB_BYTES) return read;
  const bytes = await collect(read);
  // Damaged bytes go out as they are (the client checks them) but must not stay in memory after a repair.
  if (digestOfBytes(bytes, algorithmOf(digest)) === digest) core.cache.keepBlob(digest, bytes);
  return { ...fromMemory(key, bytes, range), info: read.info };
}

async function hasLayer(core: Core, name: string, digest: string, context: RequestContext): Promise<boolean> {
  assertName(name);
  assertDigestText(digest);
  const [link, marker] = await core.ledger.look([layerLink(name, digest), condemnedKey(digest)], context);
  return link !== undefined && isReadable(marker);
}

function fromMemory(key: string, bytes: Buffer, range: Range): BlobRead {
  const start = Math.min(range?.offsetBytes ?? 0, bytes.length);
  const part = bytes.subarray(start, start + (range?.limitBytes ?? bytes.length));
  return {
    info: { key, sizeBytes: bytes.length, etag: "", modifiedMs: 0, digests: [] },
    startBytes: start,
    lengthBytes: part.length,
    body: once(part),
    cancel: async () => {},
  };
}

async function* once(part: Buffer): AsyncIterable<Buffer> {
  if (part.length > 0) yield part;
}

/** A Get and a Read; the Read only when the bytes are not in memory. */
export async function getManifest(
  core: Core,
  name: string,
  reference: Reference,
  context: RequestContext,
): Promise<ManifestFound | undefined> {
  assertName(name);
  const digest = await resolve(core, name, reference, context);
  if (digest === undefined) return undefined;
  const found = await loadManifest(core, digest, context);
  if (found === undefined) return undefined;
  const { bytes, manifest } = found;
  return { digest, sizeBytes: bytes.length, mediaType: manifest.mediaType, bytes };
}

/** `undefined`: not in this repository. */
async function resolve(
  core: Core,
  name: string,
  reference: Reference,
  context: RequestContext,
): Promise<string | undefined> {
  if ("digest" in reference) {
    assertDigestText(reference.digest);
    const keys = [revisionLink(name, reference.digest), condemnedKey(reference.digest)];
    const [link, marker] = await core.ledger.look(keys, context);
    return link !== undefined && isReadable(marker) ? reference.digest : undefined;
  }
  // What cannot be pushed as a tag is simply not there.
  if (!isTag(reference.tag)) return undefined;
  // The derived key is there only if the tag's revision is: a root of distribution may hold tags to nothing.
  const [link, derived] = await core.ledger.look([tagLink(name, reference.tag), tagKey(name, reference.tag)], context);
  if (link === undefined || derived === undefined) return undefined;
  const digest = link.value.toString("utf8");
  return isDigest(digest) ? digest : undefined;
}
