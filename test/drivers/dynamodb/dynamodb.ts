/** The dynamodb driver in this process and as one of its own, for the tests of this folder. */
import { randomUUID } from "node:crypto";
import { pino } from "pino";
import { driverModule } from "../../../drivers/dynamodb/index.ts";
import { systemClock } from "../../../proto/clock.ts";
import { assertInTime } from "../../../server/calls.ts";
import type { CallContext, Driver, MetaDriver, OpenContext } from "../../../server/contract.ts";
import { type DriverProcess, runOutrigger, startDriver } from "../../helpers/outrigger.ts";
import type { Scope } from "../../helpers/processes.ts";
import { credentials } from "./dynamodb-local.ts";

export const context: OpenContext = {
  log: pino({ level: "silent" }),
  clock: systemClock,
  readOnly: false,
  lockWaitMs: 0,
  signal: new AbortController().signal,
};

/** A call as the host makes it. */
export function call(options: { readonly withinMs?: number; readonly signal?: AbortSignal } = {}): CallContext {
  const notAfterMs = Date.now() + (options.withinMs ?? 10_000);
  return {
    log: context.log,
    signal: options.signal ?? context.signal,
    notAfterMs,
    assertInTime: () => assertInTime(systemClock, notAfterMs),
  };
}

export interface Settings {
  readonly table: string;
  readonly endpoint: string;
  readonly region: string | undefined;
  readonly requestTimeout: number;
}

export const newTable = () => `t-${randomUUID()}`;

export function settings(address: string, table = newTable(), requestTimeout = 3_000): Settings {
  return { table, endpoint: `http://${address}`, region: undefined, requestTimeout };
}

/** The SDK reads its credentials from this process's environment. */
export function useCredentials(): void {
  Object.assign(process.env, credentials);
}

export const initDynamodb = (options: Settings) => driverModule.init(options, context);

export const openDynamodb = (options: Settings) => driverModule.open(options, context);

export interface OpenStore {
  readonly driver: Driver;
  readonly meta: MetaDriver;
}

export async function openStore(scope: Scope, options: Settings): Promise<OpenStore> {
  const driver = await openDynamodb(options);
  scope.defer(() => driver.close());
  if (driver.meta === undefined) throw new Error("no meta store");
  return { driver, meta: driver.meta };
}

/** A new store, behind whatever stands at `address`. */
export async function newStore(
  scope: Scope,
  address: string,
  requestTimeout?: number,
): Promise<OpenStore & { readonly options: Settings }> {
  const options = settings(address, newTable(), requestTimeout);
  await initDynamodb(options);
  return { ...(await openStore(scope, options)), options };
}

export const put = (key: string, value: string | Uint8Array = randomUUID()) =>
  ({ kind: "put", key, value: typeof value === "string" ? Buffer.from(value) : value }) as const;

export const textOf = (value: Uint8Array | undefined) => value && Buffer.from(value).toString();

export const flagsOf = ({ table, endpoint }: Pick<Settings, "table" | "endpoint">) => [
  ...["--table", table],
  ...["--endpoint", endpoint],
];

/** As operators do. */
export async function initialise(options: Pick<Settings, "table" | "endpoint">): Promise<void> {
  await runOutrigger(["driver", "dynamodb", ...flagsOf(options), "--init"], { env: credentials });
}

export function startDynamodb(scope: Scope, options: Pick<Settings, "table" | "endpoint">): Promise<DriverProcess> {
  return startDriver(scope, { driver: "dynamodb", flags: flagsOf(options), env: credentials });
}
