/** The repositories of several pairs of stores as those of one registry. */
import { RegistryError } from "../errors.ts";
import type { Listing, Repositories, RequestContext } from "../repository/contract.ts";
import type { Handover } from "../repository/handover.ts";
import { listingBound } from "../repository/names.ts";
import { joinedSearch } from "../search/joined.ts";
import type { Routed, Routes } from "./routes.ts";

export interface PairOfRepositories extends Routed {
  readonly repositories: Repositories;
  /** Whether its stores were reached and it serves. */
  readonly isServing: boolean;
}

export function routedRepositories(routes: Routes<PairOfRepositories>): Repositories {
  const of = (name: string): Repositories => serving(routes.of(name));
  return {
    search: joinedSearch(
      () => routes.all.map((pair) => serving(pair).search),
      (name) => of(name).search,
    ),
    statBlob: (name, ...rest) => of(name).statBlob(name, ...rest),
    readBlob: (name, ...rest) => of(name).readBlob(name, ...rest),
    statManifest: (name, ...rest) => of(name).statManifest(name, ...rest),
    getManifest: (name, ...rest) => of(name).getManifest(name, ...rest),
    listTags: (name, ...rest) => of(name).listTags(name, ...rest),
    listRepositories: (page, context) => listAll(routes, page, context),
    listReferrers: (name, ...rest) => of(name).listReferrers(name, ...rest),
    startUpload: (name, ...rest) => of(name).startUpload(name, ...rest),
    appendUpload: (session, ...rest) => of(session.repository).appendUpload(session, ...rest),
    finishUpload: (session, ...rest) => of(session.repository).finishUpload(session, ...rest),
    uploadProgress: (session, ...rest) => of(session.repository).uploadProgress(session, ...rest),
    cancelUpload: (session, ...rest) => of(session.repository).cancelUpload(session, ...rest),
    async mountBlob(name, digest, source, context) {
      const pair = routes.of(name);
      const { from } = source;
      // Bytes of another pair: the client uploads them.
      if (from !== undefined && routes.of(from) !== pair) return undefined;
      // A store may hold repositories of names that are another pair's by now.
      const mayRead = (repository: string) => routes.of(repository) === pair && source.mayRead(repository);
      return serving(pair).mountBlob(name, digest, { ...source, mayRead }, context);
    },
    putManifest: (name, ...rest) => of(name).putManifest(name, ...rest),
    deleteTag: (name, ...rest) => of(name).deleteTag(name, ...rest),
    deleteManifest: (name, ...rest) => of(name).deleteManifest(name, ...rest),
    deleteBlob: (name, ...rest) => of(name).deleteBlob(name, ...rest),
    handover: routedHandover(routes, (name) => handoverOf(of(name))),
  };
}

function routedHandover(routes: Routes<PairOfRepositories>, of: (name: string) => Handover): Handover {
  return {
    contents: (name, ...rest) => of(name).contents(name, ...rest),
    getManifest: (name, ...rest) => of(name).getManifest(name, ...rest),
    putManifest: (name, ...rest) => of(name).putManifest(name, ...rest),
    preferences: (name, ...rest) => of(name).preferences(name, ...rest),
    addPreferences: (name, ...rest) => of(name).addPreferences(name, ...rest),
    removePreferences: (name, ...rest) => of(name).removePreferences(name, ...rest),
    state: (name, ...rest) => of(name).state(name, ...rest),
    mark: (name, ...rest) => of(name).mark(name, ...rest),
    async forgetOthers(...rest) {
      for (const pair of routes.all) await handoverOf(serving(pair)).forgetOthers(...rest);
    },
  };
}

function handoverOf({ handover }: Repositories): Handover {
  if (handover) return handover;
  throw new Error("the repositories of a pair can be handed over");
}

function serving({ prefix, repositories, isServing }: PairOfRepositories): Repositories {
  if (isServing) return repositories;
  throw new RegistryError("UNAVAILABLE", `the storage of ${prefix}/ was not reached yet; try again later`, {
    retryAfterSeconds: 2,
  });
}

/** Each pair's names in order, as one order; names that are another pair's are left out. */
async function listAll(
  routes: Routes<PairOfRepositories>,
  page: { readonly last: string; readonly limit: number },
  context: RequestContext,
): Promise<Listing> {
  const last = listingBound(page.last);
  const cursors = routes.all.map((pair) => new Cursor(routes, pair, { ...page, last }, context));
  await Promise.all(cursors.map((cursor) => cursor.look()));
  const names: string[] = [];
  for (;;) {
    const [first] = cursors.filter(({ name }) => name !== undefined).sort(byName);
    if (first?.name === undefined) return { names, more: false };
    if (names.length >= page.limit) return { names, more: page.limit > 0 };
    names.push(first.name);
    await first.next();
  }
}

class Cursor {
  readonly #routes: Routes<PairOfRepositories>;
  readonly #pair: PairOfRepositories;
  readonly #limit: number;
  readonly #context: RequestContext;
  #last: string;
  #names: readonly string[] = [];
  #at = 0;
  #more = true;

  constructor(
    routes: Routes<PairOfRepositories>,
    pair: PairOfRepositories,
    page: { readonly last: string; readonly limit: number },
    context: RequestContext,
  ) {
    this.#routes = routes;
    this.#pair = pair;
    this.#limit = Math.max(1, page.limit);
    this.#last = page.last;
    this.#context = context;
  }

  /** `undefined`: there is none left. */
  get name(): string | undefined {
    return this.#names[this.#at];
  }

  next(): Promise<void> {
    this.#at += 1;
    return this.look();
  }

  async look(): Promise<void> {
    while (this.#at >= this.#names.length && this.#more) {
      const request = { last: this.#last, limit: this.#limit };
      const { names, more } = await serving(this.#pair).listRepositories(request, this.#context);
      this.#last = names.at(-1) ?? this.#last;
      this.#more = more && names.length > 0;
      this.#names = names.filter((name) => this.#routes.of(name) === this.#pair);
      this.#at = 0;
    }
  }
}

/** Names are ASCII, so this is bytewise. */
function byName(a: Cursor, b: Cursor): number {
  return (a.name ?? "") < (b.name ?? "") ? -1 : 1;
}
