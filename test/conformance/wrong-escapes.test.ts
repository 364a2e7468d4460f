/** And nothing else of the kit catches them: as scripts/wrong-drivers.ts, on every change. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { groups } from "../../conformance/groups/index.ts";
import { verdictCaught, verdictEscapes } from "../../conformance/wrong/verdict.ts";
import { findWrong, wrongs } from "../../conformance/wrong/wrongs.ts";

/** The same each time: by which random steps a wrong driver happens to be caught as well is no news of a change. */
const seed = Number(process.env["OUTRIGGER_TEST_SEED"] ?? 1);
const HANGS_MS = 120_000;

describe(`wrong drivers escape without their rules' tests (OUTRIGGER_TEST_SEED=${seed})`, () => {
  for (const wrong of wrongs.filter(({ processes }) => processes !== true)) {
    it(`${wrong.name} without ${wrong.caughtBy.join(", ")}`, { timeout: HANGS_MS }, async () => {
      assert.equal(await verdictEscapes(wrong, { groups, seed }), undefined);
    });
  }

  it("a list that leaves a rule out is told, with both names", async () => {
    const wrong = { ...findWrong("no-reason"), caughtBy: ["call.now.01"], beside: ["call.error.01"] };
    assert.match(
      (await verdictEscapes(wrong, { groups, seed })) ?? "",
      /^no-reason is caught by call\.error\.01 as well/,
    );
  });

  it("a list with a rule that catches nothing is told, with both names", async () => {
    const wrong = { ...findWrong("no-reason"), caughtBy: ["call.error.01", "call.size.01"] };
    assert.match(
      (await verdictCaught(wrong, { groups, seed })) ?? "",
      /^no-reason .* is not caught by call\.size\.01$/,
    );
  });
});
