/** The uploads' model against drivers that are wrong on purpose: each is told by its rule, in as few steps as show it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { groups } from "../../../conformance/groups/index.ts";
import { tryDriver } from "../../../conformance/wrong/trial.ts";
import { findWrong } from "../../../conformance/wrong/wrongs.ts";

/** Chosen so that each is found: which sequences come is the seed's. */
const SEED = 3;

const told = {
  "late-open": { rule: "blob.append.05", steps: 2, says: /an attempt that was there before was due UPLOAD_FENCED/ },
  "not-fenced": { rule: "blob.append.04", steps: 2, says: /taken over was due UPLOAD_FENCED/ },
  "open-always-creates": { rule: "blob.append.03", steps: 1, says: /was due UPLOAD_NOT_FOUND, and was accepted/ },
  "commit-unchecked": { rule: "blob.append.12", steps: 2, says: /another size or digest .* was due DIGEST_MISMATCH/ },
} as const;

describe("the uploads' model", () => {
  for (const [name, { rule, steps, says }] of Object.entries(told)) {
    it(`finds ${name} by ${rule}, in ${steps} steps`, { timeout: 60_000 }, async () => {
      const result = await tryDriver({ groups, wrong: findWrong(name), only: [`${rule}/model`], seed: SEED });
      const [test] = result.groups.flatMap(({ tests }) => tests);
      const message = test?.failure?.message ?? "";
      assert.equal(test?.state, "failed");
      assert.match(message, new RegExp(`differ after ${steps} steps`), message);
      assert.match(message, says);
    });
  }

  it("has nothing to say of an honest driver", { timeout: 60_000 }, async () => {
    const only = groups
      .flatMap(({ tests }) => tests)
      .map(({ id }) => id)
      .filter((id) => /^blob\.(?:append|abort)\.\d\d\/model$/.test(id));
    assert.ok(only.length >= 10);
    const result = await tryDriver({ groups, only, seed: SEED });
    assert.deepEqual([result.passed, result.failed], [only.length, 0]);
  });
});
