/** How a registry and its stores are, for the page: what /readyz tells, with the drivers' names. */
import type { StoreHealth } from "../../client/contract.ts";
import type { Overview, StoreOverview } from "./contract.ts";

/** Without addresses. */
export function storesOverview(health: readonly (StoreHealth & { readonly prefix?: string })[]): StoreOverview[] {
  return health.map(({ kind, beside, prefix, id, driver, driverVersion, ready, problem, reason }) => ({
    kind,
    ready,
    ...(beside ? { role: "move" as const } : {}),
    ...(prefix ? { prefix } : {}),
    ...(id === undefined ? {} : { id }),
    ...(driver === undefined ? {} : { driver }),
    ...(driverVersion === undefined ? {} : { driverVersion }),
    ...(problem === undefined ? {} : { problem }),
    ...(reason === undefined ? {} : { reason }),
  }));
}

/** Of a registry that stands alone. */
export function overviewAlone(options: {
  readonly health: () => readonly (StoreHealth & { readonly prefix?: string })[];
  /** Why it takes no requests, where it does not (Readiness). */
  readonly problem?: () => string | undefined;
  readonly version: string | undefined;
}): Overview {
  const { version } = options;
  return () => {
    const problem = options.problem?.();
    return {
      members: [
        {
          id: "",
          isSelf: true,
          isReachable: true,
          stores: storesOverview(options.health()),
          ...(version === undefined ? {} : { version }),
          ...(problem === undefined ? {} : { problem }),
        },
      ],
    };
  };
}
