/** Random steps of several streams and uploads beside a model of them: one test a rule, so that each fails under its own. */
import assert from "node:assert/strict";
import type { Test } from "../../contract.ts";
import { Difference, ofRule } from "../../model/difference.ts";
import { isShrinkable } from "../../model/meta.ts";
import { search, tell } from "../../model/shrink.ts";
import { simplerUpload, type UploadStep, uploadStep } from "../../model/upload-steps.ts";
import { runUploads } from "../../model/uploads.ts";

/** Of one rule's whole search, shrinking included. */
const BUDGET_MS = 12_000;

const rules = {
  "blob.append.03": "random opens find an upload exactly where the model has one",
  "blob.append.04": "random takeovers leave the bytes that the model has",
  "blob.append.05": "random late opens are refused, and nothing else",
  "blob.append.07": "random chunks leave the bytes that the model has",
  "blob.append.09": "what random steps were told persisted stays so",
  "blob.append.10": "random flushes and half-closes are answered as the model is",
  "blob.append.11": "random steps show nothing under a key that was not committed there",
  "blob.append.12": "random commits, right and wrong, leave what the model has",
  "blob.append.13": "random commits of what is there already change nothing",
  "blob.append.14": "random commits with if_absent are refused where the model has other content",
  "blob.append.16": "after random commits nothing is left of their uploads",
  "blob.abort.03": "after random aborts nothing is left of their uploads",
} as const;

export const modelTests: readonly Test[] = Object.entries(rules).map(([rule, title]) => ({
  id: `${rule}/model`,
  title,
  async run(ctx) {
    const uploadId = ctx.uploadId();
    const found = await search<UploadStep>({
      random: ctx.random,
      runs: 6,
      steps: 30,
      generate: uploadStep,
      simpler: simplerUpload,
      run: (steps, attempt) =>
        ofRule(rule, runUploads(ctx, `${ctx.prefix}${attempt}/`, `${uploadId}-${attempt}`, steps)),
      shrinks: isShrinkable,
      budgetMs: BUDGET_MS,
      signal: ctx.signal,
    });
    if (found === undefined) return;
    if (!(found.error instanceof Difference)) throw new Error(tell(found), { cause: found.error });
    assert.fail(tell(found));
  },
}));
