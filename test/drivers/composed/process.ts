/** A composition as a process at an address that stays. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type DriverProcess, startDriver } from "../../helpers/outrigger.ts";
import type { Scope } from "../../helpers/processes.ts";
import type { Random } from "../../helpers/random.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { initialise } from "./members.ts";

export class ComposedProcess {
  readonly address: string;
  readonly flags: readonly string[];
  readonly #driver: string;
  readonly #scope: Scope;
  #running: DriverProcess | undefined;

  constructor(scope: Scope, driver: string, flags: readonly string[]) {
    this.#scope = scope;
    this.#driver = driver;
    this.address = `unix://${join(tempFolder(scope), "c.sock")}`;
    this.flags = [...flags, "--member-wait", "5s"];
  }

  get process() {
    if (this.#running === undefined) throw new Error("the driver was not started");
    return this.#running.process;
  }

  async initialise(): Promise<this> {
    await initialise(this.#driver, this.flags);
    return this;
  }

  async start(): Promise<this> {
    this.#running = await startDriver(this.#scope, { driver: this.#driver, address: this.address, flags: this.flags });
    return this;
  }

  async kill(): Promise<void> {
    await this.process.kill();
  }
}

export interface Victim {
  kill(): Promise<void>;
  start(): Promise<unknown>;
}

/** Kills one or two of them at random moments, and starts them again, so many times. */
export async function killAndStart(random: Random, victims: readonly Victim[], kills: number): Promise<void> {
  for (let kill = 0; kill < kills; kill++) {
    await sleep(random.between(500, 2_500));
    const chosen = new Set([random.pick(victims), ...(random.next() < 0.3 ? [random.pick(victims)] : [])]);
    for (const victim of chosen) await victim.kill();
    await sleep(random.between(0, 600));
    // At once: each may come back before what it needs.
    await Promise.all([...chosen].map((victim) => victim.start()));
  }
  await sleep(1_000);
}
