import type { Habits } from "./habits.ts";

export interface Wrong {
  readonly name: string;
  /** One line. */
  readonly wrong: string;
  /** MUST ids. */
  readonly caughtBy: readonly string[];
  readonly habits: () => Habits;
}
export const wrongs: readonly Wrong[] = [];
export function findWrong(name: string): Wrong {
  const found = wrongs.find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no ${name}: ${wrongs.map((one) => one.name).join(", ")}`);
  return found;
}
