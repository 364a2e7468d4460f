/** Markers of cancelled uploads, taken away once no Location of theirs can still be good. */
import type { MetaItem } from "../../client/contract.ts";
import type { Core } from "./core.ts";
import { cancelledPrefix } from "./keys.ts";
import { WRITE_OPERATIONS } from "./ledger.ts";
import { SESSION_TTL_MS } from "./uploads.ts";

/** Twice a Location's life: cores' clocks differ by less. */
const CANCELLED_TTL_MS = 2 * SESSION_TTL_MS;

/** @returns how many were taken away */
export async function removeOldCancellations(core: Core, signal: AbortSignal): Promise<number> {
  const isOld = ({ value }: MetaItem) => !(core.clock.now() - Number(value.toString("utf8")) < CANCELLED_TTL_MS);
  let removed = 0;
  for await (const page of core.ledger.pages(cancelledPrefix, { signal })) {
    const old = page.filter(isOld);
    for (let at = 0; at < old.length; at += WRITE_OPERATIONS) {
      const some = old.slice(at, at + WRITE_OPERATIONS);
      await core.ledger.write(
        some.map(({ key, etag }) => ({ kind: "delete", key, condition: { ifEtag: etag } })),
        { signal },
      );
      removed += some.length;
    }
  }
  return removed;
}
