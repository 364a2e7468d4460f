/** One blob store without a meta store beside it: for a driver that keeps its bytes behind other drivers. */
import { randomBytes } from "node:crypto";
import type { Logger } from "pino";
import { type Clock, systemClock } from "../proto/clock.ts";
import { DriverBlobStore } from "./blob-store.ts";
import { UploadBudget } from "./budget.ts";
import { type Patience, StoreChannel } from "./channel.ts";
import type { BlobStore, StoreTarget } from "./contract.ts";
import { grpcTransport } from "./grpc.ts";

export interface BlobConnection {
  readonly channel: StoreChannel;
  readonly store: BlobStore;
}

export interface BlobConnectionOptions {
  /** Who asks, as the other driver logs it. */
  readonly name: string;
  readonly version: string;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Nothing is tried again: who asks this driver does that. */
  readonly once?: boolean;
  readonly patience?: Patience;
}

/** The bytes that appends of one connection hold; they are copies between stores, few at a time. */
const BUDGET_BYTES = 32 * 1024 * 1024;
/** How long one append waits for a driver that is away: a copy is begun anew later, and nobody holds bytes for it. */
const RESUME_BUDGET_MS = 10_000;

/** Begins to connect at once; `channel.close` ends it. @throws INVALID_FIELD for an address of no known form */
export function connectBlobs(target: StoreTarget, options: BlobConnectionOptions): BlobConnection {
  const { name, version, log, clock = systemClock, once, patience } = options;
  const channel = new StoreChannel({
    transport: grpcTransport(target, { clock, log }),
    clock,
    random: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
    log,
    kind: "blob",
    target,
    core: { name, version },
    compat: [],
    ...(once === undefined ? {} : { once }),
    ...(patience === undefined ? {} : { patience }),
  });
  channel.start();
  const budget = new UploadBudget(BUDGET_BYTES);
  return { channel, store: new DriverBlobStore({ channel, budget, resumeBudgetMs: RESUME_BUDGET_MS }) };
}
