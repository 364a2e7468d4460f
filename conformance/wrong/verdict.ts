/**
 * Whether the kit is right about a wrong driver: each of the rules that it breaks has a test that fails on it, and without
 * the tests of these rules nothing does.
 */
import type { Group } from "../contract.ts";
import type { RunResult } from "../results.ts";
import { ruleOf } from "../selection.ts";
import { failedRules, tryDriver } from "./trial.ts";
import { type Wrong, wrongs } from "./wrongs.ts";

export interface VerdictOptions {
  readonly groups: readonly Group[];
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** As in a trial. */
  readonly program?: string;
}

/** A silence that is longer than a right driver's on a busy machine, so that a driver that hangs is found soon. */
const PATIENCE_MS = 3_000;

/** The kit with the tests of the rules that it breaks. @returns what is wrong with that, or undefined */
export async function verdictCaught(wrong: Wrong, options: VerdictOptions): Promise<string | undefined> {
  const result = await tryDriver({ ...trialOf(wrong, options), only: wrong.caughtBy });
  const failed = failedRules(result);
  const missed = wrong.caughtBy.filter((rule) => !failed.includes(rule));
  if (missed.length === 0) return undefined;
  return `${wrong.name} (${wrong.does}) is not caught by ${missed.join(", ")}`;
}

/** The kit without these tests: it must escape. @returns what is wrong with that, or undefined */
export async function verdictEscapes(wrong: Wrong, options: VerdictOptions): Promise<string | undefined> {
  const only = [...wrong.caughtBy, ...wrong.beside];
  const result = await tryDriver({ ...trialOf(wrong, options), only, without: wrong.caughtBy });
  const [failure] = failuresOf(result);
  if (failure !== undefined) {
    const { id, message } = failure;
    return `${wrong.name} is caught by ${id} as well, not only by ${wrong.caughtBy.join(", ")}: ${message}`;
  }
  if (result.passed === 0) return `${wrong.name} is tried with nothing but ${wrong.caughtBy.join(", ")}`;
  return undefined;
}

/** Rules that have a test and that no wrong driver breaks: nothing shows that their tests can fail. */
export function untried(groups: readonly Group[]): string[] {
  const broken = new Set(wrongs.flatMap(({ caughtBy }) => caughtBy));
  const rules = new Set(groups.flatMap(({ tests }) => tests.map(ruleOf)));
  return [...rules].filter((rule) => !broken.has(rule)).sort();
}

function trialOf(wrong: Wrong, options: VerdictOptions) {
  return { ...options, wrong, patienceMs: wrong.patienceMs ?? PATIENCE_MS };
}

function failuresOf(result: RunResult): { id: string; message: string }[] {
  return result.groups.flatMap(({ name, error, tests }) => [
    ...(error === undefined ? [] : [{ id: name, message: error }]),
    ...tests.flatMap(({ test, failure }) => (failure === undefined ? [] : [{ id: test, message: failure.message }])),
  ]);
}
