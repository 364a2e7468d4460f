/** The meta store: a tree, and Writes that run to their end without a pause. */
import { OutriggerError } from "../../proto/errors.ts";
import type { MetaCondition, MetaDriver, MetaItem, MetaOperation, StoreFacts } from "../../server/contract.ts";
import type { NextEtag } from "./etags.ts";
import { pageOf, SortedMap } from "./pages.ts";

export function createMemoryMeta(facts: StoreFacts, nextEtag: NextEtag): MetaDriver {
  const tree: SortedMap<MetaItem> = new SortedMap();
  return {
    facts,
    async check() {},
    async get(keys) {
      return keys.map((key) => tree.get(key));
    },
    async list(request) {
      return pageOf(tree, request);
    },
    async write(operations, call) {
      for (const [index, { key, condition }] of operations.entries()) {
        if (condition === undefined || holds(condition, tree.get(key))) continue;
        throw new OutriggerError("CONDITION_FAILED", `the condition on key ${key} does not hold`, {
          metadata: { index: String(index) },
        });
      }
      call.assertInTime();
      return operations.map(apply);
    },
  };

  function apply(operation: MetaOperation): string {
    const { key } = operation;
    const etag = operation.kind === "put" ? nextEtag() : "";
    if (operation.kind === "put") tree.set(key, { key, value: operation.value, etag });
    if (operation.kind === "delete") tree.delete(key);
    return operation.kind === "check" ? (tree.get(key)?.etag ?? "") : etag;
  }
}

function holds(condition: MetaCondition, item: MetaItem | undefined): boolean {
  if ("ifAbsent" in condition) return item === undefined;
  if ("ifPresent" in condition) return item !== undefined;
  return item?.etag === condition.ifEtag;
}
