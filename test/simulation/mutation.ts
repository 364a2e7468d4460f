/** A bug planted for the simulation to find: a dependency that is wrapped, or the backend's own switches. */
import type { MetaStore } from "../../client/contract.ts";
import type { Handlers, Transport } from "../../proto/transport.ts";
import type { Driver } from "../../server/contract.ts";
import type { SharedBugs } from "./shared-driver.ts";
import type { Life } from "./world.ts";

export interface Mutation {
  readonly shared?: SharedBugs;
  /** Between the host and the driver. */
  readonly driver?: (driver: Driver, life: Life) => Driver;
  /** Between the network and the host. */
  readonly handlers?: (handlers: Handlers) => Handlers;
  /** Between the client and the network. */
  readonly transport?: (transport: Transport) => Transport;
  /** Between the registry's rules and the client. */
  readonly meta?: (meta: MetaStore) => MetaStore;
}

export const NO_MUTATION: Mutation = {};
