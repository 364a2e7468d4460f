/** Search as one types: a name, a name and a tag, a tag of any name, a digest. */
import type { Asking } from "../asking.ts";
import type { RepositoryView, SearchView } from "../contract.ts";
import { QueryError } from "../errors.ts";
import { type Found, newestTag, readable, type Scope } from "../facts.ts";
import { type Filter, type FilterInput, filterOf, platformsFit, tooLong } from "../filter.ts";
import type { ImageSummary, Shown } from "../image-summary.ts";
import { type Page, type PageInfo, type PageInput, pageOf } from "../page.ts";
import { rankOf } from "../rank.ts";
import type { RepositorySummary } from "../repository-summary.ts";
import { type Selected, selectImages, selectInOrder } from "../selecting.ts";
import { found as foundByDigest } from "./digests.ts";
import { imageFits, imagesOf, showImages } from "./images.ts";
import { having, showRepositories, viewOrder, windowOfAll } from "./repositories.ts";

export interface GlobalSearchArgs {
  readonly query: string;
  readonly filter?: FilterInput | null;
  readonly requestedPage?: PageInput | null;
}

export interface GlobalSearchResult {
  readonly Page: PageInfo;
  readonly Images: readonly Shown<ImageSummary>[];
  /** Null where images were searched for. */
  readonly Repos: readonly Shown<RepositorySummary>[] | null;
  readonly Layers: readonly never[];
}

export type SearchTarget =
  | { readonly kind: "repositories"; readonly text: string }
  | { readonly kind: "image"; readonly name: string; readonly tag: string }
  | { readonly kind: "tag"; readonly tag: string }
  | { readonly kind: "digest"; readonly digest: string };

const MAX_QUERY_BYTES = 256;

/** zot's rules. @throws QueryError */
export function targetOf(query: string): SearchTarget {
  const sizeBytes = Buffer.byteLength(query);
  if (sizeBytes > MAX_QUERY_BYTES) throw tooLong("query", sizeBytes);
  const text = query.trim().replace(/^\/+|\/+$/g, "");
  // Tags may have capitals: what names one is compared as it was written (zot searches for it in lower case, in vain).
  const lower = text.toLowerCase();
  if (!/[:@]/.test(lower)) return { kind: "repositories", text: lower };
  if (lower.startsWith("sha256:")) return { kind: "digest", digest: lower };
  const [before = "", after, ...rest] = text.split(":");
  if (after === undefined || (before === "" && after === "")) throw new QueryError("invalid search query");
  if (before === "") return { kind: "tag", tag: text.slice(1) };
  if (rest.length > 0) {
    throw new QueryError(
      "failed to parse search text, invalid format invalid image reference format, use [repo:tag] or [repo@digest]",
    );
  }
  return { kind: "image", name: before.trim().toLowerCase(), tag: after.trim() };
}

export async function globalSearch(
  args: GlobalSearchArgs,
  asking: Asking,
  values: number,
): Promise<GlobalSearchResult> {
  const target = targetOf(args.query);
  assertNotNegative(args.requestedPage);
  const filter = filterOf(args.filter);
  if (target.kind === "repositories")
    return searchRepositories(target.text, filter, args.requestedPage, asking, values);
  const page = pageOf(args.requestedPage, "RELEVANCE", "images");
  const found = await imagesBy(target, asking);
  const fitting = having(found, (each) => imageFits(filter, each));
  const images = showImages(asking, selectImages(fitting, page), values);
  return { Page: images.Page, Images: images.Results, Repos: null, Layers: [] };
}

/** In the words that zot has for this query alone. @throws QueryError */
function assertNotNegative(page: PageInput | null | undefined): void {
  for (const name of ["limit", "offset"] as const) {
    if ((page?.[name] ?? 0) >= 0) continue;
    throw new QueryError(`requested page ${name} parameter can't be negative request parameter has invalid value`);
  }
}

async function imagesBy(
  target: Exclude<SearchTarget, { kind: "repositories" }>,
  asking: Asking,
): Promise<Iterable<Found>> {
  if (target.kind === "digest") return foundByDigest(asking, target.digest);
  const view = await asking.view();
  const { scope } = asking;
  if (target.kind === "tag") {
    const repositories = having(view.repositories("name"), ({ name }) => scope.everything || scope.has(name));
    return having(allImages(repositories), ({ tag }) => tag.tag.includes(target.tag));
  }
  const repository = readable(view, scope, target.name);
  return repository === undefined ? [] : having(imagesOf(repository), ({ tag }) => tag.tag.startsWith(target.tag));
}

function* allImages(repositories: Iterable<RepositoryView>): Iterable<Found> {
  for (const repository of repositories) yield* imagesOf(repository);
}

async function searchRepositories(
  text: string,
  filter: Filter,
  requestedPage: PageInput | null | undefined,
  asking: Asking,
  values: number,
): Promise<GlobalSearchResult> {
  const page = pageOf(requestedPage, "RELEVANCE", "repos");
  const asksPreferred = filter.isBookmarked !== undefined || filter.isStarred !== undefined;
  const preferred = asksPreferred ? await asking.preferred() : undefined;
  const view = await asking.view();
  const { scope } = asking;
  const fits = (repository: RepositoryView) => {
    if (!scope.everything && !scope.has(repository.name)) return false;
    if (filter.isBookmarked !== undefined && preferred?.bookmarked.has(repository.name) !== filter.isBookmarked)
      return false;
    if (filter.isStarred !== undefined && preferred?.starred.has(repository.name) !== filter.isStarred) return false;
    return repositoryFits(filter, repository);
  };
  const rank = (repository: RepositoryView) => rankOf(repository.name, text) ?? 0;
  const repositories = showRepositories(asking, select(view, text, page, filter, scope, fits), rank, values);
  return { Page: repositories.Page, Images: [], Repos: repositories.Results, Layers: [] };
}

function select(
  view: SearchView,
  text: string,
  page: Page,
  filter: Filter,
  scope: Scope,
  fits: (repository: RepositoryView) => boolean,
): Selected<RepositoryView> {
  if (text === "" && filter.isEmpty && scope.everything) return windowOfAll(view, page);
  const found = view.repositories(viewOrder(page.order));
  if (text === "") return selectInOrder(having(found, fits), page);
  const matching = having(found, (repository) => rankOf(repository.name, text) !== undefined && fits(repository));
  return selectInOrder(page.order === "RELEVANCE" ? byRank(matching, text) : matching, page);
}

/** Equals stay in the order of names that they come in. */
function* byRank(repositories: Iterable<RepositoryView>, text: string): Iterable<RepositoryView> {
  const ranks = new Map<number, RepositoryView[]>();
  for (const repository of repositories) {
    const rank = rankOf(repository.name, text) ?? 0;
    const equals = ranks.get(rank);
    if (equals === undefined) ranks.set(rank, [repository]);
    else equals.push(repository);
  }
  for (const rank of [...ranks.keys()].sort((a, b) => a - b)) yield* ranks.get(rank) ?? [];
}

/** Whether any of its images fits; whether its newest one is signed. */
function repositoryFits(filter: Filter, repository: RepositoryView): boolean {
  if (filter.hasToBeSigned) {
    const newest = newestTag(repository);
    if (newest === undefined || repository.image(newest.digest)?.isSigned !== true) return false;
  }
  if (filter.os.size === 0 && filter.arch.size === 0) return true;
  for (const { digest } of repository.tags()) {
    const image = repository.image(digest);
    if (image !== undefined && platformsFit(filter, image.platforms)) return true;
  }
  return false;
}
