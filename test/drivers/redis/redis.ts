/** A redis-server and the driver in front of it as processes, for the tests of this folder. */

import { join } from "node:path";
import { shellCommand } from "../../helpers/compiled.ts";
import { type DriverProcess, launchOutrigger, listening, runOutrigger, startDriver } from "../../helpers/outrigger.ts";
import { launch, type Running, type Scope } from "../../helpers/processes.ts";
import { freePort, tempFolder } from "../../helpers/temp.ts";
import { command, tool } from "../../helpers/tools.ts";

/** As docs/reference/drivers/redis.md asks for it. */
export const DURABLE = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];

export interface ServerOptions {
  /** Default: DURABLE. */
  readonly flags?: readonly string[];
  /** Default: a free one. */
  readonly port?: number;
  /** Default: a new one. */
  readonly folder?: string;
}

/** One server: killed, stopped and started again under one address. */
export class RedisServer {
  readonly port: number;
  readonly folder: string;
  readonly #scope: Scope;
  #flags: readonly string[];
  #running: Running | undefined;

  static async start(scope: Scope, options: ServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(
      scope,
      options.port ?? (await freePort()),
      options.folder ?? tempFolder(scope, "redis"),
      options.flags ?? DURABLE,
    );
    await server.start();
    return server;
  }

  private constructor(scope: Scope, port: number, folder: string, flags: readonly string[]) {
    this.#scope = scope;
    this.port = port;
    this.folder = folder;
    this.#flags = flags;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get url(): string {
    return `redis://${this.address}`;
  }

  get process(): Running {
    if (this.#running === undefined) throw new Error("the server was not started");
    return this.#running;
  }

  /** @param flags from now on, instead of those it had */
  async start(flags: readonly string[] = this.#flags): Promise<void> {
    this.#flags = flags;
    this.#running = this.#scope.add(
      launch("redis-server", tool("redis-server"), [
        ...["--port", String(this.port), "--bind", "127.0.0.1", "--dir", this.folder, "--daemonize", "no"],
        ...flags,
      ]),
    );
    await this.#running.line((line) => /Ready to accept connections/.test(line));
  }

  kill(): Promise<void> {
    return this.process.kill();
  }

  /** redis-cli's answer. @throws Error with what it says when it fails */
  async cli(...args: readonly string[]): Promise<string> {
    const cli = join(tool("redis-server"), "../redis-cli");
    const { stdout } = await command(cli, [
      "-e",
      "-h",
      "127.0.0.1",
      "-p",
      String(this.port),
      "--no-auth-warning",
      ...args,
    ]);
    return stdout.trim();
  }
}

/** Writes the store's id. */
export async function initialise(url: string, ...flags: readonly string[]): Promise<void> {
  await runOutrigger(["driver", "redis", "--url", url, "--init", ...flags]);
}

export function startRedisDriver(
  scope: Scope,
  url: string,
  options: { readonly flags?: readonly string[]; readonly address?: string } = {},
): Promise<DriverProcess> {
  return startDriver(scope, {
    driver: "redis",
    flags: ["--url", url, ...(options.flags ?? [])],
    ...(options.address === undefined ? {} : { address: options.address }),
  });
}

/** One shell command that starts the driver where OUTRIGGER_LISTEN says, for the kit's --start. */
export function startCommand(url: string): string {
  return `exec ${shellCommand("driver", "redis", "--url", url)}`;
}

/** What a driver that does not start says in its last line. @throws Error when it serves */
export async function refusal(
  url: string,
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const running = launchOutrigger("driver", ["driver", "redis", "--url", url, "--listen", "127.0.0.1:0", ...flags], {
    env,
  });
  const served = running
    .line((line) => line.includes('"msg":"serving"'), 60_000)
    .then(
      () => true,
      () => false,
    );
  if (await served) {
    await running.kill();
    throw new Error(`it serves: ${running.tail()}`);
  }
  return running.lines.at(-1) ?? "";
}

export { listening };
