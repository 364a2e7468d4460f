/** Ends drivers by -9, whoever has started them, and starts them again by the words that their processes were started by. */
import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { listeningAt, until } from "../helpers/outrigger.ts";
import type { Scope } from "../helpers/processes.ts";
import type { Random } from "../helpers/random.ts";
import { type Places, writePid } from "./move-guide.ts";

const DRIVERS = ["old", "s3", "redis"] as const;

export class DriverKiller {
  kills = 0;
  readonly #places: Places;
  readonly #env: Readonly<Record<string, string>>;
  readonly #random: Random;

  constructor(scope: Scope, places: Places, env: Readonly<Record<string, string>>, random: Random) {
    this.#places = places;
    this.#env = env;
    this.#random = random;
    scope.defer(() => {
      for (const name of DRIVERS) this.end(name);
    });
  }

  /** One that runs, whichever; resolves when it accepts connections again. */
  async one(): Promise<void> {
    const running = DRIVERS.filter((name) => this.#pid(name) !== undefined);
    const name = this.#random.pick(running);
    const pid = this.#pid(name);
    if (pid === undefined) return;
    const [command = "", ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
    const address = args[args.indexOf("--listen") + 1] ?? "";
    this.end(name);
    await until(
      () => this.#pid(name) === undefined,
      10_000,
      () => `process ${pid} does not end`,
    );
    const log = openSync(join(this.#places.run, `${name}.log`), "a");
    const child = spawn(command, args, {
      env: { ...process.env, ...this.#env, OUTRIGGER_LOG_LEVEL: "info" },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    writePid(this.#places, name, child.pid);
    await listeningAt(address);
    this.kills += 1;
  }

  /** Again and again, until the answer is called. */
  during(pauseMs: number): () => Promise<void> {
    let stopping = false;
    const work = (async () => {
      while (!stopping) {
        await sleep(pauseMs);
        if (!stopping) await this.one();
      }
    })();
    return () => {
      stopping = true;
      return work;
    };
  }

  end(name: string): void {
    const pid = this.#pid(name);
    if (pid !== undefined) process.kill(pid, "SIGKILL");
  }

  /** `undefined`: not started, or not running. */
  #pid(name: string): number | undefined {
    const file = join(this.#places.run, `${name}.pid`);
    const pid = existsSync(file) ? Number(readFileSync(file, "utf8")) : 0;
    // A zombie has no words.
    return pid > 0 && existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`).length > 0
      ? pid
      : undefined;
  }
}
