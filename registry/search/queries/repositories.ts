/** Repositories: all, those that someone prefers, one with all its images. */
import type { Asking } from "../asking.ts";
import type { RepositoryOrder, RepositoryView, SearchView } from "../contract.ts";
import { QueryError } from "../errors.ts";
import { imageFacts, readable, repositoryFacts } from "../facts.ts";
import { type ImageSummary, imageSummaries, type Shown } from "../image-summary.ts";
import { countOn, infoOf, type Order, type Page, type PageInfo, type PageInput, pageOf } from "../page.ts";
import type { Preferred } from "../preferences.ts";
import { type RepositorySummary, repositorySummaries } from "../repository-summary.ts";
import { type Selected, selectInOrder } from "../selecting.ts";
import { imagesOf, NO_REPOSITORY } from "./images.ts";

export interface Repositories {
  readonly Page: PageInfo;
  readonly Results: readonly Shown<RepositorySummary>[];
}

interface PageArgs {
  readonly requestedPage?: PageInput | null;
}

/** What all of them have in common with an empty search. */
const RANK_OF_ALL = 1;

export async function repositoryList(args: PageArgs, asking: Asking, values: number): Promise<Repositories> {
  const page = pageOf(args.requestedPage, "UPDATE_TIME", "repos");
  const view = await asking.view();
  const { scope } = asking;
  const order = viewOrder(page.order);
  const selected = scope.everything
    ? windowOfAll(view, page)
    : selectInOrder(
        having(view.repositories(order), ({ name }) => scope.has(name)),
        page,
      );
  return showRepositories(asking, selected, () => RANK_OF_ALL, values);
}

export function starredRepositories(args: PageArgs, asking: Asking, values: number): Promise<Repositories> {
  return preferredRepositories(args, asking, values, ({ starred }) => starred);
}

export function bookmarkedRepositories(args: PageArgs, asking: Asking, values: number): Promise<Repositories> {
  return preferredRepositories(args, asking, values, ({ bookmarked }) => bookmarked);
}

async function preferredRepositories(
  args: PageArgs,
  asking: Asking,
  values: number,
  which: (preferred: Preferred) => ReadonlySet<string>,
): Promise<Repositories> {
  const page = pageOf(args.requestedPage, "UPDATE_TIME", "repos");
  const names = which(await asking.preferred());
  const view = await asking.view();
  const found = [...names].flatMap((name) => {
    const repository = readable(view, asking.scope, name);
    return repository === undefined || repository.tagCount === 0 ? [] : repository;
  });
  return showRepositories(asking, selectInOrder(found.sort(repositoryOrder(page.order)), page), () => 0, values);
}

/** Of the view's own order: what comes before the page is not looked at. */
export function windowOfAll(view: SearchView, page: Page): Selected<RepositoryView> {
  const total = view.repositoryCount;
  const count = countOn(page, total);
  const items: RepositoryView[] = [];
  for (const repository of count === 0 ? [] : view.repositories(viewOrder(page.order), page.offset)) {
    items.push(repository);
    if (items.length >= count) break;
  }
  return { items, total };
}

export function viewOrder(order: Order): RepositoryOrder {
  if (order === "UPDATE_TIME") return "updated";
  if (order === "DOWNLOADS") return "downloads";
  return order === "ALPHABETIC_DSC" ? "name-desc" : "name";
}

/** As the view's: equals by name. */
function repositoryOrder(order: Order): (a: RepositoryView, b: RepositoryView) => number {
  const byName = (a: RepositoryView, b: RepositoryView) => (a.name < b.name ? -1 : 1);
  if (order === "UPDATE_TIME") return (a, b) => b.updatedMs - a.updatedMs || byName(a, b);
  if (order === "DOWNLOADS") return (a, b) => b.downloads - a.downloads || byName(a, b);
  return order === "ALPHABETIC_DSC" ? (a, b) => byName(b, a) : byName;
}

export function* having<Item>(items: Iterable<Item>, fits: (item: Item) => boolean): Iterable<Item> {
  for (const item of items) if (fits(item)) yield item;
}

/** @throws QueryError where the answer would be too large */
export function showRepositories(
  asking: Asking,
  { items, total }: Selected<RepositoryView>,
  rankOf: (repository: RepositoryView) => number,
  values: number,
): Repositories {
  asking.charge(items.length, values);
  const facts = items.map((repository) => repositoryFacts(repository, rankOf(repository)));
  return { Page: infoOf(total, items.length), Results: repositorySummaries(asking, facts) };
}

/** Images newest first, equals by tag. What may not be read is not there. */
export async function expandedRepository(
  args: { readonly repo: string },
  asking: Asking,
  values: number,
): Promise<{
  readonly Images: readonly Shown<ImageSummary>[];
  readonly Summary: Shown<RepositorySummary> | undefined;
}> {
  const repository = readable(await asking.view(), asking.scope, args.repo);
  if (repository === undefined) throw new QueryError(NO_REPOSITORY);
  asking.charge(repository.tagCount, values);
  const images = [...imagesOf(repository)].flatMap((found) => imageFacts(found) ?? []);
  images.sort((a, b) => b.createdMs - a.createdMs || (a.tag < b.tag ? -1 : 1));
  const isDeletable = asking.asker.mayDelete(args.repo);
  return {
    Images: imageSummaries(asking, images, isDeletable),
    Summary: repositorySummaries(asking, [repositoryFacts(repository, 0)])[0],
  };
}
