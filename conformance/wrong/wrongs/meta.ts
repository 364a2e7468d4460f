/** Wrong about the atomic store. */
import { setTimeout as sleep } from "node:timers/promises";
import { hasReason, OutriggerError } from "../../../proto/errors.ts";
import type { Wrong } from "../wrongs.ts";

export const metaWrongs: readonly Wrong[] = [
  {
    name: "condition-races",
    does: "checks conditions first and applies a moment later",
    caughtBy: ["meta.write.03"],
    beside: ["meta.write.02", "meta.write.05", "meta.write.06", "meta.write.07"],
    changes: () => ({
      meta: {
        async write(operations, steps) {
          steps.check(operations);
          await sleep(5);
          return steps.apply(operations);
        },
      },
    }),
  },
  {
    name: "write-in-part",
    does: "applies a Write's operations one after another up to the first whose condition does not hold",
    caughtBy: ["meta.write.01"],
    beside: ["meta.write.02", "meta.write.05", "meta.write.06", "meta.write.07"],
    changes: () => ({
      meta: {
        async write(operations, steps) {
          const etags: string[] = [];
          for (const [index, operation] of operations.entries()) {
            try {
              etags.push(...steps.checkAndApply([operation]));
            } catch (error) {
              if (!hasReason(error, "CONDITION_FAILED")) throw error;
              throw new OutriggerError("CONDITION_FAILED", error.message, { metadata: { index: String(index) } });
            }
          }
          return etags;
        },
      },
    }),
  },
  {
    name: "absent-not-deleted",
    does: "refuses to delete a key that is not there",
    caughtBy: ["meta.write.07"],
    beside: ["meta.get", "meta.list", "meta.write.06"],
    changes: () => ({
      meta: {
        async write(operations, steps) {
          const strict = operations.map((operation) =>
            operation.action === "delete" && operation.condition === undefined
              ? { ...operation, condition: "ifPresent" as const, ifPresent: {} }
              : operation,
          );
          return steps.checkAndApply(strict);
        },
      },
    }),
  },
  {
    name: "half-write-seen",
    does: "reads a Get's keys one after another, while Writes go on",
    caughtBy: ["meta.get.03"],
    beside: ["meta.get", "meta.write.06"],
    changes: () => ({
      meta: {
        async get(keys, read) {
          const items = [];
          for (const key of keys) {
            items.push(...read([key]));
            await sleep(1);
          }
          return items;
        },
      },
    }),
  },
  {
    name: "etag-again",
    does: "counts a key's etags from the beginning again after a delete",
    caughtBy: ["meta.etag.01"],
    beside: ["meta.write.02", "meta.write.06"],
    changes: () => ({ meta: { etag: (_entry, _key, before) => String(Number(before ?? 0) + 1) } }),
  },
  {
    name: "any-etag",
    does: "takes any etag for the key's",
    caughtBy: ["meta.write.02", "meta.write.03", "meta.write.05"],
    beside: ["meta.write.01", "meta.write.06", "meta.write.07"],
    changes: () => ({ meta: { sameEtag: () => true } }),
  },
  {
    name: "no-etags-told",
    does: "answers a Write without the new etags",
    caughtBy: ["meta.write.06"],
    beside: ["meta.write.02", "meta.write.07", "meta.get"],
    changes: () => ({
      wire: {
        answer(method, response) {
          if (method !== "meta.Write") return response;
          const { results } = response as { results: readonly object[] };
          return { results: results.map((result) => ({ ...result, etag: "" })) };
        },
      },
    }),
  },
  {
    name: "writes-in-memory",
    does: "keeps a Write to itself: no replica sees it",
    caughtBy: ["meta.seen.01"],
    beside: ["meta.write.02", "meta.write.06", "meta.get.01"],
    changes: () => ({ meta: { written: ({ key, etag }) => ({ key, etag }) } }),
  },
  {
    name: "writes-lost",
    does: "answers a Write that kill -9 takes away",
    caughtBy: ["meta.durable.01"],
    beside: ["blob.append.19/half-closed"],
    processes: true,
    changes: () => ({ meta: { written: ({ key, etag }) => ({ key, etag }) } }),
  },
];
