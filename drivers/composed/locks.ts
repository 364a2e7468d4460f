/** One piece of work at a time for each key, in the order of asking. */
import { type Clock, sleep } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";

export class KeyLocks {
  readonly #tails = new Map<string, Promise<void>>();

  /** Runs `work` while no other work of any of `keys` runs. */
  async during<Result>(keys: readonly string[], work: () => Promise<Result>): Promise<Result> {
    // Asked for all at once, in this turn: two that want the same keys never wait for each other.
    const before = keys.map((key) => this.#tails.get(key)).filter((tail) => tail !== undefined);
    let release: () => void = () => {};
    const own = new Promise<void>((resolve) => {
      release = resolve;
    });
    for (const key of keys) this.#tails.set(key, own);
    try {
      await Promise.all(before);
      return await work();
    } finally {
      for (const key of keys) if (this.#tails.get(key) === own) this.#tails.delete(key);
      release();
    }
  }
}

/** @throws BACKEND_DOWN with `why` when `work`, which goes on, takes longer */
export async function within<Result>(
  clock: Clock,
  ms: number,
  work: Promise<Result>,
  why: () => string,
): Promise<Result> {
  const ending = new AbortController();
  const late = sleep(clock, ms, ending.signal).then(() => {
    throw new OutriggerError("BACKEND_DOWN", why());
  });
  late.catch(() => undefined);
  work.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    ending.abort();
  }
}
