/** One schedule from its seed (or its shrunk plan) to its verdict. */
import { Coverage } from "./coverage.ts";
import { type Mutation, NO_MUTATION } from "./mutation.ts";
import { makePlan, type Plan } from "./plan.ts";
import { Simulation, type Workload } from "./simulation.ts";
import { FencesWorkload } from "./workloads/fences.ts";
import { RegistryWorkload } from "./workloads/registry.ts";
import { StoresWorkload } from "./workloads/stores.ts";
import type { Violation } from "./world.ts";

export interface Verdict {
  readonly plan: Plan;
  readonly steps: number;
  readonly virtualMs: number;
  readonly violation: Violation | undefined;
  readonly coverage: Coverage;
  readonly trace: readonly string[];
}

let current: Simulation | undefined;

/** A promise that nobody waits for has failed: told to the schedule that runs. */
export function noteUnhandled(error: unknown): void {
  current?.world.fail("nothing floats", error instanceof Error ? (error.stack ?? error.message) : String(error), error);
}

export async function runPlan(plan: Plan, mutation: Mutation = NO_MUTATION, trace = false): Promise<Verdict> {
  const coverage = new Coverage();
  const simulation = new Simulation(plan, coverage, mutation, trace);
  current = simulation;
  try {
    await simulation.run(workloadOf(simulation));
  } finally {
    current = undefined;
    // What is still under way belongs to processes that end with the schedule.
    for (const { life } of [...simulation.cores, ...simulation.drivers]) life.kill();
  }
  const { steps, nowMs, violation, trace: lines } = simulation.world;
  coverage.count(`schedule ${plan.kind} on ${plan.topology}`);
  return { plan, steps, virtualMs: nowMs, violation, coverage, trace: lines ?? [] };
}

export function runSeed(seed: number, mutation?: Mutation): Promise<Verdict> {
  return runPlan(makePlan(seed), mutation);
}

function workloadOf(simulation: Simulation): Workload {
  switch (simulation.plan.kind) {
    case "fences":
      return new FencesWorkload(simulation);
    case "stores":
    case "budget":
      return new StoresWorkload(simulation);
    case "registry":
      return new RegistryWorkload(simulation);
  }
}
