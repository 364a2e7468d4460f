/** The stores of a configuration as the client wants to be told of them, and their exchange. */
import { isDeepStrictEqual } from "node:util";
import type { ConnectOptions, ExchangeTargets, Stores, StoreTarget } from "../client/contract.ts";
import type { Config } from "./config.ts";
import type { Redirect } from "./http/exchange.ts";
import type { BlobMove } from "./moving/stores.ts";
import { normalPrefix } from "./pairs/routes.ts";
import { blobKey } from "./repository/keys.ts";

type BlobSection = Config["stores"]["blobs"];

/** A pair of stores, and where the configuration says so. */
export interface PairSection {
  /** As Routes has it; "": the main pair. */
  readonly prefix: string;
  /** "stores", "stores.prefixes[0]" */
  readonly path: string;
  readonly blobs: BlobSection;
  readonly meta: Config["stores"]["meta"];
}

/** The main pair, then those of the prefixes in their order. */
export function sectionsOf({ stores }: Config): PairSection[] {
  return [
    { prefix: "", path: "stores", blobs: stores.blobs, meta: stores.meta },
    ...stores.prefixes.map(({ prefix, blobs, meta }, index) => ({
      prefix: normalPrefix(prefix),
      path: `stores.prefixes[${index}]`,
      blobs,
      meta,
    })),
  ];
}

const LEAST_BUDGET_BYTES = 8 * 1024 * 1024;

export function connectOptions(
  config: Config,
  coreVersion: string | undefined,
  section: PairSection,
): ConnectOptions & { readonly meta: StoreTarget } {
  const beside = besideTarget(section);
  const budgetBytes = Math.floor((config.uploadBudgetMiB * 1024 * 1024) / (1 + config.stores.prefixes.length));
  return {
    blobs: targetOf(section.blobs),
    meta: metaTarget(section),
    ...(beside === undefined ? {} : { beside }),
    coreName: "outrigger",
    ...(coreVersion === undefined ? {} : { coreVersion }),
    uploadBudgetBytes: Math.max(LEAST_BUDGET_BYTES, budgetBytes),
  };
}

/** The section as a target: absent keys left out instead of undefined. */
export function targetOf(section: BlobSection): StoreTarget {
  const { tls, move: _, ...rest } = section;
  return { ...defined(rest), ...(tls === undefined ? {} : { tls: defined(tls) }) } as StoreTarget;
}

/** The meta store beside these blobs: what else is said of them (id, root, capabilities) is not said of it. */
function sameAddress({ address, tls }: StoreTarget): StoreTarget {
  return { address, ...(tls === undefined ? {} : { tls }) };
}

function metaTarget({ blobs, meta }: PairSection): StoreTarget {
  return meta === undefined ? sameAddress(targetOf(blobs)) : targetOf(meta);
}

function besideTarget({ blobs }: PairSection): StoreTarget | undefined {
  if (blobs.move === undefined) return undefined;
  const { to, phase: _phase, onlyCore: _only, ...rest } = blobs.move;
  return targetOf({ address: to, ...rest });
}

export function moveOf({ cores }: Config, { blobs }: PairSection): BlobMove | undefined {
  if (blobs.move === undefined) return undefined;
  return { phase: blobs.move.phase, onlyCore: blobs.move.onlyCore || cores === "one" };
}

function defined(section: object): object {
  return Object.fromEntries(Object.entries(section).filter(([, value]) => value !== undefined));
}

export type Configured = readonly [Config, PairSection];

export interface PairChange {
  readonly targets: ExchangeTargets;
  readonly move: BlobMove | undefined;
  /** Keys of the configuration. */
  readonly keys: readonly string[];
}

/** What is to be exchanged in a pair; `undefined`: nothing. */
export function changeOf([oldConfig, before]: Configured, [newConfig, next]: Configured): PairChange | undefined {
  const move = moveOf(newConfig, next);
  const [blobs, meta, beside] = [targetOf(next.blobs), metaTarget(next), besideTarget(next)];
  const differ = {
    blobs: !isDeepStrictEqual(targetOf(before.blobs), blobs),
    meta: !isDeepStrictEqual(metaTarget(before), meta),
    beside: !isDeepStrictEqual(besideTarget(before), beside),
    move: !isDeepStrictEqual(moveOf(oldConfig, before), move),
  };
  if (!Object.values(differ).includes(true)) return undefined;
  return {
    targets: {
      ...(differ.blobs ? { blobs } : {}),
      ...(differ.meta ? { meta } : {}),
      ...(differ.beside ? { beside: beside ?? "none" } : {}),
    },
    move,
    keys: [
      ...(differ.blobs || differ.beside || differ.move ? [`${next.path}.blobs`] : []),
      ...(differ.meta ? [`${next.path}.meta`] : []),
    ],
  };
}

const SIGNED_FOR_MS = 10 * 60_000;
const LARGE_BYTES = 1024 * 1024;

export function redirectOf({ redirect }: Config, storesOf: (name: string) => Stores): Redirect | undefined {
  if (redirect === "never") return undefined;
  return {
    minBytes: redirect === "always" ? 0 : LARGE_BYTES,
    sign: async (name, digest, context) =>
      (await storesOf(name).blobs.signUrl(blobKey(digest), SIGNED_FOR_MS, context))?.url,
  };
}
