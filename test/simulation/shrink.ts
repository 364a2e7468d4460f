/** A failing schedule made small: tasks and faults are taken out, and the weather calmed, while it still fails. */
import type { Mutation } from "./mutation.ts";
import type { Plan } from "./plan.ts";
import { runPlan, type Verdict } from "./schedule.ts";

export interface Shrunk {
  readonly verdict: Verdict;
  readonly runs: number;
}

/** @param most runs at most */
export async function shrink(failing: Verdict, mutation?: Mutation, most = 300): Promise<Shrunk> {
  let best = failing;
  let runs = 0;
  const rule = failing.violation?.rule;
  const attempt = async (plan: Plan): Promise<boolean> => {
    if (runs >= most) return false;
    runs++;
    const verdict = await runPlan(plan, mutation);
    if (verdict.violation?.rule !== rule) return false;
    best = verdict;
    return true;
  };

  for (let before = -1; before !== runs && runs < most; ) {
    before = runs;
    let gained = false;
    for (const field of ["faults", "tasks"] as const) {
      for (let size = Math.max(1, best.plan[field].length >> 1); size >= 1; size >>= 1) {
        for (let at = 0; at < best.plan[field].length; ) {
          const left = [...best.plan[field].slice(0, at), ...best.plan[field].slice(at + size)];
          if (await attempt({ ...best.plan, [field]: left })) gained = true;
          else at += size;
        }
      }
    }
    for (const calmer of calmings(best.plan)) if (await attempt(calmer(best.plan))) gained = true;
    if (!gained) break;
  }
  return { verdict: await runPlan(best.plan, mutation, true), runs };
}

/** Each takes one kind of trouble away, where there is any. */
function calmings(plan: Plan): ((plan: Plan) => Plan)[] {
  const { weather } = plan;
  return [
    ...(["late", "cut", "hole", "repeat"] as const)
      .filter((kind) => weather[kind] > 0)
      .map((kind) => (now: Plan) => ({ ...now, weather: { ...now.weather, [kind]: 0 } })),
    ...(["diskSlow", "backendFaults", "backendSlow"] as const)
      .filter((kind) => plan[kind] > 0)
      .map((kind) => (now: Plan) => ({ ...now, [kind]: 0 })),
  ];
}

/** What a person needs to see of it. */
export function tell({ verdict, runs }: Shrunk): string {
  const { plan, violation, steps, trace } = verdict;
  const { tasks, faults, ...rest } = plan;
  return [
    `${violation?.message}`,
    violation?.cause instanceof Error ? `${violation.cause.stack}` : "",
    `shrunk in ${runs} runs to ${tasks.length} tasks and ${faults.length} faults, ${steps} steps:`,
    JSON.stringify(rest),
    ...faults.map((fault) => `  fault ${JSON.stringify(fault)}`),
    ...tasks.map((task) => `  task ${JSON.stringify(task)}`),
    "what happened:",
    ...trace.slice(-250),
  ]
    .filter((line) => line !== "")
    .join("\n");
}
