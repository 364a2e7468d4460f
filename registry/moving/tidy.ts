/** What is left of a move of blobs, taken away once no core and no copier can still go by it. */
import type { Core } from "../repository/core.ts";
import { WRITE_OPERATIONS } from "../repository/ledger.ts";
import { moveRecordKey, parseMoveRecord } from "./record.ts";
import { tombstonesPrefix } from "./tombstones.ts";

/** As long as the uploads that began before its end. */
const KEEP_MS = 24 * 60 * 60 * 1000;

/** @returns how many marks were taken away; `undefined`: it is not time */
export async function removeEndedMove(core: Core, signal: AbortSignal): Promise<number | undefined> {
  if (core.stores.beside !== undefined) return undefined;
  const basis = core.ledger.basis();
  const [item] = await core.ledger.get([moveRecordKey], { signal });
  const record = item && parseMoveRecord(item.value);
  if (item === undefined || record?.endedMs === undefined) return undefined;
  if (core.clock.now() < record.endedMs + KEEP_MS) return undefined;
  const unchanged = { kind: "check", key: item.key, condition: { ifEtag: item.etag } } as const;
  let removed = 0;
  for await (const page of core.ledger.pages(tombstonesPrefix, { signal })) {
    for (let at = 0; at < page.length; at += WRITE_OPERATIONS - 1) {
      const some = page.slice(at, at + WRITE_OPERATIONS - 1);
      await core.ledger.write(
        [unchanged, ...some.map(({ key, etag }) => ({ kind: "delete", key, condition: { ifEtag: etag } }) as const)],
        { signal },
        basis,
      );
      removed += some.length;
    }
  }
  await core.ledger.write([{ kind: "delete", key: item.key, condition: { ifEtag: item.etag } }], { signal }, basis);
  return removed;
}
