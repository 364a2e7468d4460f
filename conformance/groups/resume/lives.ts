/** A driver's lives: killed with -9, started again. */
import type { Calls, Context } from "../../contract.ts";

/** Kills the driver and starts it again. @returns calls on a new connection to the new process */
export async function killAndStart(ctx: Context): Promise<Calls> {
  await ctx.driver.kill();
  await ctx.driver.start();
  return ctx.connect();
}

/** What the promise came to when the driver was killed under it: its value, or `undefined` for any failure. */
export function beforeTheKill<Value>(call: Promise<Value>): Promise<Value | undefined> {
  return call.catch(() => undefined);
}
