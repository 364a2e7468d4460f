/** Listings of either store beside the keys that a model holds. */
import { setTimeout as sleep } from "node:timers/promises";
import { Difference } from "./difference.ts";

export interface PageStep {
  readonly prefix: string;
  readonly startAfter: string;
  readonly limit: number;
}

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly more: boolean;
}

/** Every page from a step's start on; the step's bounds are below `prefix`. */
export async function pagesOf<Item extends { readonly key: string }>(
  list: (request: PageStep) => Promise<Page<Item>>,
  prefix: string,
  step: PageStep,
): Promise<Page<Item>[]> {
  const pages: Page<Item>[] = [];
  for (let startAfter = step.startAfter === "" ? "" : prefix + step.startAfter; pages.length < 1000; ) {
    const page = await list({ prefix: prefix + step.prefix, startAfter, limit: step.limit });
    pages.push(page);
    const last = page.items.at(-1)?.key;
    if (!page.more || last === undefined || last <= startAfter) break;
    startAfter = last;
  }
  return pages;
}

/**
 * Compares a listing with the keys that are there.
 * @returns the items, each once
 * @throws Difference of the store's list.01, list.02, list.03, list.05, or of what is seen when
 */
export async function differenceOfPages<Item extends { readonly key: string }>(
  store: "blob" | "meta",
  list: () => Promise<Page<Item>[]>,
  prefix: string,
  step: PageStep,
  there: readonly string[],
): Promise<Item[]> {
  const pages = await list();
  const words = `a listing of "${step.prefix}" after "${step.startAfter}", ${step.limit} a page`;
  const relative = (key: string) => key.slice(prefix.length);
  let last = step.startAfter;
  for (const [index, { items, more }] of pages.entries()) {
    if (items.length > step.limit) {
      throw new Difference(`${store}.list.05`, `${words}: page ${index} has ${items.length} items`);
    }
    for (const key of items.map((item) => relative(item.key))) {
      if (key <= last) {
        throw new Difference(`${store}.list.01`, `${words}: page ${index} gives "${key}" after "${last}"`);
      }
      if (!key.startsWith(step.prefix)) throw new Difference(`${store}.list.01`, `${words} gives "${key}"`);
      last = key;
    }
    if (more && items.length === 0) throw new Difference(`${store}.list.03`, `${words}: an empty page says more`);
  }
  const due = there.filter((key) => key.startsWith(step.prefix) && (step.startAfter === "" || key > step.startAfter));
  const listed = new Set(pages.flatMap(({ items }) => items.map(({ key }) => relative(key))));
  const missing = due.filter((key) => !listed.has(key));
  const end = pages.at(-1);
  if (missing.length > 0 && end?.more === false && end.items.length > 0 && missing.every((key) => key > last)) {
    throw new Difference(`${store}.list.03`, `${words} ends without more, and ${missing.join(", ")} follow`);
  }
  const strange = [...listed].filter((key) => !due.includes(key));
  if (missing.length + strange.length > 0) {
    await sleep(200);
    const later = new Set((await list()).flatMap(({ items }) => items.map(({ key }) => relative(key))));
    const late = missing.every((key) => later.has(key)) && strange.every((key) => !later.has(key));
    const rule = late ? (store === "meta" ? "meta.seen.01" : "blob.visible.02") : `${store}.list.02`;
    const lacks = `lacks ${missing.join(", ") || "nothing"} and has ${strange.join(", ") || "nothing"} too much`;
    throw new Difference(rule, `${words} ${lacks}${late ? ", for a moment" : ""}`);
  }
  return pages.flatMap(({ items }) => items);
}
