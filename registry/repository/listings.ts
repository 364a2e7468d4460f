/** Listings: tags and repositories, in bytewise order, from the derived keys. */
import type { MetaItem, Page } from "../../client/contract.ts";
import { limits } from "../../proto/limits.ts";
import type { Listing, RequestContext } from "./contract.ts";
import type { Core } from "./core.ts";
import { catalogKey, catalogPrefix, tagsPrefix } from "./keys.ts";
import { assertName, escapeName, listingBound, unescapeName } from "./names.ts";

interface PageAsked {
  readonly last: string;
  readonly limit: number;
}

/** One List; a Get more when there is no tag. */
export async function listTags(
  core: Core,
  name: string,
  page: PageAsked,
  context: RequestContext,
): Promise<Listing | undefined> {
  assertName(name);
  const prefix = tagsPrefix(name);
  const found = await listNames(core, prefix, listingBound(page.last), page.limit, context, ({ key }) =>
    key.slice(prefix.length),
  );
  if (found.names.length > 0) return found;
  const [guard] = await core.ledger.look([catalogKey(name)], context);
  return guard === undefined ? undefined : found;
}

export function listRepositories(core: Core, page: PageAsked, context: RequestContext): Promise<Listing> {
  const last = escapeName(listingBound(page.last));
  return listNames(core, catalogPrefix, last, page.limit, context, ({ key }) =>
    unescapeName(key.slice(catalogPrefix.length)),
  );
}

async function listNames(
  core: Core,
  prefix: string,
  last: string,
  limit: number,
  context: RequestContext,
  nameOf: (item: MetaItem) => string | undefined,
): Promise<Listing> {
  const names: string[] = [];
  let startAfter = last === "" ? undefined : prefix + last;
  while (names.length < limit) {
    const page = await core.ledger.lookList(
      {
        prefix,
        limit: Math.min(limit - names.length, limits.listItems),
        ...(startAfter === undefined ? {} : { startAfter }),
      },
      context,
    );
    for (const name of namesOf(page, nameOf)) names.push(name);
    if (!page.more) return { names, more: false };
    startAfter = page.items.at(-1)?.key ?? startAfter;
  }
  return { names, more: limit > 0 };
}

/** Of pages that come from memory again and again; an entry goes with its page. */
const known = new WeakMap<Page<MetaItem>, readonly string[]>();

function namesOf(page: Page<MetaItem>, nameOf: (item: MetaItem) => string | undefined): readonly string[] {
  const held = known.get(page);
  if (held !== undefined) return held;
  const names = page.items.map(nameOf).filter((name) => name !== undefined);
  known.set(page, names);
  return names;
}
