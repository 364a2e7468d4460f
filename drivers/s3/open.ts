/** From options to a store, and from a store to a driver. */
import { OutriggerError } from "../../proto/errors.ts";
import { invalidField } from "../../proto/keys.ts";
import type { Driver, OpenContext } from "../../server/contract.ts";
import type { ObjectStore } from "../../server/objects/contract.ts";
import { createObjectBlobDriver } from "../../server/objects/driver.ts";
import { objectSizes } from "../../server/objects/options.ts";
import { prefixed } from "../../server/objects/prefixed.ts";
import { initialiseStore, openStoreId } from "../../server/objects/store-id.ts";
import { release } from "../../server/release.ts";
import { alone } from "./alone.ts";
import { type Clients, createClients } from "./client.ts";
import { bucketNotices } from "./notices.ts";
import type { S3Options } from "./options.ts";
import { type Found, probe } from "./probe.ts";
import { Requests } from "./requests.ts";
import { createS3Store } from "./store.ts";

const MIB = 1024 * 1024;

interface Opened {
  /** With the prefix applied. */
  readonly store: ObjectStore;
  readonly clients: Clients;
  readonly shared: boolean;
}

export async function initS3(options: S3Options, context: OpenContext): Promise<void> {
  const { store } = await openStore(options, context);
  try {
    await initialiseStore(store, context.signal);
  } finally {
    await store.close();
  }
}

export async function openS3Driver(options: S3Options, context: OpenContext): Promise<Driver> {
  const { log, clock, readOnly, signal } = context;
  const { uploadMemoryBytes, uploadTtlMs } = objectSizes(options);
  const { store, clients, shared } = await openStore(options, context);
  try {
    const storeId = await openStoreId(store, {
      readOnly,
      signal,
      onAdopted: (id) => log.info({ store: id }, "the bucket had data but no store id: it has one now"),
    });
    const notices = await bucketNotices(new Requests(clients, options.bucket), options.bucket, signal);
    if (!shared && !readOnly) {
      notices.push(
        "--alone: this must be the only process that writes to the bucket, and nothing but you sees to that",
      );
    }
    const blob = createObjectBlobDriver(store, {
      storeId,
      capabilities: ["DURABLE", ...(shared ? ["REPLICAS"] : []), ...(options.signUrl ? ["SIGN_URL"] : [])],
      uploadMemoryBytes,
      uploadTtlMs,
      readOnly,
      clock,
      log,
      ...(options.partSize === undefined ? {} : { partBytes: options.partSize }),
    });
    return { name: "io.outrigger.s3", version: release(), blob, notices, close: () => blob.close() };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Looks at the bucket first. @throws OutriggerError in a sentence that names the setting */
async function openStore(options: S3Options, { readOnly, signal }: OpenContext): Promise<Opened> {
  const { bucket, requestTimeout, partSize } = options;
  if (partSize !== undefined && (partSize < 5 * MIB || partSize > 64 * MIB)) {
    throw invalidField("partSize", "must be from 5MiB to 64MiB");
  }
  const { prefix } = objectSizes(options);
  const clients = createClients(options);
  const settings = { bucket, requestTimeoutMs: requestTimeout, signs: options.signUrl };
  try {
    const bare = prefixed(
      createS3Store(clients, { ...settings, abilities: { copyCompares: true, deleteCompares: true } }),
      prefix,
    );
    await bare.check(signal);
    // A sealed store is not written to, so that nothing depends on what the server compares.
    if (readOnly) return { store: bare, clients, shared: !options.alone };
    const found = await probe(bare, signal);
    assertCompares(options, clients, found);
    const store = prefixed(createS3Store(clients, { ...settings, abilities: found }), prefix);
    return options.alone ? { store: alone(store), clients, shared: false } : { store, clients, shared: true };
  } catch (error) {
    clients.close();
    throw error;
  }
}

function assertCompares({ alone: isAlone }: S3Options, { place }: Clients, { missing }: Found): void {
  if (missing.length === 0 || isAlone) return;
  throw new OutriggerError(
    "BACKEND_DOWN",
    `${place} ignores the condition of ${missing.join(", ")}: drivers would overwrite each other's work; use a server that compares and sets, or give --alone and run exactly one process`,
  );
}
