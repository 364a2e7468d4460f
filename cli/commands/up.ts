/**
 * `outrigger up`: a registry and its filesystem driver, as two processes on this machine. What `npm start` runs.
 */
import { mkdir, readdir, rmdir, stat } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { configSources } from "../config-options.ts";
import { Failure, UsageFailure } from "../failure.ts";
import { prettyLine } from "../log-lines.ts";
import { spawnSelf } from "../self.ts";
import { releaseSocket, shortSocketPath } from "../socket-path.ts";
import { messageOf, type Supervisor, supervise } from "../supervisor.ts";
import { print, warn } from "../terminal.ts";

interface UpOptions {
  readonly data: string;
  readonly listen: string;
  readonly anonymous?: string;
  readonly htpasswd?: string;
  readonly logLevel: string;
  readonly jsonLogs?: boolean;
}

/** The registry ends short requests within 30 s of SIGTERM and then persists uploads; the driver needs 2 s. */
const REGISTRY_GRACE_MS = 45_000;
const DRIVER_GRACE_MS = 5_000;

export function define(command: Command): void {
  command
    .option("--data <dir>", "folder that holds all data; made if it does not exist", "./data")
    .option("--listen <host:port>", "where the registry listens", "127.0.0.1:5000")
    .option("--anonymous <pull|push>", "what callers without a login may do, beyond loopback")
    .option("--htpasswd <file>", "who may log in")
    .option("--log-level <level>", "debug, info, warn, error or silent", "warn")
    .option("--json-logs", "write log lines as JSON, as they come")
    .action(up);
}

async function up(options: UpOptions): Promise<void> {
  const listen = parseListen(options.listen);
  const data = resolve(options.data);
  const registryFlags = [
    ...["--local-root", data, "--cores", "one", "--listen", options.listen],
    ...(options.anonymous === undefined ? [] : ["--anonymous", options.anonymous]),
    ...(options.htpasswd === undefined ? [] : ["--htpasswd", options.htpasswd]),
  ];
  await assertFree(listen);
  await assertRegistryStarts(options);
  const fresh = await claimFolder(data);
  const socket = await shortSocketPath(join(data, "driver.sock"), tmpdir());
  if (await accepts(socket.path)) {
    throw new Failure(
      `the driver does not start: another one serves ${data} already, at ${socket.path}; stop it, or name another folder with --data`,
    );
  }
  const env = { ...process.env, OUTRIGGER_LOG_LEVEL: options.logLevel };
  const running: Supervisor[] = [];
  const stopped = waitForStop(running);
  const run = (name: string, args: readonly string[], probe?: () => Promise<string | undefined>) => {
    const supervisor = supervise({
      name,
      start: () => spawnSelf(args, env),
      ...(probe === undefined ? {} : { probe }),
      onLine: (line) => warn(options.jsonLogs ? line : prettyLine(name, line)),
      onRestart: (why, delayMs) => warn(`${name}: ${why}; starting it again in ${delayMs} ms`),
    });
    running.unshift(supervisor);
    return supervisor;
  };

  try {
    if (fresh) await initialise(data, env);
    const driver = run(
      "driver",
      ["driver", "filesystem", "--root", data, "--listen", `unix://${socket.path}`],
      // A driver is not to be told that it is supervised: it is reached when its socket is.
      async () => ((await accepts(socket.path)) ? socket.path : undefined),
    );
    if ((await Promise.race([driver.ready, stopped])) === undefined) return;
    const registry = run("registry", ["registry", "--blobs", `unix://${socket.path}`, ...registryFlags]);
    const address = await Promise.race([registry.ready, stopped]);
    if (address === undefined) return;
    greet(address, data);
    await stopped;
  } finally {
    // The registry first: its last requests still need the driver.
    const [first, second] = running;
    await first?.stop(second === undefined ? DRIVER_GRACE_MS : REGISTRY_GRACE_MS);
    await second?.stop(DRIVER_GRACE_MS);
    await releaseSocket(socket);
  }
}

