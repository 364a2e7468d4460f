/** What a long run must have exercised, and how often in a thousand schedules: less is a simulation that looks away. */
import type { Coverage } from "./coverage.ts";

/** By counter: at least so many in 1000 schedules. */
export const expected: Readonly<Record<string, number>> = {
  "fault answer cut": 29,
  "fault answer lost": 5,
  "fault backend answer lost": 12,
  "fault backend request lost": 16,
  "fault backend slow": 31,
  "fault clock set back": 25,
  "fault clock set forward": 26,
  "fault core killed": 61,
  "fault core stopped": 40,
  "fault disk filled": 26,
  "fault disk full": 29,
  "fault disk slow": 63,
  "fault driver killed": 170,
  "fault driver killed in a commit": 17,
  "fault driver stopped": 100,
  "fault message late": 200,
  "fault name not synced lost": 110,
  "fault power lost": 41,
  "fault request cut": 35,
  "fault request lost": 8,
  "fault request repeated": 180,
  "fault stream cut": 71,
  "fault stream silent": 13,
  "fault write not synced lost": 13,
  "fault write torn": 9,
  "flush sent": 1_100,
  "rule a blob is one that was pushed": 370,
  "rule a commit holds all that its stream has sent": 180,
  "rule a commit is answered by what was committed": 420,
  "rule a layer that a manifest needs is not taken away": 5,
  "rule a manifest without its layers is refused": 56,
  "rule a manifest's bytes are those pushed": 130,
  "rule a manifest's layers are in its repository": 450,
  "rule a part that is answered is persisted": 100,
  "rule a pushed blob is answered as it is": 140,
  "rule a pushed manifest is answered as it is": 66,
  "rule a tag names a manifest that is there": 250,
  "rule a wrong digest is refused": 350,
  "rule an etag stands for one content": 2_600,
  "rule an older stream does not commit": 100,
  "rule blob store is one atomic map": 2_500,
  "rule bytes of an old fence never come after the barrier": 19_200,
  "rule bytes pulled are the bytes pushed": 140,
  "rule bytes read are the bytes pushed": 370,
  "rule every core sees the same layer": 310,
  "rule every core sees the same revision": 100,
  "rule every core sees the same tag": 1_000,
  "rule linked bytes are there": 810,
  "rule meta store is one atomic map": 1_500,
  "rule open is answered once, first": 1_200,
  "rule persisted bytes were sent": 98,
  "rule persisted never falls": 1_400,
  "rule progress grows and stays below what was sent": 2_200,
  "rule tags are listed in order, each once": 160,
  "rule what fails, fails for a reason that the caller can act on": 690,
  "rule what was never opened is never committed": 180,
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
