/** A driver as a program: options, logs, signals, and an end that says why. */
import { destination, type Logger, pino } from "pino";
import { systemClock } from "../proto/clock.ts";
import type { DriverModule, OptionSpecs } from "./contract.ts";
import { type Host, hostDriver } from "./host.ts";
import type { Instruments } from "./instruments.ts";
import { startMetrics } from "./metrics.ts";
import { describeOptions, readOptions, UsageError } from "./option-values.ts";
import { hostOptions } from "./options.ts";
import { release } from "./release.ts";
import type { TlsOptions } from "./tls.ts";
import { startTracing } from "./tracing.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Runs the driver until SIGTERM or SIGINT, then drains. Never rejects: a failed start is one sentence on stderr and
 * exit code 1.
 * @param argv flags, without node and script
 */
export async function runDriver(module: DriverModule, argv: readonly string[], env: Environment): Promise<void> {
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(`${usage(module)}\n`);
    return;
  }
  if (argv.includes("--version")) {
    process.stdout.write(`${module.name} ${release()}\n`);
    return;
  }
  let log: Logger | undefined;
  try {
    const specs: OptionSpecs = { ...module.options, ...hostOptions };
    const own = readOptions(specs, argv, env);
    const options = own as ReturnType<typeof readOptions<typeof hostOptions>>;
    log = pino(
      { level: options.logLevel, base: { driver: module.name, pid: process.pid } },
      destination({ fd: 2, sync: true }),
    );
    if (options.init) {
      await module.init(own, openContext(log, options.readOnly, options.lockWait));
      log.info("the stores have their ids");
      return;
    }
    await serve(module, own, options, env, log);
  } catch (error) {
    process.exitCode = 1;
    report(module, error, log);
  }
}

async function serve(
  module: DriverModule,
  own: ReturnType<typeof readOptions>,
  options: ReturnType<typeof readOptions<typeof hostOptions>>,
  env: Environment,
  log: Logger,
): Promise<void> {
  if (options.listen === undefined) {
    throw new UsageError("--listen is missing: unix:///path/x.sock or host:port (or set OUTRIGGER_LISTEN)");
  }
  const stopped = stopSignal(log);
  const closers: (() => Promise<void>)[] = [];
  try {
    const instruments: Instruments[] = [];
    const tracing = await startTracing(env, `outrigger-driver-${module.name}`);
    if (tracing !== undefined) {
      instruments.push(tracing);
      closers.unshift(tracing.close);
    }
    if (options.metricsListen !== undefined) {
      const metrics = await startMetrics(options.metricsListen);
      instruments.push(metrics);
      closers.unshift(metrics.close);
      log.info({ address: metrics.address }, "metrics at /metrics");
    }
    const tls = tlsOptions(options);
    const host: Host = await hostDriver({
      open: (context) => module.open(own, context),
      listen: options.listen,
      log,
      insecure: options.insecure,
      readOnly: options.readOnly,
      lockWaitMs: options.lockWait,
      instruments,
      signal: stopped,
      ...(tls === undefined ? {} : { tls }),
    });
    closers.unshift(() => host.close());
    await aborted(stopped);
  } finally {
    for (const close of closers) await close();
    // Whatever a driver left behind must not keep a process that was told to stop.
    if (stopped.aborted) setTimeout(() => process.exit(), 500).unref();
  }
}

function openContext(log: Logger, readOnly: boolean, lockWaitMs: number) {
  return { log, clock: systemClock, readOnly, lockWaitMs, signal: new AbortController().signal };
}

function tlsOptions(options: ReturnType<typeof readOptions<typeof hostOptions>>): TlsOptions | undefined {
  const { tlsCert, tlsKey, tlsClientCa, tlsAllowClient } = options;
  if (tlsCert === undefined && tlsKey === undefined) {
    if (tlsClientCa !== undefined || tlsAllowClient !== undefined) {
      throw new UsageError("--tls-client-ca and --tls-allow-client need --tls-cert and --tls-key");
    }
    return undefined;
  }
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new UsageError("--tls-cert and --tls-key belong together: one is missing");
  }
  return {
    cert: tlsCert,
    key: tlsKey,
    ...(tlsClientCa === undefined ? {} : { clientCa: tlsClientCa }),
    ...(tlsAllowClient === undefined ? {} : { allowClients: tlsAllowClient.split(",").map((name) => name.trim()) }),
  };
}

/** Aborts at the first SIGTERM or SIGINT. More change nothing: supervisors signal a child and its group, and a drain is short. */
function stopSignal(log: Logger): AbortSignal {
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) return;
      log.info({ signal: name }, "stopping");
      stop.abort(new UsageError("told to stop before it was ready"));
    });
  }
  return stop.signal;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** One sentence: for a person at a terminal as it is, else as the JSON line that log collectors expect. */
function report(module: DriverModule, error: unknown, log: Logger | undefined): void {
  const sentence = error instanceof Error ? error.message : String(error);
  if (process.stderr.isTTY || log === undefined) process.stderr.write(`outrigger driver ${module.name}: ${sentence}\n`);
  else log.fatal(sentence);
  log?.debug({ err: error }, "the failure in full");
}

function usage(module: DriverModule): string {
  return [
    `outrigger driver ${module.name} --listen ADDRESS [flags]`,
    "",
    module.summary,
    "",
    "The driver's own:",
    describeOptions(module.options),
    "",
    "Of every driver:",
    describeOptions(hostOptions),
    "",
    "Flags win over OUTRIGGER_* variables, those over the file.",
  ].join("\n");
}
