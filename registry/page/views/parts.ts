/** Pieces that several views share. */
import { count, counted } from "../format.ts";
import { type Html, html, type Piece } from "../html.ts";
import { withQuery } from "../routes.ts";

export interface Column<Row> {
  readonly heading: string;
  /** Of the column's cells. */
  readonly kind?: "number" | "main";
  readonly cell: (row: Row) => Piece;
}

/**
 * On narrow screens the rows are laid out as blocks (style.css). Browsers then forget that it is a table, so its roles
 * are written down.
 */
export function table<Row>(caption: string, columns: readonly Column<Row>[], rows: readonly Row[]): Html {
  const kind = (column: Column<Row>) => (column.kind === undefined ? "" : html` class="${column.kind}"`);
  const head = columns.map((column) => html`<th role="columnheader" scope="col"${kind(column)}>${column.heading}</th>`);
  const cell = (column: Column<Row>, row: Row) =>
    column.kind === "main"
      ? html`<th role="rowheader" scope="row" class="main">${column.cell(row)}</th>`
      : html`<td role="cell"${kind(column)} data-heading="${column.heading}"><div>${column.cell(row)}</div></td>`;
  const body = rows.map((row) => html`<tr role="row">${columns.map((column) => cell(column, row))}</tr>\n`);
  return html`<table role="table"><caption class="hidden">${caption}</caption>
<thead role="rowgroup"><tr role="row">${head}</tr></thead>
<tbody role="rowgroup">
${body}</tbody></table>`;
}

/** The first few, and how many more there are. */
export function platformChips(platforms: readonly string[], most = 4): Html {
  if (platforms.length === 0) return html`<span class="unknown" title="not known, or none">–</span>`;
  const more = platforms.slice(most);
  const rest = more.length > 0 && html` <span class="chip" title="${more.join(", ")}">+${more.length}</span>`;
  return html`${platforms.slice(0, most).map((each, index) => html`${index > 0 && " "}${chip(each)}`)}${rest}`;
}

/** Real ones have a dozen characters; whoever made an image could write anything. */
const MAX_CHIP = 28;

export function chip(words: string): Html {
  if (words.length <= MAX_CHIP) return html`<span class="chip">${words}</span>`;
  return html`<span class="chip" title="${words}">${[...words].slice(0, MAX_CHIP - 1).join("")}…</span>`;
}

export function signedBadge(isSigned: boolean): Piece {
  return isSigned && html` <span class="badge good">signed</span>`;
}

/** Whatever could not be had: said, with the rest of the page as it is. */
export function notices(missing: readonly string[]): Piece {
  if (missing.length === 0) return undefined;
  return html`<div class="notice" role="status"><strong>Not everything is here</strong>
<ul>${missing.map((each) => html`<li>${each}</li>`)}</ul></div>`;
}

export interface PageOf {
  /** From 1. */
  readonly page: number;
  readonly pageItems: number;
  readonly rows: number;
  readonly total: number;
}

/** "51–100 of 1,234 repositories" */
export function range({ page, pageItems, rows, total }: PageOf, one: string, many: string): string {
  if (rows === total) return counted(total, one, many);
  const first = (page - 1) * pageItems;
  return `${count(first + 1)}–${count(first + rows)} of ${counted(total, one, many)}`;
}

/** Links to the pages before and after; nothing where there is one page. */
export function pager(
  { page, pageItems, total }: PageOf,
  path: string,
  parameters: Readonly<Record<string, string | number | undefined>>,
): Piece {
  const last = Math.max(1, Math.ceil(total / pageItems));
  if (last === 1 && page === 1) return undefined;
  const link = (to: number, words: string, rel: string) =>
    to >= 1 && to <= last
      ? html`<a href="${withQuery(path, { ...parameters, page: to === 1 ? undefined : to })}" rel="${rel}">${words}</a>`
      : html`<span class="off">${words}</span>`;
  return html`<nav class="pager" aria-label="Pages">${link(Math.min(page - 1, last), "← Previous", "prev")}
<span>Page ${count(page)} of ${count(last)}</span>
${link(page + 1, "Next →", "next")}</nav>`;
}

/** A value that a button copies, once the script is there to do it. */
export function copyable(value: string, label: string): Html {
  return html`<span class="copyable"><code>${value}</code><button type="button" class="copy" hidden data-copy="${value}" aria-label="Copy ${label}">Copy</button></span>`;
}

export interface Choice {
  readonly value: string;
  readonly words: string;
}

export function select(name: string, label: string, choices: readonly Choice[], chosen: string, form: string): Html {
  // What the address says is shown, known or not.
  const all = choices.some(({ value }) => value === chosen) ? choices : [...choices, { value: chosen, words: chosen }];
  const options = all.map(
    ({ value, words }) => html`<option value="${value}"${value === chosen && html` selected`}>${words}</option>`,
  );
  return html`<label>${label} <select name="${name}" form="${form}">${options}</select></label>`;
}
