/**
 * Conditions for a server that has none: compared here, one change of a name at a time. True only while this process is the
 * only one that writes.
 */
import type { ObjectCondition, ObjectStore } from "../../server/objects/contract.ts";
import { conditionLost } from "./facts.ts";

export function alone(store: ObjectStore): ObjectStore {
  const turns = new Map<string, Promise<unknown>>();

  async function inTurn<Value>(name: string, work: () => Promise<Value>): Promise<Value> {
    const before = turns.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    const settled = mine.then(
      () => {},
      () => {},
    );
    turns.set(name, settled);
    try {
      return await mine;
    } finally {
      if (turns.get(name) === settled) turns.delete(name);
    }
  }

  function compared<Value>(
    name: string,
    condition: ObjectCondition | undefined,
    signal: AbortSignal,
    work: () => Promise<Value>,
  ): Promise<Value> {
    return inTurn(name, async () => {
      if (condition === undefined) return work();
      const there = await store.head(name, signal);
      const holds = "ifAbsent" in condition ? there === undefined : there?.etag === condition.ifEtag;
      if (!holds) throw conditionLost(name, condition);
      return work();
    });
  }

  const bare = <Options extends { readonly condition?: ObjectCondition }>({ condition: _, ...rest }: Options) => rest;

  return {
    ...store,
    put: (name, data, options, how) =>
      compared(name, options.condition, how.signal, () => store.put(name, data, bare(options), how)),
    delete: (name, condition, how) => compared(name, condition, how.signal, () => store.delete(name, undefined, how)),
    copy: (source, destination, options, how) =>
      compared(destination, options.condition, how.signal, () => store.copy(source, destination, bare(options), how)),
    parts: {
      limits: store.parts.limits,
      direct: store.parts.direct,
      begin: (name, how) => store.parts.begin(name, how),
      put: (...args) => store.parts.put(...args),
      list: (...args) => store.parts.list(...args),
      complete: (name, ref, parts, options, how) =>
        compared(name, options.condition, how.signal, () => store.parts.complete(name, ref, parts, bare(options), how)),
      abandon: (...args) => store.parts.abandon(...args),
      begun: (...args) => store.parts.begun(...args),
    },
  };
}
