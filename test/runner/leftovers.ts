/** What tests must not leave behind: processes and temporary files. Both are known by a mark of this run. */
import { randomUUID } from "node:crypto";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const MARK = "TEST_RUN_ID";
/** How long an ended parent's helpers (esbuild's, say) may take to notice. */
const PATIENCE_MS = 3000;

export class Leftovers {
  /** Short: unix sockets lie below it. */
  readonly #folder = mkdtempSync(join(tmpdir(), "ot-"));
  readonly #mark = randomUUID();

  constructor() {
    // Tests run processes under other users, whose own folders lie in it.
    chmodSync(this.#folder, 0o755);
  }

  /** Environment of every test process. */
  get environment(): Readonly<Record<string, string>> {
    return { TMPDIR: this.#folder, [MARK]: this.#mark };
  }

  /** Ends and removes what is left. @returns a line for each */
  async collect(): Promise<string[]> {
    const deadline = Date.now() + PATIENCE_MS;
    let processes = this.#processes();
    while (processes.length > 0 && Date.now() < deadline) {
      await sleep(100);
      processes = this.#processes();
    }
    const lines: string[] = [];
    for (const { pid, commandLine } of processes) {
      lines.push(`a test left process ${pid} behind: ${commandLine.slice(0, 200)}`);
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // it has ended meanwhile
      }
    }
    for (const name of readdirSync(this.#folder)) {
      if (/^(?:tsx-|node-compile-cache)/.test(name)) continue; // caches, kept for the next file
      lines.push(`a test left ${name} behind in the folder for temporary files`);
      rmSync(join(this.#folder, name), { recursive: true, force: true });
    }
    return lines;
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #processes(): { pid: number; commandLine: string }[] {
    const mark = `${MARK}=${this.#mark}`;
    const found: { pid: number; commandLine: string }[] = [];
    for (const name of processIds()) {
      try {
        if (!readFileSync(`/proc/${name}/environ`, "latin1").split("\0").includes(mark)) continue;
        found.push({
          pid: Number(name),
          commandLine: readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " "),
        });
      } catch {
        // ended meanwhile, or another user's
      }
    }
    return found;
  }
}

/** Empty where there is no /proc. */
function processIds(): string[] {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}
