/** The honest driver is green on the whole kit, kills and replicas included; what shows only in a process is caught too. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { groups } from "../../conformance/groups/index.ts";
import { tryDriver } from "../../conformance/wrong/trial.ts";
import { verdictCaught, verdictEscapes } from "../../conformance/wrong/verdict.ts";
import { wrongs } from "../../conformance/wrong/wrongs.ts";
import { newSeed } from "../helpers/random.ts";

const seed = newSeed();
const HANGS_MS = 240_000;

describe(`drivers as processes (OUTRIGGER_TEST_SEED=${seed})`, { concurrency: 3 }, () => {
  it("the honest driver passes everything that it claims", { timeout: HANGS_MS }, async () => {
    const result = await tryDriver({ groups, seed, processes: true });
    const unproven = result.groups.flatMap(({ tests }) =>
      tests
        .filter(({ state }) => state !== "passed")
        .map(({ test, state, why, failure }) => ({
          test,
          state,
          why: failure?.message ?? why ?? "",
        })),
    );
    assert.deepEqual(
      unproven.filter(({ state }) => state === "failed"),
      [],
    );
    // What is left out is left out for want of a capability, or of a minute's patience.
    for (const { test, why } of unproven) assert.match(why, /SIGN_URL|LOCAL_FILE|--slow/, test);
    const { profiles } = result;
    assert.deepEqual([profiles.meta, profiles.blob, profiles.resume, profiles.replicas], Array(4).fill("passed"));
    assert.deepEqual(result.notes, []);
  });

  for (const wrong of wrongs.filter(({ processes }) => processes === true)) {
    it(`${wrong.name}: ${wrong.does} [${wrong.caughtBy.join(", ")}]`, { timeout: HANGS_MS }, async () => {
      assert.equal(await verdictCaught(wrong, { groups, seed }), undefined);
    });
    it(`${wrong.name} escapes without ${wrong.caughtBy.join(", ")}`, { timeout: HANGS_MS }, async () => {
      assert.equal(await verdictEscapes(wrong, { groups, seed }), undefined);
    });
  }
});
