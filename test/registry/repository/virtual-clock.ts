/** Time that only a test moves. */
import type { Clock } from "../../../proto/clock.ts";

export class VirtualClock implements Clock {
  #time = 1_000_000;
  #next = 0;
  readonly #timers = new Map<number, { readonly at: number; readonly run: () => void }>();

  now(): number {
    return this.#time;
  }

  monotonic(): number {
    return this.#time;
  }

  after(ms: number, run: () => void): () => void {
    const id = this.#next++;
    this.#timers.set(id, { at: this.#time + ms, run });
    return () => this.#timers.delete(id);
  }

  /** Moves time, running what falls due in order, and lets each thing that follows from it happen first. */
  async advance(ms: number): Promise<void> {
    const until = this.#time + ms;
    for (;;) {
      await settle();
      const due = [...this.#timers].filter(([, { at }]) => at <= until).sort(([, a], [, b]) => a.at - b.at)[0];
      if (due === undefined) break;
      const [id, { at, run }] = due;
      this.#timers.delete(id);
      this.#time = Math.max(this.#time, at);
      run();
    }
    this.#time = until;
    await settle();
  }
}

/** Fake stores answer after a few turns: everything that can go on without time has gone on. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
