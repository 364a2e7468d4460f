/** Images by repository, by tag, by digest; what refers to a manifest. */
import { isDigest } from "../../../proto/keys.ts";
import type { Asking } from "../asking.ts";
import type { RepositoryView, SearchView } from "../contract.ts";
import { QueryError } from "../errors.ts";
import { type Found, imageFacts, readable } from "../facts.ts";
import { type Filter, platformsFit } from "../filter.ts";
import {
  type ImageSummary,
  imageDetails,
  imageSummaries,
  type Shown,
  ImageSummary as Summary,
  showReferrers,
} from "../image-summary.ts";
import { countOn, infoOf, type Page, type PageInfo, type PageInput, pageOf } from "../page.ts";
import { type Selected, selectImages } from "../selecting.ts";
import { found as foundByDigest } from "./digests.ts";

export interface Images {
  readonly Page: PageInfo;
  readonly Results: readonly Shown<ImageSummary>[];
}

/** zot's sentences. */
export const NO_REPOSITORY = "repo metadata not found for given repo name";
export const NO_REFERENCE = "no reference provided";

export async function imageList(
  args: { readonly repo: string; readonly requestedPage?: PageInput | null },
  asking: Asking,
  values: number,
): Promise<Images> {
  const page = pageOf(args.requestedPage, "RELEVANCE", "images");
  const view = await asking.view();
  if (args.repo === "") {
    const byName = page.order === "RELEVANCE" || page.order === "ALPHABETIC_ASC" || page.order === "ALPHABETIC_DSC";
    const selected =
      byName && asking.scope.everything ? windowOfAll(view, page) : selectImages(imagesOfAll(view, asking), page);
    return showImages(asking, selected, values);
  }
  const repository = readable(view, asking.scope, args.repo);
  const found = repository === undefined ? [] : imagesOf(repository);
  return showImages(asking, selectImages(found, page), values);
}

/** By name: whole repositories are left out by what they count, none is looked into before the page. */
function windowOfAll(view: SearchView, page: Page): Selected<Found> {
  const count = countOn(page, view.tagCount);
  const items: Found[] = [];
  const backward = page.order === "ALPHABETIC_DSC";
  let toSkip = page.offset;
  for (const repository of count === 0 ? [] : view.repositories(backward ? "name-desc" : "name")) {
    if (items.length >= count) break;
    if (toSkip >= repository.tagCount) {
      toSkip -= repository.tagCount;
      continue;
    }
    const tags = [...repository.tags()];
    if (backward) tags.reverse();
    for (const tag of tags.slice(toSkip, toSkip + count - items.length)) items.push({ repository, tag });
    toSkip = 0;
  }
  return { items, total: view.tagCount };
}

export function* imagesOf(repository: RepositoryView): Iterable<Found> {
  for (const tag of repository.tags()) yield { repository, tag };
}

export function* imagesOfAll(view: SearchView, asking: Asking): Iterable<Found> {
  for (const repository of view.repositories("name")) {
    if (asking.scope.everything || asking.scope.has(repository.name)) yield* imagesOf(repository);
  }
}

/** @throws QueryError where the answer would be too large */
export function showImages(asking: Asking, { items, total }: Selected<Found>, values: number): Images {
  asking.charge(items.length, values);
  const images = items.flatMap((item) => imageFacts(item) ?? []);
  return { Page: infoOf(total, items.length), Results: imageSummaries(asking, images) };
}

/** Also by who signed it; bookmarks and stars are of repositories, and filter none here, as in zot. */
export function imageFits(filter: Filter, { repository, tag }: Found): boolean {
  if (filter.isEmpty) return true;
  const image = repository.image(tag.digest);
  if (image === undefined) return false;
  return platformsFit(filter, image.platforms) && (!filter.hasToBeSigned || image.isSigned);
}

export async function image(args: { readonly image: string }, asking: Asking): Promise<ImageSummary> {
  const { name, tag } = splitTag(args.image);
  const repository = readable(await asking.view(), asking.scope, name);
  if (repository === undefined) throw new QueryError(NO_REPOSITORY);
  const found = repository.tag(tag);
  const facts = found && imageFacts({ repository, tag: found });
  if (facts === undefined) throw noImage(name, tag);
  return new Summary(asking, imageDetails(asking, [facts]), facts);
}

/** `repo:tag` at its first colon. @throws QueryError */
export function splitTag(text: string): { readonly name: string; readonly tag: string } {
  const colon = text.indexOf(":");
  if (colon < 0 || colon === text.length - 1) throw new QueryError(NO_REFERENCE);
  return { name: text.slice(0, colon), tag: text.slice(colon + 1) };
}

export function noImage(name: string, tag: string): QueryError {
  return new QueryError(`can't find image: ${name}:${tag}`);
}

export async function imageListForDigest(
  args: { readonly id: string; readonly requestedPage?: PageInput | null },
  asking: Asking,
  values: number,
): Promise<Images> {
  const page = pageOf(args.requestedPage, "RELEVANCE", "images");
  const images = await foundByDigest(asking, args.id);
  return showImages(asking, selectImages(images, page), values);
}

export async function referrers(
  args: { readonly repo: string; readonly digest: string; readonly type?: readonly string[] | null },
  asking: Asking,
): Promise<object[]> {
  if (!isDigest(args.digest)) {
    throw new QueryError(
      `bad digest string from request '${args.digest}': it is neither sha256:<64 hex> nor sha512:<128 hex>`,
    );
  }
  const repository = readable(await asking.view(), asking.scope, args.repo);
  if (repository === undefined) throw new QueryError(NO_REPOSITORY);
  const digests = [...repository.referrers(args.digest)];
  asking.charge(digests.length, 10);
  const records = await asking.records([{ name: args.repo, digests }]);
  return showReferrers(digests, records, args.type ?? []);
}
