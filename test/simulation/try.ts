import { Coverage } from "./coverage.ts";
import { type Kind, makePlan, type Topology } from "./plan.ts";
import { mixSeed } from "./random.ts";
import { noteUnhandled, runPlan } from "./schedule.ts";

process.on("unhandledRejection", noteUnhandled);
const [kind, topology, n, s, tr] = process.argv.slice(2);
const all = new Coverage();
const steps: number[] = [];
let bad = 0;
const t = performance.now();
for (let i = 0; i < Number(n); i++) {
  const seed = s === undefined || s === "-" ? mixSeed(1, i) : Number(s);
  const v = await runPlan(
    makePlan(seed, { kind: kind as Kind, topology: topology as Topology }),
    undefined,
    tr !== undefined,
  );
  all.add(v.coverage.counts);
  steps.push(v.steps);
  if (v.violation) {
    bad++;
    if (bad <= 4) {
      console.log("seed", seed, "steps", v.steps, v.violation.message.slice(0, 1500));
      if (tr) console.log(v.trace.join("\n"));
      if (v.violation.cause instanceof Error) console.log(v.violation.cause.stack?.slice(0, 1500));
    }
  }
}
const ms = performance.now() - t;
steps.sort((a, b) => a - b);
console.log(all.table());
console.log(
  `bad ${bad}; median steps ${steps[steps.length >> 1]}, ${(ms / steps.length).toFixed(2)} ms a schedule, ${((ms * 1000) / steps.reduce((a, b) => a + b, 0)).toFixed(1)} us a step`,
);
