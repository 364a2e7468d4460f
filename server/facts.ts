/** What Version and Describe say of a driver, and the hash of it that every answer carries. */
import { createHash } from "node:crypto";
import type { DescribeResponse } from "../proto/gen/outrigger/handshake/v1/DescribeResponse.ts";
import type { Store as StoreMessage } from "../proto/gen/outrigger/handshake/v1/Store.ts";
import type { StoreKind } from "../proto/gen/outrigger/handshake/v1/StoreKind.ts";
import type { VersionResponse } from "../proto/gen/outrigger/handshake/v1/VersionResponse.ts";
import { limits } from "../proto/limits.ts";
import { spoken } from "../proto/versions.ts";
import type { Driver, Store } from "./contract.ts";

/** A step that costs a core little to replay and a driver little to sync. */
const PERSIST_STEP_BYTES = 8 * 1024 * 1024;

/** An upload's numbers, where the driver leaves them to the host. */
export interface UploadLimits {
  readonly persistStepBytes: number;
  readonly uploadTtlMs: number;
  readonly maxBlobBytes: number;
  readonly streamIdleMs: number;
}

export function uploadLimits(facts: Store["facts"], streamIdleMs: number): UploadLimits {
  return {
    persistStepBytes: facts.limits.persistStepBytes ?? PERSIST_STEP_BYTES,
    uploadTtlMs: facts.limits.uploadTtlMs ?? limits.uploadTtlMs,
    maxBlobBytes: facts.limits.maxBlobBytes ?? Number.POSITIVE_INFINITY,
    streamIdleMs,
  };
}

export interface Description {
  readonly version: VersionResponse;
  readonly describe: DescribeResponse;
  /** [call.contract.01] */
  readonly contract: string;
}

/** Made once: [handshake.describe.01] says the same while the process lives. */
export function describeDriver(driver: Driver, streamIdleMs: number): Description {
  const api: VersionResponse["api"] = {};
  const stores: StoreMessage[] = [];
  if (driver.blob !== undefined) {
    api["outrigger.blob"] = { versions: [...spoken["outrigger.blob"]] };
    stores.push(blobStore(driver.blob, streamIdleMs));
  }
  if (driver.meta !== undefined) {
    api["outrigger.meta"] = { versions: [...spoken["outrigger.meta"]] };
    stores.push(metaStore(driver.meta, streamIdleMs));
  }
  const describe: DescribeResponse = {
    driver: driver.name,
    version: driver.version,
    apis: api,
    stores,
    notices: [...(driver.notices ?? [])],
  };
  const { notices: _, ...hashed } = describe;
  const contract = createHash("sha256").update(JSON.stringify(hashed)).digest("hex").slice(0, 32);
  return { version: { api }, describe, contract };
}

function blobStore(store: Store, streamIdleMs: number): StoreMessage {
  const { persistStepBytes, uploadTtlMs } = uploadLimits(store.facts, streamIdleMs);
  return storeMessage("STORE_KIND_BLOB", store, {
    persistStepBytes,
    uploadTtlMs,
    maxBlobBytes: store.facts.limits.maxBlobBytes ?? 0,
    listLagMs: store.facts.limits.listLagMs ?? 0,
    maxValueBytes: 0,
    streamIdleMs,
  });
}

function metaStore(store: Store, streamIdleMs: number): StoreMessage {
  return storeMessage("STORE_KIND_META", store, {
    persistStepBytes: 0,
    uploadTtlMs: 0,
    maxBlobBytes: 0,
    listLagMs: 0,
    maxValueBytes: store.facts.limits.maxValueBytes ?? limits.valueBytes,
    streamIdleMs,
  });
}

function storeMessage(kind: StoreKind, store: Store, limits: NonNullable<StoreMessage["limits"]>): StoreMessage {
  const { id, capabilities, outside } = store.facts;
  // Sorted: replicas that list the same capabilities in another order are of one contract.
  return { kind, id, capabilities: [...capabilities].sort(), limits, outside };
}
