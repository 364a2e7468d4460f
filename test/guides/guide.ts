/**
 * Follows a guide word for word, in an empty folder outside the repository:
 * - every fenced `sh` block is run by bash, in order, each from where the last one was left (`cd` and `export` count);
 *   the first command that fails fails the guide;
 * - a `text` block right after one is what it prints: these lines, in this order, among others; `…` stands for anything;
 * - a fenced block with a second word (```python driver.py) is written to that file;
 * - `<!-- not run: why -->` before a block leaves it out, and the reason is told.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { repository } from "../helpers/tools.ts";
import { installed } from "./installed.ts";

export type Step =
  | { readonly kind: "run"; readonly line: number; readonly script: string; readonly prints: readonly string[] }
  | { readonly kind: "write"; readonly line: number; readonly file: string; readonly text: string }
  | { readonly kind: "left"; readonly line: number; readonly why: string };

/** @throws Error for a block that no step can be made of */
export function stepsOf(page: string): Step[] {
  const steps: Step[] = [];
  let left: string | undefined;
  let fence: { info: string; line: number; body: string[]; indent: string } | undefined;
  for (const [at, text] of page.split("\n").entries()) {
    const [, indent = "", info] = /^(\s*)```(.*)$/.exec(text) ?? [];
    if (fence !== undefined) {
      if (info === undefined) fence.body.push(text.slice(fence.indent.length));
      else {
        const step = stepOf(fence, left, steps.at(-1));
        if (step !== undefined) steps.push(step);
        [fence, left] = [undefined, undefined];
      }
    } else if (info !== undefined) fence = { info: info.trim(), line: at + 1, body: [], indent };
    else left = /^\s*<!-- not run: (.+) -->$/.exec(text)?.[1] ?? left;
  }
  if (fence !== undefined) throw new Error(`the block of line ${fence.line} has no end`);
  return steps;
}

function stepOf(
  { info, line, body }: { info: string; line: number; body: readonly string[] },
  left: string | undefined,
  last: Step | undefined,
): Step | undefined {
  const [language = "", file] = info.split(/\s+/);
  if (left !== undefined) return { kind: "left", line, why: left };
  if (language === "sh") return { kind: "run", line, script: body.join("\n"), prints: [] };
  if (file !== undefined) return { kind: "write", line, file, text: `${body.join("\n")}\n` };
  if (language !== "text") return undefined;
  if (last?.kind !== "run") throw new Error(`line ${line}: what is printed stands right after what prints it`);
  (last.prints as string[]).push(...body.filter((text) => text.trim() !== ""));
  return undefined;
}

/** The first line that is not there in its place; `undefined`: all are. */
export function missingLine(output: string, wanted: readonly string[]): string | undefined {
  const lines = output.split("\n");
  let at = 0;
  for (const want of wanted) {
    const pattern = new RegExp(
      `^\\s*${want
        .trim()
        .split("…")
        .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll(/ +/g, " +"))
        .join(".*")}\\s*$`,
    );
    const found = lines.findIndex((line, index) => index >= at && pattern.test(line));
    if (found < 0) return want;
    at = found + 1;
  }
  return undefined;
}

export interface FollowOptions {
  /** Of one block. */
  readonly timeoutMs?: number;
  /** Told what is done, and what is left out. */
  readonly say?: (line: string) => void;
}

/** @returns the folder. @throws Error with the block's line and what it said */
export async function follow(scope: Scope, guide: string, options: FollowOptions = {}): Promise<string> {
  const page = readFileSync(join(repository, guide), "utf8");
  const folder = tempFolder(scope, "guide");
  const home = tempFolder(scope, "home");
  const state = join(home, "state");
  const bin = installed(home);
  let begin = `cd '${folder}'`;
  for (const step of stepsOf(page)) {
    const where = `${guide}:${step.line}`;
    if (step.kind === "left") options.say?.(`${where} is left out: ${step.why}`);
    else if (step.kind === "write") {
      const file = join(cwdOf(begin, folder), step.file);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, step.text);
    } else {
      const started = performance.now();
      // What the block changes for those after it: folder and exported variables.
      const script = `${begin}\nset -eo pipefail\n${step.script}\n{ printf 'cd %q\\n' "$PWD"; export -p; } > '${state}'\n`;
      const output = await bash(script, home, bin, options.timeoutMs ?? 900_000, where);
      options.say?.(`${where} took ${((performance.now() - started) / 1000).toFixed(1)} s`);
      const missing = missingLine(output, step.prints);
      if (missing !== undefined) throw new Error(`${where} does not print\n  ${missing}\nbut\n${output}`);
      begin = readFileSync(state, "utf8");
    }
  }
  return folder;
}

function cwdOf(begin: string, folder: string): string {
  const [, path] = /^cd '?([^'\n]+)'?$/m.exec(begin) ?? [];
  return path ?? folder;
}

function bash(script: string, home: string, bin: string, timeoutMs: number, where: string): Promise<string> {
  return new Promise((resolve, reject) => {
    // A process group of its own: what a block leaves running ends with it.
    const child = spawn("bash", ["-c", script], {
      env: { ...process.env, PATH: `${bin}:${process.env["PATH"]}`, HOME: process.env["HOME"] ?? home, CI: "" },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (data) => {
        output += data;
      });
    const end = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // Nobody is left.
      }
    };
    const timer = setTimeout(() => {
      end();
      reject(new Error(`${where} takes longer than ${timeoutMs / 1000} s:\n${output.slice(-4000)}`));
    }, timeoutMs);
    child.once("error", reject);
    child.once("exit", (code) => {
      clearTimeout(timer);
      end();
      child.once("close", () => {
        if (code === 0) resolve(output);
        else reject(new Error(`${where} ends with ${code}:\n${output.slice(-4000)}`));
      });
    });
  });
}
