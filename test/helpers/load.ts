/** Work that goes on while something else is done to the processes: workers that repeat an action until told to stop. */

export interface Load {
  /** How often an action has succeeded. */
  readonly done: number;
  /** How often one has failed. */
  readonly failed: number;
  /** Resolves when all actions that are under way now have ended. */
  turnover(): Promise<void>;
  /** Resolves when every worker has finished what it was at. @throws AggregateError of every action that failed */
  finish(): Promise<void>;
}

/**
 * @param action does one thing and checks its outcome; gets a number that no other call gets, and its worker's
 */
export function startLoad(workers: number, action: (number: number, worker: number) => Promise<void>): Load {
  let stopping = false;
  let numbers = 0;
  let done = 0;
  const failures: unknown[] = [];
  const underWay = new Map<number, Promise<void>>();
  const work = async (_: unknown, worker: number) => {
    while (!stopping && failures.length < 5) {
      const begun = action(numbers++, worker);
      underWay.set(worker, begun);
      try {
        await begun;
        done++;
      } catch (error) {
        failures.push(error);
      }
    }
  };
  const all = Promise.all(Array.from({ length: workers }, work));
  return {
    get done() {
      return done;
    },
    get failed() {
      return failures.length;
    },
    async turnover() {
      await Promise.allSettled(underWay.values());
    },
    async finish() {
      stopping = true;
      await all;
      if (failures.length > 0) {
        throw new AggregateError(
          failures,
          `${failures.length} failed, ${done} succeeded: ${failures.map(String).join("; ")}`,
        );
      }
    },
  };
}

/** The same bytes, no faster than this: a client on a slow line. */
export async function* paced(source: Iterable<Buffer>, bytesPerSecond: number): AsyncGenerator<Buffer> {
  const started = performance.now();
  let sent = 0;
  for (const chunk of source) {
    const due = started + (sent / bytesPerSecond) * 1000;
    const wait = due - performance.now();
    if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait));
    yield chunk;
    sent += chunk.length;
  }
}
