/** A blob store over an object store: what drivers/s3, drivers/azure and drivers/gcs are made with. */
import type { Logger } from "pino";
import type { Clock } from "../../proto/clock.ts";
import type { BlobDriver, CallContext, StoreFacts } from "../contract.ts";
import { createBlobs } from "./blobs.ts";
import type { ObjectStore } from "./contract.ts";
import { largestBlobBytes } from "./part-size.ts";
import { ObjectUploads } from "./uploads.ts";

/** [handshake] Also how far what was received may be ahead of what is persisted. */
const PERSIST_STEP_BYTES = 64 * 1024 * 1024;

export interface ObjectBlobSettings {
  /** What `openStoreId` answered. */
  readonly storeId: string;
  /** "DURABLE", "REPLICAS", and "SIGN_URL" where the store has `signUrl` and may use it. */
  readonly capabilities: readonly string[];
  /** Shared by all uploads of the process. */
  readonly uploadMemoryBytes: number;
  readonly uploadTtlMs: number;
  /** --read-only: nothing is swept. */
  readonly readOnly: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  /** Instead of the sizes that follow from a blob's: every upload's parts are at least so large. */
  readonly partBytes?: number;
  readonly listLagMs?: number;
  /** Test knob. Default 64 MiB. */
  readonly persistStepBytes?: number;
  /** Test knob: how often a stream looks whether the upload is still its own. Default 3 s. */
  readonly fenceLookMs?: number;
}

export interface ObjectBlobDriver extends BlobDriver {
  /** Takes away what killed processes left, as is done now and then anyway. */
  sweep(): Promise<void>;
  /** The most bytes that uploads ever held in memory. */
  readonly mostMemoryBytes: number;
  /** Ends what runs in the background, then closes the store. */
  close(): Promise<void>;
}

/** @param store with its prefix applied (`prefixed`) */
export function createObjectBlobDriver(store: ObjectStore, settings: ObjectBlobSettings): ObjectBlobDriver {
  const { persistStepBytes = PERSIST_STEP_BYTES, uploadTtlMs, listLagMs } = settings;
  const facts: StoreFacts = {
    id: settings.storeId,
    capabilities: settings.capabilities,
    limits: {
      persistStepBytes,
      uploadTtlMs,
      maxBlobBytes: largestBlobBytes(store.parts.limits, settings.partBytes),
      ...(listLagMs === undefined ? {} : { listLagMs }),
    },
    outside: 0,
  };
  const uploads = new ObjectUploads(store, { ...settings, persistStepBytes });
  const stopSweeping = settings.readOnly ? () => {} : uploads.sweepNowAndThen();
  return {
    facts,
    ...createBlobs(store, settings.log),
    open: (uploadId, options, call) => uploads.open(uploadId, options, call),
    abort: (uploadId, call, ifIdleMs) => uploads.abort(uploadId, call, ifIdleMs),
    listUploads: (request: Parameters<BlobDriver["listUploads"]>[0], call: CallContext) => uploads.list(request, call),
    sweep: () => uploads.sweep(),
    get mostMemoryBytes() {
      return uploads.memory.mostBytes;
    },
    async close() {
      stopSweeping();
      await uploads.close();
      await store.close();
    },
  };
}
