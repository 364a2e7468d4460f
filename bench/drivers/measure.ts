/** One kind of call, one at a time for its latency and several at once for its rate. */

export interface Figures {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** With `ATONCE` calls under way. */
  readonly perSecond: number;
}

/** Calls under way while a rate is measured. */
export const AT_ONCE = 16;

/** @param work is given a number that no other call is given */
export async function measure(seconds: number, work: (number: number) => Promise<unknown>): Promise<Figures> {
  let number = 0;
  // Connections are made and code is compiled before it counts.
  for (let warm = 0; warm < 20; warm++) await work(number++);
  const times: number[] = [];
  const until = performance.now() + seconds * 1000;
  while (performance.now() < until) {
    const begun = performance.now();
    await work(number++);
    times.push(performance.now() - begun);
  }
  times.sort((a, b) => a - b);
  let done = 0;
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (performance.now() < begun + seconds * 1000) {
        await work(number++);
        done++;
      }
    }),
  );
  return {
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
    perSecond: done / ((performance.now() - begun) / 1000),
  };
}

/** @returns MiB a second, the best of `times` */
export async function throughput(
  bytes: number,
  times: number,
  work: (number: number) => Promise<unknown>,
): Promise<number> {
  let best = 0;
  for (let number = 0; number < times; number++) {
    const begun = performance.now();
    await work(number);
    best = Math.max(best, bytes / 2 ** 20 / ((performance.now() - begun) / 1000));
  }
  return best;
}

function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
