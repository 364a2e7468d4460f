/**
 * Drivers that are wrong on purpose: each is the honest one with a habit or two exchanged, and names the rules whose tests
 * must catch it. test/conformance/wrong.test.ts holds that they do, scripts/wrong-drivers.ts that nothing else does.
 */
import type { Changes } from "./habits.ts";
import { blobWrongs } from "./wrongs/blob.ts";
import { listWrongs } from "./wrongs/list.ts";
import { metaWrongs } from "./wrongs/meta.ts";
import { processWrongs } from "./wrongs/process.ts";
import { uploadWrongs } from "./wrongs/upload.ts";
import { wireWrongs } from "./wrongs/wire.ts";

export interface Wrong {
  /** What --wrong takes. */
  readonly name: string;
  /** One line: what it does. */
  readonly does: string;
  /** The rules (`MUST [id]`) that it breaks: each has a test that fails on it. */
  readonly caughtBy: readonly string[];
  /** What else it is tried with and must escape: groups, rules or tests, as --only takes them. */
  readonly beside: readonly string[];
  /** It shows only when it is killed, or told to start otherwise: the kit starts it. Default: no. */
  readonly processes?: true;
  /** Default: a short one, so that a driver that hangs is found soon. */
  readonly patienceMs?: number;
  /** Anew for each driver: some remember. */
  readonly changes: () => Changes;
}

export const wrongs: readonly Wrong[] = [
  ...wireWrongs,
  ...listWrongs,
  ...blobWrongs,
  ...uploadWrongs,
  ...metaWrongs,
  ...processWrongs,
];

/** @throws Error that lists what there is */
export function findWrong(name: string): Wrong {
  const found = wrongs.find((wrong) => wrong.name === name);
  if (found !== undefined) return found;
  throw new Error(`there is no wrong driver ${name}: ${wrongs.map((wrong) => wrong.name).join(", ")}`);
}
