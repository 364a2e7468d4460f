/** Markers of cancelled uploads, taken away once no Location of theirs can still be good. */
import type { Core } from "./core.ts";
import { cancelledPrefix } from "./keys.ts";
import { WRITE_OPERATIONS } from "./ledger.ts";
import { SESSION_TTL_MS } from "./uploads.ts";

/** Twice a Location's life: cores' clocks differ by less. */
const CANCELLED_TTL_MS = 2 * SESSION_TTL_MS;

/** @returns how many were taken away */
export async function removeOldCancellations(core: Core, signal: AbortSignal): Promise<number> {
  let removed = 0;
  for (let startAfter: string | undefined; ; ) {
    const page = await core.ledger.list(
      { prefix: cancelledPrefix, limit: WRITE_OPERATIONS, ...(startAfter === undefined ? {} : { startAfter }) },
      { signal },
    );
    const old = page.items.filter(
      ({ value }) => !(core.clock.now() - Number(value.toString("utf8")) < CANCELLED_TTL_MS),
    );
    if (old.length > 0) {
      await core.ledger.write(
        old.map(({ key, etag }) => ({ kind: "delete", key, condition: { ifEtag: etag } })),
        { signal },
      );
      removed += old.length;
    }
    startAfter = page.items.at(-1)?.key;
    if (!page.more || startAfter === undefined) return removed;
  }
}
