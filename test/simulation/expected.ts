/** What a long run must have exercised, and how often in a thousand schedules: less is a simulation that looks away. */
import type { Coverage } from "./coverage.ts";

/** By counter: at least so many in 1000 schedules. */
export const expected: Readonly<Record<string, number>> = {
  "fault message late": 200,
  "fault request cut": 30,
  "fault request lost": 10,
  "fault request repeated": 100,
  "fault answer cut": 30,
  "fault answer lost": 10,
  "fault stream cut": 150,
  "fault stream silent": 50,
  "fault driver killed": 150,
  "fault driver killed in a commit": 10,
  "fault driver stopped": 150,
  "fault core killed": 50,
  "fault core stopped": 50,
  "fault power lost": 30,
  "fault name not synced lost": 20,
  "fault write not synced lost": 20,
  "fault write torn": 3,
  "fault disk filled": 30,
  "fault disk full": 20,
  "fault disk slow": 100,
  "fault clock set back": 20,
  "fault clock set forward": 20,
  "fault backend request lost": 20,
  "fault backend answer lost": 20,
  "fault backend slow": 20,
  "rule a blob is one that was pushed": 500,
  "rule a commit is answered by what was committed": 500,
  "rule a driver starts on what it left": 0,
  "rule a part that is answered is persisted": 200,
  "rule a wrong digest is refused": 100,
  "rule an etag stands for one content": 5_000,
  "rule an older stream does not commit": 50,
  "rule an upload that was acknowledged is found": 0,
  "rule blob store is one atomic map": 3_000,
  "rule bytes of an old fence never come after the barrier": 1_000,
  "rule bytes read are the bytes pushed": 500,
  "rule meta store is one atomic map": 3_000,
  "rule open is answered once, first": 1_000,
  "rule persisted never falls": 1_000,
  "rule progress grows and stays below what was sent": 1_000,
  "rule what fails, fails for a reason that the caller can act on": 500,
  "flush sent": 500,
};

/** Sentences about what was hardly touched; none: all is well. */
export function untouched(coverage: Coverage, schedules: number): string[] {
  return Object.entries(expected)
    .map(([what, perThousand]) => ({
      what,
      wanted: Math.floor((perThousand * schedules) / 1000),
      had: coverage.of(what),
    }))
    .filter(({ wanted, had }) => had < wanted)
    .map(({ what, wanted, had }) => `${what}: ${had}, at least ${wanted} are expected`);
}
