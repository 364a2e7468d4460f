/** Which part of a list is asked for, in which order (PageInput): zot's rules, and a bound to what one answer holds. */
import { QueryError } from "./errors.ts";

/** Items in one answer. */
export const MAX_ITEMS = 10_000;

export type SortCriteria =
  | "RELEVANCE"
  | "UPDATE_TIME"
  | "ALPHABETIC_ASC"
  | "ALPHABETIC_DSC"
  | "SEVERITY"
  | "STARS"
  | "DOWNLOADS";

export interface PageInput {
  readonly limit?: number | null;
  readonly offset?: number | null;
  readonly sortBy?: SortCriteria | null;
}

/** Of repositories and images. */
export type Order = Exclude<SortCriteria, "SEVERITY" | "STARS">;

export interface Page<By = Order> {
  readonly offset: number;
  readonly limit: number;
  /** limit 0 at offset 0. With another offset, limit 0 is none, as in zot. */
  readonly everything: boolean;
  readonly order: By;
}

export interface PageInfo {
  readonly TotalCount: number;
  readonly ItemCount: number;
}

const ORDERS: readonly string[] = ["RELEVANCE", "UPDATE_TIME", "ALPHABETIC_ASC", "ALPHABETIC_DSC", "DOWNLOADS"];

/** @throws QueryError for what zot refuses, and for more than one answer holds */
export function pageOf(input: PageInput | null | undefined, usual: Order, what: "repos" | "images"): Page {
  const page = window(input);
  const order = input?.sortBy ?? usual;
  if (!isOrder(order)) {
    throw new QueryError(
      `sorting ${what} by '${order}' is not supported the pagination sort criteria is not supported`,
    );
  }
  return { ...page, order };
}

/** @throws QueryError */
export function window(input: PageInput | null | undefined): Omit<Page, "order"> {
  const limit = input?.limit ?? 0;
  const offset = input?.offset ?? 0;
  if (limit < 0) throw new QueryError("pagination limit has negative value");
  if (limit > MAX_ITEMS) {
    throw new QueryError(`pagination limit has excessive value: ${limit} is more than the ${MAX_ITEMS} of one answer`);
  }
  if (offset < 0) throw new QueryError("pagination offset has negative value");
  return { offset, limit, everything: limit === 0 && offset === 0 };
}

function isOrder(criteria: SortCriteria): criteria is Order {
  return ORDERS.includes(criteria);
}

/** How many of `total` the page has. @throws QueryError when all were asked for and are too many */
export function countOn(page: Pick<Page, "offset" | "limit" | "everything">, total: number): number {
  if (!page.everything) return Math.max(0, Math.min(page.limit, total - page.offset));
  if (total <= MAX_ITEMS) return total;
  throw new QueryError(
    `these are ${total}, and one answer holds ${MAX_ITEMS}: ask for pages of them by requestedPage {limit, offset}`,
  );
}

export function infoOf(total: number, items: number): PageInfo {
  return { TotalCount: total, ItemCount: items };
}
