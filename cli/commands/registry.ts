/** `outrigger registry`: the registry as a process: configuration, signals, and an end that says why. */
import type { Command } from "commander";
import { destination, type Logger, pino } from "pino";
import { systemClock } from "../../proto/clock.ts";
import { hasReason, type Reason } from "../../proto/errors.ts";
import { type Config, loadConfig } from "../../registry/config.ts";
import { type RunningRegistry, startRegistry } from "../../registry/index.ts";
import { createTurns } from "../../registry/turns.ts";
import { watchFiles } from "../../registry/watch.ts";
import { addConfigOptions, type ConfigOptions, configSources } from "../config-options.ts";
import { describeError, Reported } from "../failure.ts";
import { announceReady } from "../self.ts";
import { version } from "../version.ts";

/** For these the client logs a line at level error before it rejects. */
const refusals: readonly Reason[] = [
  "NOT_A_DRIVER",
  "VERSION_UNSUPPORTED",
  "CAPABILITY_MISSING",
  "CLOCK_SKEW",
  "WRONG_STORE",
  "PROTOCOL_VIOLATION",
];

export function define(command: Command): void {
  addConfigOptions(command).action(serve);
}

async function serve(options: ConfigOptions): Promise<void> {
  const sources = configSources(options);
  const config = await loadConfig(sources);
  const log = pino(
    { level: config.log.level, base: { registry: version(), pid: process.pid } },
    destination({ fd: 2, sync: true }),
  );
  // Told to stop while it starts, it must not be found later by its listener alone.
  const stop = stopSignal(log);
  try {
    await serveUntil(stop, config, sources, log);
  } catch (error) {
    // The log has a refusal already: one line, not two.
    throw hasReason(error, ...refusals) && log.isLevelEnabled("error") ? new Reported() : error;
  }
  log.info("stopped");
}

async function serveUntil(
  stop: Promise<void>,
  config: Config,
  sources: ReturnType<typeof configSources>,
  log: Logger,
): Promise<void> {
  // SIGHUP would end a process that does not listen to it: while it starts there is nothing to reload yet.
  process.on("SIGHUP", () => undefined);
  const registry = await startRegistry(config, { log, coreVersion: version() });
  try {
    log.info({ address: registry.address }, "listening");
    const reload = reloader(registry, () => loadConfig(sources), log);
    process.on("SIGHUP", reload);
    const { file } = sources;
    const watch =
      file !== undefined && config.reload === "watch"
        ? watchFiles({ files: [file], clock: systemClock, changed: reload, failed: () => undefined })
        : undefined;
    try {
      // Refused stores end the process; a driver that is not there yet is waited for.
      const refused = registry.ready.then(() => {
        announceReady(registry.address);
        return stop;
      });
      await Promise.race([refused, stop]);
    } finally {
      watch?.stop();
      process.off("SIGHUP", reload);
    }
    await registry.drain();
  } finally {
    await registry.close();
  }
}

/** One reload at a time; what is wrong is logged and leaves everything as it was. */
function reloader(
  registry: RunningRegistry,
  load: () => ReturnType<typeof loadConfig>,
  log: Logger,
): () => Promise<void> {
  const inTurn = createTurns();
  return () =>
    inTurn(async () => {
      try {
        await registry.reload(await load());
      } catch (error) {
        log.error({ err: error }, `the configuration was not reloaded: ${describeError(error, false)}`);
      }
    });
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
function stopSignal(log: Logger): Promise<void> {
  return new Promise((resolve) => {
    let stopping = false;
    for (const name of ["SIGTERM", "SIGINT"] as const) {
      process.on(name, () => {
        if (stopping) process.exit(1);
        stopping = true;
        log.info({ signal: name }, "stopping");
        resolve();
      });
    }
  });
}
