/**
 * A repository that this member owns now and has not yet taken over: what is not here is asked of the previous owner. What
 * is here is newer. Deletes wait until all of it is here, so that nothing deleted can come back from there.
 */
import { RegistryError } from "../errors.ts";
import { mergePages } from "../merge-pages.ts";
import type { Listing, Repositories, RequestContext } from "../repository/contract.ts";
import { mergeNames } from "./catalog.ts";
import type { Mover } from "./mover.ts";
import type { PreviousOwner } from "./previous-owner.ts";

/** A manifest may lack up to so many batches of layers, each as many as an error names. */
const BATCHES = 100;

export function movedRepositories(local: Repositories, mover: Mover, from: PreviousOwner): Repositories {
  /** Here, there, and here again: it may have come between the two looks. */
  const anywhere = async <Found>(
    here: () => Promise<Found | undefined>,
    there: () => Promise<Found | undefined>,
  ): Promise<Found | undefined> => (await here()) ?? (await there()) ?? here();

  const moved: Repositories = {
    ...local,
    statBlob: (name, digest, context) =>
      anywhere(
        () => local.statBlob(name, digest, context),
        async () => {
          const sizeBytes = await from.blobSize(name, digest, context.signal);
          return sizeBytes === undefined ? undefined : { digest, sizeBytes };
        },
      ),
    readBlob: (name, digest, range, context) =>
      anywhere(
        () => local.readBlob(name, digest, range, context),
        () => from.blob(name, digest, range, context.signal),
      ),
    getManifest: (name, reference, context) =>
      anywhere(
        () => local.getManifest(name, reference, context),
        () => from.manifest(name, "tag" in reference ? reference.tag : reference.digest, context.signal),
      ),
    async statManifest(name, reference, context) {
      const here = await local.statManifest(name, reference, context);
      if (here) return here;
      const found = await moved.getManifest(name, reference, context);
      return found && { digest: found.digest, sizeBytes: found.sizeBytes, mediaType: found.mediaType };
    },
    async listTags(name, page, context) {
      // There first: what is taken over in between is then here.
      const there = await from.tags(name, page, context.signal);
      const here = await local.listTags(name, page, context);
      const both = [here, there].filter((listing): listing is Listing => listing !== undefined);
      return both.length === 0 ? undefined : mergeNames(both, page.limit);
    },
    async listReferrers(name, subject, page, context) {
      const there = await from.referrers(name, subject, page, context.signal);
      const here = await local.listReferrers(name, subject, page, context);
      const pages = [here, there].map(({ manifests, more }) => ({ items: manifests, more }));
      const { items, more } = mergePages(pages, ({ digest }) => digest, page.limit);
      return { manifests: items, more };
    },
    putManifest: (name, manifest, context) =>
      bringing(mover, name, from, context, () => local.putManifest(name, manifest, context)),
    deleteTag: (name, tag, context) => whole(name, () => local.deleteTag(name, tag, context)),
    deleteManifest: (name, digest, context) => whole(name, () => local.deleteManifest(name, digest, context)),
    deleteBlob: (name, digest, context) => whole(name, () => local.deleteBlob(name, digest, context)),
  };

  async function whole(name: string, act: () => Promise<boolean>): Promise<boolean> {
    await mover.moveSoon(name, from);
    return act();
  }
  return moved;
}

/** Of a repository that is taken over: only layers of an upload that ended where it began may still be there. */
export function takenRepositories(local: Repositories, mover: Mover, from: PreviousOwner): Repositories {
  return {
    ...local,
    putManifest: (name, manifest, context) =>
      bringing(mover, name, from, context, () => local.putManifest(name, manifest, context)),
  };
}

/** A push whose layers still lie with the previous owner brings them first. */
async function bringing<Pushed>(
  mover: Mover,
  name: string,
  from: PreviousOwner,
  context: RequestContext,
  push: () => Promise<Pushed>,
): Promise<Pushed> {
  for (let batch = 0; ; batch += 1) {
    try {
      return await push();
    } catch (error) {
      const digests = missingOf(error);
      if (digests.length === 0 || batch === BATCHES) throw error;
      const brought = await Promise.all(digests.map((digest) => mover.bring(name, digest, from, context)));
      // One that is nowhere is missing however many others come.
      if (!brought.every(Boolean)) throw error;
    }
  }
}

function missingOf(error: unknown): readonly string[] {
  if (!(error instanceof RegistryError) || error.code !== "MANIFEST_BLOB_UNKNOWN") return [];
  const { digests } = (error.detail ?? {}) as { readonly digests?: readonly string[] };
  return digests ?? [];
}
