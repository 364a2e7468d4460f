/** One repository and its tags. */
import { count, counted, size, time } from "../format.ts";
import { type Html, html } from "../html.ts";
import type { Filters } from "../parameters.ts";
import type { RepositoryFound } from "../queries.ts";
import { repositoryPath } from "../routes.ts";
import type { PageContent } from "./layout.ts";
import { notices, pager, platformChips, range } from "./parts.ts";
import { addressOf, imageTable, nothing, pageOf, sortSelect } from "./repositories.ts";

const FORM = "tags";

export function repositoryPage(name: string, filters: Filters, found: RepositoryFound, nowMs: number): PageContent {
  const { summary, images } = found;
  const of = pageOf(filters, images);
  const path = repositoryPath(name);
  return {
    title: name,
    section: "repositories",
    main: html`${crumbs([])}
<div class="title"><h1>${name}</h1><p class="total" data-say>${of.rows === 0 ? "no tags" : range(of, "tag", "tags")}</p></div>
<dl class="facts">
<div><dt>Updated</dt><dd>${time(summary.updatedMs, nowMs)}</dd></div>
<div><dt>Size</dt><dd>${size(summary.sizeBytes)}</dd></div>
<div><dt>Pulls</dt><dd>${count(summary.downloads ?? 0)}</dd></div>
${summary.stars > 0 && html`<div><dt>Stars</dt><dd>${counted(summary.stars, "star")}</dd></div>`}
<div><dt>Platforms</dt><dd>${platformChips(summary.platforms, 12)}</dd></div>
</dl>
${tagFilters(path, filters)}
${notices(found.missing)}
${of.rows === 0 ? none(of.total, filters) : imageTable(`Tags of ${name}`, images.rows, nowMs, false)}
${of.rows === 0 && of.total > 0 && nothing(of, false)}
${pager(of, path, addressOf(filters))}`,
  };
}

/** The way back up; `[words, path]` of each step below the list of repositories. */
export function crumbs(steps: readonly (readonly [string, string])[]): Html {
  const all = [["Repositories", "/"] as const, ...steps];
  return html`<nav class="crumbs" aria-label="Where this is"><ol>${all.map(([words, path]) => html`<li><a href="${path}">${words}</a></li>`)}</ol></nav>`;
}

function tagFilters(path: string, filters: Filters): Html {
  return html`<form id="${FORM}" class="filters" action="${path}">
<label>Tags that begin with <input type="search" name="q" value="${filters.query}" maxlength="128" size="16" autocomplete="off" autocapitalize="none" spellcheck="false"></label>
${sortSelect(filters, FORM)}
<button type="submit" class="apply">Apply</button>
</form>`;
}

function none(total: number, { query }: Filters) {
  if (total > 0) return undefined;
  return html`<div class="empty"><p>${query === "" ? "It has no tags." : `No tag begins with ${query}.`}</p></div>`;
}
