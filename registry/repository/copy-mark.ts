/**
 * The mark that a copy leaves in its target (transfer/copy-pair.ts): later copies may delete there what the source does not
 * have. Once a core takes pushes there that would be those, so the core takes the mark away, and `outrigger copy --delete`
 * asks whether it is meant.
 */
import { sleep } from "../../proto/clock.ts";
import { hasReason } from "../../proto/errors.ts";
import type { Core } from "./core.ts";
import { copySourceKey } from "./keys.ts";
import type { Ledger } from "./ledger.ts";

const SEALED_RETRY_MS = 5_000;

/**
 * Waits while the store is sealed: there is nothing yet that could be lost.
 * @param ledger without patience for that
 * @param serves whether pushes are taken, as of now
 */
export async function removeCopyMark(
  core: Core,
  ledger: Ledger,
  serves: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  while (serves()) {
    const basis = ledger.basis();
    const [held] = await ledger.get([copySourceKey], { signal });
    if (held === undefined) return;
    const source = held.value.toString("utf8");
    try {
      const condition = { ifEtag: held.etag };
      await ledger.write([{ kind: "delete", key: copySourceKey, condition }], { signal }, basis);
      core.log.info({ source }, "these stores take pushes now, and are no longer known as a copy of other ones");
      return;
    } catch (error) {
      if (hasReason(error, "CONDITION_FAILED", "CONFLICT")) continue;
      if (!hasReason(error, "READ_ONLY")) throw error;
      await sleep(core.clock, SEALED_RETRY_MS, signal);
    }
  }
}
