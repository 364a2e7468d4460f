/** Which tests mean something for this driver and this command line, from Describe and the options alone. */
import type { DescribeResponse } from "../proto/gen/outrigger/handshake/v1/DescribeResponse.ts";
import type { Store } from "../proto/gen/outrigger/handshake/v1/Store.ts";
import type { Requirement, StoreKind } from "./contract.ts";

/** What the command line gives. */
export interface Means {
  readonly start: boolean;
  readonly replicas: boolean;
  readonly localRoot: boolean;
  readonly slow: boolean;
}

export type Applies =
  | { readonly applies: true }
  /** The driver does not claim it. */
  | { readonly applies: false; readonly state: "not-claimed"; readonly why: string }
  /** It does, and the kit was not given what it takes. */
  | { readonly applies: false; readonly state: "not-run"; readonly why: string; readonly slow: boolean };

const kinds: Readonly<Record<string, StoreKind>> = { STORE_KIND_BLOB: "blob", STORE_KIND_META: "meta" };

export function kindOf(store: Store): StoreKind | undefined {
  return kinds[String(store.kind)];
}

export function storeOf(described: DescribeResponse | undefined, kind: StoreKind): Store | undefined {
  return described?.stores.find((store) => kindOf(store) === kind);
}

/** @param described undefined: the driver did not say what it is; then nothing is claimed, and only what needs no claim applies */
export function appliesTo(
  described: DescribeResponse | undefined,
  means: Means,
  ...requirements: readonly (Requirement | undefined)[]
): Applies {
  for (const requirement of requirements) {
    const missing = requirement === undefined ? undefined : notClaimed(described, requirement);
    if (missing !== undefined) return { applies: false, state: "not-claimed", why: missing };
  }
  for (const requirement of requirements) {
    const missing = requirement === undefined ? undefined : notGiven(means, requirement);
    if (missing !== undefined) return { applies: false, state: "not-run", why: missing, slow: false };
  }
  if (!means.slow && requirements.some((requirement) => requirement?.slow))
    return { applies: false, state: "not-run", why: "give --slow: it takes a minute or more", slow: true };
  return { applies: true };
}

function notClaimed(described: DescribeResponse | undefined, requirement: Requirement): string | undefined {
  const { store, capability, lacks } = requirement;
  const stores = (described?.stores ?? []).filter((each) => store === undefined || kindOf(each) === store);
  if (store !== undefined && stores.length === 0) return `no ${store} store`;
  const claimed = (name: string) => stores.some((each) => each.capabilities.includes(name));
  if (capability !== undefined && !claimed(capability)) return `no ${capability}`;
  if (lacks !== undefined && claimed(lacks)) return `only without ${lacks}`;
  return undefined;
}

function notGiven(means: Means, requirement: Requirement): string | undefined {
  if (requirement.start && !means.start) return "give --start CMD";
  if (requirement.replicas && !means.replicas) return "give the replica's address as a second ADDR (or --start twice)";
  if (requirement.localRoot && !means.localRoot) return "give --local-root DIR";
  return undefined;
}
