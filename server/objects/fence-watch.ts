/** A stream that has nothing to save learns from nobody that another replica took its upload over: so it looks. */
import { type Clock, sleep } from "../../proto/clock.ts";
import { HeldState } from "./held-state.ts";
import { fenced } from "./state.ts";

export class FenceWatch {
  readonly #lost = new AbortController();
  readonly #stopped = new AbortController();

  /** @param everyMs a save that was done tells as much: then it does not look */
  constructor(held: HeldState, clock: Clock, everyMs: number) {
    this.#run(held, clock, everyMs).catch(() => {
      // Stopped.
    });
  }

  /** Aborts, with UPLOAD_FENCED, once the upload is in other hands, or gone. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #run(held: HeldState, clock: Clock, everyMs: number): Promise<void> {
    const { signal } = this.#stopped;
    const { token, incarnation } = held.state;
    while (!signal.aborted) {
      await sleep(clock, everyMs, signal);
      if (clock.now() - held.state.usedMs < everyMs) continue;
      try {
        const now = await HeldState.load(held.store, clock, held.uploadId, signal);
        if (signal.aborted || (now?.state.token === token && now.state.incarnation === incarnation)) continue;
        // A commit of this very stream takes the state away, and stops this watch only then.
        this.#lost.abort(fenced());
        return;
      } catch {
        // The backend is away: whoever writes meets that.
      }
    }
  }
}
