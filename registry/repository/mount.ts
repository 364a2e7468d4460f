/** Cross-repository mounts (OCI distribution spec 1.1, "Mounting a blob from another repository"). */

import { isReadable } from "./condemned.ts";
import type { BlobFound, RequestContext } from "./contract.ts";
import { assertDigestText, type Core } from "./core.ts";
import { blobKey, layerLink, parseRefsKey, refsPrefix } from "./keys.ts";
import { linkLayer, patiently, readLayer, untilNotDeleting } from "./link-layer.ts";
import { assertName, isName } from "./names.ts";
import { untilAdded } from "./races.ts";

/** Repositories asked for at once when the client names none. */
const CANDIDATES = 50;

/** A Get, a Stat, a Write; without `from` a List and a Get more. */
export async function mountBlob(
  core: Core,
  name: string,
  digest: string,
  source: { readonly from?: string; readonly mayRead: (repository: string) => boolean },
  context: RequestContext,
): Promise<BlobFound | undefined> {
  assertName(name);
  assertDigestText(digest);
  const from = source.from ?? (await anyHolder(core, digest, source.mayRead, context));
  // A name that cannot exist holds nothing: the client uploads.
  if (from === undefined || !isName(from) || !source.mayRead(from)) return undefined;
  return untilAdded(core, context.signal, async () => {
    const items = await untilNotDeleting(core, digest, context, () =>
      patiently(core, context, () =>
        readLayer(core, name, digest, from === name ? [] : [layerLink(from, digest)], context),
      ),
    );
    const given = from === name ? items.link : items.others[0];
    if (given === undefined || !isReadable(items.marker)) return undefined;
    const [info] = await core.stores.blobs.stat([blobKey(digest)], context);
    if (info === undefined) return undefined;
    await linkLayer(core, name, digest, items, [], context);
    core.cache.keepSize(digest, info.sizeBytes);
    return { digest, sizeBytes: info.sizeBytes };
  });
}

/** A repository that has the blob as a layer and that the caller may read. */
async function anyHolder(
  core: Core,
  digest: string,
  mayRead: (repository: string) => boolean,
  context: RequestContext,
): Promise<string | undefined> {
  for await (const page of core.ledger.pages(refsPrefix(digest), context)) {
    const readable = page
      .map(({ key }) => parseRefsKey(key)?.name)
      .filter((name) => name !== undefined)
      .filter(mayRead);
    for (let at = 0; at < readable.length; at += CANDIDATES) {
      const names = readable.slice(at, at + CANDIDATES);
      // `refs/` also names repositories that have the digest as a manifest.
      const links = await core.ledger.get(
        names.map((name) => layerLink(name, digest)),
        context,
      );
      const found = names.find((_, index) => links[index] !== undefined);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}
