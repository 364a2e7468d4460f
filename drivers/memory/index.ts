/** Both stores in this process's memory: for tests, and the shortest driver to read. Nothing survives the process. */
import { randomUUID } from "node:crypto";
import { type Clock, systemClock } from "../../proto/clock.ts";
import { type Driver, defineDriver, type StoreFacts } from "../../server/contract.ts";
import { release } from "../../server/release.ts";
import { createMemoryBlob } from "./blob.ts";
import { createEtags } from "./etags.ts";
import { createMemoryMeta } from "./meta.ts";

export interface MemoryDriverOptions {
  /** Default: both. */
  readonly stores?: "both" | "blob" | "meta";
  /** Default: random UUIDs. */
  readonly blobId?: string;
  readonly metaId?: string;
  /** Default: what the host advertises. */
  readonly persistStepBytes?: number;
  readonly uploadTtlMs?: number;
  readonly clock?: Clock;
  /** What sets this life's etags apart. Default: 128 random bits. */
  readonly etagLife?: string;
}

export async function openMemoryDriver(options: MemoryDriverOptions = {}): Promise<Driver> {
  const { stores = "both", clock = systemClock, persistStepBytes, uploadTtlMs } = options;
  const nextEtag = createEtags(options.etagLife);
  const limits: StoreFacts["limits"] = {
    ...(persistStepBytes === undefined ? {} : { persistStepBytes }),
    ...(uploadTtlMs === undefined ? {} : { uploadTtlMs }),
  };
  const facts = (id = randomUUID() as string): StoreFacts => ({ id, capabilities: [], limits, outside: 0 });
  return {
    name: "io.outrigger.memory",
    version: release(),
    ...(stores === "meta" ? {} : { blob: createMemoryBlob(facts(options.blobId), clock, nextEtag) }),
    ...(stores === "blob" ? {} : { meta: createMemoryMeta({ ...facts(options.metaId), limits: {} }, nextEtag) }),
    notices: ["this driver keeps everything in memory: nothing survives its process"],
    async close() {},
  };
}

export const driverModule = defineDriver({
  name: "memory",
  summary: "Both stores in memory, for tests and trials; nothing survives the process.",
  options: {
    stores: {
      kind: "string",
      doc: "Which stores to serve.",
      default: "both",
      choices: ["both", "blob", "meta"],
    },
  },
  // Nothing to write: each process is a new store.
  async init() {},
  async open({ stores }, { clock }) {
    return openMemoryDriver({ stores: stores as "both" | "blob" | "meta", clock });
  },
});
