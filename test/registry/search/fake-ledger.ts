/** The meta store as preferences and holders use it, without a lease. */
import type { CallOptions, MetaItem, MetaOperation } from "../../../client/contract.ts";
import type { FakeStores } from "../../helpers/fake-stores.ts";

export function fakeLedger({ meta }: Pick<FakeStores, "meta">) {
  return {
    basis: () => "",
    get: (keys: readonly string[], options: CallOptions) => meta.get(keys, options),
    write: (operations: readonly MetaOperation[], options: CallOptions) => meta.write(operations, options),
    async *pages(prefix: string, options: CallOptions): AsyncIterable<readonly MetaItem[]> {
      for (let startAfter = ""; ; ) {
        const page = await meta.list({ prefix, ...(startAfter === "" ? {} : { startAfter }) }, options);
        if (page.items.length > 0) yield page.items;
        startAfter = page.items.at(-1)?.key ?? "";
        if (!page.more || startAfter === "") return;
      }
    },
  };
}
