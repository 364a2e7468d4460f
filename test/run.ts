/**
 * `npm test`: brings what the tests need as far as the machine allows, runs them in groups, names what was skipped and
 * why, and ends with one line: N passed, N failed, N skipped.
 *
 *   npm test                          everything
 *   npm test -- --group e2e           one group (or several)
 *   npm test -- test/e2e/push.test.ts some files
 *   npm test -- --list                the groups and their files
 *
 * With CI=true a skip is a failure. Environment: OUTRIGGER_TEST_SEED seeds every random test.
 */
import { existsSync } from "node:fs";
import { relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { COMPILED, compile } from "./helpers/compiled.ts";
import { Scope } from "./helpers/processes.ts";
import { bringTools, repository } from "./helpers/tools.ts";
import { type Group, groups, isGroupName } from "./runner/groups.ts";
import { Leftovers } from "./runner/leftovers.ts";
import { type Outcome, runCommand, runFiles } from "./runner/run-group.ts";

const say = (line: string) => process.stdout.write(`${line}\n`);

/** @throws Error with what the user should type instead */
function chosenGroups(names: readonly string[], paths: readonly string[]): Group[] {
  for (const name of names) {
    if (!isGroupName(name)) {
      throw new Error(`there is no group ${JSON.stringify(name)}: ${groups.map((group) => group.name).join(", ")}`);
    }
  }
  const files = paths.map((path) => {
    const file = resolve(repository, path);
    if (!existsSync(file)) throw new Error(`there is no file ${path}`);
    return file;
  });
  return groups
    .filter((group) => names.length === 0 || names.includes(group.name))
    .map((group) => {
      if (files.length === 0) return group;
      const chosen = group.files().filter((file) => files.some((path) => file === path || file.startsWith(`${path}/`)));
      return { ...group, files: () => chosen, command: undefined };
    })
    .filter((group) => group.command !== undefined || group.files().length > 0);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { group: { type: "string", multiple: true, default: [] }, list: { type: "boolean", default: false } },
  });
  const chosen = chosenGroups(values.group, positionals);
  if (values.list) {
    for (const group of chosen) {
      say(`${group.name}${group.command === undefined ? "" : `: ${group.command.join(" ")}`}`);
      for (const file of group.files()) say(`  ${relative(repository, file)}`);
    }
    return 0;
  }

  const abort = new AbortController();
  process.once("SIGINT", () => abort.abort(new Error("interrupted")));
  process.once("SIGTERM", () => abort.abort(new Error("terminated")));

  const scope = new Scope();
  const leftovers = new Leftovers();
  const outcomes: NamedOutcome[] = [];
  // One that is chosen alone is beside nothing.
  const inTurn = chosen.length === 1 ? chosen : chosen.filter((group) => !group.beside);
  let beside: Promise<NamedOutcome>[] = [];
  try {
    process.env[COMPILED] = await compile(scope);
    beside = chosen.filter((group) => !inTurn.includes(group)).map((group) => besides(group, abort.signal));
    if (chosen.some((group) => group.needsTools)) {
      for (const { tool, problem } of await bringTools(say)) if (problem !== undefined) say(`no ${tool}: ${problem}`);
    }
    for (const group of inTurn) {
      if (group.alone) await Promise.all(beside);
      if (abort.signal.aborted) break;
      say(`\n${group.name}`);
      outcomes.push(await runGroup(group, leftovers, say, abort.signal));
    }
  } catch (error) {
    abort.abort(error);
    throw error;
  } finally {
    outcomes.push(...(await Promise.all(beside)));
    leftovers.close();
    await scope.close();
  }
  return report(outcomes, abort.signal.aborted);
}

type NamedOutcome = Outcome & { readonly name: string };

async function runGroup(
  group: Group,
  leftovers: Leftovers,
  tell: (line: string) => void,
  signal: AbortSignal,
): Promise<NamedOutcome> {
  const run = group.command === undefined ? runFiles : runCommand.bind(undefined, group.command);
  const outcome = await run(group, leftovers.environment, tell, signal);
  const left = await leftovers.collect();
  return { name: group.name, ...outcome, failures: [...outcome.failures, ...left] };
}

/** One that runs while the others do: its lines are marked, and what it leaves behind is told apart from theirs. */
async function besides(group: Group, signal: AbortSignal): Promise<NamedOutcome> {
  const leftovers = new Leftovers();
  try {
    return await runGroup(group, leftovers, (line) => say(`[${group.name}] ${line}`), signal);
  } finally {
    leftovers.close();
  }
}

function report(outcomes: readonly NamedOutcome[], interrupted: boolean): number {
  const failures = outcomes.flatMap((outcome) => outcome.failures);
  const skips = outcomes.flatMap((outcome) => outcome.skips);
  if (failures.length > 0) say("\nFailed:");
  for (const failure of failures) say(`  ${failure.replaceAll("\n", "\n    ")}`);
  if (skips.length > 0) say("\nSkipped:");
  for (const skip of skips) say(`  ${skip}`);
  say("");
  for (const { name, passed, failures, skips, seconds } of outcomes) {
    say(`${name}: ${passed} passed, ${failures.length} failed, ${skips.length} skipped in ${seconds.toFixed(1)} s`);
  }
  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
  const skipFails = process.env["CI"] === "true" && skips.length > 0;
  if (interrupted) say("interrupted");
  if (skipFails) say("CI=true: what was skipped counts as not tested, so this run fails");
  if (passed + failures.length === 0) say("nothing was tested");
  say(`\n${passed} passed, ${failures.length} failed, ${skips.length} skipped`);
  return failures.length > 0 || skipFails || interrupted || passed === 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  say(`npm test: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 2;
}
