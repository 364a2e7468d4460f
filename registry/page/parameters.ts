/** What a list's address says: text, order, filters and page. */
import { PageProblem } from "./problem.ts";

export type Sort = "relevance" | "updated" | "name" | "name-desc" | "downloads";

export interface Filters {
  readonly query: string;
  readonly sort: Sort;
  readonly os: string;
  readonly arch: string;
  readonly isSigned: boolean;
  /** From 1. */
  readonly page: number;
}

export const SORT_NAMES: Readonly<Record<Sort, string>> = {
  relevance: "Best match",
  updated: "Newest first",
  name: "Name, A to Z",
  "name-desc": "Name, Z to A",
  downloads: "Most pulled",
};

/** Bytes; the search takes no more (zot's limit). */
const MAX_QUERY_BYTES = 256;
const MAX_PAGE = 1_000_000;
const WORD = /^[a-z0-9._/-]{0,64}$/;

/** @throws PageProblem 400 that says what is allowed. Unknown parameters are ignored. */
export function readFilters(query: URLSearchParams): Filters {
  const text = (query.get("q") ?? "").trim();
  if (Buffer.byteLength(text) > MAX_QUERY_BYTES)
    throw bad(`The text is ${Buffer.byteLength(text)} bytes long: write at most ${MAX_QUERY_BYTES}`);
  return {
    query: text,
    sort: readSort(query.get("sort") ?? "", text !== ""),
    os: word(query, "os"),
    arch: word(query, "arch"),
    isSigned: (query.get("signed") ?? "") !== "",
    page: readPage(query.get("page") ?? "1"),
  };
}

export function usualSort(isSearch: boolean): Sort {
  return isSearch ? "relevance" : "updated";
}

function readSort(text: string, isSearch: boolean): Sort {
  if (text === "") return usualSort(isSearch);
  const names = Object.keys(SORT_NAMES) as Sort[];
  const found = names.find((name) => name === text);
  if (found === undefined)
    throw bad(`The address says sort=${text.slice(0, 50)}, which is no order: write one of ${names.join(", ")}`);
  // There is no match to be better or worse.
  return found === "relevance" && !isSearch ? "updated" : found;
}

function readPage(text: string): number {
  const page = /^\d{1,7}$/.test(text) ? Number(text) : 0;
  if (page < 1 || page > MAX_PAGE)
    throw bad(
      `The address says page=${text.slice(0, 50)}, which is no page number: write 1 to ${MAX_PAGE.toLocaleString("en")}`,
    );
  return page;
}

function word(query: URLSearchParams, name: "os" | "arch"): string {
  const text = (query.get(name) ?? "").trim();
  if (!WORD.test(text)) {
    const example = name === "os" ? "linux" : "arm64";
    throw bad(
      `The address says ${name}=${text.slice(0, 50)}, which is none: write lower-case letters and digits, such as ${example}`,
    );
  }
  return text;
}

function bad(message: string): PageProblem {
  return new PageProblem(400, "That address cannot be shown", `${message}.`);
}
