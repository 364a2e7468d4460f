/** The catalog of all members: each is asked for n names after `last`, and their pages are merged (members.md). */
import { setMaxListeners } from "node:events";
import type { Clock } from "../../proto/clock.ts";
import { RegistryError } from "../errors.ts";
import { MAX_PAGE } from "../http/query.ts";
import { mergePages } from "../merge-pages.ts";
import type { Listing, Repositories, RequestContext } from "../repository/contract.ts";
import { isName, listingBound } from "../repository/names.ts";
import { untilAgreed } from "./agree.ts";
import { childOf } from "./child-signal.ts";
import type { MemberClient } from "./client.ts";
import { isMemberError, type MemberError, MemberWrong } from "./errors.ts";
import { catalogPath } from "./paths.ts";
import { Slots } from "./slots.ts";
import { parseJson } from "./verify.ts";
import type { View } from "./view.ts";

interface PageAsked {
  readonly last: string;
  readonly limit: number;
}

export interface CatalogOptions {
  readonly view: () => View;
  readonly client: MemberClient;
  readonly clock: Clock;
  /** This member's own stores. */
  readonly local: Repositories;
  readonly account: string;
  /** Members whose part is not in the answer, where that is allowed. */
  readonly missing: (members: readonly string[]) => void;
}

/** Members asked at once. */
const AT_ONCE = 8;
/** A name has at most 255 characters; JSON adds three. */
const NAME_BYTES = 260;

/** @throws RegistryError (502) that names a member, unless `partial: allow` */
export async function mergedCatalog(
  options: CatalogOptions,
  page: PageAsked,
  context: RequestContext,
): Promise<Listing> {
  const view = options.view();
  const failed = new Set<string>();
  const losers = childOf(context.signal);
  const slots = new Slots(AT_ONCE);
  const { signal } = losers;
  setMaxListeners(0, signal);
  const ask = async (id: string, asked: PageAsked): Promise<Listing> => {
    try {
      if (id === view.self) return await ownedListing(options.local, view, asked, { ...context, signal });
      return await askedListing(options, id, asked, slots, signal);
    } catch (error) {
      if (isMemberError(error) && view.partial === "allow") {
        failed.add(error.member);
        return { names: [], more: false };
      }
      losers.abort(error);
      throw isMemberError(error) ? asGateway(error) : error;
    }
  };
  const all = holders(view);
  const askAll = async (last: string, limit: number, each: number): Promise<Listing> =>
    mergeNames(
      await Promise.all(all.filter((id) => !failed.has(id)).map((id) => ask(id, { last, limit: each }))),
      limit,
    );
  const { names, more } = await askAll(page.last, page.limit, shareOf(view, all.length, page.limit));
  const left = page.limit - names.length;
  // Where a page of one member ended too early, once more, and then for all that may be needed.
  const rest = more && left > 0 ? await askAll(names.at(-1) ?? page.last, left, left) : undefined;
  if (failed.size > 0) options.missing([...failed].sort());
  return rest ? { names: [...names, ...rest.names], more: rest.more } : { names, more };
}

/**
 * How many of a page's names each member is asked for. Where a hash spreads them, a page has as many of each as chance has it:
 * three standard deviations above the mean are enough for 997 of 1000 pages, at half the cost for three members.
 */
function shareOf({ list: { isEven }, previous }: View, members: number, limit: number): number {
  if (!isEven || previous !== undefined) return limit;
  const mean = limit / members;
  return Math.min(limit, Math.ceil(mean + 3 * Math.sqrt(mean * (1 - 1 / members))) + 1);
}

/** All who may list a name, while names move also those that were members; this one last: the others are at work by then. */
function holders({ self, list, previous }: View): string[] {
  const others = new Set([...list.ids, ...(previous?.ids ?? [])]);
  others.delete(self);
  return [...others, self];
}

/** In order, each once, at most `limit`. */
export function mergeNames(listings: readonly Listing[], limit: number): Listing {
  const pages = listings.map(({ names, more }) => ({ items: names, more }));
  const { items, more } = mergePages(pages, (name) => name, limit);
  return { names: items, more };
}

