/** A short run of the simulation, and what the simulation itself promises. The long one is `npm run simulate`. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { Coverage } from "./coverage.ts";
import { expected, untouched } from "./expected.ts";
import { History } from "./history.ts";
import { mutants } from "./mutants.ts";
import { makePlan } from "./plan.ts";
import { mixSeed, Random } from "./random.ts";
import { noteUnhandled, runPlan, runSeed } from "./schedule.ts";
import { shrink, tell } from "./shrink.ts";
import { World } from "./world.ts";

const seed = Number(process.env["OUTRIGGER_TEST_SEED"] ?? randomInt(2 ** 31));
const SCHEDULES = 600;

before(() => process.on("unhandledRejection", noteUnhandled));
after(() => process.off("unhandledRejection", noteUnhandled));

describe("simulation", () => {
  it(`${SCHEDULES} schedules break no rule, seed ${seed}`, { timeout: 300_000 }, async () => {
    for (let index = 0; index < SCHEDULES; index++) {
      const own = mixSeed(seed, index);
      const verdict = await runSeed(own);
      if (verdict.violation !== undefined) {
        assert.fail(`npm run simulate -- --replay ${own}\n${tell(await shrink(verdict))}`);
      }
    }
  });

  it("runs a seed the same way each time", async () => {
    for (let index = 0; index < 12; index++) {
      const plan = makePlan(mixSeed(seed, index));
      const first = await runPlan(plan, undefined, true);
      const second = await runPlan(plan, undefined, true);
      assert.equal(second.steps, first.steps, `seed ${plan.seed}`);
      assert.equal(second.virtualMs, first.virtualMs, `seed ${plan.seed}`);
      assert.deepEqual([...second.coverage.counts], [...first.coverage.counts], `seed ${plan.seed}`);
    }
  });

  it("shrinks a failure to one that still breaks the same rule", async () => {
    const mutant = mutants.find(({ name }) => name === "acknowledged before persisted");
    assert.ok(mutant);
    for (let index = 0; ; index++) {
      const failing = await runPlan(makePlan(mixSeed(7, index), mutant), mutant.mutation);
      if (failing.violation === undefined) continue;
      const { verdict } = await shrink(failing, mutant.mutation, 150);
      assert.equal(verdict.violation?.rule, failing.violation.rule);
      assert.ok(verdict.plan.tasks.length < failing.plan.tasks.length);
      assert.ok(verdict.trace.length > 0);
      return;
    }
  });

  it("says what was hardly touched", () => {
    const coverage = new Coverage();
    for (const what of Object.keys(expected)) coverage.count(what, 1_000_000);
    assert.deepEqual(untouched(coverage, 1_000), []);
    coverage.counts.delete("fault power lost");
    assert.match(untouched(coverage, 1_000).join(), /^fault power lost: 0, at least \d+ are expected$/);
  });
});

describe("the model of a store", () => {
  const begin = () => {
    const world = new World(new Random(1), new Coverage(), false);
    return { world, history: new History(world, "map", 2) };
  };

  it("takes a write under way as done or not, until somebody has seen it", () => {
    const { world, history } = begin();
    history.beginWrite([{ key: 0, put: 1 }], 100);
    history.beginRead([0]).saw([0]);
    history.beginRead([0]).saw([1]);
    assert.equal(world.violation, undefined);
    history.beginRead([0]).saw([0]);
    assert.match(String(world.violation), /read as 0, but hold 1/);
  });

  it("refuses that what was acknowledged is not seen", () => {
    const { world, history } = begin();
    history.beginWrite([{ key: 0, put: 1 }], 100).applied(false);
    history.beginRead([0]).saw([0]);
    assert.ok(world.violation);
  });

  it("refuses half of a write", () => {
    const { world, history } = begin();
    history.beginWrite(
      [
        { key: 0, put: 1 },
        { key: 1, put: 2 },
      ],
      100,
    );
    history.beginRead([0, 1]).saw([1, 0]);
    assert.ok(world.violation);
  });

  it("refuses that two writers win one condition", () => {
    const { world, history } = begin();
    const first = history.beginWrite([{ key: 0, want: "absent", put: 1 }], 100);
    const second = history.beginWrite([{ key: 0, want: "absent", put: 2 }], 100);
    first.applied(false);
    second.applied(false);
    assert.ok(world.violation);
  });

  it("refuses that a write takes effect past its last moment", () => {
    const { world, history } = begin();
    history.beginWrite([{ key: 0, put: 1 }], 100).unknown(100);
    world.nowMs = 101;
    history.beginRead([0]).saw([0]);
    history.beginRead([0]).saw([1]);
    assert.ok(world.violation);
  });

  it("lets a read return what held at any moment while it was under way", () => {
    const { world, history } = begin();
    const read = history.beginRead([0]);
    history.beginWrite([{ key: 0, put: 1 }], 100).applied(false);
    history.beginWrite([{ key: 0, put: 2 }], 100).applied(false);
    read.saw([1]);
    assert.equal(world.violation, undefined);
    history.beginRead([0]).saw([1]);
    assert.ok(world.violation);
  });
});
