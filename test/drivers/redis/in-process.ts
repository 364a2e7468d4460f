/** The driver in the test's own process: what a fault does to one call is seen without gRPC between. */
import assert from "node:assert/strict";
import { pino } from "pino";
import { systemClock } from "../../../proto/clock.ts";
import { hasReason, OutriggerError, type Reason } from "../../../proto/errors.ts";
import { assertInTime } from "../../../server/calls.ts";
import type { CallContext, MetaDriver, MetaOperation, OpenContext } from "../../../server/contract.ts";
import { readOptions } from "../../../server/option-values.ts";
import type { Scope } from "../../helpers/processes.ts";

export interface Opened {
  readonly meta: MetaDriver;
  readonly notices: readonly string[];
  /** JSON lines. */
  readonly logged: readonly string[];
  close(): Promise<void>;
}

export function contextOf(logged: string[], readOnly = false): OpenContext {
  const log = pino({ level: "trace" }, { write: (line: string) => void logged.push(line) });
  return { log, clock: systemClock, readOnly, lockWaitMs: 0, signal: new AbortController().signal };
}

/** Opened as the program would. */
export async function open(
  scope: Scope,
  url: string,
  flags: readonly string[] = [],
  readOnly = false,
): Promise<Opened> {
  const { driverModule } = await import("../../../drivers/redis/index.ts");
  const logged: string[] = [];
  const options = readOptions(driverModule.options, ["--url", url, ...flags], {});
  const driver = await driverModule.open(options, contextOf(logged, readOnly));
  assert.ok(driver.meta !== undefined);
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= driver.close();
    return closed;
  };
  scope.defer(close);
  return { meta: driver.meta, notices: driver.notices ?? [], logged, close };
}

/** --init. @returns what was logged */
export async function init(url: string, flags: readonly string[] = []): Promise<readonly string[]> {
  const { driverModule } = await import("../../../drivers/redis/index.ts");
  const logged: string[] = [];
  const options = readOptions(driverModule.options, ["--url", url, ...flags], {});
  await driverModule.init(options, contextOf(logged));
  return logged;
}

export function call(options: { readonly notAfterMs?: number; readonly signal?: AbortSignal } = {}): CallContext {
  const { notAfterMs } = options;
  return {
    signal: options.signal ?? new AbortController().signal,
    log: pino({ level: "silent" }),
    notAfterMs,
    assertInTime: () => assertInTime(systemClock, notAfterMs),
  };
}

/** In time for the next 10 s, as a core's are. */
export const soon = () => call({ notAfterMs: Date.now() + 10_000 });

export const put = (key: string, value: string | Buffer, condition?: MetaOperation["condition"]): MetaOperation => ({
  kind: "put",
  key,
  value: Buffer.from(value),
  ...(condition === undefined ? {} : { condition }),
});

export const remove = (key: string): MetaOperation => ({ kind: "delete", key });

export async function texts(meta: MetaDriver, ...keys: readonly string[]): Promise<(string | undefined)[]> {
  return (await meta.get(keys, call())).map((item) => item && Buffer.from(item.value).toString());
}

/** Every key and value, page by page. */
export async function everything(meta: MetaDriver, limit = 1000): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (let startAfter = "", more = true; more; ) {
    const page = await meta.list({ prefix: "", startAfter, limit }, call());
    for (const { key, value } of page.items) {
      assert.ok(key > startAfter, `${key} after ${startAfter}`);
      startAfter = key;
      found.set(key, Buffer.from(value).toString());
    }
    more = page.more;
  }
  return found;
}

/** @returns the error, for what else it must say */
export async function failsWith(work: Promise<unknown>, reason: Reason, sentence = /./): Promise<OutriggerError> {
  const error = await work.then(
    (result) => assert.fail(`it succeeded: ${JSON.stringify(result)}`),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof OutriggerError && hasReason(error, reason), String((error as Error).stack ?? error));
  assert.match(error.message, sentence);
  return error;
}
