/**
 * The stores beside their models: random calls, one after another and at once, shrunk to the few that show a difference.
 * One test a rule, so that what differs fails under its own id; each looks at everything and tells only that.
 */
import assert from "node:assert/strict";
import type { Calls, Context, Test } from "../contract.ts";
import { blobHistoryStep, runBlobHistory } from "../model/blob-history.ts";
import { type BlobWeights, blobStep, runBlobs, simplerBlob } from "../model/blobs.ts";
import { Difference, ofRule } from "../model/difference.ts";
import { isShrinkable, type MetaWeights, metaStep, runMeta, simplerMeta } from "../model/meta.ts";
import { HISTORY_CLIENTS, metaHistoryStep, runMetaHistory } from "../model/meta-history.ts";
import { type SearchOptions, search, tell } from "../model/shrink.ts";

/** Of the whole search, shrinking included. */
const BUDGET_MS = 12_000;
/** How often a history that failed once is tried again: who comes first is not in the kit's hands. */
const TRIES = 8;

type Model<Step> = Pick<SearchOptions<Step>, "generate" | "simpler" | "run" | "runs" | "steps">;

function test<Step>(rule: string, how: string, title: string, modelOf: (ctx: Context) => Model<Step>): Test {
  return {
    id: `${rule}/${how}`,
    title,
    async run(ctx) {
      const model = modelOf(ctx);
      const found = await search<Step>({
        ...model,
        random: ctx.random,
        run: (steps, attempt) => ofRule(rule, model.run(steps, attempt)),
        shrinks: isShrinkable,
        budgetMs: BUDGET_MS,
        signal: ctx.signal,
      });
      if (found === undefined) return;
      // What is no difference is a call that failed as none should.
      if (!(found.error instanceof Difference)) throw new Error(tell(found), { cause: found.error });
      assert.fail(tell(found));
    },
  };
}

function metaModel(rule: string, title: string, weights: MetaWeights): Test {
  return test(rule, "model", title, (ctx) => ({
    runs: 16,
    steps: 20,
    generate: (random) => metaStep(random, weights),
    simpler: simplerMeta,
    run: (steps, attempt) => runMeta(ctx, `${ctx.prefix}${attempt}/`, steps),
  }));
}

function blobModel(rule: string, title: string, weights: BlobWeights & { readonly runs: number }): Test {
  return test(rule, "model", title, (ctx) => ({
    runs: weights.runs,
    steps: 20,
    generate: (random) => blobStep(random, weights),
    simpler: simplerBlob,
    run: (steps, attempt) => runBlobs(ctx, `${ctx.prefix}${attempt}/`, steps, ctx.limits("blob").listLagMs),
  }));
}

/** A history is short, and there are many: what decides is how calls fall together. */
function history<Step>(
  rule: string,
  title: string,
  generate: Model<Step>["generate"],
  once: (peers: readonly Calls[], ctx: Context, steps: readonly Step[], name: string) => Promise<void>,
): Test {
  return test(rule, "history", title, (ctx) => {
    const peers = Array.from({ length: HISTORY_CLIENTS }, () => ctx.connect());
    let tries = 1;
    return {
      runs: 25,
      steps: 14,
      generate,
      async run(steps: readonly Step[], attempt: number) {
        for (let turn = 0; turn < tries; turn++) {
          try {
            await once(peers, ctx, steps, `${attempt}-${turn}`);
          } catch (error) {
            if (error instanceof Difference && error.rule === rule) tries = TRIES;
            throw error;
          }
        }
      },
    };
  });
}

const changing: MetaWeights = { keys: 4, write: 85, get: 10, list: 3 };
const looking: MetaWeights = { keys: 6, write: 45, get: 25, list: 20 };
const listing: MetaWeights = { keys: 9, write: 35, get: 0, list: 55 };

const deciding = { keys: 3, changes: 90, runs: 16 };
const altering = { keys: 3, changes: 85, runs: 8 };
const watching = { keys: 4, changes: 50, runs: 8 };
const paging = { keys: 10, changes: 50, runs: 8 };

export const metaModelTests: readonly Test[] = [
  metaModel(
    "meta.write.01",
    "random Writes have their effects, and the refused ones none, as in a plain map",
    changing,
  ),
  metaModel("meta.write.02", "random conditions hold or fail as they do on a plain map", changing),
  metaModel("meta.write.06", "random Writes answer the etags that Get then shows", changing),
  metaModel("meta.seen.01", "random Gets, Lists and Counts between Writes see a plain map", looking),
  metaModel("meta.list.02", "random pages of random keys are those of a plain map", listing),
  ...(["meta.write.03", "meta.get.03"] as const).map((rule) =>
    history(
      rule,
      "what three clients are answered at once could have been answered one after another",
      metaHistoryStep,
      (peers, ctx, steps, name) => runMetaHistory(peers, `${ctx.prefix}${name}/`, steps),
    ),
  ),
];

export const blobModelTests: readonly Test[] = [
  blobModel("blob.put.03", "random Puts if_absent are taken or refused as by a plain map", deciding),
  blobModel("blob.put.04", "random Puts if_etag are taken or refused as by a plain map", deciding),
  blobModel("blob.move.01", "random Moves leave what they leave in a plain map", altering),
  blobModel("blob.delete.02", "random Deletes leave what they leave in a plain map", altering),
  blobModel("blob.visible.02", "random Stats and Reads between changes see a plain map", watching),
  blobModel("blob.list.02", "random pages of random keys are those of a plain map", paging),
  ...(["blob.put.03", "blob.put.04", "blob.visible.02"] as const).map((rule) =>
    history(
      rule,
      "what three clients of one blob are answered at once could have been answered one after another",
      blobHistoryStep,
      (peers, ctx, steps, name) => runBlobHistory(peers, `${ctx.prefix}${name}`, steps),
    ),
  ),
];
