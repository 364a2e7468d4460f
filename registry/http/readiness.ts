/** Whether this core should get requests: false at start, while draining, and after a store was away three looks in a row. */
import type { StoreHealth } from "../../client/contract.ts";
import type { Clock } from "../../proto/clock.ts";

export interface ReadyState {
  readonly ready: boolean;
  readonly problem?: string;
  readonly stores: readonly StoreHealth[];
}

export interface Readiness {
  state(): ReadyState;
  /** Looks at the stores from now on. */
  start(): void;
  stop(): void;
  /** From now on, whatever the stores say. */
  refuse(problem: string): void;
}

/** Three misses within 10 s: a driver that restarts is not an outage. */
const MISSES = 3;
const LOOK_EVERY_MS = 3_000;

export function createReadiness(options: {
  readonly clock: Clock;
  /** Shown. */
  readonly health: () => readonly StoreHealth[];
  /** Of these stores all must be ready. Default: of all that are shown. */
  readonly mustBeReady?: () => readonly StoreHealth[];
  /** Whether the stores were ever reached and the registry serves. */
  readonly serving: () => boolean;
  /** Why the registry neither writes nor answers, though its stores are there. Default: it does. */
  readonly outdated?: () => string | undefined;
}): Readiness {
  let misses = 0;
  let refused: string | undefined;
  let cancel = () => {};
  const needed = options.mustBeReady ?? options.health;
  const look = () => {
    misses = needed().every((store) => store.ready) ? 0 : misses + 1;
    cancel = options.clock.after(LOOK_EVERY_MS, look);
  };
  return {
    state() {
      const stores = options.health();
      if (refused !== undefined) return { ready: false, problem: refused, stores };
      if (!options.serving()) return { ready: false, problem: "the stores were not reached yet", stores };
      const outdated = options.outdated?.();
      if (outdated !== undefined) return { ready: false, problem: outdated, stores };
      // Back is back: only going away needs three looks.
      if (misses >= MISSES && needed().every((store) => store.ready)) misses = 0;
      return misses >= MISSES ? { ready: false, problem: "a store is not usable", stores } : { ready: true, stores };
    },
    start: look,
    stop: () => cancel(),
    refuse(problem) {
      refused = problem;
    },
  };
}
