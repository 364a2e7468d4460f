/** Lost races: what a Write was decided by has changed, so everything is read and decided again, a bounded time. */
import type { Logger } from "pino";
import { type Clock, sleep } from "../../proto/clock.ts";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { RegistryError } from "../errors.ts";

const ATTEMPTS = 24;
const LONGEST_PAUSE_MS = 200;

export interface Racing {
  readonly clock: Clock;
  /** 0 to 1; from the seed in a simulation. */
  readonly random: () => number;
  readonly log: Logger;
}

/**
 * Calls `attempt` until it does not lose a race. It must begin by reading.
 * @throws UNAVAILABLE when every attempt was lost
 */
export async function untilNotRaced<Result>(
  racing: Racing,
  signal: AbortSignal | undefined,
  attempt: () => Promise<Result>,
): Promise<Result> {
  for (let lost = 0; ; ) {
    try {
      return await attempt();
    } catch (error) {
      if (!hasReason(error, "CONDITION_FAILED", "CONFLICT")) throw error;
      lost += 1;
      if (lost === ATTEMPTS) {
        throw new RegistryError("UNAVAILABLE", "too many changes to this repository at once; try again", {
          retryAfterSeconds: 1,
          cause: error,
        });
      }
      racing.log.debug({ lost, reason: error.reason }, "lost a race, reading again");
      // The first retry at once: one rival is the usual case.
      const pauseMs = lost === 1 ? 0 : racing.random() * Math.min(LONGEST_PAUSE_MS, 2 ** lost);
      if (pauseMs > 0) await sleep(racing.clock, pauseMs, signal);
      signal?.throwIfAborted();
    }
  }
}

/**
 * For what may be added twice: also where nobody knows whether a Write takes effect, since others added to the repository
 * at that moment (MetaStore.write). To read and decide again is to say the same once more.
 * @throws UNAVAILABLE when every attempt was lost
 */
export async function untilAdded<Result>(
  racing: Racing,
  signal: AbortSignal | undefined,
  attempt: () => Promise<Result>,
): Promise<Result> {
  return untilNotRaced(racing, signal, async () => {
    try {
      return await attempt();
    } catch (error) {
      const isUnsettled = error instanceof OutriggerError && error.metadata["outcome"] === "unsettled";
      throw isUnsettled ? new OutriggerError("CONFLICT", error.message, { side: error.side, cause: error }) : error;
    }
  });
}
