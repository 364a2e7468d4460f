/** Many schedules in several processes: the work of `npm run simulate`. */
import { type ChildProcess, fork } from "node:child_process";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Coverage } from "./coverage.ts";
import type { Answer, Order } from "./worker.ts";

export interface Totals {
  readonly coverage: Coverage;
  /** Of each schedule. */
  readonly steps: number[];
  /** Seeds of schedules that failed, with what was broken. */
  readonly failures: { readonly seed: number; readonly message: string }[];
}

export interface RunOptions {
  readonly seed: number;
  readonly schedules: number;
  readonly workers: number;
  /** Which of the seed's schedules is the first; default 0. */
  readonly from?: number;
  readonly onProgress?: (done: number) => void;
}

/** This module: `npm test` runs it compiled, which is a sixth quicker. */
const self = fileURLToPath(import.meta.url);
const BLOCK = 100;
/**
 * Short-lived objects by the million: a large nursery spares most of the collecting. And V8 forgets what it has compiled of a
 * function when no closure of it is left at a full collection, as between two schedules: few of those, up to 500 MiB.
 */
const HEAP = ["--max-semi-space-size=64", "--initial-old-space-size=500", "--heap-growing-percent=2000"];
/**
 * A worker that has done so much makes place, whatever it has kept in memory by then. Not sooner: most of what its first
 * thousands of schedules cost is V8, which compiles what they run.
 */
const BLOCKS_A_WORKER = 200;

/** Stops handing out work at the first failure. */
export async function runMany({ seed, schedules, workers, from: first = 0, onProgress }: RunOptions): Promise<Totals> {
  const totals: Totals = { coverage: new Coverage(), steps: [], failures: [] };
  const end = first + schedules;
  let next = first;
  let done = 0;
  const order = (): Order | undefined => {
    if (next >= end || totals.failures.length > 0) return undefined;
    const from = next;
    next = Math.min(end, next + BLOCK);
    return { seed, from, to: next };
  };
  await Promise.all(
    Array.from({ length: workers }, async () => {
      for (let block = order(); block !== undefined; ) {
        const child = fork(join(dirname(self), `worker${extname(self)}`), {
          execArgv: [...HEAP, ...(extname(self) === ".ts" ? ["--import", "tsx"] : [])],
          stdio: ["ignore", "inherit", "inherit", "ipc"],
        });
        try {
          for (let served = 0; block !== undefined && served < BLOCKS_A_WORKER; served++, block = order()) {
            const answer = await ask(child, block);
            totals.coverage.add(answer.coverage);
            totals.steps.push(...answer.steps);
            totals.failures.push(...answer.failures);
            done += answer.steps.length;
            onProgress?.(done);
          }
        } finally {
          child.disconnect();
        }
      }
    }),
  );
  return totals;
}

function ask(child: ChildProcess, order: Order): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) =>
      reject(new Error(`a worker ended with ${code} at ${JSON.stringify(order)}`));
    child.once("exit", onExit);
    child.once("message", (answer) => {
      child.off("exit", onExit);
      resolve(answer as Answer);
    });
    child.send(order);
  });
}
