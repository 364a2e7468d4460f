/** Runs one group: node's test runner over its files, or one program. */
import { spawn } from "node:child_process";
import { constants, setPriority } from "node:os";
import { relative } from "node:path";
import { createInterface } from "node:readline";
import { run } from "node:test";
import { inspect } from "node:util";
import { compiledProgram } from "../helpers/compiled.ts";
import { repository } from "../helpers/tools.ts";
import type { Group } from "./groups.ts";

export interface Outcome {
  readonly passed: number;
  /** A text for each. */
  readonly failures: readonly string[];
  readonly skips: readonly string[];
  readonly seconds: number;
}

type Say = (line: string) => void;

/** What is read of node:test's events; @types/node knows only a part of them. */
interface TestEvent {
  readonly name: string;
  readonly file?: string;
  readonly skip?: string | boolean;
  readonly details: {
    readonly type?: string;
    readonly duration_ms: number;
    readonly error?: Error & { readonly failureType?: string };
  };
}

interface FileTally {
  passed: number;
  failed: number;
  skipped: number;
  output: string[];
}

export async function runFiles(
  group: Group,
  environment: Readonly<Record<string, string>>,
  say: Say,
  signal: AbortSignal,
): Promise<Outcome> {
  const files = group.files();
  const started = performance.now();
  const failures: string[] = [];
  const skips: string[] = [];
  let passed = 0;
  const tallies = new Map<string, FileTally>();
  const tallyOf = (file: string | undefined) => {
    const name = relative(repository, file ?? "");
    const tally = tallies.get(name) ?? { passed: 0, failed: 0, skipped: 0, output: [] };
    tallies.set(name, tally);
    return { name, tally };
  };
  // node:test gives its children this process's environment.
  Object.assign(process.env, environment);
  if (files.length === 0) return { passed, failures, skips, seconds: 0 };

  const events = run({ files, concurrency: group.concurrency, timeout: group.timeoutMs, signal });
  events.on("test:pass", (event: TestEvent) => {
    const { name, tally } = tallyOf(event.file);
    if (event.skip !== undefined) {
      tally.skipped++;
      skips.push(`${name}: ${event.name}: ${event.skip === true ? "no reason given" : event.skip}`);
      say(`  skip ${name}: ${event.name}`);
    } else if (event.name === event.file) {
      failures.push(`${name} holds no test`);
    } else if (event.details.type !== "suite") {
      tally.passed++;
      passed++;
      say(`  ok   ${name}: ${event.name} (${Math.round(event.details.duration_ms)} ms)`);
    }
  });
  events.on("test:fail", (event: TestEvent) => {
    // A suite, or file, fails by its tests' failures, which are told already; or by itself.
    if (event.details.error?.failureType === "subtestsFailed") return;
    const { name, tally } = tallyOf(event.file ?? event.name);
    tally.failed++;
    const what = event.name === event.file ? name : `${name}: ${event.name}`;
    const failure = `${what}\n${describeError(event.details.error)}`;
    failures.push(failure);
    // At once, too: a run that is cut short says nothing at its end.
    say(`  FAIL ${failure.replaceAll("\n", "\n    ")}`);
  });
  const keepOutput = (event: { readonly file: string; readonly message: string }) => {
    const { tally } = tallyOf(event.file);
    tally.output.push(event.message);
    if (tally.output.length > 400) tally.output.shift();
  };
  events.on("test:stdout", keepOutput);
  events.on("test:stderr", keepOutput);
  events.on("test:diagnostic", (event) => {
    // What a test says of itself (its seed); not the runner's own sums.
    if (event.nesting > 0 && event.file !== undefined)
      say(`       ${relative(repository, event.file)}: ${event.message}`);
  });
  for await (const _ of events) {
    // consumed by the listeners above
  }

  for (const [name, { failed, output }] of tallies) {
    if (failed > 0 && output.length > 0) say(`\nWhat ${name} wrote:\n${output.join("").trimEnd()}\n`);
  }
  return { passed, failures, skips, seconds: (performance.now() - started) / 1000 };
}

function describeError(error: Error | undefined): string {
  // node:test wraps what the test threw.
  return inspect(error?.cause ?? error, { depth: 4 })
    .split("\n")
    .slice(0, 60)
    .join("\n");
}

/** Its lines go to `say` as they come. */
export async function runCommand(
  command: readonly [string, ...string[]],
  group: Group,
  environment: Readonly<Record<string, string>>,
  say: Say,
  signal: AbortSignal,
): Promise<Outcome> {
  const started = performance.now();
  const [program, ...args] = command;
  const child = spawn(process.execPath, [compiledProgram(program), ...args], {
    cwd: repository,
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  // Its own children are not there yet, and inherit it.
  if (group.beside && child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
  for (const output of [child.stdout, child.stderr]) createInterface({ input: output }).on("line", say);
  const stop = () => child.kill("SIGTERM");
  signal.addEventListener("abort", stop, { once: true });
  const timer = setTimeout(stop, group.timeoutMs);
  const ended = await new Promise<string | undefined>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(code === 0 ? undefined : `ended with ${signal ?? code}`));
  });
  clearTimeout(timer);
  signal.removeEventListener("abort", stop);
  const name = command.join(" ");
  if (ended === undefined) say(`  ok   ${name}`);
  return {
    passed: ended === undefined ? 1 : 0,
    failures: ended === undefined ? [] : [`${name} ${ended}`],
    skips: [],
    seconds: (performance.now() - started) / 1000,
  };
}
