/** The stores of a configuration as the client wants to be told of them, and their exchange. */
import { isDeepStrictEqual } from "node:util";
import type { ConnectOptions, ExchangeTargets, Stores, StoreTarget } from "../client/contract.ts";
import type { Config } from "./config.ts";
import type { Redirect } from "./http/exchange.ts";
import type { BlobMove, MovingStores } from "./moving/stores.ts";
import { blobKey } from "./repository/keys.ts";

export function connectOptions(
  config: Config,
  coreVersion: string | undefined,
): ConnectOptions & { readonly meta: StoreTarget } {
  const beside = besideTarget(config);
  return {
    blobs: targetOf(config.stores.blobs),
    meta: metaTarget(config),
    ...(beside === undefined ? {} : { beside }),
    coreName: "outrigger",
    ...(coreVersion === undefined ? {} : { coreVersion }),
    uploadBudgetBytes: config.uploadBudgetMiB * 1024 * 1024,
  };
}

/** The section as a target: absent keys left out instead of undefined. */
function targetOf(section: Config["stores"]["blobs"]): StoreTarget {
  const { tls, move: _, ...rest } = section;
  return { ...defined(rest), ...(tls === undefined ? {} : { tls: defined(tls) }) } as StoreTarget;
}

/** The meta store beside these blobs: what else is said of them (id, root, capabilities) is not said of it. */
function sameAddress({ address, tls }: StoreTarget): StoreTarget {
  return { address, ...(tls === undefined ? {} : { tls }) };
}

function metaTarget({ stores: { blobs, meta } }: Config): StoreTarget {
  return meta === undefined ? sameAddress(targetOf(blobs)) : targetOf(meta);
}

function besideTarget({ stores: { blobs } }: Config): StoreTarget | undefined {
  if (blobs.move === undefined) return undefined;
  const { to, phase: _phase, onlyCore: _only, ...rest } = blobs.move;
  return targetOf({ address: to, ...rest });
}

export function moveOf({ stores: { blobs }, cores }: Config): BlobMove | undefined {
  if (blobs.move === undefined) return undefined;
  return { phase: blobs.move.phase, onlyCore: blobs.move.onlyCore || cores === "one" };
}

function defined(section: object): object {
  return Object.fromEntries(Object.entries(section).filter(([, value]) => value !== undefined));
}

/** @returns the keys that changed. Rejects, with the old ones in use, when a new one is refused */
export async function switchStores(stores: MovingStores, before: Config, next: Config): Promise<string[]> {
  const [newBlobs, newMeta, newBeside] = [targetOf(next.stores.blobs), metaTarget(next), besideTarget(next)];
  const differ = {
    blobs: !isDeepStrictEqual(targetOf(before.stores.blobs), newBlobs),
    meta: !isDeepStrictEqual(metaTarget(before), newMeta),
    beside: !isDeepStrictEqual(besideTarget(before), newBeside),
    move: !isDeepStrictEqual(moveOf(before), moveOf(next)),
  };
  if (Object.values(differ).includes(true)) {
    const targets: ExchangeTargets = {
      ...(differ.blobs ? { blobs: newBlobs } : {}),
      ...(differ.meta ? { meta: newMeta } : {}),
      ...(differ.beside ? { beside: newBeside ?? "none" } : {}),
    };
    await stores.moveOn(targets, moveOf(next));
  }
  return [
    ...(differ.blobs || differ.beside || differ.move ? ["stores.blobs"] : []),
    ...(differ.meta ? ["stores.meta"] : []),
  ];
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
