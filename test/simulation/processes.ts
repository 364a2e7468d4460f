/** The two kinds of process: a driver with its host, and a core with its client. Real code but for what lies below it. */
import type { Logger } from "pino";
import type { BlobStore, MetaStore, Stores } from "../../client/contract.ts";
import { connect } from "../../client/stores.ts";
import { initFilesystem, openFilesystemDriver } from "../../drivers/filesystem/open.ts";
import type { Handlers, Transport } from "../../proto/transport.ts";
import { createRepositories, type RunningRepositories } from "../../registry/repository/index.ts";
import type { Driver } from "../../server/contract.ts";
import { createHandlers } from "../../server/handlers.ts";
import { delegate } from "./delegate.ts";
import type { SimDisk } from "./disk.ts";
import type { Mutation } from "./mutation.ts";
import type { Plan } from "./plan.ts";
import type { Random } from "./random.ts";
import { type Backend, openShared } from "./shared-driver.ts";
import type { Life } from "./world.ts";

export interface DriverParts {
  readonly plan: Plan;
  readonly life: Life;
  readonly disk: SimDisk;
  readonly backend: Backend;
  readonly random: Random;
  readonly mutation: Mutation;
  readonly log: Logger;
}

const STORE_IDS = {
  blobId: "00000000-0000-4000-8000-0000000000b0",
  metaId: "00000000-0000-4000-8000-0000000000e0",
} as const;

export async function openDriver(parts: DriverParts): Promise<Handlers> {
  const { plan, life, mutation, log, random } = parts;
  const opened = plan.topology === "replicas" ? openReplica(parts) : await openFilesystem(parts);
  const driver = mutation.driver?.(opened, life) ?? opened;
  const handlers = createHandlers(driver, { clock: life.clock, log, randomId: () => idFrom(random) });
  return mutation.handlers?.(handlers) ?? handlers;
}

function openReplica({ backend, life, plan }: DriverParts): Driver {
  return openShared(backend, life, { persistStepBytes: plan.persistStepBytes, ...STORE_IDS });
}

async function openFilesystem({ disk, life, plan, random, log }: DriverParts): Promise<Driver> {
  const deps = {
    log,
    clock: life.clock,
    lockWaitMs: 5_000,
    disk: disk.mountedBy(life),
    randomUuid: () => idFrom(random),
  };
  if (!disk.initialised) {
    await initFilesystem({ root: "simulated" }, deps);
    disk.initialised = true;
  }
  return openFilesystemDriver(
    { root: "simulated", persistStepBytes: plan.persistStepBytes, compactBytes: plan.compactBytes },
    deps,
  );
}

export interface CoreParts {
  readonly plan: Plan;
  readonly life: Life;
  readonly transport: Transport;
  readonly random: Random;
  readonly mutation: Mutation;
  readonly log: Logger;
}

export interface BootedCore {
  readonly blobs: BlobStore;
  readonly meta: MetaStore;
  readonly transport: Transport;
  readonly repositories: RunningRepositories;
  /** The registry's rules may be used: in the mode "one", this core alone may write. */
  started: boolean;
  /** Both stores are described. */
  connected: boolean;
  ready(): Promise<void>;
}

export function bootCore({ plan, life, transport, random, mutation, log }: CoreParts): BootedCore {
  const { clock } = life;
  const fraction = () => random.fraction();
  const connected = connect(
    {
      blobs: { address: "simulated:1" },
      uploadBudgetBytes: plan.uploadBudgetBytes,
      coreName: "outrigger-simulation",
      coreVersion: "1.0.0",
    },
    { log, clock, random: fraction, transport: () => transport },
  );
  const meta = mutation.meta?.(connected.meta) ?? connected.meta;
  const stores: Stores = meta === connected.meta ? connected : delegate(connected, { meta });
  const repositories = createRepositories({
    stores,
    mode: plan.coreMode,
    clock,
    log,
    random: fraction,
    locationSecret: Buffer.alloc(32, 7),
    contentMemoryBytes: 64 * 1024,
    factsMemoryBytes: 64 * 1024,
  });
  return {
    blobs: connected.blobs,
    meta,
    transport,
    repositories,
    started: false,
    connected: false,
    ready: () => connected.ready(),
  };
}

/** Unguessable is not asked for here: the same seed gives the same names. */
export function idFrom(random: Random): string {
  const hex = (digits: number) =>
    Math.floor(random.fraction() * 16 ** digits)
      .toString(16)
      .padStart(digits, "0");
  return `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(8)}${hex(4)}`;
}
