/** The lmdb driver in this process and as one of its own, for the tests of this folder. */
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pino } from "pino";
import { driverModule } from "../../../drivers/lmdb/index.ts";
import { systemClock } from "../../../proto/clock.ts";
import type { CallContext, Driver, MetaDriver, OpenContext } from "../../../server/contract.ts";
import { type DriverProcess, runOutrigger, startDriver } from "../../helpers/outrigger.ts";
import type { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { repository } from "../../helpers/tools.ts";

export const MIB = 1024 * 1024;

export const context: OpenContext = {
  log: pino({ level: "silent" }),
  clock: systemClock,
  readOnly: false,
  lockWaitMs: 0,
  signal: new AbortController().signal,
};

export function call(options: Partial<CallContext> = {}): CallContext {
  const { log, signal } = context;
  return { log, signal, notAfterMs: undefined, assertInTime() {}, ...options };
}

export const openLmdb = (folder: string, changes: Partial<OpenContext> = {}, mapSize = MIB) =>
  driverModule.open({ folder, mapSize }, { ...context, ...changes });

export const initLmdb = (folder: string) => driverModule.init({ folder, mapSize: MIB }, context);

/** A folder as another program makes it: lmdb as this driver has it, and what of it the tests use. */
export function foreignLmdb(folder: string): ForeignLmdb {
  const { open } = createRequire(join(repository, "drivers/lmdb/package.json"))("lmdb") as {
    open(options: object): ForeignLmdb;
  };
  return open({ path: folder, noSubdir: false, overlappingSync: false, encoding: "binary", keyEncoding: "binary" });
}

export interface ForeignLmdb {
  openDB(options: object): ForeignLmdb;
  put(key: Buffer, value: Buffer): Promise<boolean>;
  remove(key: Buffer): Promise<boolean>;
  close(): Promise<void>;
}

export interface OpenStore {
  readonly driver: Driver;
  readonly meta: MetaDriver;
}

export async function openStore(scope: Scope, folder: string): Promise<OpenStore> {
  const driver = await openLmdb(folder);
  scope.defer(() => driver.close());
  if (driver.meta === undefined) throw new Error("no meta store");
  return { driver, meta: driver.meta };
}

/** An empty store. @returns its folder */
export async function newStore(scope: Scope): Promise<string> {
  const folder = join(tempFolder(scope, "lmdb"), "store");
  await initLmdb(folder);
  return folder;
}

export const put = (key: string, value: string | Uint8Array = randomUUID()) =>
  ({ kind: "put", key, value: typeof value === "string" ? Buffer.from(value) : value }) as const;

export const textOf = (value: Uint8Array | undefined) => value && Buffer.from(value).toString();

/** As operators do. @returns the folder */
export async function initialise(folder: string): Promise<string> {
  await runOutrigger(["driver", "lmdb", "--folder", folder, "--init"]);
  return folder;
}

export function startLmdb(
  scope: Scope,
  folder: string,
  options: { readonly address?: string; readonly flags?: readonly string[] } = {},
): Promise<DriverProcess> {
  return startDriver(scope, {
    driver: "lmdb",
    ...(options.address === undefined ? {} : { address: options.address }),
    flags: ["--folder", folder, ...(options.flags ?? [])],
  });
}
