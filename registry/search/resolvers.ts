/** The queries of the schema. */
import type { Asking } from "./asking.ts";
import { cveListForImage, imageListForCve, imageListWithCveFixed } from "./queries/cve.ts";
import { cveDiffListForImages } from "./queries/cve-diff.ts";
import { globalSearch } from "./queries/global-search.ts";
import { image, imageList, imageListForDigest, referrers } from "./queries/images.ts";
import { baseImageList, derivedImageList } from "./queries/layers.ts";
import {
  bookmarkedRepositories,
  expandedRepository,
  repositoryList,
  starredRepositories,
} from "./queries/repositories.ts";

/** What a query is answered with. */
export interface Resolving {
  readonly asking: Asking;
  /** Of one item of its page (cost.ts). */
  readonly values: number;
}

/** Arguments are as the schema says: graphql has checked them. */
function query<Args, Answer>(resolve: (args: Args, asking: Asking, values: number) => Promise<Answer>) {
  return (args: Args, { asking, values }: Resolving): Promise<Answer> => resolve(args, asking, values);
}

export const rootValue: Readonly<Record<string, (args: never, resolving: Resolving) => Promise<unknown>>> = {
  CVEListForImage: query(cveListForImage),
  CVEDiffListForImages: query(cveDiffListForImages),
  ImageListForCVE: query(imageListForCve),
  ImageListWithCVEFixed: query(imageListWithCveFixed),
  ImageListForDigest: query(imageListForDigest),
  RepoListWithNewestImage: query(repositoryList),
  ImageList: query(imageList),
  ExpandedRepoInfo: query(expandedRepository),
  GlobalSearch: query(globalSearch),
  DerivedImageList: query(derivedImageList),
  BaseImageList: query(baseImageList),
  Image: query(image),
  Referrers: query(referrers),
  StarredRepos: query(starredRepositories),
  BookmarkedRepos: query(bookmarkedRepositories),
};
