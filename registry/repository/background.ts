/** What a core does beside its requests: it follows the stores when they change, and tidies up. */

import { sleep } from "../../proto/clock.ts";
import { ensureIndex } from "../index/index.ts";
import { removeEndedMove } from "../moving/tidy.ts";
import type { SearchIndex } from "../search/view.ts";
import { removeCopyMark } from "./copy-mark.ts";
import type { Core } from "./core.ts";
import type { FactsMemory } from "./facts-memory.ts";
import type { Lease } from "./lease.ts";
import { Ledger } from "./ledger.ts";
import { removeOldCancellations, removeOldChanges } from "./tidy.ts";

const TIDY_EVERY_MS = 60 * 60 * 1000;
const RETRY_MS = 5_000;

export interface Background {
  /** Again is fine. */
  start(): void;
  /** Pushes are taken from now on that were refused before. */
  becameWritable(): void;
  /** Resolves once nothing of it is under way. */
  close(): Promise<void>;
}

export interface BackgroundParts {
  readonly core: Core;
  readonly lease: Lease;
  readonly memory: FactsMemory | undefined;
  readonly search: SearchIndex;
  /** Pushes are refused, as of now. */
  readonly readOnly: () => boolean;
}

export function createBackground({ core, lease, memory, search, readOnly }: BackgroundParts): Background {
  const closing = new AbortController();
  const { signal } = closing;
  const running = new Set<Promise<void>>();
  let changes = 0;
  let following = false;
  let started = false;
  let unmarking = false;
  const impatient = new Ledger(core.stores, lease, memory, core);

  function run(work: () => Promise<void>): void {
    const task = work()
      .catch((error: unknown) => {
        if (!signal.aborted) core.log.error({ err: error }, "work in the background failed");
      })
      .finally(() => running.delete(task));
    running.add(task);
  }

  /** One rebuild at a time; a change during one asks for another. */
  async function follow(): Promise<void> {
    following = true;
    try {
      for (let followed = -1; followed !== changes; ) {
        followed = changes;
        await untilDone("the index could not be rebuilt", () => ensureIndex(core, { signal }));
      }
    } finally {
      following = false;
    }
  }

  async function unmark(): Promise<void> {
    if (unmarking) return;
    unmarking = true;
    try {
      await untilDone("the mark of a copy could not be removed", () =>
        removeCopyMark(core, impatient, () => !readOnly(), signal),
      );
    } finally {
      unmarking = false;
    }
  }

  async function untilDone(complaint: string, work: () => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        await work();
        return;
      } catch (error) {
        if (signal.aborted) throw error;
        core.log.warn({ err: error }, `${complaint}; trying again`);
        await sleep(core.clock, RETRY_MS, signal);
      }
    }
  }

  return {
    start() {
      if (started) return;
      started = true;
      core.stores.onChanged(({ kind, outsideGrew, otherStore }) => {
        if (signal.aborted || !(outsideGrew || otherStore)) return;
        core.log.warn({ kind, outsideGrew, otherStore }, "the stored data is other than it was");
        memory?.clear();
        if (otherStore && kind === "meta") lease.forget();
        core.cache.clear();
        search.reset();
        changes += 1;
        if (!following) run(follow);
        if (otherStore && kind === "meta") run(unmark);
      });
      run(async () => {
        for (;;) {
          // Each time: a copy may come after the start.
          run(unmark);
          await Promise.all([
            untilDone("old marks of cancelled uploads could not be removed", () =>
              removeOldCancellations(core, signal),
            ),
            untilDone("old entries of changes could not be removed", () => removeOldChanges(core, signal)),
          ]);
          await sleep(core.clock, TIDY_EVERY_MS, signal);
          await untilDone("what is left of a move could not be removed", () => removeEndedMove(core, signal));
        }
      });
    },
    becameWritable() {
      if (started) run(unmark);
    },
    async close() {
      closing.abort(new Error("closing"));
      await Promise.all(running);
    },
  };
}