/** What this member lists when another one asks: names that it owns, or gives up but still holds. */
export async function ownedListing(
  local: Repositories,
  view: View,
  page: PageAsked,
  context: RequestContext,
): Promise<Listing> {
  const names: string[] = [];
  let { last } = page;
  for (;;) {
    const found = await local.listRepositories({ last, limit: page.limit }, context);
    for (const name of found.names) {
      if (!mayList(view, view.self, name)) continue;
      if (names.length === page.limit) return { names, more: true };
      names.push(name);
    }
    last = found.names.at(-1) ?? last;
    if (!found.more || found.names.length === 0) return { names, more: false };
    if (names.length === page.limit) return { names, more: true };
  }
}

function mayList({ list, previous }: View, member: string, name: string): boolean {
  return list.ownerOf(name) === member || previous?.ownerOf(name) === member;
}

async function askedListing(
  { client, clock, account, view }: Pick<CatalogOptions, "client" | "clock" | "account" | "view">,
  id: string,
  page: PageAsked,
  slots: Slots,
  signal: AbortSignal,
): Promise<Listing> {
  const free = await slots.take(signal);
  try {
    const answer = await untilAgreed(clock, signal, () =>
      client.ask(id, {
        method: "GET",
        path: catalogPath(page.limit, page.last),
        role: "itself",
        account,
        maxBytes: 1024 + page.limit * NAME_BYTES,
        signal,
      }),
    );
    if (answer.status !== 200) throw new MemberWrong(id, `answers ${answer.status} when asked for its catalog`);
    const parsed = parseJson(id, answer.body) as { repositories?: unknown } | null;
    const more = answer.headers["link"] !== undefined;
    return checked(view(), id, page, parsed?.repositories, more);
  } finally {
    free();
  }
}

/** All names that a member lists, page by page. @throws MemberDown, MemberWrong, MemberDisagrees */
export async function* heldBy(
  { view, client, clock }: { readonly view: View; readonly client: MemberClient; readonly clock: Clock },
  id: string,
  signal: AbortSignal,
): AsyncGenerator<string, void> {
  for (let last = ""; ; ) {
    const asking = { view: () => view, client, clock, account: "" };
    const page = await askedListing(asking, id, { last, limit: MAX_PAGE }, new Slots(1), signal);
    yield* page.names;
    last = page.names.at(-1) ?? last;
    if (!page.more) return;
  }
}

/** All names that this member's own stores hold, whoever owns them. */
export async function* heldHere(local: Repositories, context: RequestContext): AsyncGenerator<string, void> {
  for (let [last, more] = ["", true]; more; ) {
    const page = await local.listRepositories({ last, limit: MAX_PAGE }, context);
    yield* page.names;
    last = page.names.at(-1) ?? last;
    more = page.more && page.names.length > 0;
  }
}

/** @throws MemberWrong for names out of order, given twice, not asked for, or not its own */
function checked(view: View, id: string, page: PageAsked, names: unknown, more: boolean): Listing {
  const wrong = (what: string) => new MemberWrong(id, `answers a catalog page ${what}`);
  if (!Array.isArray(names)) throw wrong("that is none");
  if (names.length > page.limit) throw wrong(`of ${names.length} names where ${page.limit} were asked for`);
  if (more && names.length === 0) throw wrong("without names that says that more follow");
  let before = listingBound(page.last);
  for (const name of names as readonly unknown[]) {
    if (typeof name !== "string" || !isName(name)) throw wrong("with what is not a repository name");
    if (name <= before) throw wrong(`that is not in order: ${name} after ${before}`);
    if (!mayList(view, id, name)) throw wrong(`with ${name}, which is not its own`);
    before = name;
  }
  return { names: names as string[], more };
}

/** A list over all members that lacks one is not the list: the gateway's fault, not the client's (502). */
function asGateway(error: MemberError): RegistryError {
  return new RegistryError(error.code, error.message, { status: 502, detail: error.detail, cause: error });
}
