/** `outrigger health [ADDR]`: the containers' health check, without curl. */
import type { Command } from "commander";
import { Failure } from "../failure.ts";
import { openLink } from "../link.ts";
import { addTlsOptions, type TlsOptions, targetOf } from "../target-options.ts";
import { print } from "../terminal.ts";

const TIMEOUT_MS = 4_000;

export function define(command: Command): void {
  addTlsOptions(
    command.argument("[addr]", "a registry's http(s)://host:port or a driver's address; default: OUTRIGGER_LISTEN"),
  ).action(health);
}

async function health(given: string | undefined, options: TlsOptions): Promise<void> {
  const address = given ?? process.env["OUTRIGGER_LISTEN"];
  if (address === undefined) throw new Failure("give an address, or set OUTRIGGER_LISTEN");
  if (/^https?:\/\//.test(address)) await registryHealth(address);
  else await driverHealth(address, options);
  print("alive");
}

async function registryHealth(address: string): Promise<void> {
  let answer: Response;
  try {
    answer = await fetch(new URL("/livez", address), { signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    const why = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new Failure(`the registry at ${address} does not answer (${why}): see its log`, { cause: error });
  }
  await answer.body?.cancel();
  if (!answer.ok) throw new Failure(`${address}/livez answers ${answer.status}: see the registry's log`);
}

/** The process, not its backend: one that waits for its backend is not to be restarted. */
async function driverHealth(address: string, options: TlsOptions): Promise<void> {
  const link = openLink(targetOf(address, options));
  try {
    const status = await link.health("");
    if (status !== "SERVING") throw new Failure(`the driver at ${address} says ${status}: it starts or stops`);
  } finally {
    link.close();
  }
}
