/** distribution's registry on Outrigger drivers (bridges/distribution), and its own driver suite against any of them. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { listening } from "./outrigger.ts";
import { launch, type Running, type Scope } from "./processes.ts";
import { RegistryClient } from "./registry-client.ts";
import { freePort, tempFolder } from "./temp.ts";
import { tool } from "./tools.ts";

export interface Addresses {
  readonly blobs: string;
  /** Default: the same as `blobs`. */
  readonly meta?: string;
}

export interface BridgeRegistry {
  readonly process: Running;
  readonly client: RegistryClient;
  readonly host: string;
}

/** Beside the addresses: the other parameters of `storage: outrigger:`, and what else the configuration says. */
export interface BridgeOptions extends Addresses {
  readonly parameters?: Readonly<Record<string, unknown>>;
  readonly storage?: Readonly<Record<string, unknown>>;
}

const quiet = { OTEL_TRACES_EXPORTER: "none" };

/** Its configuration file. */
function configuration(scope: Scope, host: string, { blobs, meta, parameters, storage }: BridgeOptions): string {
  const file = join(tempFolder(scope), "config.yml");
  const outrigger = { blobs, ...(meta === undefined ? {} : { meta }), ...parameters };
  writeFileSync(
    file,
    JSON.stringify({
      version: "0.1",
      log: { level: "info", accesslog: { disabled: true } },
      storage: { outrigger, delete: { enabled: true }, ...storage },
      http: { addr: host, secret: "test" },
    }),
  );
  return file;
}

/** The registry, not waited for: it may refuse to start. */
export async function launchBridge(scope: Scope, options: BridgeOptions): Promise<BridgeRegistry> {
  const host = `127.0.0.1:${await freePort()}`;
  const config = configuration(scope, host, options);
  const process = scope.add(launch("bridge-registry", tool("bridge-registry"), ["serve", config], { env: quiet }));
  const client = new RegistryClient(`http://${host}`);
  scope.defer(() => client.close());
  return { process, client, host };
}

/** The registry, listening. */
export async function startBridge(scope: Scope, options: BridgeOptions): Promise<BridgeRegistry> {
  const bridge = await launchBridge(scope, options);
  await listening(bridge.process, bridge.host);
  return bridge;
}

/** `registry garbage-collect` with this configuration. @returns how it ended and what it said */
export async function collectGarbage(scope: Scope, options: BridgeOptions): Promise<{ code: number; lines: string[] }> {
  const config = configuration(scope, "127.0.0.1:0", options);
  const collector = scope.add(
    launch("garbage-collect", tool("bridge-registry"), ["garbage-collect", config], { env: quiet }),
  );
  const { code } = await collector.exited;
  return { code: code ?? -1, lines: [...collector.lines] };
}

export interface TestRun {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
  /** Everything that was said. */
  readonly output: string;
}

/** Tests of bridges/distribution, by go's patterns. */
export async function runBridgeTests(
  how: { readonly run?: string; readonly skip?: string; readonly short?: boolean; readonly timeoutMs?: number },
  addresses?: Addresses,
): Promise<TestRun> {
  const { run, skip, short = false, timeoutMs = 900_000 } = how;
  const args = [
    "-test.v",
    `-test.timeout=${timeoutMs}ms`,
    ...(run === undefined ? [] : [`-test.run=${run}`]),
    ...(skip === undefined ? [] : [`-test.skip=${skip}`]),
    ...(short ? ["-test.short"] : []),
  ];
  const env: NodeJS.ProcessEnv = { ...process.env, ...quiet };
  if (addresses !== undefined) {
    env["OUTRIGGER_BLOBS"] = addresses.blobs;
    env["OUTRIGGER_META"] = addresses.meta ?? addresses.blobs;
  }
  const child = spawn(tool("bridge-tests"), args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => lines.push(line));
  }
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs + 5_000);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  }).finally(() => clearTimeout(timer));
  const named = (outcome: string) =>
    lines.flatMap((line) => new RegExp(`^\\s*--- ${outcome}: (\\S+)`).exec(line)?.[1] ?? []);
  const failed = named("FAIL");
  // A panic ends the program without naming a test.
  if (code !== 0 && failed.length === 0) failed.push(`the program, with ${code}`);
  return { passed: named("PASS"), failed, skipped: named("SKIP"), output: lines.join("\n") };
}

/**
 * distribution's own driver suite through the bridge, against any pair of drivers. `short` leaves out its stream of 5 GB
 * and makes its other large ones smaller; `run` names one test.
 */
export async function distributionSuite(
  addresses: Addresses,
  how: { readonly run?: string; readonly short?: boolean; readonly timeoutMs?: number } = {},
): Promise<TestRun> {
  const { passed, failed, skipped, output } = await runBridgeTests(
    { ...how, run: `^TestSuite$${how.run === undefined ? "" : `/^${how.run}$`}` },
    addresses,
  );
  const tests = (names: readonly string[]) =>
    names.filter((name) => name.startsWith("TestSuite/")).map((name) => name.slice("TestSuite/".length));
  return { passed: tests(passed), failed, skipped: tests(skipped), output };
}
