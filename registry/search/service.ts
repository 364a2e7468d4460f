/** Searches and preferences as HTTP asks for them: `createSearchService`. */
import type { RequestContext } from "../repository/contract.ts";
import type { HttpAnswer } from "./answer.ts";
import type { Asker, SearchParts } from "./asking.ts";
import type { GraphQlRequest } from "./document.ts";
import type { PeerRequest } from "./fan-out/contract.ts";
import { createFanOut, type FanOutParts } from "./fan-out/index.ts";
import { createSearch, type Explain } from "./index.ts";
import type { Preference } from "./preferences.ts";

export interface SearchService {
  answer(request: GraphQlRequest, asker: Asker): Promise<HttpAnswer>;
  /** What another member asks: answered of what is kept here, whatever the cluster. */
  answerPeer(request: PeerRequest, asker: Asker): Promise<HttpAnswer>;
  /** @returns whether it is set now; `undefined`: there is no such repository */
  toggle(user: string, preference: Preference, name: string, context: RequestContext): Promise<boolean | undefined>;
}

/** @param cluster absent: this registry stands alone */
export function createSearchService(
  parts: SearchParts,
  explain: Explain,
  cluster?: Omit<FanOutParts, "search">,
): SearchService {
  const search = createSearch(parts, explain);
  const across = cluster === undefined ? search : createFanOut({ search, ...cluster });
  return {
    answer: (request, asker) => across.answer(request, asker),
    answerPeer: (request, asker) => search.answer(request, { ...asker, layers: request.extensions?.layers }),
    async toggle(user, preference, name, context) {
      const view = await parts.source.view(context);
      if (view.repository(name) === undefined) return undefined;
      return parts.preferences.toggle(user, preference, name, context);
    },
  };
}
