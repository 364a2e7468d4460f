/** From options to a store, and from a store to a driver. */
import { invalidField } from "../../proto/keys.ts";
import type { Driver, OpenContext } from "../../server/contract.ts";
import type { ObjectStore } from "../../server/objects/contract.ts";
import { createObjectBlobDriver } from "../../server/objects/driver.ts";
import { PRIVATE } from "../../server/objects/names.ts";
import { objectSizes } from "../../server/objects/options.ts";
import { prefixed } from "../../server/objects/prefixed.ts";
import { initialiseStore, openStoreId } from "../../server/objects/store-id.ts";
import { release } from "../../server/release.ts";
import { noticesOf } from "./bucket.ts";
import { GcsClient } from "./client.ts";
import { Crc32c } from "./crc32c.ts";
import { Credentials } from "./credentials.ts";
import type { Place } from "./failures.ts";
import { Objects } from "./objects.ts";
import type { GcsOptions } from "./options.ts";
import { GcsStore } from "./store.ts";
import { Transport } from "./transport.ts";

export interface OpenGcsStore {
  /** With the prefix applied. */
  readonly store: ObjectStore;
  readonly notices: readonly string[];
}

/** Looks at the bucket first. @throws OutriggerError in a sentence that names the setting */
export async function openGcsStore(
  options: GcsOptions,
  { clock, signal }: Pick<OpenContext, "clock" | "signal">,
  knobs: { readonly idleMs?: number } = {},
): Promise<OpenGcsStore> {
  const place = placeOf(options);
  const { prefix } = objectSizes(options);
  const credentials = new Credentials(place);
  const transport = new Transport(new URL(place.endpoint), knobs.idleMs);
  try {
    const client = new GcsClient(place, credentials, transport);
    const notices = [...(await noticesOf(client, signal))];
    const whyNotSigning = await credentials.whyNotSigning(signal);
    if (whyNotSigning !== undefined && !place.anonymous) notices.push(whyNotSigning);
    const store = new GcsStore({
      objects: new Objects(client, new Crc32c()),
      privateFolder: `${prefix}${PRIVATE}`,
      credentials,
      signing: whyNotSigning === undefined,
      now: () => clock.now(),
      close: () => transport.close(),
    });
    await store.check(signal);
    return { store: prefixed(store, prefix), notices };
  } catch (error) {
    transport.close();
    throw error;
  }
}

export async function initGcs(options: GcsOptions, context: OpenContext): Promise<void> {
  const { store } = await openGcsStore(options, context);
  try {
    await initialiseStore(store, context.signal);
  } finally {
    await store.close();
  }
}

export async function openGcsDriver(options: GcsOptions, context: OpenContext): Promise<Driver> {
  const { log, clock, readOnly, signal } = context;
  const { uploadMemoryBytes, uploadTtlMs } = objectSizes(options);
  const { store, notices } = await openGcsStore(options, context);
  try {
    const storeId = await openStoreId(store, {
      readOnly,
      signal,
      onAdopted: (id) => log.info({ store: id }, "the bucket had data but no store id: it has one now"),
    });
    const blob = createObjectBlobDriver(store, {
      storeId,
      capabilities: ["DURABLE", "REPLICAS", ...(store.signUrl === undefined ? [] : ["SIGN_URL"])],
      uploadMemoryBytes,
      uploadTtlMs,
      readOnly,
      clock,
      log,
    });
    return { name: "io.outrigger.gcs", version: release(), blob, notices, close: () => blob.close() };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** @throws INVALID_FIELD with a sentence that names the option */
function placeOf({ bucket, apiEndpoint, keyFile, anonymous, userProject }: GcsOptions): Place {
  if (!/^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/.test(bucket)) {
    throw invalidField(
      "bucket",
      "must be a bucket's name alone, as registry-blobs: no gs://, no path (that is prefix)",
    );
  }
  if (anonymous && keyFile !== undefined) throw invalidField("anonymous", "and keyFile exclude each other");
  return { bucket, endpoint: endpointOf(apiEndpoint), keyFile, anonymous, userProject };
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url === undefined ||
    !/^https?:$/.test(url.protocol) ||
    url.username !== "" ||
    url.search !== "" ||
    url.hash !== ""
  ) {
    throw invalidField("apiEndpoint", "must be a URL, as https://storage.googleapis.com");
  }
  return url.href.replace(/\/+$/, "");
}
