/**
 * `npm run simulate`: client, server, filesystem driver and the registry's rules in one process, without sockets or real
 * time, under faults that follow from one seed.
 *
 *   npm run simulate -- --schedules 100000 --seed 7    so many schedules; without a seed, one is made up and printed
 *   npm run simulate -- --seed 7 --from 50000 ...      from that schedule of the seed on
 *   npm run simulate -- --replay 4411223344            one schedule that failed: shrunk, with all that happened
 */
import { randomInt } from "node:crypto";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { untouched } from "./expected.ts";
import { runMany } from "./run.ts";
import { noteUnhandled, runSeed } from "./schedule.ts";
import { shrink, tell } from "./shrink.ts";

const say = (line: string) => process.stdout.write(`${line}\n`);

/** Below this many schedules, chance decides what was touched. */
const JUDGED_FROM = 2_000;
const MEDIAN_STEPS = 200;

async function replay(seed: number): Promise<number> {
  const verdict = await runSeed(seed);
  if (verdict.violation === undefined) {
    say(`seed ${seed}: ${verdict.steps} steps, every rule holds`);
    return 0;
  }
  say(`seed ${seed} fails: ${verdict.violation.message}`);
  say(tell(await shrink(verdict)));
  return 1;
}

async function many(seed: number, schedules: number, workers: number, from: number): Promise<number> {
  const startedMs = performance.now();
  const every = Math.max(100, Math.floor(schedules / 20));
  let told = 0;
  say(`simulating ${schedules} schedules with seed ${seed} in ${workers} processes`);
  const { coverage, steps, failures } = await runMany({
    seed,
    schedules,
    workers,
    from,
    onProgress: (done) => {
      if (done - told < every) return;
      told = done;
      say(`${done} schedules in ${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
    },
  });
  const problems: string[] = [];
  for (const failure of failures) problems.push(`seed ${failure.seed}: ${failure.message}`);
  say("\nhow often each fault happened, and each rule was looked at:");
  say(coverage.table());
  const median = [...steps].sort((a, b) => a - b)[steps.length >> 1] ?? 0;
  if (failures.length === 0 && schedules >= JUDGED_FROM) {
    problems.push(...untouched(coverage, steps.length).map((what) => `hardly touched: ${what}`));
    if (median < MEDIAN_STEPS)
      problems.push(`the median schedule has ${median} steps, at least ${MEDIAN_STEPS} are expected`);
  }
  const [first] = failures;
  if (first !== undefined) {
    say(`\nseed ${first.seed} fails; again: npm run simulate -- --replay ${first.seed}`);
    await replay(first.seed);
  }
  for (const problem of problems) say(problem);
  const total = steps.reduce((sum, count) => sum + count, 0);
  const seconds = (performance.now() - startedMs) / 1000;
  say(
    `\n${steps.length} schedules, median ${median} steps, ${total} in all, ${seconds.toFixed(0)} s, seed ${seed}: ${problems.length === 0 ? "every rule holds" : `${problems.length} problems`}`,
  );
  return problems.length === 0 ? 0 : 1;
}

const { values } = parseArgs({
  options: {
    schedules: { type: "string", default: "1000" },
    seed: { type: "string", default: process.env["OUTRIGGER_TEST_SEED"] ?? "" },
    workers: { type: "string", default: String(Math.max(1, Math.min(4, availableParallelism()))) },
    from: { type: "string", default: "0" },
    replay: { type: "string" },
  },
});

function whole(name: string, text: string): number {
  const value = Number(text);
  if (text === "" || !Number.isSafeInteger(value) || value < 0)
    throw new Error(`--${name} is a whole number, not ${text}`);
  return value;
}

process.on("unhandledRejection", noteUnhandled);
process.exitCode =
  values.replay === undefined
    ? await many(
        values.seed === "" ? randomInt(2 ** 31) : whole("seed", values.seed),
        whole("schedules", values.schedules),
        whole("workers", values.workers),
        whole("from", values.from),
      )
    : await replay(whole("replay", values.replay));
