/** How a registry and its stores are, for the page: what /readyz tells, with the drivers' names. */
import type { StoreHealth } from "../../client/contract.ts";
import type { Overview, OwnOverview, StoreOverview } from "./contract.ts";

type Health = readonly (StoreHealth & { readonly prefix?: string })[];

export function ownOverview(options: {
  /** `problem`: why it takes no requests, where it takes none (Readiness). */
  readonly state: () => { readonly stores: Health; readonly problem?: string };
  readonly version: string | undefined;
}): () => OwnOverview {
  const { version } = options;
  return () => {
    const { stores, problem } = options.state();
    return {
      stores: stores.map(storeOverview),
      ...(version === undefined ? {} : { version }),
      ...(problem === undefined ? {} : { problem }),
    };
  };
}

/** Of a registry that stands alone. */
export function overviewAlone(own: () => OwnOverview): Overview {
  return () => ({ members: [{ id: "", isSelf: true, isReachable: true, ...own() }] });
}

/** Without the address. */
function storeOverview({ kind, beside, prefix, ready, ...rest }: Health[number]): StoreOverview {
  const { id, driver, driverVersion, problem, reason } = rest;
  return {
    kind,
    ready,
    ...(beside ? { role: "move" as const } : {}),
    ...(prefix ? { prefix } : {}),
    ...(id === undefined ? {} : { id }),
    ...(driver === undefined ? {} : { driver }),
    ...(driverVersion === undefined ? {} : { driverVersion }),
    ...(problem === undefined ? {} : { problem }),
    ...(reason === undefined ? {} : { reason }),
  };
}
