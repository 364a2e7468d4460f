/** What queries ask (search, the web page, members): the index of a registry's images, as of now, in memory. */
import type { RequestContext } from "../repository/contract.ts";
import type { ImageRecord } from "./record.ts";

export interface SearchSource {
  /**
   * As of a moment after this was called: whatever was acknowledged before is in it, by whichever core.
   * @throws OutriggerError when the store cannot be asked
   */
  view(context: RequestContext): Promise<SearchView>;
}

/** Does not change while it is looked at without an await between; ask anew after one. Names ascend bytewise. */
export interface SearchView {
  /** Repositories that have a tag. */
  readonly repositoryCount: number;
  /** Of all repositories, signatures' tags apart. */
  readonly tagCount: number;
  repository(name: string): RepositoryView | undefined;
  /**
   * Every repository that has a tag, in the order asked for, from `offset` on; equals by name. Costs offset + what is taken.
   * `updated` and `downloads` put the largest first.
   */
  repositories(order: RepositoryOrder, offset?: number): Iterable<RepositoryView>;
  /** Names of the repositories that hold the digest as a manifest (whether tagged or not), ascending. */
  repositoriesWith(manifestDigest: string): readonly string[];
  /** Records of revisions, whole (also what was cut), by digest; absent ones are missing. Batched. */
  records(name: string, digests: readonly string[], context: RequestContext): Promise<ReadonlyMap<string, ImageRecord>>;
}

export type RepositoryOrder = "name" | "name-desc" | "updated" | "downloads";

export interface RepositoryView {
  readonly name: string;
  /** Unix ms of the newest push of a tag; 0: not known. */
  readonly updatedMs: number;
  /** Sum over its images. */
  readonly downloads: number;
  readonly stars: number;
  readonly tagCount: number;
  /** Ascending by tag. Signatures' tags (sha256-<hex>.sig and the like) are not among them. */
  tags(): Iterable<TagView>;
  tag(tag: string): TagView | undefined;
  image(digest: string): ImageView | undefined;
  /** Digests of manifests whose subject this is, ascending. */
  referrers(digest: string): readonly string[];
}

export interface TagView {
  readonly tag: string;
  readonly digest: string;
  /** Unix ms when the tag was last pushed; 0: not known. */
  readonly taggedMs: number;
}

export interface Platform {
  readonly os: string;
  readonly arch: string;
  readonly variant?: string;
}

export interface ImageView {
  readonly digest: string;
  readonly mediaType: string;
  /** Of the manifest's own bytes. */
  readonly sizeBytes: number;
  readonly artifactType?: string | undefined;
  readonly subject?: string | undefined;
  /** Unix ms, of the config; for an index the newest of its children; 0: not known. */
  readonly createdMs: number;
  /** Its own, or those of an index's children; each once. */
  readonly platforms: readonly Platform[];
  /** Of an index, in its order. */
  readonly children: readonly string[];
  /** It has a cosign tag, or a referrer that is a signature (cosign, notation). */
  readonly isSigned: boolean;
  readonly downloads: number;
  /** Unix ms; 0: never, or not known. */
  readonly lastPullMs: number;
  readonly pushedMs: number;
}
