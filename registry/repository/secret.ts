/** The secret that signs Locations, where none is configured: made once, shared by all cores through the meta store. */
import { randomBytes } from "node:crypto";
import { hasReason } from "../../proto/errors.ts";
import type { Core } from "./core.ts";
import { locationSecretKey } from "./keys.ts";

const SECRET_BYTES = 32;

export async function ensureLocationSecret(core: Core, signal?: AbortSignal): Promise<Buffer> {
  const options = signal === undefined ? {} : { signal };
  for (;;) {
    const basis = core.ledger.basis();
    const [held] = await core.ledger.get([locationSecretKey], options);
    if (held !== undefined && held.value.length >= SECRET_BYTES) return held.value;
    const value = randomBytes(SECRET_BYTES);
    const condition = held === undefined ? ({ ifAbsent: true } as const) : { ifEtag: held.etag };
    try {
      await core.ledger.write([{ kind: "put", key: locationSecretKey, value, condition }], options, basis);
      return value;
    } catch (error) {
      // Another core was first: its secret is the one.
      if (!hasReason(error, "CONDITION_FAILED", "CONFLICT")) throw error;
    }
  }
}
