/** Looks for a planted bug, schedule by schedule. */
import type { Mutant } from "./mutants.ts";
import { makePlan } from "./plan.ts";
import { mixSeed } from "./random.ts";
import { runPlan, type Verdict } from "./schedule.ts";

export interface Hunt {
  /** Schedules that were run. */
  readonly schedules: number;
  /** The first that found it. */
  readonly found: Verdict | undefined;
}

export async function hunt(mutant: Mutant, seed: number, most: number): Promise<Hunt> {
  for (let index = 0; index < most; index++) {
    const plan = makePlan(mixSeed(seed, index), mutant);
    const verdict = await runPlan(mutant.shape?.(plan) ?? plan, mutant.mutation);
    if (verdict.violation !== undefined) return { schedules: index + 1, found: verdict };
  }
  return { schedules: most, found: undefined };
}
