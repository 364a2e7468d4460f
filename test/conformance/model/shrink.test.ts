import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { search, tell } from "../../../conformance/model/shrink.ts";
import { randomOf } from "../../../conformance/random.ts";

type Step = { readonly add: number };

const generate = (random: ReturnType<typeof randomOf>): Step => ({ add: random.between(0, 1000) });
const simpler = function* ({ add }: Step) {
  if (add > 0) yield { add: 0 };
  if (add > 1) yield { add: Math.floor(add / 2) };
  if (add > 0) yield { add: add - 1 };
};

const base = { runs: 100, steps: 30, budgetMs: 10_000, generate, simpler };

describe("search", () => {
  it("finds nothing where nothing is wrong", async () => {
    let runs = 0;
    const found = await search({ ...base, random: randomOf(1, "search"), run: async () => void runs++ });
    assert.equal(found, undefined);
    assert.equal(runs, 100);
  });

  it("leaves only the steps that matter, each as simple as it can be", async () => {
    const attempts = new Set<number>();
    const found = await search({
      ...base,
      random: randomOf(3, "search"),
      async run(steps, attempt) {
        assert.ok(!attempts.has(attempt), "each run has a number of its own");
        attempts.add(attempt);
        const large = steps.filter(({ add }) => add >= 500);
        if (large.length >= 2) throw new Error("two are large");
      },
    });
    assert.ok(found !== undefined);
    assert.deepEqual(found.steps, [{ add: 500 }, { add: 500 }]);
    assert.ok(found.foundSteps > 2);
    assert.equal(found.attempts, attempts.size);
    const text = tell(found);
    assert.match(text, /1\. \{"add":500\}/);
    assert.match(text, /two are large/);
  });

  it("keeps what it found when the time is over", async () => {
    const found = await search({
      ...base,
      random: randomOf(3, "search"),
      budgetMs: 50,
      async run() {
        await new Promise((resolve) => setTimeout(resolve, 60));
        throw new Error("always");
      },
    });
    assert.equal(found?.attempts, 1);
  });

  it("does not shrink what it is told not to", async () => {
    const found = await search({
      ...base,
      random: randomOf(3, "search"),
      shrinks: () => false,
      run: async () => {
        throw new Error("gone");
      },
    });
    assert.equal(found?.attempts, 1);
    assert.equal(found?.steps.length, found?.foundSteps);
  });

  it("ends when it is told to", async () => {
    const abort = new AbortController();
    const searching = search({
      ...base,
      random: randomOf(3, "search"),
      signal: abort.signal,
      run: async (_, attempt) => {
        if (attempt === 2) abort.abort(new Error("stop"));
        throw new Error("differs");
      },
    });
    await assert.rejects(searching, /stop/);
  });
});
