/**
 * Whether calls that overlapped can be put in an order in which each answer is right: every call at one moment between
 * its start and its end. The search of Wing and Gong, with what failed remembered; for histories of a few dozen calls.
 */

/** What can be compared, printed and hashed as JSON. */
export type State = Readonly<Record<string, string>>;

export interface Happened {
  /** By one monotonic clock, in ms. */
  readonly startMs: number;
  readonly endMs: number;
  /** For a person. */
  readonly text: string;
  /** The state after the call, where it is the one to answer so in this state; else `undefined`. */
  apply(state: State): State | undefined;
}

/** @param calls at most 31 */
export function isLinearizable(calls: readonly Happened[], begin: State): boolean {
  if (calls.length > 31) throw new RangeError(`${calls.length} calls are too many for one history`);
  const all = 2 ** calls.length - 1;
  const dead = new Set<string>();

  function search(done: number, state: State): boolean {
    if (done === all) return true;
    const place = `${done} ${JSON.stringify(Object.entries(state).sort(([a], [b]) => (a < b ? -1 : 1)))}`;
    if (dead.has(place)) return false;
    const open = calls.map((call, index) => ({ call, bit: 1 << index })).filter(({ bit }) => (done & bit) === 0);
    // Nothing may come before a call that had ended when it started.
    const firstEnd = Math.min(...open.map(({ call }) => call.endMs));
    for (const { call, bit } of open) {
      if (call.startMs > firstEnd) continue;
      const next = call.apply(state);
      if (next !== undefined && search(done | bit, next)) return true;
    }
    dead.add(place);
    return false;
  }

  return search(0, begin);
}

/** The history as its reader wants it: by start, with times in ms since the first. */
export function tellHistory(calls: readonly Happened[]): string {
  const sorted = [...calls].sort((a, b) => a.startMs - b.startMs);
  const zero = sorted[0]?.startMs ?? 0;
  return sorted
    .map(({ startMs, endMs, text }) => `  ${(startMs - zero).toFixed(2)}–${(endMs - zero).toFixed(2)} ms ${text}`)
    .join("\n");
}
