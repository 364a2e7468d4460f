/** Driver and registry as processes, started as users start them: `outrigger driver …`, `outrigger registry …`. */
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { commandWords } from "./compiled.ts";
import { launch, type Running, type Scope } from "./processes.ts";
import { RegistryClient } from "./registry-client.ts";
import { freePort, tempFolder } from "./temp.ts";
import { command, repository } from "./tools.ts";

export interface ProcessEnvironment {
  readonly env?: Readonly<Record<string, string>>;
}

/** `outrigger <args>`, not waited for. */
export function launchOutrigger(name: string, args: readonly string[], options: ProcessEnvironment = {}): Running {
  const [program, ...words] = commandWords();
  return launch(name, program, [...words, ...args], {
    cwd: repository,
    env: { OUTRIGGER_LOG_LEVEL: "info", ...options.env },
  });
}

/** `outrigger <args>`, run to its end. @throws Error with its last words when it fails */
export function runOutrigger(
  args: readonly string[],
  options: ProcessEnvironment = {},
): Promise<{ stdout: string; stderr: string }> {
  const [program, ...words] = commandWords();
  return command(program, [...words, ...args], { cwd: repository, ...options });
}

export interface DriverOptions extends ProcessEnvironment {
  /** Default "filesystem". */
  readonly driver?: string;
  /** Of the filesystem driver. */
  readonly root?: string;
  /** Default: a socket in a folder of its own. */
  readonly address?: string;
  readonly flags?: readonly string[];
}

export interface DriverProcess {
  readonly address: string;
  readonly process: Running;
}

function driverArguments(address: string, options: DriverOptions): string[] {
  return [
    ...["driver", options.driver ?? "filesystem"],
    ...(options.root === undefined ? [] : ["--root", options.root]),
    ...["--listen", address],
    ...(options.flags ?? []),
  ];
}

/** A driver that answers at its address. */
export async function startDriver(scope: Scope, options: DriverOptions): Promise<DriverProcess> {
  const driver = launchDriver(scope, options);
  await listening(driver.process, driver.address);
  return driver;
}

/** A driver that will answer at its address, or end. */
export function launchDriver(scope: Scope, options: DriverOptions): DriverProcess {
  const address = options.address ?? `unix://${join(tempFolder(scope), "d.sock")}`;
  return { address, process: scope.add(launchOutrigger("driver", driverArguments(address, options), options)) };
}

/** Writes the store ids into an empty folder. */
export async function initialiseRoot(root: string): Promise<void> {
  await runOutrigger(["driver", "filesystem", "--root", root, "--init"]);
}

export interface RegistryOptions extends ProcessEnvironment {
  readonly blobs: string;
  readonly meta?: string;
  /** LOCAL_FILE reads. */
  readonly localRoot?: string;
  /** Default "many". */
  readonly cores?: "one" | "many";
  readonly flags?: readonly string[];
  readonly port?: number;
}

export interface RegistryProcess {
  readonly process: Running;
  readonly client: RegistryClient;
  /** 127.0.0.1:port */
  readonly host: string;
}

function registryArguments(host: string, options: RegistryOptions): string[] {
  return [
    ...["registry", "--listen", host, "--blobs", options.blobs, "--cores", options.cores ?? "many"],
    ...(options.meta === undefined ? [] : ["--meta", options.meta]),
    ...(options.localRoot === undefined ? [] : ["--local-root", options.localRoot]),
    ...(options.flags ?? []),
  ];
}

/** A registry that listens; whether its stores are ready is another question. */
export async function launchRegistry(scope: Scope, options: RegistryOptions): Promise<RegistryProcess> {
  const host = `127.0.0.1:${options.port ?? (await freePort())}`;
  const running = scope.add(launchOutrigger("registry", registryArguments(host, options), options));
  const client = new RegistryClient(`http://${host}`);
  scope.defer(() => client.close());
  await listening(running, host);
  return { process: running, client, host };
}

