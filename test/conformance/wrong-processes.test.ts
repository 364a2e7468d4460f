/** Wrong drivers that show only as processes: when they are killed, stopped or started otherwise. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { groups } from "../../conformance/groups/index.ts";
import { verdictCaught, verdictEscapes } from "../../conformance/wrong/verdict.ts";
import { wrongs } from "../../conformance/wrong/wrongs.ts";
import { newSeed } from "../helpers/random.ts";

const seed = newSeed();
const HANGS_MS = 120_000;

describe(`drivers as processes (OUTRIGGER_TEST_SEED=${seed})`, { concurrency: 2 }, () => {
  for (const wrong of wrongs.filter(({ processes }) => processes === true)) {
    it(`${wrong.name}: ${wrong.does} [${wrong.caughtBy.join(", ")}]`, { timeout: HANGS_MS }, async () => {
      assert.equal(await verdictCaught(wrong, { groups, seed }), undefined);
    });
    it(`${wrong.name} escapes without ${wrong.caughtBy.join(", ")}`, { timeout: HANGS_MS }, async () => {
      assert.equal(await verdictEscapes(wrong, { groups, seed }), undefined);
    });
  }
});
