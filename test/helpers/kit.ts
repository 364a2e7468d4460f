/** The conformance kit on one driver, as its author runs it, and its report held against the one that the README shows. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RunResult } from "../../conformance/results.ts";
import { reportOf, reports, reportText } from "../../scripts/docs/driver-table.ts";
import { launchOutrigger } from "./outrigger.ts";
import type { Scope } from "./processes.ts";
import { tempFolder } from "./temp.ts";

/** Above what any of these takes on a slow and busy machine: a kit that hangs says so itself, call by call. */
export const KIT_MS = 1_500_000;

/** Several kits, servers and kills share a machine here: that an answer takes 10 s is no silence yet. */
export const PATIENCE = ["--patience", "30000"] as const;

export interface KitRun {
  /** One, or two of replicas. */
  readonly addresses: readonly string[];
  /** How the kit starts the driver; the address is given in OUTRIGGER_LISTEN. */
  readonly start: readonly string[];
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** `outrigger conformance …`. @throws AssertionError with all that it said of what is wrong, unless it is green */
export async function runKit(scope: Scope, run: KitRun): Promise<RunResult> {
  const folder = join(tempFolder(scope, "kit"), "report");
  const starts = run.start.flatMap((command) => ["--start", command]);
  const kit = scope.add(
    launchOutrigger(
      "kit",
      ["conformance", ...run.addresses, ...starts, "--report", folder, ...PATIENCE, ...(run.flags ?? [])],
      {
        ...(run.env === undefined ? {} : { env: run.env }),
      },
    ),
  );
  const { code } = await kit.exited;
  // What is right is most of it, and a test's failure is shown up to a point.
  const said = kit.lines.filter((line) => !/^ +(?:passed|not claimed) /.test(line));
  assert.equal(code, 0, said.join("\n"));
  const result: RunResult = JSON.parse(readFileSync(join(folder, "result.json"), "utf8"));
  assert.equal(result.failed, 0);
  assert.ok(result.passed > 0);
  return result;
}

/**
 * Holds what the kit found against docs/reference/reports/<name>.json, which the README's table is made of; with
 * OUTRIGGER_WRITE_REPORTS=1 writes it instead.
 */
export function assertReported(name: string, result: RunResult): void {
  const path = join(reports, `${name}.json`);
  const text = reportText(reportOf(result));
  if (process.env["OUTRIGGER_WRITE_REPORTS"] === "1") writeFileSync(path, text);
  assert.equal(
    existsSync(path) ? readFileSync(path, "utf8") : "",
    text,
    `${path} is not what the kit finds today: run this test with OUTRIGGER_WRITE_REPORTS=1, then npm run docs`,
  );
}