/** What a configuration file says of the stores. */
export type ConfiguredStores = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface ConfiguredRegistry extends RegistryProcess {
  /** Writes the file anew, sends SIGHUP. @throws Error unless it is taken */
  reload(stores: ConfiguredStores): Promise<void>;
  /** Likewise. @returns why it was refused */
  reloadRefused(stores: ConfiguredStores): Promise<string>;
}

/** A registry with a configuration file. */
export async function launchConfigured(scope: Scope, stores: ConfiguredStores): Promise<ConfiguredRegistry> {
  const host = `127.0.0.1:${await freePort()}`;
  const file = join(tempFolder(scope), "registry.yaml");
  const write = (now: ConfiguredStores) => writeFileSync(file, JSON.stringify({ http: { listen: host }, stores: now }));
  write(stores);
  const running = scope.add(launchOutrigger("registry", ["registry", "--config", file]));
  const client = new RegistryClient(`http://${host}`);
  scope.defer(() => client.close());
  await listening(running, host);
  const reload = async (now: ConfiguredStores) => {
    const said = running.lines.length;
    write(now);
    running.signal("SIGHUP");
    return running.line((line) => /the configuration was (?:not )?reloaded/.test(line), 30_000, said);
  };
  return {
    process: running,
    client,
    host,
    async reload(now) {
      const line = await reload(now);
      if (!/was reloaded/.test(line)) throw new Error(`the new configuration was refused: ${line}`);
    },
    async reloadRefused(now) {
      const line = await reload(now);
      if (/was reloaded/.test(line)) throw new Error("the new configuration was taken");
      return line;
    },
  };
}

/** A registry whose /readyz says 200. */
export async function startRegistry(scope: Scope, options: RegistryOptions): Promise<RegistryProcess> {
  const registry = await launchRegistry(scope, options);
  await ready(registry);
  return registry;
}

/** @throws Error when /readyz does not say `wanted` in time */
export async function ready({ client, process }: RegistryProcess, wanted = 200, ms = 30_000): Promise<void> {
  let last = "";
  await until(
    async () => {
      const reply = await client.request("GET", "/readyz", { timeoutMs: 5000 });
      last = `${reply.status} ${reply.body}`;
      return reply.status === wanted;
    },
    ms,
    () => `/readyz does not say ${wanted} but ${last}; the registry said: ${process.tail()}`,
  );
}

/** A driver and a registry on a new root. */
export async function startPair(
  scope: Scope,
  options: { readonly root?: string; readonly cores?: "one" | "many"; readonly flags?: readonly string[] } = {},
): Promise<{ driver: DriverProcess; registry: RegistryProcess; root: string }> {
  const root = options.root ?? tempFolder(scope, "root");
  if (options.root === undefined) await initialiseRoot(root);
  const driver = await startDriver(scope, { root });
  const registry = await startRegistry(scope, {
    blobs: driver.address,
    ...(options.cores === undefined ? {} : { cores: options.cores }),
    ...(options.flags === undefined ? {} : { flags: options.flags }),
  });
  return { driver, registry, root };
}

/** Resolves once the process accepts connections at its address. @throws Error when it ends, or takes 30 s */
export async function listening(running: Running, address: string, ms = 30_000): Promise<void> {
  await until(
    () => {
      if (running.exit !== undefined) throw new Error(`${running.name} has ended: ${running.tail()}`);
      return accepts(address);
    },
    ms,
    () => `${running.name} does not listen at ${address}: ${running.tail()}`,
  );
}

/** Whoever it is. @throws Error after `ms` */
export function listeningAt(address: string, ms = 30_000): Promise<void> {
  return until(
    () => accepts(address),
    ms,
    () => `nobody listens at ${address}`,
  );
}

function accepts(address: string): Promise<boolean> {
  const path = address.startsWith("unix://") ? address.slice("unix://".length) : undefined;
  const at = address.lastIndexOf(":");
  const socket = path === undefined ? connect(Number(address.slice(at + 1)), address.slice(0, at)) : connect(path);
  return new Promise((resolve) => {
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Asks every 20 ms: the other side has no way to tell. @throws Error with `why` when it never holds */
export async function until(holds: () => Promise<boolean> | boolean, ms: number, why: () => string): Promise<void> {
  const deadline = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(why());
    await sleep(20);
  }
}
