/** What an answer costs, told from what is selected before anything is looked up. */
import type { Selection } from "./document.ts";
import { listIn } from "./json.ts";

/** Lists within one item, whose length nobody knows beforehand: each counts as so many. */
const WITHIN = 3;
const LISTS: ReadonlySet<string> = new Set([
  "Manifests",
  "Layers",
  "History",
  "Referrers",
  "Annotations",
  "SignatureInfo",
  "Platforms",
  "Vendors",
]);
/** The lists that a page is of. */
const PAGES: ReadonlySet<string> = new Set(["Results", "Images", "Repos"]);

/** Values of one item of a query's page. */
export function valuesPerItem(query: Selection): number {
  return query.fields.reduce((sum, field) => sum + (PAGES.has(field.name) ? valuesOf(field) : 0), 0);
}

/** Items of a query's page, as a member answered it; 0: it is no page. */
export function itemsIn(query: Selection, value: unknown): number {
  const pages = query.fields.filter(({ name }) => PAGES.has(name));
  return Math.max(0, ...pages.map(({ key }) => listIn(value, key).length));
}

function valuesOf({ fields }: Selection): number {
  return fields.reduce((sum, field) => sum + (1 + valuesOf(field)) * (LISTS.has(field.name) ? WITHIN : 1), 0);
}
