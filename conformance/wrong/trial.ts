/** The kit, run on an honest or a wrong driver in this process, or as processes where it has to die. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { credentials } from "@grpc/grpc-js";
import type { Group } from "../contract.ts";
import type { RunResult } from "../results.ts";
import { type RunOptions, runKit } from "../runner.ts";
import { withChanges } from "./habits.ts";
import { initDriver, type RunningDriver, startDriver } from "./honest/driver.ts";
import type { Wrong } from "./wrongs.ts";

export interface Trial {
  readonly groups: readonly Group[];
  /** Absent: the honest driver. */
  readonly wrong?: Wrong;
  /** Processes of their own, which the kit starts and kills; else in this one. Default: what the wrong driver needs. */
  readonly processes?: boolean;
  /** What runs main.ts, for a shell. Default: its source. */
  readonly program?: string;
  readonly only?: readonly string[];
  readonly without?: readonly string[];
  readonly seed: number;
  readonly patienceMs?: number;
  readonly signal?: AbortSignal;
  readonly onEvent?: NonNullable<RunOptions["onEvent"]>;
}

const source = `"${process.execPath}" --import tsx "${fileURLToPath(new URL("./main.ts", import.meta.url))}"`;

/** Runs the kit against two replicas of the driver on a new folder, which is gone afterwards. */
export async function tryDriver(trial: Trial): Promise<RunResult> {
  const folder = mkdtempSync(join(tmpdir(), "w-"));
  try {
    initDriver(folder);
    return await ((trial.processes ?? trial.wrong?.processes ?? false)
      ? asProcesses(trial, folder)
      : inProcess(trial, folder));
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function inProcess(trial: Trial, folder: string): Promise<RunResult> {
  const drivers: RunningDriver[] = [];
  try {
    for (const name of ["a", "b"]) {
      const habits = withChanges(trial.wrong?.changes() ?? {});
      drivers.push(await startDriver({ folder, listen: `unix://${folder}/${name}.sock`, habits }));
    }
    return await runKit(runOptions(trial, folder));
  } finally {
    for (const driver of drivers) await driver.close(100);
  }
}

function asProcesses(trial: Trial, folder: string): Promise<RunResult> {
  const wrong = trial.wrong === undefined ? "" : ` --wrong ${trial.wrong.name}`;
  const start = `exec ${trial.program ?? source} --folder ${folder}${wrong}`;
  return runKit({ ...runOptions(trial, folder), start: [start] });
}

function runOptions(trial: Trial, folder: string): RunOptions {
  const target = (name: string) => ({
    address: `unix://${folder}/${name}.sock`,
    credentials: credentials.createInsecure(),
  });
  const { groups, only, without, seed, patienceMs, signal, onEvent } = trial;
  return {
    groups,
    targets: [target("a"), target("b")],
    seed,
    localRoot: folder,
    version: "0.0.0",
    ...(only === undefined ? {} : { only }),
    ...(without === undefined ? {} : { without }),
    ...(patienceMs === undefined ? {} : { patienceMs }),
    ...(signal === undefined ? {} : { signal }),
    ...(onEvent === undefined ? {} : { onEvent }),
  };
}

/** The rules whose tests failed, each once. */
export function failedRules(result: RunResult): string[] {
  const failed = result.groups.flatMap(({ tests }) => tests.filter(({ state }) => state === "failed"));
  return [...new Set(failed.map(({ id }) => id))].sort();
}