/** Finds what the registry would refuse before anything is made. @throws ConfigError */
async function assertRegistryStarts({ listen, anonymous, htpasswd, logLevel }: UpOptions): Promise<void> {
  const { loadConfig } = await import("../../registry/config.ts");
  const flags = { listen, anonymous, htpasswd, logLevel };
  const { overrides } = configSources({ blobs: "unix:///to-be-made", ...flags });
  await loadConfig({ env: process.env, overrides: overrides ?? {} });
}

function greet(address: string, data: string): void {
  print(
    `Outrigger is up at ${address}, with its data in ${data}.`,
    "The filesystem driver is a process of its own; the registry knows it by its socket alone.",
    "Ctrl-C stops both. Push something:",
    "",
    `  skopeo copy --dest-tls-verify=false docker://docker.io/library/alpine:latest docker://${address.replace(/^https?:\/\//, "")}/alpine:latest`,
    "",
  );
}

/** SIGINT and SIGTERM end the wait; SIGHUP goes to the registry, which rereads what it was configured with. */
function waitForStop(running: readonly Supervisor[]): Promise<undefined> {
  return new Promise((stop) => {
    const end = () => stop(undefined);
    process.once("SIGINT", end);
    process.once("SIGTERM", end);
    // On a terminal a hang-up means that it was closed.
    if (process.stdin.isTTY) process.once("SIGHUP", end);
    else process.on("SIGHUP", () => running.find(({ name }) => name === "registry")?.signal("SIGHUP"));
  });
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

interface Listen {
  readonly host: string;
  readonly port: number;
}

function parseListen(text: string): Listen {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new UsageFailure(`--listen ${text} is not HOST:PORT, for example 127.0.0.1:5000`);
  return { host: match[1] ?? match[2] ?? "", port };
}

/** Asks before anything is started, so that a taken port is one sentence and no half-started pair. */
async function assertFree({ host, port }: Listen): Promise<void> {
  await new Promise<void>((done, fail) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) =>
      fail(new Failure(listenProblem(error, host, port), { cause: error })),
    );
    probe.listen({ port, ...(host === "" ? {} : { host }), exclusive: true }, () => probe.close(() => done()));
  });
}

function listenProblem(error: NodeJS.ErrnoException, host: string, port: number): string {
  if (error.code === "EADDRINUSE")
    return `port ${port} of ${host || "this machine"} is in use: stop what listens there, or choose another with --listen ${host || "127.0.0.1"}:${port + 1}`;
  if (error.code === "EACCES") return `port ${port} needs privileges: choose one above 1023 with --listen`;
  return `cannot listen on ${host}:${port} (${error.code ?? error.message}): choose another address with --listen`;
}

/**
 * Makes the folder. An empty one that is already there may be a volume that is not mounted, so it is never taken for a
 * new registry.
 * @returns whether the folder is new
 */
async function claimFolder(data: string): Promise<boolean> {
  try {
    await mkdir(data);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT")
      throw new Failure(`the folder above ${data} does not exist: make it, or name another with --data`, {
        cause: error,
      });
    if (code !== "EEXIST") throw error;
  }
  if (!(await stat(data)).isDirectory()) throw new Failure(`${data} is not a folder: name another with --data`);
  if ((await readdir(data)).length === 0) {
    throw new Failure(
      `${data} is empty, as a volume that is not mounted would be: mount it, remove the folder to begin anew, or run outrigger driver filesystem --root ${data} --init`,
    );
  }
  return false;
}

/** Writes the store ids into the new folder; takes the folder away again when that fails. */
async function initialise(data: string, env: NodeJS.ProcessEnv): Promise<void> {
  const lines: string[] = [];
  const child = spawnSelf(["driver", "filesystem", "--root", data, "--init"], env);
  const collect = (chunk: Buffer) => lines.push(...chunk.toString().split("\n").filter(Boolean));
  child.stderr?.on("data", collect);
  child.stdout?.resume();
  const code = await new Promise<number | null>((done, fail) => {
    child.once("close", done);
    child.once("error", fail);
  });
  if (code === 0) return;
  await rmdir(data).catch(() => undefined);
  throw new Failure(`the data folder cannot be initialised: ${messageOf(lines.at(-1) ?? `exit code ${code}`)}`);
}
