/** The stores of a configuration as the client wants to be told of them, and their exchange. */
import { isDeepStrictEqual } from "node:util";
import type { ConnectOptions, Stores, StoreTarget } from "../client/contract.ts";
import type { Config } from "./config.ts";
import type { Redirect } from "./http/exchange.ts";
import { blobKey } from "./repository/keys.ts";

export function connectOptions(
  config: Config,
  coreVersion: string | undefined,
): ConnectOptions & { readonly meta: StoreTarget } {
  return {
    blobs: targetOf(config.stores.blobs),
    meta: metaTarget(config),
    coreName: "outrigger",
    ...(coreVersion === undefined ? {} : { coreVersion }),
    uploadBudgetBytes: config.uploadBudgetMiB * 1024 * 1024,
  };
}

/** The section as a target: absent keys left out instead of undefined. */
function targetOf(section: Config["stores"]["blobs"]): StoreTarget {
  const { tls, ...rest } = section;
  return { ...defined(rest), ...(tls === undefined ? {} : { tls: defined(tls) }) } as StoreTarget;
}

/** The meta store beside these blobs: what else is said of them (id, root, capabilities) is not said of it. */
function sameAddress({ address, tls }: StoreTarget): StoreTarget {
  return { address, ...(tls === undefined ? {} : { tls }) };
}

function metaTarget({ stores: { blobs, meta } }: Config): StoreTarget {
  return meta === undefined ? sameAddress(targetOf(blobs)) : targetOf(meta);
}

function defined(section: object): object {
  return Object.fromEntries(Object.entries(section).filter(([, value]) => value !== undefined));
}

/** @returns the keys that changed. Rejects, with the old ones in use, when a new one is refused */
export async function switchStores(stores: Stores, before: Config, next: Config): Promise<string[]> {
  const [oldBlobs, newBlobs] = [targetOf(before.stores.blobs), targetOf(next.stores.blobs)];
  const [oldMeta, newMeta] = [metaTarget(before), metaTarget(next)];
  const blobs = !isDeepStrictEqual(oldBlobs, newBlobs);
  const meta = !isDeepStrictEqual(oldMeta, newMeta);
  if (blobs && meta) await stores.switchBoth(newBlobs, newMeta);
  else if (blobs) await stores.switchTo("blob", newBlobs);
  else if (meta) await stores.switchTo("meta", newMeta);
  return [...(blobs ? ["stores.blobs"] : []), ...(meta ? ["stores.meta"] : [])];
}

const SIGNED_FOR_MS = 10 * 60_000;
const LARGE_BYTES = 1024 * 1024;

export function redirectOf({ redirect }: Config, { blobs }: Stores): Redirect | undefined {
  if (redirect === "never") return undefined;
  return {
    minBytes: redirect === "always" ? 0 : LARGE_BYTES,
    sign: async (digest, context) => (await blobs.signUrl(blobKey(digest), SIGNED_FOR_MS, context))?.url,
  };
}
