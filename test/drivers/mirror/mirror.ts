/** A mirror over two members as processes. */
import { join } from "node:path";
import { type DriverProcess, startDriver } from "../../helpers/outrigger.ts";
import type { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { initialise, type MemberProcess } from "../composed/members.ts";

export class MirrorProcess {
  readonly address: string;
  readonly flags: readonly string[];
  readonly #scope: Scope;
  #running: DriverProcess | undefined;

  constructor(scope: Scope, primary: MemberProcess, secondary: MemberProcess, more: readonly string[] = []) {
    this.#scope = scope;
    this.address = `unix://${join(tempFolder(scope), "c.sock")}`;
    this.flags = ["--primary", primary.address, "--secondary", secondary.address, ...more];
  }

  get process() {
    if (this.#running === undefined) throw new Error("the mirror was not started");
    return this.#running.process;
  }

  async initialise(): Promise<this> {
    await initialise("mirror", this.flags);
    return this;
  }

  async start(): Promise<this> {
    this.#running = await startDriver(this.#scope, { driver: "mirror", address: this.address, flags: this.flags });
    return this;
  }

  async kill(): Promise<void> {
    await this.process.kill();
  }

  /** Resolves once it has said that the stores were compared, and no key is pending. */
  async compared(): Promise<void> {
    await this.process.line((line) => line.includes("the two stores were compared"));
  }
}
