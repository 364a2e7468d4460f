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
  /** As `answer`, of all members. */
  answerOfAll(request: GraphQlRequest, asker: Asker, cluster: Omit<FanOutParts, "search">): Promise<HttpAnswer>;
  /** @returns whether it is set now; `undefined`: there is no such repository */
  toggle(user: string, preference: Preference, name: string, context: RequestContext): Promise<boolean | undefined>;
}

export function createSearchService(parts: SearchParts, explain: Explain): SearchService {
  const search = createSearch(parts, explain);
  return {
    answer: (request, asker) => search.answer(request, asker),
    answerPeer(request, asker) {
      const { layers, readOnly } = request.extensions ?? {};
      const mayDelete = readOnly === true ? () => false : asker.mayDelete;
      return search.answer(request, { ...asker, mayDelete, layers });
    },
    answerOfAll: (request, asker, cluster) => createFanOut({ search, ...cluster }).answer(request, asker),
    async toggle(user, preference, name, context) {
      const view = await parts.source.view(context);
      if (view.repository(name) === undefined) return undefined;
      return parts.preferences.toggle(user, preference, name, context);
    },
  };
}
