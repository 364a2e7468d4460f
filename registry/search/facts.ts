/**
 * What a page shows, taken out of the view in one go: a view may change at any await, and answers are put together over
 * several.
 */
import type { ImageView, Platform, RepositoryView, SearchView, TagView } from "./contract.ts";
import { showArch } from "./filter.ts";

/** Of one manifest. */
export interface ManifestFacts {
  readonly digest: string;
  readonly mediaType: string;
  readonly createdMs: number;
  readonly downloads: number;
  readonly lastPullMs: number;
  readonly pushedMs: number;
  readonly isSigned: boolean;
  /** "cosign" or "notation", once for each signature. */
  readonly signedBy: readonly string[];
  readonly referrers: readonly string[];
}

/** Of what a tag stands for. */
export interface ImageFacts extends ManifestFacts {
  readonly name: string;
  readonly tag: string;
  readonly taggedMs: number;
  readonly isIndex: boolean;
  /** Of an index, in its order; those that are not asked for left out. */
  readonly children: readonly ManifestFacts[];
  /** Digests of all of them: what an image says of itself is the same in every list. */
  readonly family: readonly string[];
}

export interface RepositoryFacts {
  readonly name: string;
  readonly updatedMs: number;
  readonly downloads: number;
  readonly stars: number;
  readonly platforms: readonly Platform[];
  /** Of the tag that was pushed last. */
  readonly newest: ImageFacts | undefined;
  /** All that its tags stand for, indexes and their images, each once. */
  readonly digests: readonly string[];
  readonly rank: number;
}

/** An image that a query may answer with. */
export interface Found {
  readonly repository: RepositoryView;
  readonly tag: TagView;
  /** Of an index: the images that were found; absent: all. */
  readonly only?: ReadonlySet<string>;
}

const SIGNATURES: ReadonlyMap<string, string> = new Map([
  ["application/vnd.dev.cosign.artifact.sig.v1+json", "cosign"],
  ["application/vnd.dev.cosign.simplesigning.v1+json", "cosign"],
  ["application/vnd.dev.sigstore.bundle.v0.3+json", "cosign"],
  ["application/vnd.cncf.notary.signature", "notation"],
]);

/** `undefined`: the view has the tag, and not what it stands for. */
export function imageFacts({ repository, tag, only }: Found): ImageFacts | undefined {
  const image = repository.image(tag.digest);
  if (image === undefined) return undefined;
  const children = image.children.flatMap((digest) => {
    const child = only === undefined || only.has(digest) ? repository.image(digest) : undefined;
    return child === undefined ? [] : [manifestFacts(repository, child)];
  });
  return {
    ...manifestFacts(repository, image),
    name: repository.name,
    tag: tag.tag,
    taggedMs: tag.taggedMs,
    isIndex: isIndex(image),
    children,
    family: [...image.children],
  };
}

export function isIndex({ mediaType, children }: Pick<ImageView, "mediaType" | "children">): boolean {
  return children.length > 0 || /\.(?:image\.index|manifest\.list)\./.test(mediaType);
}

function manifestFacts(repository: RepositoryView, image: ImageView): ManifestFacts {
  const { digest, mediaType, createdMs, downloads, lastPullMs, pushedMs, isSigned } = image;
  const referrers = [...repository.referrers(digest)];
  const signedBy = isSigned
    ? referrers.flatMap((referrer) => SIGNATURES.get(repository.image(referrer)?.artifactType ?? "") ?? [])
    : [];
  // One by cosign's tag refers to nothing.
  if (isSigned && signedBy.length === 0) signedBy.push("cosign");
  return { digest, mediaType, createdMs, downloads, lastPullMs, pushedMs, isSigned, signedBy, referrers };
}

export function repositoryFacts(repository: RepositoryView, rank: number): RepositoryFacts {
  const { name, updatedMs, downloads, stars } = repository;
  const platforms = new Map<string, Platform>();
  const digests = new Set<string>();
  for (const { digest } of repository.tags()) {
    const image = repository.image(digest);
    if (image === undefined || digests.has(digest)) continue;
    digests.add(digest);
    for (const child of image.children) digests.add(child);
    for (const platform of image.platforms) {
      if (platform.os !== "" || platform.arch !== "") platforms.set(`${platform.os} ${showArch(platform)}`, platform);
    }
  }
  const newest = newestTag(repository);
  return {
    name,
    updatedMs,
    downloads,
    stars,
    platforms: [...platforms.values()],
    newest: newest && imageFacts({ repository, tag: newest }),
    digests: [...digests],
    rank,
  };
}

/** The tag that was pushed last; where that is not known, of the image that was made last; equals by tag. */
export function newestTag(repository: RepositoryView): TagView | undefined {
  let best: TagView | undefined;
  let bestCreatedMs = 0;
  for (const tag of repository.tags()) {
    const createdMs = repository.image(tag.digest)?.createdMs ?? 0;
    const ahead = best === undefined ? 1 : tag.taggedMs - best.taggedMs || createdMs - bestCreatedMs;
    if (ahead > 0) {
      best = tag;
      bestCreatedMs = createdMs;
    }
  }
  return best;
}

/** A tag of what a name in a query stands for. `undefined`: there is none that may be read. */
export function readable(view: SearchView, scope: Scope, name: string): RepositoryView | undefined {
  return scope.has(name) ? view.repository(name) : undefined;
}

/** Which repositories are there, to who asks. */
export interface Scope {
  /** All: nothing has to be looked at one by one. */
  readonly everything: boolean;
  has(name: string): boolean;
}
