/** One process of a long run: takes blocks of schedules and answers what they showed. */
import { Coverage } from "./coverage.ts";
import { mixSeed } from "./random.ts";
import { noteUnhandled, runSeed } from "./schedule.ts";

export interface Order {
  readonly seed: number;
  readonly from: number;
  readonly to: number;
}

export interface Answer {
  readonly coverage: readonly (readonly [string, number])[];
  readonly steps: readonly number[];
  readonly failures: readonly { readonly seed: number; readonly message: string }[];
}

// A third of the time would go into stacks that nobody reads; a failing schedule is run again with them.
Error.stackTraceLimit = 0;

process.on("unhandledRejection", noteUnhandled);
process.on("message", (order: Order) => {
  work(order).then(
    (answer) => process.send?.(answer),
    (error) => {
      throw error;
    },
  );
});

async function work({ seed, from, to }: Order): Promise<Answer> {
  const coverage = new Coverage();
  const steps: number[] = [];
  const failures: { seed: number; message: string }[] = [];
  for (let index = from; index < to; index++) {
    const own = mixSeed(seed, index);
    const verdict = await runSeed(own);
    coverage.add(verdict.coverage.counts);
    steps.push(verdict.steps);
    if (verdict.violation !== undefined) failures.push({ seed: own, message: verdict.violation.message });
  }
  return { coverage: [...coverage.counts], steps, failures };
}
