/** The simulation proves itself: each bug planted on purpose is found within a bounded number of schedules. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { hunt } from "./hunt.ts";
import { mutants } from "./mutants.ts";
import { NO_MUTATION } from "./mutation.ts";
import { noteUnhandled } from "./schedule.ts";

const seed = Number(process.env["OUTRIGGER_TEST_SEED"] ?? 1);
const MOST_SCHEDULES = 3_000;

describe(`planted bugs, seed ${seed}`, () => {
  before(() => process.on("unhandledRejection", noteUnhandled));
  after(() => process.off("unhandledRejection", noteUnhandled));

  for (const mutant of mutants) {
    it(`finds: ${mutant.name}`, { timeout: 600_000 }, async (t) => {
      const { found, schedules } = await hunt(mutant, seed, MOST_SCHEDULES);
      assert.ok(found?.violation, `not found in ${schedules} schedules with seed ${seed}`);
      assert.match(found.violation.rule, mutant.rules, found.violation.message);
      t.diagnostic(`found in schedule ${schedules}: ${found.violation.message.slice(0, 200)}`);
      // The bug was found, not the schedule's own trouble: without the bug it passes.
      const sound = await hunt({ ...mutant, mutation: NO_MUTATION }, seed, Math.min(schedules, 25));
      assert.equal(sound.found?.violation?.message, undefined);
    });
  }
});
