/** What a run found. Plain data: result.json is this. */
import type { Profile } from "./contract.ts";
import type { CallRecord } from "./recorder.ts";

/** Only "passed" is a pass. */
export type State = "passed" | "failed" | "not-claimed" | "not-run";

export interface TestResult {
  /** The rule. */
  readonly id: string;
  /** The id, and the test's own name where a rule has several: "blob.read.03/stale-etag". */
  readonly test: string;
  readonly title: string;
  readonly state: State;
  /** Why it was not run, or not claimed. */
  readonly why?: string;
  /** Not run because nobody gave --slow: its profile is judged without it. */
  readonly slow?: true;
  readonly tookMs: number;
  /** How often it ran, of --repeat. */
  readonly runs: number;
  readonly failure?: Failed;
  readonly notes: readonly string[];
}

export interface Failed {
  readonly message: string;
  readonly stack?: string;
  /** Which of the repetitions, from 1. */
  readonly run: number;
  /** Makes that repetition's choices the first one's. */
  readonly seed: number;
  readonly calls: readonly CallRecord[];
  readonly omittedCalls: number;
}

export interface GroupResult {
  readonly name: string;
  readonly profile: Profile;
  readonly summary: string;
  /** Why it could not begin: counts as a failure. */
  readonly error?: string;
  readonly tests: readonly TestResult[];
}

export type ProfileState = "passed" | "failed" | "not-claimed" | "not-run";

export interface DriverFacts {
  readonly name: string;
  readonly version: string;
  /** "outrigger.blob 1.0" */
  readonly apis: readonly string[];
  readonly stores: readonly { readonly kind: string; readonly id: string; readonly capabilities: readonly string[] }[];
}

export interface RunResult {
  /** Of this form of the file. */
  readonly format: 1;
  readonly kit: string;
  readonly startedAt: string;
  readonly tookMs: number;
  readonly addresses: readonly string[];
  readonly seed: number;
  readonly repeat: number;
  /** What was left out by --only and --without: such a run is no proof of a profile. */
  readonly filtered: boolean;
  /** Absent where the driver did not say. */
  readonly driver?: DriverFacts;
  readonly groups: readonly GroupResult[];
  readonly profiles: Readonly<Partial<Record<Profile, ProfileState>>>;
  readonly passed: number;
  readonly failed: number;
  readonly notClaimed: number;
  readonly notRun: number;
  /** Of the run as a whole: what was left behind, what happened beside the tests. */
  readonly notes: readonly string[];
}

/** Whether the driver was found right: nothing failed, and something ran. */
export function isGreen(result: RunResult): boolean {
  return result.failed === 0 && result.passed > 0;
}

/** A profile is passed when something of it ran, nothing of it failed, and nothing that is claimed was left out. */
export function profilesOf(groups: readonly GroupResult[]): Partial<Record<Profile, ProfileState>> {
  const profiles: Partial<Record<Profile, ProfileState>> = {};
  for (const profile of new Set(groups.map((group) => group.profile))) {
    const own = groups.filter((group) => group.profile === profile);
    const states = own.flatMap((group) => group.tests.filter(({ slow }) => !slow).map(({ state }) => state));
    if (own.some(({ error }) => error !== undefined) || states.includes("failed")) profiles[profile] = "failed";
    else if (states.includes("not-run")) profiles[profile] = "not-run";
    else profiles[profile] = states.includes("passed") ? "passed" : "not-claimed";
  }
  return profiles;
}
