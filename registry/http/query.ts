/** Query parameters. Unknown ones are ignored: the spec's newer parameters rely on older registries doing so. */
import { RegistryError } from "../errors.ts";

const NONE = new URLSearchParams();
/** Items in one page of tags, repositories or referrers: what one List can answer. */
export const MAX_PAGE = 1000;

export function parseQuery(text: string): URLSearchParams {
  return text === "" ? NONE : new URLSearchParams(text);
}

/** @throws `code` when it is given twice */
export function single(
  query: URLSearchParams,
  name: string,
  code: "DIGEST_INVALID" | "NAME_INVALID" | "PAGINATION_NUMBER_INVALID" | "UNSUPPORTED",
): string | undefined {
  const all = query.getAll(name);
  if (all.length > 1)
    throw new RegistryError(code, `the parameter ${name} is given ${all.length} times`, { status: 400 });
  return all[0];
}

/**
 * The page size `n`: absent is the largest, a larger one gets the largest; 0 is an empty page without a next one.
 * @throws PAGINATION_NUMBER_INVALID
 */
export function pageSize(query: URLSearchParams): number {
  const text = single(query, "n", "PAGINATION_NUMBER_INVALID");
  if (text === undefined) return MAX_PAGE;
  if (!/^[0-9]{1,15}$/.test(text)) {
    throw new RegistryError(
      "PAGINATION_NUMBER_INVALID",
      `n=${text.slice(0, 50)} is not a number of items (0 or more)`,
      {
        detail: { n: text.slice(0, 50) },
      },
    );
  }
  return Math.min(Number(text), MAX_PAGE);
}
