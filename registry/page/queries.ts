/** The questions that the page asks of the search, and their answers as the views take them. */
import { amount, answered, type Fields, fields, instant, list, platformOf, text } from "./answers.ts";
import type { BoundAsk, GraphQlRequest } from "./contract.ts";
import type { Filters, Sort } from "./parameters.ts";

/** Rows of a page. */
export const PAGE_ITEMS = 50;

export interface RepositoryRow {
  readonly name: string;
  readonly updatedMs: number | undefined;
  readonly sizeBytes: number | undefined;
  readonly platforms: readonly string[];
  readonly newest: { readonly tag: string; readonly title: string | undefined } | undefined;
  readonly downloads: number | undefined;
  readonly stars: number;
  readonly isSigned: boolean;
}

export interface ImageRow {
  readonly name: string;
  readonly tag: string;
  readonly digest: string | undefined;
  readonly sizeBytes: number | undefined;
  /** By its config. */
  readonly createdMs: number | undefined;
  readonly taggedMs: number | undefined;
  readonly platforms: readonly string[];
  readonly downloads: number | undefined;
  readonly isSigned: boolean;
}

export interface Found<Row> {
  readonly rows: readonly Row[];
  /** On all pages together. */
  readonly total: number;
}

const IMAGE_ROW =
  "RepoName Tag Digest Size LastUpdated TaggedTimestamp PushTimestamp DownloadCount IsSigned Manifests{Platform{Os Arch}}";
const REPOSITORY_ROW =
  "Name LastUpdated Size Platforms{Os Arch} DownloadCount StarCount NewestImage{Tag Title IsSigned}";
const PAGE = "Page{TotalCount ItemCount}";

const LISTED = `query Repositories($page:PageInput){RepoListWithNewestImage(requestedPage:$page){${PAGE} Results{${REPOSITORY_ROW}}}}`;
const SEARCHED = `query Search($query:String!,$filter:Filter,$page:PageInput){GlobalSearch(query:$query,filter:$filter,requestedPage:$page){${PAGE} Repos{${REPOSITORY_ROW}} Images{${IMAGE_ROW}}}}`;
const TAGS = `query Repository($name:String!,$page:PageInput){ExpandedRepoInfo(repo:$name){Summary{${REPOSITORY_ROW}}} ImageList(repo:$name,requestedPage:$page){${PAGE} Results{${IMAGE_ROW}}}}`;
const TAGS_SEARCHED = `query Repository($name:String!,$query:String!,$page:PageInput){ExpandedRepoInfo(repo:$name){Summary{${REPOSITORY_ROW}}} GlobalSearch(query:$query,requestedPage:$page){${PAGE} Images{${IMAGE_ROW}}}}`;

export interface RepositoriesFound {
  readonly repositories: Found<RepositoryRow>;
  /** Of a search for tags or a digest: then there are no repositories. */
  readonly images: Found<ImageRow> | undefined;
  readonly missing: readonly string[];
}

/** @throws PageProblem */
export async function findRepositories(ask: BoundAsk, filters: Filters): Promise<RepositoriesFound> {
  const { query, os, arch, isSigned } = filters;
  const page = pageInput(filters);
  // The plain list is the one that costs the same however many repositories there are.
  if (query === "" && os === "" && arch === "" && !isSigned) {
    const { data, missing } = answered(await ask({ query: LISTED, variables: { page } }));
    const result = fields(data["RepoListWithNewestImage"]);
    return { repositories: found(result, "Results", repositoryRow), images: undefined, missing };
  }
  const filter = {
    ...(os === "" ? {} : { Os: [os] }),
    ...(arch === "" ? {} : { Arch: [arch] }),
    ...(isSigned ? { HasToBeSigned: true } : {}),
  };
  const { data, missing } = answered(await ask({ query: SEARCHED, variables: { query, filter, page } }), {
    isQuery: true,
  });
  const result = fields(data["GlobalSearch"]);
  const images = result["Repos"] === null || list(result["Images"]).length > 0;
  return {
    repositories: found(result, "Repos", repositoryRow),
    images: images ? found(result, "Images", imageRow) : undefined,
    missing,
  };
}

export interface RepositoryFound {
  readonly summary: RepositoryRow;
  readonly images: Found<ImageRow>;
  readonly missing: readonly string[];
}

/** @param filters query: what the tags begin with @throws PageProblem 404 when there is no such repository */
export async function findRepository(ask: BoundAsk, name: string, filters: Filters): Promise<RepositoryFound> {
  const page = pageInput(filters);
  const { query } = filters;
  const request: GraphQlRequest =
    query === ""
      ? { query: TAGS, variables: { name, page } }
      : { query: TAGS_SEARCHED, variables: { name, page, query: `${name}:${query}` } };
  const { data, missing } = answered(await ask(request), {
    isQuery: query !== "",
    absent: `There is no repository ${name} here.`,
  });
  const summary = repositoryRow(fields(fields(data["ExpandedRepoInfo"])["Summary"]));
  const images =
    query === ""
      ? found(fields(data["ImageList"]), "Results", imageRow)
      : found(fields(data["GlobalSearch"]), "Images", imageRow);
  return { summary: { ...summary, name }, images, missing };
}

const SORTS: Readonly<Record<Sort, string>> = {
  relevance: "RELEVANCE",
  updated: "UPDATE_TIME",
  name: "ALPHABETIC_ASC",
  "name-desc": "ALPHABETIC_DSC",
  downloads: "DOWNLOADS",
};

function pageInput({ sort, page }: Filters) {
  return { limit: PAGE_ITEMS, offset: (page - 1) * PAGE_ITEMS, sortBy: SORTS[sort] };
}

function found<Row>(result: Fields, key: string, row: (value: Fields) => Row): Found<Row> {
  const rows = list(result[key]).map(row);
  return { rows, total: Math.max(amount(fields(result["Page"])["TotalCount"]) ?? 0, rows.length) };
}

function repositoryRow(value: Fields): RepositoryRow {
  const newest = fields(value["NewestImage"]);
  const tag = text(newest["Tag"]);
  return {
    name: text(value["Name"]) ?? "",
    updatedMs: instant(value["LastUpdated"]),
    sizeBytes: amount(value["Size"]),
    platforms: platforms(list(value["Platforms"])),
    newest: tag === undefined ? undefined : { tag, title: text(newest["Title"]) },
    downloads: amount(value["DownloadCount"]),
    stars: amount(value["StarCount"]) ?? 0,
    isSigned: newest["IsSigned"] === true,
  };
}

function imageRow(value: Fields): ImageRow {
  return {
    name: text(value["RepoName"]) ?? "",
    tag: text(value["Tag"]) ?? "",
    digest: text(value["Digest"]),
    sizeBytes: amount(value["Size"]),
    createdMs: instant(value["LastUpdated"]),
    taggedMs: instant(value["TaggedTimestamp"]) ?? instant(value["PushTimestamp"]),
    platforms: platforms(list(value["Manifests"]).map((manifest) => fields(manifest["Platform"]))),
    downloads: amount(value["DownloadCount"]),
    isSigned: value["IsSigned"] === true,
  };
}

/** Each once; of attestations ("unknown/unknown") and artifacts none. */
function platforms(values: readonly Fields[]): readonly string[] {
  return [...new Set(values.flatMap((value) => platformOf(value) ?? []))];
}
