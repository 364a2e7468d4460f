/** The list of repositories, and what a search found. */
import { count, shortDigest, size, time } from "../format.ts";
import { type Html, html, type Piece } from "../html.ts";
import { type Filters, SORT_NAMES, type Sort, usualSort } from "../parameters.ts";
import { type Found, type ImageRow, PAGE_ITEMS, type RepositoriesFound, type RepositoryRow } from "../queries.ts";
import { imagePath, repositoryPath } from "../routes.ts";
import { type PageContent, SEARCH_FORM } from "./layout.ts";
import {
  type Choice,
  type Column,
  notices,
  type PageOf,
  pager,
  platformChips,
  range,
  select,
  signedBadge,
  table,
} from "./parts.ts";

const SYSTEMS: readonly Choice[] = ["", "linux", "windows", "darwin", "freebsd"].map((value) => ({
  value,
  words: value || "any",
}));
const ARCHITECTURES: readonly Choice[] = ["", "amd64", "arm64", "arm", "386", "ppc64le", "riscv64", "s390x"].map(
  (value) => ({ value, words: value || "any" }),
);

export function repositoriesPage(filters: Filters, found: RepositoriesFound, nowMs: number): PageContent {
  const { query } = filters;
  const { images } = found;
  const [one, many] = images === undefined ? ["repository", "repositories"] : ["image", "images"];
  const of = pageOf(filters, images ?? found.repositories);
  const isFiltered = query !== "" || filters.os !== "" || filters.arch !== "" || filters.isSigned;
  return {
    title: query === "" ? "Repositories" : `${query} – search`,
    section: "repositories",
    query,
    main: html`<div class="title"><h1>${query === "" ? "Repositories" : html`Search: <q>${query}</q>`}</h1>
<p class="total" data-say>${of.rows === 0 ? `no ${many}` : range(of, one, many)}</p></div>
${filterRow(filters)}
${notices(found.missing)}
${of.rows === 0 ? nothing(of, isFiltered) : images === undefined ? repositoryTable(found.repositories.rows, nowMs) : imageTable("Images found", images.rows, nowMs, true)}
${pager(of, "/", addressOf(filters))}`,
  };
}

/** Of a list's address, without the page. */
export function addressOf({ query, sort, os, arch, isSigned }: Filters): Readonly<Record<string, string | undefined>> {
  return {
    q: query,
    sort: sort === usualSort(query !== "") ? undefined : sort,
    os,
    arch,
    signed: isSigned ? "1" : undefined,
  };
}

export function pageOf({ page }: Filters, { rows, total }: Found<unknown>): PageOf {
  return { page, pageItems: PAGE_ITEMS, rows: rows.length, total };
}

/** The usual order is not in the address, so that a search that begins on a list is ordered as searches are. */
export function sortSelect({ query, sort }: Filters, form: string): Html {
  const usual = usualSort(query !== "");
  const orders = (Object.entries(SORT_NAMES) as [Sort, string][]).filter(
    ([each]) => query !== "" || each !== "relevance",
  );
  const choices = orders.map(([each, words]) => ({ value: each === usual ? "" : each, words }));
  return select("sort", "Order", choices, sort === usual ? "" : sort, form);
}

function filterRow(filters: Filters): Html {
  const { os, arch, isSigned } = filters;
  return html`<div class="filters">
${sortSelect(filters, SEARCH_FORM)}
${select("os", "System", SYSTEMS, os, SEARCH_FORM)}
${select("arch", "Architecture", ARCHITECTURES, arch, SEARCH_FORM)}
<label class="check"><input type="checkbox" name="signed" value="1" form="${SEARCH_FORM}"${isSigned && html` checked`}> Signed</label>
<button type="submit" form="${SEARCH_FORM}" class="apply">Apply</button>
</div>`;
}

/** An empty list says what to do about it. */
export function nothing({ page, pageItems, total }: PageOf, isFiltered: boolean): Html {
  if (total > 0) {
    const last = Math.ceil(total / pageItems);
    return html`<div class="empty"><p>There is no page ${count(page)}: the last one is page ${count(last)}.</p></div>`;
  }
  if (isFiltered) {
    return html`<div class="empty"><p>Nothing fits.</p>
<p>A name is found by any part of it, <code>name:1.2</code> finds the tags of a repository that begin so, <code>:1.2</code> those of all, and a digest finds the images that hold it.</p></div>`;
  }
  return html`<div class="empty"><p>There are no repositories yet.</p><p>Push an image, and it is here.</p></div>`;
}

function repositoryTable(rows: readonly RepositoryRow[], nowMs: number): Html {
  const columns: readonly Column<RepositoryRow>[] = [
    {
      heading: "Repository",
      kind: "main",
      cell: (row) =>
        html`<a href="${repositoryPath(row.name)}">${row.name}</a>${signedBadge(row.isSigned)}${subtitle(row)}`,
    },
    { heading: "Newest tag", cell: (row) => newestTag(row) },
    { heading: "Platforms", cell: (row) => platformChips(row.platforms) },
    { heading: "Size", kind: "number", cell: (row) => size(row.sizeBytes) },
    { heading: "Pulls", kind: "number", cell: (row) => count(row.downloads ?? 0) },
    { heading: "Updated", kind: "number", cell: (row) => time(row.updatedMs, nowMs) },
  ];
  return table("Repositories", columns, rows);
}

function subtitle({ newest }: RepositoryRow): Piece {
  return newest?.title !== undefined && html`<span class="subtitle">${newest.title}</span>`;
}

function newestTag({ name, newest }: RepositoryRow): Piece {
  if (newest === undefined) return html`<span class="unknown">–</span>`;
  return html`<a class="tag" href="${imagePath(name, newest.tag)}">${newest.tag}</a>`;
}

/** @param isWide with the repositories' names */
export function imageTable(caption: string, rows: readonly ImageRow[], nowMs: number, isWide: boolean): Html {
  const columns: readonly Column<ImageRow>[] = [
    {
      heading: isWide ? "Image" : "Tag",
      kind: "main",
      cell: (row) =>
        html`<a href="${imagePath(row.name, row.tag)}">${isWide ? `${row.name}:${row.tag}` : row.tag}</a>${signedBadge(row.isSigned)}`,
    },
    { heading: "Digest", cell: (row) => (row.digest === undefined ? "–" : shortDigest(row.digest)) },
    { heading: "Platforms", cell: (row) => platformChips(row.platforms) },
    { heading: "Size", kind: "number", cell: (row) => size(row.sizeBytes) },
    { heading: "Pulls", kind: "number", cell: (row) => count(row.downloads ?? 0) },
    { heading: "Created", kind: "number", cell: (row) => time(row.createdMs, nowMs) },
    { heading: "Tagged", kind: "number", cell: (row) => time(row.taggedMs, nowMs) },
  ];
  return table(caption, columns, rows);
}
