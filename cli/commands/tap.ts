/** `outrigger tap`: sits between a core and its driver, prints every call, and records them for `outrigger tap replay`. */
import { once } from "node:events";
import { ServerCredentials } from "@grpc/grpc-js";
import type { Command } from "commander";
import { isLoopback, type Listening, listen, parseListen } from "../../server/listen.ts";
import { Failure, Reported, UsageFailure } from "../failure.ts";
import { openLink } from "../link.ts";
import { sizeBytes } from "../option-values.ts";
import { methods } from "../rpc/schema.ts";
import { dialer } from "../tap/dial.ts";
import { createProxy } from "../tap/proxy.ts";
import { openRecording, Recorder } from "../tap/recording.ts";
import { replay } from "../tap/replay.ts";
import { SeenCall } from "../tap/seen-call.ts";
import { addTlsOptions, type TlsOptions, targetOf } from "../target-options.ts";
import { endWithReader, print, warn } from "../terminal.ts";

interface TapOptions extends TlsOptions {
  readonly listen?: string;
  readonly to?: string;
  readonly record?: string;
  readonly bytes?: string;
  readonly insecure?: boolean;
}

export function define(command: Command): void {
  addTlsOptions(
    command
      .enablePositionalOptions()
      .option("--listen <addr>", "where cores are told that the driver is: unix:///path or host:port")
      .option("--to <addr>", "the driver: unix:///path, host:port or dns:///name:port")
      .option("--record <file>", "write every call and message to this new file")
      .option("--bytes <size>", "keep at most this much of each message in the recording (default: all of it)")
      .option("--insecure", "listen in plain text beyond loopback all the same"),
  ).action(tap);
  addTlsOptions(
    command
      .command("replay")
      .description("Send a recording's requests to a driver and say which answers differ in code, reason or content.")
      .argument("<file>", "what outrigger tap --record wrote")
      .option("--to <addr>", "the driver: unix:///path, host:port or dns:///name:port"),
  ).action(replayFile);
}

async function tap(options: TapOptions): Promise<void> {
  const { listen: at, to } = options;
  if (at === undefined || to === undefined)
    throw new UsageFailure("give --listen ADDR, where the core will call, and --to ADDR, where the driver is");
  if (options.bytes !== undefined && options.record === undefined)
    throw new UsageFailure("--bytes says how much a recording keeps: give --record FILE as well");
  const address = parseListen(at);
  if (address.kind === "tcp" && !isLoopback(address.host) && !options.insecure)
    throw new UsageFailure(`--listen ${at} is beyond loopback, and a tap listens in plain text: give --insecure`);
  const keepBytes = options.bytes === undefined ? Number.POSITIVE_INFINITY : sizeBytes("--bytes", options.bytes);
  const dial = dialer(targetOf(to, options));
  const recorder = options.record === undefined ? undefined : await Recorder.open(options.record, keepBytes);
  const proxy = createProxy({
    ...dial,
    room: () => recorder?.room(),
    dialled: saying(to),
    call(path, headers) {
      const method = methods().find((one) => one.path === path);
      return new SeenCall({ path, method, recorder: recorder?.next(), print: (line) => print(line) }, headers);
    },
  });
  let listening: Listening;
  try {
    listening = await listen(
      { bind: (place) => bind(proxy.server, place) },
      address,
      ServerCredentials.createInsecure(),
    );
  } catch (error) {
    await recorder?.discard();
    throw error;
  }
  endWithReader();
  const recording = options.record === undefined ? "" : `, recording to ${options.record}`;
  warn(`tapping ${listening.address} to ${to}${recording}`);
  try {
    await asked(recorder);
  } catch (error) {
    throw new Failure(`${options.record} cannot be written any more: ${(error as Error).message}`, { cause: error });
  } finally {
    await proxy.close();
    await listening.close();
    await recorder?.close();
  }
}

/** Says that the driver is away, and why, once for each reason; and that it is back. */
function saying(to: string): (failure: Error | undefined) => void {
  let last = "";
  return (failure) => {
    const now = failure === undefined ? "" : failure.message || failure.name;
    if (now !== last) warn(now === "" ? `${to} is reached again` : `${to} cannot be reached: ${now}`);
    last = now;
  };
}

/** Resolves when the process is told to stop; rejects when its recording fails. */
async function asked(recorder: Recorder | undefined): Promise<void> {
  const stop = new AbortController();
  const { signal } = stop;
  const told = ["SIGINT", "SIGTERM"].map((name) => once(process, name, { signal }));
  for (const one of told) one.catch(() => undefined);
  try {
    await Promise.race(recorder === undefined ? told : [...told, recorder.failed]);
  } finally {
    stop.abort();
  }
}

/** For server/listen: "unix:/path" or host:port. @returns the port */
async function bind(server: ReturnType<typeof createProxy>["server"], place: string): Promise<number> {
  const listening = once(server, "listening");
  if (place.startsWith("unix:")) server.listen(place.slice("unix:".length));
  else {
    const at = place.lastIndexOf(":");
    server.listen(Number(place.slice(at + 1)), place.slice(0, at).replace(/^\[|\]$/g, ""));
  }
  await listening;
  const bound = server.address();
  return typeof bound === "object" && bound !== null ? bound.port : 1;
}

async function replayFile(file: string, options: TlsOptions & { readonly to?: string }): Promise<void> {
  if (options.to === undefined) throw new UsageFailure("give --to ADDR, where the driver is");
  const target = targetOf(options.to, options);
  const { startedMs, events } = await openRecording(file);
  const stores = await storesOf(target);
  let [same, other, left] = [0, 0, 0];
  for await (const one of replay(events, { target, stores, laterMs: Date.now() - startedMs })) {
    if (one.left !== undefined) {
      left += 1;
      print(`call ${one.call} ${one.method}: not compared: ${one.left}`);
    } else if (one.differences.length === 0) same += 1;
    else {
      other += 1;
      for (const told of one.differences) print(`call ${one.call} ${one.method}: ${told}`);
    }
  }
  print(`${same + other + left} calls: ${same} the same, ${other} different, ${left} not compared`);
  if (other > 0) throw new Reported();
}

async function storesOf(target: ReturnType<typeof targetOf>): Promise<Record<string, string>> {
  const link = openLink(target);
  try {
    const { response } = await link.describe();
    return Object.fromEntries(
      response.stores.map(({ kind, id }) => [String(kind).replace("STORE_KIND_", "").toLowerCase(), id]),
    );
  } finally {
    link.close();
  }
}
