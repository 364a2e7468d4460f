/** docs/guides/move-storage.md, run as it stands there by one shell, with other places and, where need be, other drivers. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stepsOf } from "../guides/guide.ts";
import { installed } from "../guides/installed.ts";
import type { Scope } from "../helpers/processes.ts";
import { repository } from "../helpers/tools.ts";

const GUIDE = "docs/guides/move-storage.md";

export interface Places {
  /** In place of /run/outrigger: short, for its sockets. */
  readonly run: string;
  /** In place of /etc/outrigger. */
  readonly etc: string;
  /** In place of /srv/outrigger. */
  readonly srv: string;
  /** In place of 5001 to 5003. */
  readonly ports: readonly number[];
}

/** Words of the guide and what stands for them. */
export type Rewrite = (text: string) => string;

export function scriptsOf(places: Places, rewrite: Rewrite): string[] {
  const page = readFileSync(join(repository, GUIDE), "utf8");
  return stepsOf(page).flatMap((step) => {
    if (step.kind !== "run") throw new Error(`${GUIDE}:${step.line} is not run`);
    const script = rewrite(step.script)
      .replaceAll("/run/outrigger", places.run)
      .replaceAll("/etc/outrigger", places.etc)
      .replaceAll("/srv/outrigger", places.srv)
      // In reload.sh: the ports of a test are those that were free.
      .replaceAll("127.0.0.1:500$n", `127.0.0.1:$(sed -n "$n"p ${places.run}/ports)`);
    return [script];
  });
}

/** A shell that keeps what it has started, as an operator's does. */
export class Shell {
  readonly #child: ChildProcess;
  readonly #log: string;
  #blocks = 0;
  #lines: string[] = [];

  constructor(scope: Scope, folder: string, env: Readonly<Record<string, string>>, compiled: string) {
    mkdirSync(folder, { recursive: true });
    this.#log = join(folder, "shell.log");
    const errors = openSync(this.#log, "a");
    const bin = installed(folder, compiled);
    this.#child = spawn("bash", ["-eo", "pipefail"], {
      cwd: folder,
      env: { ...process.env, ...env, PATH: `${bin}:${process.env["PATH"]}`, OUTRIGGER_LOG_LEVEL: "info" },
      stdio: ["pipe", "pipe", errors],
    });
    closeSync(errors);
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#lines.push(text);
      this.#child.emit("said");
    });
    scope.defer(() => void this.#child.kill("SIGKILL"));
  }

  /** @returns what the block printed. @throws Error when one of its commands fails */
  async run(script: string, timeoutMs: number): Promise<string> {
    const end = `-- end of block ${++this.#blocks} --`;
    const signal = AbortSignal.timeout(timeoutMs);
    this.#lines = [];
    this.#child.stdin?.write(`${script}\necho '${end}'\n`);
    while (!this.#lines.join("").includes(end)) {
      if (this.#child.exitCode !== null) throw new Error(`a command failed in\n${script}\n${this.tail()}`);
      await Promise.race([once(this.#child, "said", { signal }), once(this.#child, "exit", { signal })]).catch(
        (cause) => {
          throw new Error(`after ${timeoutMs} ms this has not ended:\n${script}\n${this.tail()}`, { cause });
        },
      );
    }
    return this.#lines.join("").split(end)[0] ?? "";
  }

  tail(): string {
    return `${this.#lines.join("").slice(-1500)}\n${readFileSync(this.#log, "utf8").slice(-3000)}`;
  }
}

export function writePid(places: Places, name: string, pid: number | undefined): void {
  writeFileSync(join(places.run, `${name}.pid`), `${pid}\n`);
}
