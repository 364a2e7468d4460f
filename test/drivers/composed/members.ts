/** Members and compositions as processes, for the tests of mirror, shard and cache. */

import { join } from "node:path";
import { shellCommand } from "../../helpers/compiled.ts";
import { type DriverProcess, initialiseRoot, runOutrigger, startDriver } from "../../helpers/outrigger.ts";
import type { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";

/** A driver at an address that stays, so that it can be killed and started again. */
export class MemberProcess {
  readonly address: string;
  readonly root: string | undefined;
  readonly #scope: Scope;
  readonly #flags: readonly string[];
  #running: DriverProcess | undefined;

  constructor(scope: Scope, root: string | undefined, flags: readonly string[] = []) {
    this.#scope = scope;
    this.root = root;
    this.#flags = flags;
    this.address = `unix://${join(tempFolder(scope), "m.sock")}`;
  }

  get process() {
    if (this.#running === undefined) throw new Error("the member was not started");
    return this.#running.process;
  }

  async start(): Promise<this> {
    this.#running = await startDriver(this.#scope, {
      address: this.address,
      driver: this.root === undefined ? "memory" : "filesystem",
      ...(this.root === undefined ? {} : { root: this.root }),
      flags: this.#flags,
    });
    return this;
  }

  async kill(): Promise<void> {
    await this.process.kill();
  }
}

export async function filesystemMember(scope: Scope, flags: readonly string[] = []): Promise<MemberProcess> {
  const root = tempFolder(scope, "root");
  await initialiseRoot(root);
  return new MemberProcess(scope, root, flags).start();
}

export function memoryMember(scope: Scope): Promise<MemberProcess> {
  return new MemberProcess(scope, undefined).start();
}

/** `outrigger driver NAME …`, for the kit's --start. */
export function startCommand(driver: string, flags: readonly string[]): string {
  return `exec ${shellCommand("driver", driver, ...flags)}`;
}

export async function initialise(driver: string, flags: readonly string[]): Promise<void> {
  await runOutrigger(["driver", driver, ...flags, "--init"]);
}
