/** What a scanner found in images. Without one, every such query is refused in zot's words. */
import { bytewise } from "../../../proto/keys.ts";
import type { Asking } from "../asking.ts";
import type { RepositoryView, SearchView } from "../contract.ts";
import { QueryError } from "../errors.ts";
import { type Found, isIndex, readable } from "../facts.ts";
import { type FilterInput, filterOf } from "../filter.ts";
import {
  countOn,
  infoOf,
  MAX_ITEMS,
  type PageInfo,
  type PageInput,
  pageOf,
  type SortCriteria,
  window,
} from "../page.ts";
import { type Cve, type Scannable, type Scanner, SEVERITIES, type Severity } from "../scanner.ts";
import { selectImages } from "../selecting.ts";
import { asScanned, cvesOf, summaryOf, type VulnerabilitySummary, worse } from "../vulnerabilities.ts";
import { imagesWhere } from "./digests.ts";
import { type Images, imageFits, imagesOf, NO_REFERENCE, NO_REPOSITORY, noImage, showImages } from "./images.ts";

export interface CveArgs {
  readonly requestedPage?: PageInput | null;
  readonly searchedCVE?: string | null;
  readonly excludedCVE?: string | null;
  readonly severity?: string | null;
}

export interface CveList {
  readonly CVEList: readonly object[];
  readonly Summary: VulnerabilitySummary;
  readonly Page: PageInfo;
}

/** zot's bound for one page of vulnerabilities. */
const MAX_CVES = 4096;
/** Of one query. */
const SCANS_AT_ONCE = 4;
const ORDERS: readonly SortCriteria[] = ["SEVERITY", "ALPHABETIC_ASC", "ALPHABETIC_DSC"];

export function scannerOf(asking: Asking): Scanner {
  const { scanner } = asking.parts;
  if (scanner === undefined) throw new QueryError("cve search is disabled");
  return scanner;
}

/** Of `repo:tag` or `repo@digest`; of an index: of all its images. */
export async function cveListForImage(
  args: CveArgs & { readonly image: string },
  asking: Asking,
): Promise<CveList & { readonly Tag: string }> {
  const scanner = scannerOf(asking);
  assertCvePage(args);
  const at = args.image.includes("@") ? args.image.indexOf("@") : args.image.indexOf(":");
  const reference = at < 0 ? "" : args.image.slice(at + 1);
  if (reference === "") throw new QueryError(NO_REFERENCE);
  const name = args.image.slice(0, at);
  const repository = readable(await asking.view(), asking.scope, name);
  if (repository === undefined) throw new QueryError(NO_REPOSITORY);
  const digest = args.image[at] === "@" ? reference : repository.tag(reference)?.digest;
  const images = digest === undefined ? undefined : scannables(repository, digest);
  if (images === undefined) throw noImage(name, reference);
  const cves = await scanAll(scanner, images, asking);
  return { Tag: reference, ...showCves(cves, args), Summary: summaryOf(cves) };
}

/** @throws QueryError when any of them cannot be scanned */
export async function scanAll(scanner: Scanner, images: readonly Scannable[], asking: Asking): Promise<Cve[]> {
  return cvesOf(
    await someAtOnce(images, async (image) => {
      const scan = await asScanned(scanner.scan(image, asking.context));
      if ("unscannable" in scan)
        throw new QueryError(`${image.name}@${image.digest} cannot be scanned: ${scan.unscannable}`);
      return scan;
    }),
  );
}

/** Rejects as one after another would: with what befell the first of those that failed; then no more are begun. */
async function someAtOnce<Item, Answer>(
  items: readonly Item[],
  act: (item: Item) => Promise<Answer>,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  let next = 0;
  const failures: { readonly index: number; readonly error: unknown }[] = [];
  const work = async () => {
    for (let index = next++; index < items.length && failures.length === 0; index = next++) {
      try {
        answers[index] = await act(items[index] as Item);
      } catch (error) {
        failures.push({ index, error });
      }
    }
  };
  await Promise.all(Array.from({ length: SCANS_AT_ONCE }, work));
  const [first] = failures.sort((a, b) => a.index - b.index);
  if (first !== undefined) throw first.error;
  return answers;
}

/** `undefined`: the repository has no such manifest. */
export function scannables(repository: RepositoryView, digest: string): Scannable[] | undefined {
  const image = repository.image(digest);
  if (image === undefined) return undefined;
  const images = isIndex(image) ? image.children.flatMap((child) => repository.image(child) ?? []) : [image];
  return images.map((each) => ({ name: repository.name, digest: each.digest, mediaType: each.mediaType }));
}

/** @throws QueryError */
export function assertCvePage({ requestedPage, severity }: CveArgs): void {
  const { limit } = window(requestedPage);
  if (limit > MAX_CVES) {
    throw new QueryError(`pagination limit has excessive value: ${limit} is more than the ${MAX_CVES} of one page`);
  }
  const order = requestedPage?.sortBy ?? "SEVERITY";
  if (!ORDERS.includes(order)) {
    throw new QueryError(`sorting CVEs by '${order}' is not supported the pagination sort criteria is not supported`);
  }
  if (severity && !["NONE", ...SEVERITIES].includes(severity.toUpperCase())) {
    throw new QueryError(`severity ${severity.slice(0, 50)} is none of UNKNOWN, LOW, MEDIUM, HIGH, CRITICAL`);
  }
}

