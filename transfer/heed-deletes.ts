/** A copy of blobs beside cores that move them (docs/guides/move-storage.md): what they delete meanwhile does not come back. */
import type { BlobStore, CallOptions, MetaStore } from "../client/contract.ts";
import { type Clock, systemClock } from "../proto/clock.ts";
import { Tombstones } from "../registry/moving/tombstones.ts";
import type { CopyBlobsOptions } from "./copy-blobs.ts";

/** @param meta of the registry whose blobs are moved to `to` */
export function heedDeletes(
  meta: MetaStore,
  to: BlobStore,
  call: CallOptions = {},
  clock: Clock = systemClock,
): Required<Pick<CopyBlobsOptions, "select" | "copied">> {
  const tombstones = new Tombstones(meta, clock);
  return {
    async select(missing) {
      const deleted = await tombstones.marked(
        missing.map(({ key }) => key),
        call,
      );
      return missing.filter(({ key }) => !deleted.has(key));
    },
    async copied({ key }) {
      await tombstones.undo([key], (taken) => to.delete([taken], call), call);
    },
  };
}
