/**
 * The meta store beside a plain map. One client does random steps on both; wherever they part, a `Difference` names the
 * rule. Steps are plain data: keys are names below a prefix, etags are told by where they come from.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Item } from "../../proto/gen/outrigger/meta/v1/Item.ts";
import type { OperationInput } from "../../proto/gen/outrigger/meta/v1/Operation.ts";
import { Fault } from "../faults.ts";
import { check, get, isRefusal, type MetaPeer, put, remove, write } from "../groups/meta-calls.ts";
import type { Random } from "../random.ts";
import { Difference } from "./difference.ts";
import { differenceOfPages, type PageStep, pagesOf } from "./pages.ts";

export interface MetaOperationStep {
  readonly do: "put" | "delete" | "check";
  readonly key: string;
  readonly value?: string;
  /** "etag": the key's own, or its last one; "former": the one before. */
  readonly if?: "absent" | "present" | "etag" | "former";
}

export type MetaStep =
  | { readonly call: "Write"; readonly operations: readonly MetaOperationStep[] }
  | { readonly call: "Get"; readonly keys: readonly string[] }
  | ({ readonly call: "List" } & PageStep)
  | { readonly call: "Count"; readonly prefix: string };

/** None is a path-prefix of another: a driver may refuse those. */
const KEYS = ["a-b", "a-b0", "a.b", "a/b", "a0", "aB", "A", "b", "z/1", "z1"] as const;
const BOUNDS = ["", "", "a", "a-", "a/", "a0", "b", "z", "Z", "a.b", "a/b", "b0"] as const;
const VALUES = ["", "x", "y", "longer value"] as const;

/** What is asked how often, in a hundred; the rest is Count. */
export interface MetaWeights {
  /** How many keys there are: with few of them, conditions meet what is there. */
  readonly keys: number;
  readonly write: number;
  readonly get: number;
  readonly list: number;
}

export function metaStep(random: Random, weights: MetaWeights): MetaStep {
  const kind = random.next() * 100;
  const keys = KEYS.slice(0, weights.keys);
  if (kind < weights.write) return { call: "Write", operations: metaOperations(random, keys) };
  if (kind < weights.write + weights.get) return { call: "Get", keys: some(random, keys, 5) };
  if (kind >= weights.write + weights.get + weights.list) return { call: "Count", prefix: random.pick(BOUNDS) };
  return {
    call: "List",
    prefix: random.pick(BOUNDS),
    startAfter: random.next() < 0.5 ? "" : random.pick(BOUNDS),
    limit: random.pick([1, 2, 3, 1000, 1000]),
  };
}

function metaOperations(random: Random, keys: readonly string[]): MetaOperationStep[] {
  return some(random, keys, 4).map((key) => {
    const kind = random.pick(["put", "put", "delete", "check"] as const);
    const condition = random.pick(["absent", "present", "etag", "etag", "former"] as const);
    const conditional = kind === "check" || random.next() < 0.4 ? { if: condition } : {};
    return { do: kind, key, ...(kind === "put" ? { value: random.pick(VALUES) } : {}), ...conditional };
  });
}

function some<Value>(random: Random, values: readonly Value[], most: number): Value[] {
  return random.shuffled(values).slice(0, random.between(1, Math.min(most, values.length)));
}

export function* simplerMeta(step: MetaStep): Iterable<MetaStep> {
  if (step.call === "List") {
    if (step.limit !== 1000) yield { ...step, limit: 1000 };
    if (step.startAfter !== "") yield { ...step, startAfter: "" };
  }
  if ((step.call === "List" || step.call === "Count") && step.prefix !== "") yield { ...step, prefix: "" };
  if (step.call === "Get" && step.keys.length > 1) for (const key of step.keys) yield { ...step, keys: [key] };
  if (step.call !== "Write") return;
  const { operations } = step;
  for (const [index, operation] of operations.entries()) {
    if (operations.length > 1) yield { ...step, operations: operations.toSpliced(index, 1) };
    if (operation.if !== undefined && operation.do !== "check") {
      const { if: _, ...unconditional } = operation;
      yield { ...step, operations: operations.with(index, unconditional) };
    }
    if (operation.do === "put" && operation.value !== "x") {
      yield { ...step, operations: operations.with(index, { ...operation, value: "x" }) };
    }
  }
}

interface Held {
  readonly value: string;
  readonly etag: string;
}

