/** Everything of a blob store but its uploads: keys are names, and private names are nowhere to be seen. */
import type { Logger } from "pino";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import type { BlobDriver, BlobInfo, CallContext, Condition } from "../contract.ts";
import type { ObjectFacts, ObjectStore, RequestHow } from "./contract.ts";
import { conditionLost, holds } from "./holds.ts";
import { listKeys } from "./listing.ts";
import { statMany } from "./stat.ts";

/** How often a request with a condition is looked after and repeated when its answer was lost. */
const LOOKS = 3;
/** How often a move begins anew when its source was overwritten under it. */
const MOVES = 5;

type Blobs = Pick<BlobDriver, "check" | "stat" | "read" | "list" | "delete" | "put" | "move" | "signUrl">;

export function createBlobs(store: ObjectStore, log: Logger): Blobs {
  return {
    check: (signal) => store.check(signal),

    async stat(keys, { signal }) {
      const found = await statMany(store, keys, signal);
      return keys.map((key) => {
        const facts = found.get(key);
        return facts && infoOf(facts);
      });
    },

    async read(key, range, { signal }) {
      const { facts, ...bytes } = await store.read(key, range, signal);
      return {
        info: infoOf(facts),
        startBytes: bytes.startBytes,
        lengthBytes: bytes.lengthBytes,
        body: bytes.body,
        cancel: () => bytes.cancel(),
      };
    },

    async list(request, { signal }) {
      const { items, more } = await listKeys(store, request, signal);
      return { items: items.map(infoOf), more };
    },

    delete: (key, call) => store.delete(key, undefined, howOf(call)),

    put: (key, data, condition, call) => put(store, key, data, condition, call),

    move: (source, destination, call) => move(store, source, destination, call, log),

    ...(store.signUrl === undefined ? {} : { signUrl: (key, ttlMs) => signed(store, key, ttlMs) }),
  };
}

export function infoOf({ name, sizeBytes, etag, modifiedMs, digests }: ObjectFacts): BlobInfo {
  return { key: name, sizeBytes, etag, modifiedMs, digests };
}

export function howOf({ signal, assertInTime }: CallContext): RequestHow {
  return { signal, assertInTime: () => assertInTime() };
}

async function put(
  store: ObjectStore,
  key: string,
  data: Uint8Array,
  condition: Condition | undefined,
  call: CallContext,
): Promise<BlobInfo> {
  const options = condition === undefined ? {} : { condition };
  for (let look = 1; ; look++) {
    try {
      return infoOf(await store.put(key, data, options, howOf(call)));
    } catch (error) {
      if (condition === undefined) throw error;
      const lost = hasReason(error, "BACKEND_DOWN");
      // Not every gateway that asks for a slower pace has done nothing.
      const slower = hasReason(error, "THROTTLED");
      const unsure = look > 1 && (slower || hasReason(error, "TOO_LATE"));
      const fault = unsure ? outcomeUnknown(error) : error;
      // After an answer that was lost, a condition that does not hold may be this very request's work.
      const looks = lost || slower || unsure || (look > 1 && conditionLost(error));
      if (!looks || look > LOOKS) throw fault;
      const there = await holds(store, key, { sizeBytes: data.length, data }, call.signal);
      if (there !== undefined) return infoOf(there);
      if (!lost) throw fault;
    }
  }
}

/** This request had no effect, but one before it may have one still. */
function outcomeUnknown(cause: OutriggerError): OutriggerError {
  const { retryAfterMs } = cause;
  const options = retryAfterMs === undefined ? { cause } : { cause, retryAfterMs };
  return new OutriggerError("BACKEND_DOWN", "the write's outcome is not known", options);
}

/** [blob.move.01] Copied, then deleted: who reads the destination sees one change. */
async function move(
  store: ObjectStore,
  source: string,
  destination: string,
  call: CallContext,
  log: Logger,
): Promise<BlobInfo> {
  for (let attempt = 1; ; attempt++) {
    const from = await store.head(source, call.signal);
    if (from === undefined) throw new OutriggerError("KEY_NOT_FOUND", `there is no key ${source}`);
    try {
      const [digest] = from.digests;
      const info = await store.copy(from, destination, digest === undefined ? {} : { digest }, howOf(call));
      await takeAway(store, from, call, log);
      return infoOf(info);
    } catch (error) {
      if (!hasReason(error, "ETAG_MISMATCH") || attempt === MOVES) throw error;
    }
  }
}

async function takeAway(store: ObjectStore, from: ObjectFacts, call: CallContext, log: Logger): Promise<void> {
  try {
    await store.delete(from.name, { ifEtag: from.etag }, howOf(call));
  } catch (error) {
    if (!hasReason(error, "ETAG_MISMATCH")) throw error;
    log.info({ key: from.name }, "a blob was overwritten while it was moved: the newer one stays");
  }
}

function signed(store: ObjectStore, name: string, ttlMs: number) {
  if (store.signUrl === undefined) throw new OutriggerError("CAPABILITY_MISSING", "this store signs no URLs");
  return store.signUrl(name, ttlMs);
}
