/** Searches and preferences as HTTP asks for them: `createSearchService`. */
import type { RequestContext } from "../repository/contract.ts";
import type { HttpAnswer } from "./answer.ts";
import type { Asker, SearchParts } from "./asking.ts";
import type { GraphQlRequest } from "./document.ts";
import { createSearch, type Explain, type Search } from "./index.ts";
import type { Preference } from "./preferences.ts";

export interface SearchService {
  /** Of this registry alone. */
  readonly search: Search;
  /** @param request `extensions`: what only members of a cluster may send, not yet checked */
  answer(request: GraphQlRequest & { readonly extensions?: unknown }, asker: Asker): Promise<HttpAnswer>;
  /** @returns whether it is set now; `undefined`: there is no such repository */
  toggle(user: string, preference: Preference, name: string, context: RequestContext): Promise<boolean | undefined>;
}

export function createSearchService(parts: SearchParts, explain: Explain): SearchService {
  const search = createSearch(parts, explain);
  return {
    search,
    answer: (request, asker) => search.answer(request, asker),
    async toggle(user, preference, name, context) {
      const view = await parts.source.view(context);
      if (view.repository(name) === undefined) return undefined;
      return parts.preferences.toggle(user, preference, name, context);
    },
  };
}
