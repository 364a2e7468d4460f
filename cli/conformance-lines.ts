/** What a run of the kit says while it runs, and at its end. */
import type { Profile } from "../conformance/contract.ts";
import type { GroupResult, ProfileState, RunResult, State, TestResult } from "../conformance/results.ts";
import type { RunEvent } from "../conformance/runner.ts";
import { startProgress } from "./progress.ts";
import { print, table } from "./terminal.ts";

export interface Narration {
  tell(this: void, event: RunEvent): void;
  end(result: RunResult): void;
}

const MOST_LINES = 12;

const words: Readonly<Record<State & ProfileState, string>> = {
  passed: "passed",
  failed: "FAILED",
  "not-claimed": "not claimed",
  "not-run": "not run",
};

/** On a terminal: what runs now, and of each group what is to be looked at. Else: a line for each test. */
export function startNarration(seed: number, stream: NodeJS.WriteStream = process.stdout): Narration {
  const progress = stream.isTTY ? startProgress(process.stderr) : undefined;
  return {
    tell(event) {
      switch (event.type) {
        case "described":
          print(`${describedLine(event)}; seed ${seed}`);
          break;
        case "group":
          if (progress === undefined) print("", event.group.name);
          break;
        case "test":
          progress?.show(`${event.group.name}: ${event.test.id}`);
          break;
        case "result":
          if (progress === undefined) print(...testLines(event.result));
          break;
        case "group-result":
          progress?.end();
          if (event.result.error !== undefined) print(`  ${event.result.name}: ${event.result.error}`);
          if (progress !== undefined) print(...groupLines(event.result));
          break;
      }
    },
    end(result) {
      progress?.end();
      print("", ...profileLines(result), "", ...result.notes.map((note) => `note: ${note}`));
      print(
        `${result.passed} passed, ${result.failed} failed, ${result.notClaimed} not claimed, ${result.notRun} not run in ${(result.tookMs / 1000).toFixed(1)} s (seed ${result.seed})`,
      );
      if (result.passed + result.failed === 0) print("nothing was tested: see what is not run above");
    },
  };
}

function describedLine({ driver, error }: Extract<RunEvent, { readonly type: "described" }>): string {
  if (driver === undefined) return `the driver does not describe itself: ${error}`;
  const stores = driver.stores.map(
    ({ kind, capabilities }) => `${kind} (${capabilities.join(", ") || "no capabilities"})`,
  );
  return `${driver.name} ${driver.version}: ${stores.join(", ") || "no store"}`;
}

function testLines({ test, title, state, why, failure, tookMs, notes }: TestResult): string[] {
  const told = state === "passed" || state === "failed" ? `${tookMs} ms` : (why ?? "");
  return [
    `  ${words[state].padEnd(11)} ${test}: ${title} (${told})`,
    ...notes.map((note) => `              ${note}`),
    ...(failure === undefined ? [] : shortened(failure.message).map((line) => `              ${line}`)),
    ...(failure === undefined || failure.run === 1
      ? []
      : [`              in repetition ${failure.run}: again with --seed ${failure.seed}`]),
  ];
}

/** The difference of two long lists is for the report. */
function shortened(message: string): string[] {
  const lines = message.split("\n").filter((line) => line.trim() !== "");
  if (lines.length <= MOST_LINES) return lines;
  return [...lines.slice(0, MOST_LINES), `… ${lines.length - MOST_LINES} more lines: --report DIR has all of it`];
}

/** Of a group only what is not as it should be. */
function groupLines({ name, tests }: GroupResult): string[] {
  const counts = (["passed", "failed", "not-claimed", "not-run"] as const)
    .map((state) => [words[state], tests.filter((test) => test.state === state).length] as const)
    .filter(([, count]) => count > 0)
    .map(([word, count]) => `${count} ${word}`);
  const open = tests.filter(({ state }) => state === "failed" || state === "not-run");
  return [`${name}: ${counts.join(", ")}`, ...open.flatMap(testLines)];
}

function profileLines(result: RunResult): string[] {
  const rows = (Object.entries(result.profiles) as [Profile, ProfileState][]).map(([profile, state]) => [
    profile,
    state === "passed" && result.filtered ? "passed, as far as it was run" : words[state],
    whyNot(result, profile, state),
  ]);
  return table(rows);
}

/** What to give so that what is claimed is tested. */
function whyNot(result: RunResult, profile: Profile, state: ProfileState): string {
  const tests = result.groups.filter((group) => group.profile === profile).flatMap((group) => group.tests);
  const missing = [...new Set(tests.filter((test) => test.state === "not-run").map(({ why }) => why ?? ""))];
  if (missing.length === 0) return "";
  const left = tests.filter((test) => test.state === "not-run").length;
  const claim = state === "not-run" ? "claimed, and not proven: " : "";
  return `${claim}${left} not run: ${missing.join("; ")}`;
}
