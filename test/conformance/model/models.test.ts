/** The kit's models of both stores find what is planted in a driver, alone, and tell it shortly. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { blob } from "../../../conformance/groups/blob.ts";
import { meta } from "../../../conformance/groups/meta.ts";
import type { TestResult } from "../../../conformance/results.ts";
import type { Changes } from "../../../conformance/wrong/habits.ts";
import { tryDriver } from "../../../conformance/wrong/trial.ts";
import { hasReason, OutriggerError } from "../../../proto/errors.ts";
import { seedOf } from "../../helpers/random.ts";

/** One test of the kit against the honest driver with these changes. */
async function resultOf(test: string, seed: number, changes: Changes): Promise<TestResult> {
  const wrong = { name: "planted", does: "", caughtBy: [], beside: [], groups: [], changes: () => changes };
  const result = await tryDriver({ groups: [meta, blob], only: [test], seed, patienceMs: 5_000, wrong });
  const [found] = result.groups.flatMap(({ tests }) => tests);
  assert.ok(found, `there is no ${test}`);
  return found;
}

const planted: readonly (readonly [test: string, what: string, changes: Changes])[] = [
  ["meta.write.02/model", "an if_etag that always holds", { meta: { sameEtag: () => true } }],
  [
    "meta.write.01/model",
    "a Write that is applied up to the condition that fails",
    {
      meta: {
        write: async (operations, steps) =>
          operations.flatMap((one, index) => {
            try {
              return steps.checkAndApply([one]);
            } catch (error) {
              if (!hasReason(error, "CONDITION_FAILED")) throw error;
              throw new OutriggerError(error.reason, error.message, { metadata: { index: String(index) } });
            }
          }),
      },
    },
  ],
  [
    "meta.write.06/model",
    "results in another order",
    { meta: { write: async (operations, steps) => steps.checkAndApply(operations).reverse() } },
  ],
  [
    "meta.list.02/model",
    "a page that begins with the second key",
    {
      list: {
        following: (keys, startAfter) => keys.filter((key) => key > startAfter).slice(startAfter === "" ? 0 : 1),
      },
    },
  ],
  ["blob.put.04/model", "an if_etag that always holds", { blob: { sameEtag: () => true } }],
  [
    "meta.write.03/history",
    "conditions that are looked at long before their Write",
    {
      meta: {
        async write(operations, steps) {
          steps.check(operations);
          await new Promise((resolve) => setTimeout(resolve, 5));
          return steps.apply(operations);
        },
      },
    },
  ],
];

describe("the kit's models", () => {
  for (const [test, what, changes] of planted) {
    it(`${test} finds ${what}`, async (t) => {
      const seed = seedOf(t);
      // One search is short: it may miss what it has no luck with.
      let { state, failure } = await resultOf(test, seed, changes);
      for (let more = 1; more <= 2 && state === "passed"; more++) {
        ({ state, failure } = await resultOf(test, seed + more, changes));
      }
      assert.equal(state, "failed");
      const [, steps] = /differ after (\d+) steps/.exec(failure?.message ?? "") ?? [];
      assert.ok(Number(steps) <= 6, `a counterexample of ${steps} steps:\n${failure?.message}`);
    });
  }
});
