/** Giving a repository a layer whose bytes are in the store: link, `refs/` key, guard and marker in one Write. */
import type { MetaItem, MetaOperation } from "../../client/contract.ts";
import { sleep } from "../../proto/clock.ts";
import { RegistryError } from "../errors.ts";
import { condemnedState, relyingOn } from "./condemned.ts";
import type { RequestContext } from "./contract.ts";
import type { Core } from "./core.ts";
import { addingUnder, isTaking } from "./guard.ts";
import { catalogKey, condemnedKey, layerLink, refsKey } from "./keys.ts";

const DELETING_WAIT_MS = 10_000;
const DELETING_POLL_MS = 250;

/** Longer than a taker needs, when its stores are well. */
const PATIENCE_MS = 100;

/** What a layer's Write depends on, as of one moment. */
export interface LayerItems {
  /** See Ledger.basis. */
  readonly basis: string;
  readonly guard: MetaItem | undefined;
  readonly link: MetaItem | undefined;
  readonly refs: MetaItem | undefined;
  readonly marker: MetaItem | undefined;
  readonly others: readonly (MetaItem | undefined)[];
}

/** One Get. */
export async function readLayer(
  core: Core,
  name: string,
  digest: string,
  others: readonly string[],
  context: RequestContext,
): Promise<LayerItems> {
  const keys = [catalogKey(name), layerLink(name, digest), refsKey(digest, name), condemnedKey(digest), ...others];
  const basis = core.ledger.basis();
  const [guard, link, refs, marker, ...rest] = await core.ledger.get(keys, context);
  return { basis, guard, link, refs, marker, others: rest };
}

/**
 * Before an adder undoes a taker's work it lets it finish: otherwise steady pushes would keep every delete from ending.
 * Only for a while, since the taker may have died.
 */
export async function patiently<Items extends { readonly guard: MetaItem | undefined }>(
  core: Core,
  context: RequestContext,
  read: () => Promise<Items>,
): Promise<Items> {
  const items = await read();
  if (!isTaking(items.guard)) return items;
  await sleep(core.clock, PATIENCE_MS, context.signal);
  return read();
}

/**
 * Reads again until the collector is not deleting the digest's bytes: what is written meanwhile it might take away.
 * @throws UNAVAILABLE after 10 s
 */
export async function untilNotDeleting<Items extends { readonly marker: MetaItem | undefined }>(
  core: Core,
  digest: string,
  context: RequestContext,
  read: () => Promise<Items>,
): Promise<Items> {
  const until = core.clock.monotonic() + DELETING_WAIT_MS;
  for (;;) {
    const items = await read();
    if (condemnedState(items.marker) !== "deleting") return items;
    if (core.clock.monotonic() >= until) {
      throw new RegistryError("UNAVAILABLE", "the same bytes are being collected at this moment; try again", {
        retryAfterSeconds: 5,
        detail: { digest },
      });
    }
    await sleep(core.clock, DELETING_POLL_MS, context.signal);
  }
}

/**
 * The bytes are in the store, and were seen or written there after `items` was read.
 * @param others operations of the caller's, in the same Write
 * @throws CONDITION_FAILED, CONFLICT: read again
 */
export async function linkLayer(
  core: Core,
  name: string,
  digest: string,
  items: LayerItems,
  others: readonly MetaOperation[],
  context: RequestContext,
): Promise<void> {
  await core.ledger.write(
    [
      addingUnder(name, items.guard),
      present(layerLink(name, digest), items.link, digest),
      present(refsKey(digest, name), items.refs, ""),
      relyingOn(digest, items.marker),
      ...others,
    ],
    context,
    items.basis,
  );
}

/** Puts a key whose value never differs, or checks that it is still there. */
export function present(key: string, item: MetaItem | undefined, value: string): MetaOperation {
  return item === undefined
    ? { kind: "put", key, value: Buffer.from(value), condition: { ifAbsent: true } }
    : { kind: "check", key, condition: { ifEtag: item.etag } };
}
