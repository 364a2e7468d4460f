/** The page of one registry: over its searches, or those of all members of its cluster. */
import type { Logger } from "pino";
import type { Clock } from "../proto/clock.ts";
import type { Authenticator } from "./auth/contract.ts";
import type { Aside } from "./http/handler.ts";
import { askerOf } from "./http/search.ts";
import type { Cluster } from "./members/cluster.ts";
import type { OwnOverview } from "./page/contract.ts";
import { createPage } from "./page/handler.ts";
import { overviewAlone } from "./page/overview.ts";
import type { SearchService } from "./search/service.ts";

export interface FrontParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string | undefined;
  /** Read anew for each request. */
  readonly authenticator: () => Authenticator;
  readonly readOnly: () => boolean;
  readonly cluster: Cluster;
  readonly search: SearchService;
  readonly own: () => OwnOverview;
}

export function openFront(parts: FrontParts): Aside {
  const { clock, log, version, cluster, own } = parts;
  const alone = overviewAlone(own);
  return createPage({
    authenticator: parts.authenticator,
    async ask(request, account, context) {
      const service = cluster.searchOf(parts.search, account);
      return (await service.answer(request, askerOf(account, parts.readOnly(), context))).answer;
    },
    overview: (context) => cluster.overview(own, context.signal) ?? alone(context),
    clock,
    log,
    version,
  });
}
