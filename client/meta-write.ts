/**
 * A Write whose answer was lost is found out, not guessed (protocol.md section 8): own values are read back. Own value =
 * done, old state = again with the same condition, another etag = lost. Drivers remember nothing.
 */
import type { MetaItem, MetaOperation } from "./contract.ts";

export type Found =
  /** The Write took effect; etags as its answer would have been. */
  | { readonly state: "done"; readonly etags: string[] }
  /** It has not, and may be sent again. */
  | { readonly state: "old" }
  /** Somebody else changed what it depends on, for good; `index` is the first such operation. */
  | { readonly state: "lost"; readonly index: number }
  /**
   * It has not, and must not be sent again: nothing in it tells a second effect from the first, or an earlier attempt that
   * comes late may find what it depends on as it was.
   */
  | { readonly state: "unsure" };

/**
 * Whether a second effect is impossible: an operation that can succeed only once carries its condition away with it.
 * A Write is all or none, so one such operation protects the others.
 */
export function isRepeatable(operations: readonly MetaOperation[]): boolean {
  return operations.some(isConsuming);
}

function isConsuming(operation: MetaOperation): boolean {
  const { condition } = operation;
  if (operation.kind === "check" || condition === undefined) return false;
  if ("ifEtag" in condition) return true;
  return operation.kind === "put" ? "ifAbsent" in condition : "ifPresent" in condition;
}

/** What the keys hold now, seen against what the Write would have made of them. */
export function findOut(operations: readonly MetaOperation[], items: readonly (MetaItem | undefined)[]): Found {
  const changes = operations.flatMap((operation, index) => (operation.kind === "check" ? [] : [index]));
  const isDone = (index: number) => {
    const operation = operations[index];
    return operation !== undefined && looksDone(operation, items[index]);
  };
  if (changes.length > 0 && changes.every(isDone))
    return {
      state: "done",
      etags: operations.map((operation, index) => (operation.kind === "delete" ? "" : (items[index]?.etag ?? ""))),
    };
  if (!isRepeatable(operations)) return { state: "unsure" };
  const broken = operations.flatMap((operation, index) => (conditionHolds(operation, items[index]) ? [] : [index]));
  if (broken.length === 0) return { state: "old" };
  // Taken by somebody else. An etag never comes back; a key that is there or absent now may be otherwise again.
  const index = broken.find((at) => "ifEtag" in (operations[at]?.condition ?? {}));
  return index === undefined ? { state: "unsure" } : { state: "lost", index };
}

function looksDone(operation: MetaOperation, item: MetaItem | undefined): boolean {
  if (operation.kind === "delete") return item === undefined;
  if (operation.kind === "check" || item === undefined) return false;
  // A put makes an etag that its key never had: with the old etag still there, equal bytes are the old ones.
  if (operation.condition && "ifEtag" in operation.condition && item.etag === operation.condition.ifEtag) return false;
  return item.value.equals(operation.value);
}

function conditionHolds(operation: MetaOperation, item: MetaItem | undefined): boolean {
  const { condition } = operation;
  if (condition === undefined) return true;
  if ("ifAbsent" in condition) return item === undefined;
  if ("ifPresent" in condition) return item !== undefined;
  return item?.etag === condition.ifEtag;
}