/** The steps, from nothing, under a prefix that nothing else uses. @throws Difference */
export async function runMeta(peer: MetaPeer, prefix: string, steps: readonly MetaStep[]): Promise<void> {
  const state = new Map<string, Held>();
  /** Every etag that a key had, the last one last. */
  const had = new Map<string, string[]>();

  for (const step of steps) {
    if (step.call === "Write") await doWrite(step.operations);
    else if (step.call === "Get") await doGet(step.keys);
    else if (step.call === "List") await doList(step);
    else await doCount(step.prefix);
  }

  async function doWrite(operations: readonly MetaOperationStep[]): Promise<void> {
    const sent = operations.map((operation) => inputOf(operation, prefix, etagOf));
    const due = operations.findIndex((operation) => !holds(operation));
    const keys = operations.map(({ key }) => prefix + key);
    const words = `a Write ${JSON.stringify(sent.map(shown))}`;
    let results: readonly { readonly etag: string }[] | undefined;
    try {
      ({ results } = await write(peer, ...sent));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const told = error.metadata["index"];
      if (due < 0) {
        const nothing = operations.some(
          ({ do: kind, key, if: asked }) => kind === "delete" && !asked && !state.has(key),
        );
        const rule = nothing ? "meta.write.07" : "meta.write.02";
        throw new Difference(rule, `${words}, all of whose conditions hold: ${error.message}`);
      }
      if (told !== String(due)) {
        throw new Difference("meta.write.02", `${words} fails at ${due}, and names index ${told ?? "(none)"}`);
      }
    }
    if (results !== undefined && due >= 0) {
      throw new Difference("meta.write.02", `${words} was accepted, though the condition of ${due} does not hold`);
    }
    const after = await get(peer, keys);
    if (results === undefined) {
      for (const { key } of operations) {
        if (!same(after.get(prefix + key), state.get(key))) {
          throw new Difference("meta.write.01", `${words} was refused, and "${key}" has changed`);
        }
      }
      return;
    }
    takeEffect(operations, after, words);
    for (const [index, { do: kind, key }] of operations.entries()) {
      const wanted = kind === "delete" ? "" : (state.get(key)?.etag ?? "");
      if (results.length === operations.length && results[index]?.etag === wanted) continue;
      throw new Difference("meta.write.06", `${words}: result ${index} is "${results[index]?.etag}", not "${wanted}"`);
    }
  }

  /** The model follows the driver's etags, which only it can know. */
  function takeEffect(operations: readonly MetaOperationStep[], after: Map<string, Item>, words: string): void {
    const wrong = operations.filter((operation) => {
      const item = after.get(prefix + operation.key);
      if (operation.do === "check") return !same(item, state.get(operation.key));
      return operation.do === "delete" ? item !== undefined : item?.value.toString() !== operation.value;
    });
    if (wrong.length > 0) {
      const changes = operations.filter(({ do: kind }) => kind !== "check").length;
      const unseen =
        wrong.length === changes && wrong.every(({ key }) => same(after.get(prefix + key), state.get(key)));
      const keys = wrong.map(({ key }) => key).join(", ");
      throw new Difference(
        unseen ? "meta.seen.01" : "meta.write.01",
        `${words} was accepted, and ${keys} ${unseen ? "are as before it" : "are not as it says"}`,
      );
    }
    for (const { do: kind, key } of operations) {
      if (kind === "delete") state.delete(key);
      if (kind !== "put") continue;
      const etag = after.get(prefix + key)?.etag ?? "";
      const before = had.get(key) ?? [];
      if (before.includes(etag))
        throw new Difference("meta.etag.01", `${words} gives "${key}" the etag "${etag}" again`);
      had.set(key, [...before, etag]);
      state.set(key, { value: after.get(prefix + key)?.value.toString() ?? "", etag });
    }
  }

  async function doGet(keys: readonly string[]): Promise<void> {
    const found = await get(
      peer,
      keys.map((key) => prefix + key),
    );
    for (const key of keys) {
      if (same(found.get(prefix + key), state.get(key))) continue;
      throw new Difference(
        "meta.seen.01",
        `Get of "${key}": ${told(found.get(prefix + key))}, not ${told(state.get(key))}`,
      );
    }
  }

  async function doList(step: PageStep): Promise<void> {
    const list = () => pagesOf((request) => peer.meta.list(request), prefix, step);
    const items = await differenceOfPages("meta", list, prefix, step, [...state.keys()]);
    for (const item of items) {
      const key = item.key.slice(prefix.length);
      const held = state.get(key);
      if (same(item, held)) continue;
      const rule = item.etag === held?.etag ? "meta.list.06" : "meta.seen.01";
      throw new Difference(rule, `"${key}" is listed with ${told(item)}, not ${told(held)}`);
    }
  }

  async function doCount(of: string): Promise<void> {
    const due = [...state.keys()].filter((key) => key.startsWith(of)).length;
    const { count, exact } = await peer.meta.count({ prefix: prefix + of });
    if (!exact || count === due) return;
    await sleep(200);
    const later = await peer.meta.count({ prefix: prefix + of });
    const rule = later.count === due ? "meta.seen.01" : "meta.count.01";
    throw new Difference(rule, `Count below "${of}" says exactly ${count}, not ${due}`);
  }

  function etagOf(key: string, which: "etag" | "former"): string {
    return had.get(key)?.at(which === "etag" ? -1 : -2) ?? "an-etag-never-given";
  }

  function holds({ key, if: condition }: MetaOperationStep): boolean {
    const held = state.get(key);
    if (condition === undefined) return true;
    if (condition === "absent") return held === undefined;
    return condition === "present" ? held !== undefined : held?.etag === etagOf(key, condition);
  }
}

/** @param etagOf what the model knows of a key's etags */
export function inputOf(
  { do: kind, key, value = "", if: condition }: MetaOperationStep,
  prefix: string,
  etagOf: (key: string, which: "etag" | "former") => string,
): OperationInput {
  const given = condition === "etag" || condition === "former" ? { etag: etagOf(key, condition) } : condition;
  if (kind === "put") return put(prefix + key, value, given);
  return kind === "delete" ? remove(prefix + key, given) : check(prefix + key, given ?? "present");
}

function shown(operation: OperationInput): object {
  return { ...operation, ...(operation.put === undefined ? {} : { put: operation.put.toString() }) };
}

function same(item: Item | undefined, held: Held | undefined): boolean {
  return item?.etag === held?.etag && item?.value.toString() === held?.value;
}

function told(item: { readonly value: Uint8Array | string; readonly etag: string } | undefined): string {
  return item === undefined ? "absent" : `"${Buffer.from(item.value).toString()}" (etag ${item.etag})`;
}

/** Whether another sequence could say more: not when the driver has gone. */
export function isShrinkable(error: unknown): boolean {
  return error instanceof Difference || error instanceof Fault;
}
