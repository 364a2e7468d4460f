/** A store that is a part of a bucket: every name gets a prefix on its way in and loses it on its way out. */
import type { ObjectFacts, ObjectStore } from "./contract.ts";

/** @param prefix "" or a path that ends with a slash, as `prefixOf` makes it */
export function prefixed(store: ObjectStore, prefix: string): ObjectStore {
  if (prefix === "") return store;
  const bare = (facts: ObjectFacts): ObjectFacts => ({ ...facts, name: facts.name.slice(prefix.length) });
  const { parts } = store;
  return {
    place: `${store.place}, under ${prefix}`,
    check: (signal) => store.check(signal),
    async head(name, signal) {
      const facts = await store.head(prefix + name, signal);
      return facts && bare(facts);
    },
    async read(name, range, signal) {
      const bytes = await store.read(prefix + name, range, signal);
      return { ...bytes, facts: bare(bytes.facts), cancel: () => bytes.cancel() };
    },
    put: async (name, data, options, how) => bare(await store.put(prefix + name, data, options, how)),
    delete: (name, condition, how) => store.delete(prefix + name, condition, how),
    async list(request, signal) {
      const startAfter = request.startAfter === "" ? "" : prefix + request.startAfter;
      const page = await store.list({ ...request, prefix: prefix + request.prefix, startAfter }, signal);
      return { items: page.items.map(bare), more: page.more };
    },
    copy: async (source, destination, options, how) =>
      bare(await store.copy({ ...source, name: prefix + source.name }, prefix + destination, options, how)),
    ...(store.signUrl === undefined ? {} : { signUrl: (name, ttlMs) => signed(store, prefix + name, ttlMs) }),
    parts: {
      limits: parts.limits,
      direct: parts.direct,
      begin: (name, how) => parts.begin(prefix + name, how),
      put: (name, ...rest) => parts.put(prefix + name, ...rest),
      list: (name, ref, signal) => parts.list(prefix + name, ref, signal),
      complete: async (name, ...rest) => bare(await parts.complete(prefix + name, ...rest)),
      abandon: (name, ref, how) => parts.abandon(prefix + name, ref, how),
      async *begun(under, signal) {
        for await (const one of parts.begun(prefix + under, signal)) {
          yield { ...one, name: one.name.slice(prefix.length) };
        }
      },
    },
    close: () => store.close(),
  };
}

function signed(store: ObjectStore, name: string, ttlMs: number) {
  if (store.signUrl === undefined) throw new Error(`${store.place} signs no URLs`);
  return store.signUrl(name, ttlMs);
}
