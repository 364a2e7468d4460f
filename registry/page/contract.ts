/** What the page reads: answers of the search, and how the registry and its members are. */
import type { StoreHealth } from "../../client/contract.ts";
import type { Account } from "../auth/contract.ts";
import type { RequestContext } from "../repository/contract.ts";

export interface GraphQlRequest {
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** As GraphQL says (October 2021, 7.1). Nothing of `data` is trusted to have its shape: a member may be older. */
export interface GraphQlAnswer {
  readonly data?: unknown;
  readonly errors?: readonly GraphQlError[];
}

export interface GraphQlError {
  readonly message: string;
  readonly path?: readonly (string | number)[];
  /** `member`: the one that did not answer; what it owns is missing in `data`. */
  readonly extensions?: Readonly<Record<string, unknown>>;
}

/**
 * The search: zot's schema, over the whole cluster, without what the account may not read.
 * @throws OutriggerError, RegistryError when nothing can be asked
 */
export type Ask = (request: GraphQlRequest, account: Account, context: RequestContext) => Promise<GraphQlAnswer>;

/** With the account and the request bound. */
export type BoundAsk = (request: GraphQlRequest) => Promise<GraphQlAnswer>;

/** Of a store, without its address: who may see the page may not be who may know it. */
export interface StoreOverview extends Pick<StoreHealth, "kind" | "ready" | "id" | "problem" | "reason"> {
  /** Repositories below it; "" or absent: all that no other prefix has. */
  readonly prefix?: string;
  /** The blob store that blobs are being moved to. */
  readonly role?: "move";
  /** Reverse DNS name and release, once it was described. */
  readonly driver?: string;
  readonly driverVersion?: string;
}

export interface MemberOverview {
  /** Of the configuration; "" for a registry that stands alone. */
  readonly id: string;
  /** The registry that answers. */
  readonly isSelf: boolean;
  readonly isReachable: boolean;
  readonly version?: string;
  /** What is wrong with it, in one sentence; also of one that is reachable. */
  readonly problem?: string;
  /** Absent: not known of this member. */
  readonly stores?: readonly StoreOverview[];
}

/** What a registry tells of itself. */
export type OwnOverview = Pick<MemberOverview, "version" | "problem" | "stores">;

export interface RegistryOverview {
  /** Itself first, then the others by id. One entry: no cluster. */
  readonly members: readonly MemberOverview[];
}

/** Bounded in time by itself: a member that does not answer is one that is not reachable. */
export type Overview = (context: RequestContext) => RegistryOverview | Promise<RegistryOverview>;
