/**
 * Random sequences of steps against a model, and the shortest one that still shows the difference. Written by hand, since
 * the published kit carries no generator library.
 *
 * A step is plain data that makes sense in any state: so steps can be left out, and what is left still runs. Every run
 * works under names of its own, so that a run is not spoilt by the one before.
 */
import type { Random } from "../random.ts";

export interface SearchOptions<Step> {
  /** Where every choice comes from: `ctx.random`. */
  readonly random: Random;
  /** How many sequences. */
  readonly runs: number;
  /** The longest sequence. */
  readonly steps: number;
  generate(random: Random): Step;
  /** Steps to try in the place of this one, the simplest first; none by default. */
  simpler?(step: Step): Iterable<Step>;
  /**
   * Does the steps, from nothing, under names that no other `attempt` has.
   * @throws whatever shows that driver and model differ
   */
  run(steps: readonly Step[], attempt: number): Promise<void>;
  /** Whether an error may be shrunk: false for a driver that has gone. Default: always. */
  shrinks?(error: unknown): boolean;
  /** How long the whole of it may take; what was found by then counts. */
  readonly budgetMs: number;
  readonly signal?: AbortSignal;
}

export interface Counterexample<Step> {
  readonly steps: readonly Step[];
  /** What the last failing run threw. */
  readonly error: unknown;
  /** How long the sequence was as it was found. */
  readonly foundSteps: number;
  readonly attempts: number;
}

/** @returns the smallest sequence found that fails, or `undefined` when none does */
export async function search<Step>(options: SearchOptions<Step>): Promise<Counterexample<Step> | undefined> {
  const end = performance.now() + options.budgetMs;
  const { random } = options;
  let attempts = 0;

  /** What it threw, in a box: anything may be thrown. */
  async function failure(steps: readonly Step[]): Promise<{ readonly error: unknown } | undefined> {
    options.signal?.throwIfAborted();
    try {
      await options.run(steps, attempts++);
      return undefined;
    } catch (error) {
      options.signal?.throwIfAborted();
      return { error };
    }
  }

  for (let run = 0; run < options.runs && performance.now() < end; run++) {
    const length = random.between(1, options.steps);
    const steps = Array.from({ length }, () => options.generate(random));
    const failed = await failure(steps);
    if (failed === undefined) continue;
    const least = { steps, error: failed.error };
    if (options.shrinks?.(failed.error) ?? true) await shrink(least);
    return { ...least, foundSteps: length, attempts };
  }
  return undefined;

  /** Leaves steps out, then makes each simpler, until neither helps. */
  async function shrink(least: { steps: readonly Step[]; error: unknown }): Promise<void> {
    const better = async (steps: readonly Step[]): Promise<boolean> => {
      const failed = await failure(steps);
      if (failed === undefined) return false;
      least.steps = steps;
      least.error = failed.error;
      return true;
    };
    for (let helped = true; helped && performance.now() < end; ) {
      helped = false;
      for (let size = Math.ceil(least.steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
        for (let at = least.steps.length - size; at >= 0 && performance.now() < end; at -= size) {
          const rest = [...least.steps.slice(0, at), ...least.steps.slice(at + size)];
          if (rest.length > 0 && (await better(rest))) helped = true;
        }
      }
      for (let at = 0; at < least.steps.length && performance.now() < end; at++) {
        const step = least.steps[at] as Step;
        for (const simple of options.simpler?.(step) ?? []) {
          if (performance.now() >= end) break;
          if (await better(least.steps.with(at, simple))) {
            helped = true;
            break;
          }
        }
      }
    }
  }
}

/** A counterexample as its reader wants it: the steps, one a line, and what went wrong. */
export function tell<Step>({ steps, error, foundSteps, attempts }: Counterexample<Step>): string {
  const lines = steps.map((step, index) => `  ${index + 1}. ${JSON.stringify(step)}`);
  const why = error instanceof Error ? error.message : String(error);
  return [
    `driver and model differ after ${steps.length} steps (found with ${foundSteps}, ${attempts} runs):`,
    ...lines,
    why,
  ].join("\n");
}
