/** Referrers (OCI distribution spec 1.1, "Listing Referrers"): a key beside each revision that has a subject. */
import { limits } from "../../proto/limits.ts";
import type { Descriptor, RequestContext } from "./contract.ts";
import { assertDigestText, type Core, loadManifest } from "./core.ts";
import { digestPath, parseReferrersKey, referrersPrefix } from "./keys.ts";
import { MAX_MANIFEST_BYTES, type Manifest } from "./manifest.ts";
import { assertName, listingBound } from "./names.ts";

/** A descriptor above this lies without its annotations; they are read from the manifest when it is listed. */
const MAX_INLINE_BYTES = 32 * 1024;
/** Of a page's descriptors: the answer around them must fit 4 MiB as well. */
const MAX_PAGE_BYTES = MAX_MANIFEST_BYTES - 64 * 1024;

/** The stored form: a descriptor, perhaps without its annotations. */
type Stored = Descriptor & { readonly annotationsElsewhere?: true };

export function descriptorOf(digest: string, sizeBytes: number, manifest: Manifest): Descriptor {
  return {
    mediaType: manifest.mediaType,
    digest,
    size: sizeBytes,
    ...(manifest.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
    ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
  };
}

/** The value of the referrer's key. */
export function encodeReferrer(digest: string, sizeBytes: number, manifest: Manifest): string {
  const whole = descriptorOf(digest, sizeBytes, manifest);
  const text = JSON.stringify(whole);
  if (Buffer.byteLength(text) <= MAX_INLINE_BYTES) return text;
  const { annotations: _, ...rest } = whole;
  const stored: Stored = { ...rest, annotationsElsewhere: true };
  return JSON.stringify(stored);
}

export async function listReferrers(
  core: Core,
  name: string,
  subject: string,
  page: { readonly artifactType?: string; readonly last: string; readonly limit: number },
  context: RequestContext,
): Promise<{ manifests: Descriptor[]; more: boolean }> {
  assertName(name);
  assertDigestText(subject);
  const prefix = referrersPrefix(name, subject);
  const manifests: Descriptor[] = [];
  let bytes = 0;
  let startAfter = page.last === "" ? undefined : prefix + digestPath(listingBound(page.last));
  if (page.limit <= 0) return { manifests, more: false };
  for (;;) {
    const found = await core.ledger.lookList(
      { prefix, limit: limits.listItems, ...(startAfter === undefined ? {} : { startAfter }) },
      context,
    );
    for (const { key, value } of found.items) {
      const digest = parseReferrersKey(key)?.digest;
      if (digest === undefined) continue;
      const stored = JSON.parse(value.toString("utf8")) as Stored;
      if (page.artifactType !== undefined && stored.artifactType !== page.artifactType) continue;
      const descriptor = await whole(core, stored, context);
      bytes += Buffer.byteLength(JSON.stringify(descriptor)) + 1;
      // One always fits: annotations are part of a manifest, which is no larger than a page.
      if (manifests.length === page.limit || (bytes > MAX_PAGE_BYTES && manifests.length > 0)) {
        return { manifests, more: true };
      }
      manifests.push(descriptor);
    }
    startAfter = found.items.at(-1)?.key;
    if (!found.more || startAfter === undefined) return { manifests, more: false };
  }
}

async function whole(core: Core, stored: Stored, context: RequestContext): Promise<Descriptor> {
  if (stored.annotationsElsewhere === undefined) return stored;
  const { annotationsElsewhere: _, ...descriptor } = stored;
  const loaded = await loadManifest(core, stored.digest, context);
  return loaded?.manifest.annotations === undefined
    ? descriptor
    : { ...descriptor, annotations: loaded.manifest.annotations };
}
