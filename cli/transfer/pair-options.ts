/** FROM and TO: two pairs of stores, each by its addresses and how they are reached. */
import { setMaxListeners } from "node:events";
import type { Command } from "commander";
import type { StoreTarget } from "../../client/contract.ts";
import { Failure, UsageFailure } from "../failure.ts";
import { assertAddress } from "../link.ts";
import { sizeBytes } from "../option-values.ts";
import type { PairTargets } from "../pair.ts";
import { type TlsOptions, targetOf } from "../target-options.ts";

export interface PairOptions {
  readonly fromMeta?: string;
  readonly toMeta?: string;
  readonly [option: string]: unknown;
}

export interface WorkOptions {
  readonly jobs?: string;
  readonly rate?: string;
}

export function addPairOptions(command: Command): Command {
  command
    .argument("<from>", "address of the driver of the source's blob store, or of both its stores")
    .argument("<to>", "likewise of the target")
    .option("--from-meta <addr>", "address of the driver of the source's meta store (default: FROM)")
    .option("--to-meta <addr>", "address of the driver of the target's meta store (default: TO)");
  for (const side of ["from", "to"]) {
    const who = side === "from" ? "the source" : "the target";
    command
      .option(`--${side}-tls`, `reach ${who} by TLS, trusting the system's authorities`)
      .option(`--${side}-tls-ca <file>`, `reach ${who} by TLS, trusting the authorities of this PEM file`)
      .option(`--${side}-tls-cert <file>`, `client certificate for ${who}, PEM`)
      .option(`--${side}-tls-key <file>`, "its key, PEM")
      .option(`--${side}-tls-server-name <name>`, `name that the certificate of ${who} must have`);
  }
  return command;
}

/** @throws Failure for a bad address, UsageFailure for half a key pair */
export function sideOf(side: "from" | "to", blobs: string, options: PairOptions): PairTargets {
  const meta = String(options[`${side}Meta`] ?? blobs);
  assertAddress(blobs);
  assertAddress(meta);
  const tls = tlsOf(side, options);
  const target = (address: string): StoreTarget => targetOf(address, tls);
  return { blobs: target(blobs), meta: target(meta) };
}

function tlsOf(side: "from" | "to", options: PairOptions): TlsOptions {
  const { [`${side}TlsCert`]: cert, [`${side}TlsKey`]: key } = options;
  if ((cert === undefined) !== (key === undefined))
    throw new UsageFailure(`--${side}-tls-cert and --${side}-tls-key belong together: give both or neither`);
  const names = { tls: "Tls", tlsCa: "TlsCa", tlsCert: "TlsCert", tlsKey: "TlsKey", tlsServerName: "TlsServerName" };
  const given = Object.entries(names).flatMap(([name, own]) => {
    const value = options[`${side}${own}`];
    return value === undefined ? [] : [[name, value]];
  });
  return Object.fromEntries(given) as TlsOptions;
}

export function addWorkOptions(command: Command): Command {
  return command
    .option("--jobs <n>", "blobs at once, 1 to 64 (default: 4)")
    .option("--rate <size>", "read at most this much a second, of all blobs together: 50MiB");
}

/** Slower, and a driver would take the copy for one that has stalled. */
const LEAST_RATE_BYTES = 64 * 1024;

/** @throws UsageFailure */
export function workOf({ jobs: text = "4", rate }: WorkOptions): {
  readonly jobs: number;
  readonly bytesPerSecond: number | undefined;
} {
  const jobs = /^\d{1,2}$/.test(text) ? Number(text) : 0;
  if (jobs < 1 || jobs > 64) throw new UsageFailure(`--jobs is ${JSON.stringify(text)}: write a number from 1 to 64`);
  if (rate === undefined) return { jobs, bytesPerSecond: undefined };
  const bytesPerSecond = sizeBytes("--rate", rate.replace(/\/s$/, ""));
  if (bytesPerSecond < LEAST_RATE_BYTES) throw new UsageFailure("--rate is at least 64KiB a second");
  return { jobs: Math.min(jobs, Math.floor(bytesPerSecond / LEAST_RATE_BYTES)), bytesPerSecond };
}

/** Ends the work at the first SIGINT or SIGTERM with `message`; a second one ends the process. */
export async function untilStopped<Result>(
  message: string,
  work: (signal: AbortSignal) => Promise<Result>,
  exitCode = 1,
): Promise<Result> {
  const stop = new AbortController();
  // Each call under way listens to it, and many are.
  setMaxListeners(0, stop.signal);
  const onSignal = () => stop.abort(new Failure(message, { exitCode }));
  const names = ["SIGINT", "SIGTERM"] as const;
  for (const name of names) process.once(name, onSignal);
  try {
    return await work(stop.signal);
  } catch (error) {
    // However the work notices that it was stopped, that is what happened.
    throw stop.signal.aborted ? stop.signal.reason : error;
  } finally {
    for (const name of names) process.off(name, onSignal);
  }
}
