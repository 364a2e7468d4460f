/** Which repositories hold a digest, as a manifest, a layer or a config: from the keys that collection goes by. */
import type { RequestContext } from "../repository/contract.ts";
import { parseRefsKey } from "../repository/keys.ts";
import type { Ledger } from "../repository/ledger.ts";

export interface Holder {
  readonly digest: string;
  readonly name: string;
}

export interface Holders {
  /** In the order of the keys: by digest, then by name. */
  readonly holders: readonly Holder[];
  /** There are more than were asked for. */
  readonly more: boolean;
}

export interface LayerHolders {
  /** @param begins a digest, or the beginning of one: `sha256:` and at least one digit */
  of(begins: string, max: number, context: RequestContext): Promise<Holders>;
}

/** @param ledgers of all pairs of stores; `owns` tells which names a pair's own are */
export function createLayerHolders(
  ledgers: () => readonly { readonly ledger: Pick<Ledger, "pages">; readonly owns: (name: string) => boolean }[],
): LayerHolders {
  return {
    async of(begins, max, context) {
      const prefix = `outrigger/refs/${begins.replace(":", "/")}`;
      const holders: Holder[] = [];
      for (const { ledger, owns } of ledgers()) {
        for await (const page of ledger.pages(prefix, context)) {
          for (const { key } of page) {
            const holder = parseRefsKey(key);
            if (holder === undefined || !owns(holder.name)) continue;
            if (holders.length >= max) return { holders, more: true };
            holders.push(holder);
          }
        }
      }
      return { holders, more: false };
    },
  };
}
