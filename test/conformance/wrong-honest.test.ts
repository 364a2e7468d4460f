/** The driver that the wrong ones are made of is right: the whole kit is green on it, kills and replicas included. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { groups } from "../../conformance/groups/index.ts";
import { tryDriver } from "../../conformance/wrong/trial.ts";
import { wrongDriver } from "../helpers/compiled.ts";
import { KIT_MS } from "../helpers/kit.ts";
import { newSeed } from "../helpers/random.ts";

const seed = newSeed();

it(`the honest driver passes what it claims (OUTRIGGER_TEST_SEED=${seed})`, { timeout: KIT_MS }, async () => {
  const result = await tryDriver({ groups, seed, processes: true, program: wrongDriver() });
  const unproven = result.groups.flatMap(({ tests }) => tests.filter(({ state }) => state !== "passed"));
  const failed = unproven.filter(({ state }) => state === "failed");
  assert.deepEqual(
    failed.map(({ test, failure }) => `${test}: ${failure?.message}`),
    [],
  );
  // What is left out is left out for want of a capability, or because it takes a minute.
  for (const { test, why = "" } of unproven) assert.match(why, /SIGN_URL|LOCAL_FILE|--slow/, test);
  const { meta, blob, resume, replicas } = result.profiles;
  assert.deepEqual(
    { meta, blob, resume, replicas },
    { meta: "passed", blob: "passed", resume: "passed", replicas: "passed" },
  );
  assert.deepEqual(result.notes, [], "nothing is left behind");
});
