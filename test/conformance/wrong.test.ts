/** The kit proves itself: it catches drivers that are wrong on purpose, each by the rules that it breaks. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { groups } from "../../conformance/groups/index.ts";
import { ruleOf } from "../../conformance/selection.ts";
import { verdictCaught } from "../../conformance/wrong/verdict.ts";
import { findWrong, wrongs } from "../../conformance/wrong/wrongs.ts";
import { newSeed } from "../helpers/random.ts";

const seed = newSeed();
/** A kit that hangs on a driver would not end by itself. */
const HANGS_MS = 120_000;

describe(`wrong drivers (OUTRIGGER_TEST_SEED=${seed})`, () => {
  for (const wrong of wrongs.filter(({ processes }) => processes !== true)) {
    it(`${wrong.name}: ${wrong.does} [${wrong.caughtBy.join(", ")}]`, { timeout: HANGS_MS }, async () => {
      assert.equal(await verdictCaught(wrong, { groups, seed }), undefined);
    });
  }

  it("have names of their own, and break rules that there are", () => {
    const names = wrongs.map(({ name }) => name);
    assert.deepEqual([...new Set(names)], names);
    const rules = new Set(groups.flatMap(({ tests }) => tests.map(ruleOf)));
    for (const { name, caughtBy } of wrongs) {
      assert.ok(caughtBy.length > 0, `${name} breaks nothing`);
      for (const rule of caughtBy) assert.ok(rules.has(rule), `${name} is to be caught by ${rule}, which has no test`);
    }
  });

  it("are looked up by name, and a name that is none gets the list", () => {
    assert.equal(findWrong("short-read").caughtBy[0], "blob.read.03");
    assert.throws(() => findWrong("short-reed"), /there is no wrong driver short-reed: .*short-read/);
  });
});
