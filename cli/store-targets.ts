/** The stores of a configuration as the client wants to be told of them. */
import type { StoreTarget } from "../client/contract.ts";
import type { Config } from "../registry/config.ts";

type StoreConfig = Config["stores"]["blobs"];

/** `meta` defaults to the blobs' address. */
export function storeTargets({ stores }: Config): { readonly blobs: StoreTarget; readonly meta: StoreTarget } {
  const blobs = withoutUndefined(stores.blobs);
  return { blobs, meta: stores.meta === undefined ? blobs : withoutUndefined(stores.meta) };
}

/** A key that is there but undefined is no key. */
function withoutUndefined({ tls, ...rest }: StoreConfig): StoreTarget {
  const target = defined(rest) as StoreTarget;
  return tls === undefined ? target : { ...target, tls: defined(tls) };
}

function defined<Value extends object>(value: Value): { [Key in keyof Value]: Exclude<Value[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as {
    [Key in keyof Value]: Exclude<Value[Key], undefined>;
  };
}
