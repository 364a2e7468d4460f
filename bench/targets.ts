/** The registries measured: each started on an empty folder, with its processes known for their memory. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { HttpConnection } from "./http-client.ts";

const cli = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

export interface Target {
  readonly name: string;
  readonly port: number;
  /** Peak resident memory since the start, in MiB, by process. */
  peaks(): Record<string, number>;
  /** Lets go of everything, files included. */
  stop(): Promise<void>;
}

export interface OutriggerMode {
  readonly cores: "one" | "many";
  /** Pulls read the driver's files (LOCAL_FILE) instead of asking it for bytes. */
  readonly localFile: boolean;
}

interface Part {
  readonly label: string;
  readonly process: ChildProcess;
}

/** distribution's `registry` binary over the filesystem, telemetry off. */
export async function startDistribution(binary: string, folder: string): Promise<Target> {
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const config = join(folder, "config.yml");
  writeFileSync(
    config,
    JSON.stringify({
      version: "0.1",
      log: { level: "error", accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(folder, "data") }, delete: { enabled: true } },
      http: { addr: `127.0.0.1:${port}` },
    }),
  );
  const registry = launch("registry", binary, ["serve", config], { OTEL_TRACES_EXPORTER: "none" });
  return await target("distribution", port, [registry], folder);
}

/**
 * A filesystem driver and a registry, each a process of compiled JavaScript.
 * @param more of the registry's configuration
 */
export async function startOutrigger(
  mode: OutriggerMode,
  folder: string,
  more: { readonly port?: number; readonly config?: object } = {},
): Promise<Target> {
  const root = join(folder, "data");
  mkdirSync(root, { recursive: true });
  const address = `unix://${join(folder, "driver.sock")}`;
  const driverArguments = [cli, "driver", "filesystem", "--root", root, "--listen", address, "--log-level", "warn"];
  execFileSync(process.execPath, [...driverArguments, "--init"], { stdio: ["ignore", "ignore", "inherit"] });
  // As `outrigger up` and the image set it.
  const driver = launch("driver", process.execPath, driverArguments, { UV_THREADPOOL_SIZE: "16" });
  const port = more.port ?? (await freePort());
  const config = join(folder, "config.yaml");
  writeFileSync(
    config,
    JSON.stringify({
      http: { listen: `127.0.0.1:${port}` },
      stores: { blobs: { address, ...(mode.localFile ? { localRoot: root } : {}) } },
      cores: mode.cores,
      auth: { anonymous: "push" },
      log: { level: "warn" },
      ...more.config,
    }),
  );
  const registry = launch("registry", process.execPath, [cli, "registry", "--config", config]);
  const name = `outrigger, cores: ${mode.cores}${mode.localFile ? ", LOCAL_FILE" : ", all bytes over gRPC"}`;
  return await target(name, port, [registry, driver], folder);
}

async function target(name: string, port: number, parts: Part[], folder: string): Promise<Target> {
  const stop = async () => {
    // In order, the registry first: it gives its lease back to a driver that still answers.
    for (const part of parts) await end(part);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await answering(port, parts);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name,
    port,
    peaks: () => Object.fromEntries(parts.map((part) => [part.label, peakMiB(part.process.pid)])),
    stop,
  };
}

function launch(label: string, command: string, args: string[], env: Record<string, string> = {}): Part {
  return {
    label,
    process: spawn(command, args, {
      stdio: ["ignore", "ignore", label === "registry" && command !== process.execPath ? "ignore" : "inherit"],
      env: { ...process.env, ...env },
    }),
  };
}

function end(part: Part): Promise<void> {
  if (part.process.exitCode !== null || part.process.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    part.process.once("exit", () => resolve());
    part.process.kill("SIGTERM");
    setTimeout(() => part.process.kill("SIGKILL"), 10_000).unref();
  });
}

async function answering(port: number, parts: Part[]): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const gone = parts.find((part) => part.process.exitCode !== null);
    if (gone !== undefined) throw new Error(`${gone.label} ended with ${gone.process.exitCode}`);
    try {
      const connection = await HttpConnection.open(port);
      const { status } = await connection.ask({ method: "GET", path: "/v2/_catalog?n=1" });
      connection.close();
      if (status === 200) return;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`nothing answered on port ${port} within 30 s`);
}

/** VmHWM, the kernel's own peak of resident memory. */
function peakMiB(pid: number | undefined): number {
  const line = readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmHWM:\s+(\d+) kB$/m);
  return Math.round(Number(line?.[1] ?? Number.NaN) / 1024);
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
}
