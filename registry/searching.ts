/** The searches of one registry: over all its pairs of stores, with a scanner where the configuration names one. */
import type { Logger } from "pino";
import { connectScanner, type ScannerClient } from "../client/scanner.ts";
import type { Clock } from "../proto/clock.ts";
import type { Config } from "./config.ts";
import { explainBy } from "./http/errors.ts";
import type { Pairs } from "./pairs/pairs.ts";
import { createLayerHolders } from "./search/holders.ts";
import { createPreferences } from "./search/preferences.ts";
import { createRemoteScanner } from "./search/remote-scanner.ts";
import type { Scanner } from "./search/scanner.ts";
import { createSearchService, type SearchService } from "./search/service.ts";
import { targetOf } from "./targets.ts";

export interface Searching {
  readonly service: SearchService;
  /** What a reload changes. @throws Error, in one sentence; nothing is changed then */
  use(config: Config): void;
  close(): void;
}

export function openSearching(
  pairs: Pairs,
  config: Config,
  { clock, log, random = Math.random }: { readonly clock: Clock; readonly log: Logger; readonly random?: () => number },
): Searching {
  let scanner: { readonly client: ScannerClient; readonly scanner: Scanner; readonly said: string } | undefined;
  const use = (next: Config) => {
    const said = JSON.stringify(next.scanner);
    if (scanner?.said === said) return;
    const client = next.scanner && connectScanner(targetOf(next.scanner), { clock, log });
    scanner?.client.close();
    scanner = client && { client, scanner: createRemoteScanner(client, log), said };
  };
  use(config);
  const service = createSearchService(
    {
      source: { view: (context) => pairs.repositories.search.view(context) },
      holders: createLayerHolders(() => pairs.ledgers()),
      preferences: createPreferences({
        clock,
        log,
        random,
        ledgerOf: (name) => pairs.ledgerOf(name),
        ledgers: () => pairs.ledgers(),
      }),
      get scanner() {
        return scanner?.scanner;
      },
    },
    explainBy(log),
  );
  return { service, use, close: () => scanner?.client.close() };
}