/** A page of those that were searched for. */
export function showCves(cves: readonly Cve[], args: CveArgs): Pick<CveList, "CVEList" | "Page"> {
  const page = window(args.requestedPage);
  const fitting = cves.filter((cve) => fits(cve, args)).sort(cveOrder(args.requestedPage?.sortBy ?? "SEVERITY"));
  const items = page.everything ? fitting : fitting.slice(page.offset, page.offset + countOn(page, fitting.length));
  return { CVEList: items.map(showCve), Page: infoOf(fitting.length, items.length) };
}

/** Of an id, a title, a description, a reference, or a package: as zot's search of vulnerabilities. */
function fits(cve: Cve, { searchedCVE, excludedCVE, severity }: CveArgs): boolean {
  if (severity && cve.severity !== severity.toUpperCase()) return false;
  const texts = [
    cve.id,
    cve.title,
    cve.description,
    cve.reference,
    cve.severity,
    ...cve.packages.map(({ name }) => name),
  ];
  const has = (text: string) => texts.some((each) => each.toUpperCase().includes(text.toUpperCase()));
  return !(excludedCVE && has(excludedCVE)) && has(searchedCVE ?? "");
}

function cveOrder(criteria: SortCriteria): (a: Cve, b: Cve) => number {
  if (criteria === "ALPHABETIC_ASC") return (a, b) => bytewise(a.id, b.id);
  if (criteria === "ALPHABETIC_DSC") return (a, b) => bytewise(b.id, a.id);
  return (a, b) => worse(a.severity, b.severity) || bytewise(a.id, b.id);
}

function showCve({ id, title, description, reference, severity, packages }: Cve): object {
  return {
    Id: id,
    Title: title,
    Description: description,
    Reference: reference,
    Severity: severity satisfies Severity,
    PackageList: packages.map(({ name, path, installedVersion, fixedVersion }) => ({
      Name: name,
      PackagePath: path,
      InstalledVersion: installedVersion,
      FixedVersion: fixedVersion,
    })),
  };
}

interface ImagesArgs {
  readonly id: string;
  readonly filter?: FilterInput | null;
  readonly requestedPage?: PageInput | null;
}

export async function imageListForCve(args: ImagesArgs, asking: Asking, values: number): Promise<Images> {
  const scanner = scannerOf(asking);
  const filter = filterOf(args.filter);
  const page = pageOf(args.requestedPage, "UPDATE_TIME", "images");
  const digests = new Set(await asScanned(scanner.imagesWith(args.id, asking.context)));
  const view = await asking.view();
  const found = holding(view, digests, asking).filter((each) => imageFits(filter, each));
  return showImages(asking, selectImages(found, page), values);
}

function holding(view: SearchView, digests: ReadonlySet<string>, asking: Asking): Found[] {
  const names = new Set([...digests].flatMap((digest) => [...view.repositoriesWith(digest)]));
  return [...names].sort().flatMap((name) => {
    const repository = readable(view, asking.scope, name);
    return repository === undefined ? [] : imagesWhere(repository, (digest) => digests.has(digest));
  });
}

/**
 * Images that were made no earlier than the first with the vulnerability, and do not have it; all, where none has it. What
 * cannot be scanned counts as having it.
 */
export async function imageListWithCveFixed(
  args: ImagesArgs & { readonly image: string },
  asking: Asking,
  values: number,
): Promise<Images> {
  const scanner = scannerOf(asking);
  const filter = filterOf(args.filter);
  const page = pageOf(args.requestedPage, "UPDATE_TIME", "images");
  const repository = readable(await asking.view(), asking.scope, args.image);
  if (repository === undefined) throw new QueryError(NO_REPOSITORY);
  const images = new Map<string, Scannable>();
  for (const { digest } of repository.tags()) {
    for (const image of scannables(repository, digest) ?? []) images.set(image.digest, image);
  }
  if (images.size > MAX_ITEMS) {
    throw new QueryError(
      `${args.image} has ${images.size} images, and at most ${MAX_ITEMS} are looked through for this`,
    );
  }
  const vulnerable = new Set<string>();
  await someAtOnce([...images.values()], async (image) => {
    const scan = await scanner.scan(image, asking.context).catch(() => ({ unscannable: "" }));
    asking.context.signal.throwIfAborted();
    if ("unscannable" in scan || scan.cves.some(({ id }) => id === args.id)) vulnerable.add(image.digest);
  });
  const now = (await asking.view()).repository(args.image);
  const found = now === undefined ? [] : fixedIn(now, vulnerable).filter((each) => imageFits(filter, each));
  return showImages(asking, selectImages(found, page), values);
}

function fixedIn(repository: RepositoryView, vulnerable: ReadonlySet<string>): Found[] {
  const madeMs = (digest: string) => repository.image(digest)?.createdMs ?? 0;
  const affected = imagesWhere(repository, (digest) => vulnerable.has(digest));
  if (affected.length === 0) return [...imagesOf(repository)];
  const firstMs = Math.min(...[...vulnerable].map(madeMs));
  return imagesWhere(repository, (digest) => {
    const image = repository.image(digest);
    if (image === undefined || isIndex(image)) return false;
    return !vulnerable.has(digest) && image.createdMs >= firstMs;
  });
}
