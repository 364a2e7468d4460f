/** Random numbers from a seed that a failing test can be run with again: OUTRIGGER_SEED=… */
export function randomFrom(seed = Number(process.env["OUTRIGGER_SEED"] ?? Math.floor(Math.random() * 2 ** 31))): {
  readonly random: () => number;
  readonly seed: number;
} {
  let state = seed >>> 0;
  const random = () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { random, seed };
}
