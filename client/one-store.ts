/** A blob store without its meta store: for what moves bytes and decides nothing by them. */
import { randomBytes } from "node:crypto";
import { type Logger, pino } from "pino";
import { systemClock } from "../proto/clock.ts";
import { DriverBlobStore } from "./blob-store.ts";
import { UploadBudget } from "./budget.ts";
import { StoreChannel } from "./channel.ts";
import type { BlobStore, ConnectOptions, StoreTarget } from "./contract.ts";
import { grpcTransport } from "./grpc.ts";

export interface OneBlobStore {
  readonly blobs: BlobStore;
  /** Resolves once it is described and accepted; rejects when it is refused. */
  ready(): Promise<void>;
  close(): void;
}

const UPLOAD_BUDGET_BYTES = 128 * 1024 * 1024;
const RESUME_BUDGET_MS = 30_000;

/** Begins to connect. @throws INVALID_FIELD for an address of no known form */
export function connectBlobs(
  target: StoreTarget,
  options: Omit<ConnectOptions, "blobs" | "meta"> = {},
  log: Logger = pino({ level: "silent" }),
): OneBlobStore {
  const channel = new StoreChannel({
    transport: grpcTransport(target, { clock: systemClock, log }),
    clock: systemClock,
    random: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
    log,
    kind: "blob",
    target,
    core: { name: options.coreName ?? "outrigger", version: options.coreVersion ?? "" },
    compat: [],
  });
  const refused = new Promise<never>((_, reject) => channel.onRefused(reject));
  refused.catch(() => undefined);
  channel.start();
  const budget = new UploadBudget(options.uploadBudgetBytes ?? UPLOAD_BUDGET_BYTES);
  const resumeBudgetMs = options.resumeBudgetMs ?? RESUME_BUDGET_MS;
  return {
    blobs: new DriverBlobStore({ channel, budget, resumeBudgetMs }),
    ready: () => Promise.race([channel.described(), refused]),
    close: () => channel.close(),
  };
}
