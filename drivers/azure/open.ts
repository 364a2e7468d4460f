/** From options to a store, and from a store to a driver. */
import { invalidField } from "../../proto/keys.ts";
import type { Driver, OpenContext } from "../../server/contract.ts";
import type { ObjectStore } from "../../server/objects/contract.ts";
import { createObjectBlobDriver } from "../../server/objects/driver.ts";
import { BYTES, STORE } from "../../server/objects/names.ts";
import { objectSizes } from "../../server/objects/options.ts";
import { prefixed } from "../../server/objects/prefixed.ts";
import { initialiseStore, openStoreId } from "../../server/objects/store-id.ts";
import { release } from "../../server/release.ts";
import { type Client, connect } from "./client.ts";
import { accountOf } from "./credentials.ts";
import { accountNotices, storeNotices } from "./notices.ts";
import type { AzureOptions } from "./options.ts";
import { Requests } from "./requests.ts";
import { createAzureStore } from "./store.ts";

interface Opened {
  /** With the prefix applied. */
  readonly store: ObjectStore;
  readonly client: Client;
  readonly requests: Requests;
}

/** Looks at the container first. @throws OutriggerError in a sentence that names the setting */
async function openStore(options: AzureOptions, { log, signal }: Pick<OpenContext, "log" | "signal">): Promise<Opened> {
  const { container, requestTimeout } = options;
  if (requestTimeout < 1000) throw invalidField("requestTimeout", "must be at least 1s");
  const { prefix } = objectSizes(options);
  const client = await connect(accountOf(options, process.env), container);
  const requests = new Requests(client.asked, requestTimeout);
  const store = prefixed(
    createAzureStore(client, { requestTimeoutMs: requestTimeout, log, bytesFolder: prefix + BYTES }),
    prefix,
  );
  await store.check(signal);
  return { store, client, requests };
}

export async function initAzure(options: AzureOptions, context: OpenContext): Promise<void> {
  const { store } = await openStore(options, context);
  await initialiseStore(store, context.signal);
  await store.close();
}

export async function openAzureDriver(options: AzureOptions, context: OpenContext): Promise<Driver> {
  const { log, clock, readOnly, signal } = context;
  const { uploadMemoryBytes, uploadTtlMs, prefix } = objectSizes(options);
  const { store, client, requests } = await openStore(options, context);
  const notices = [...(await accountNotices(client, requests, signal))];
  const storeId = await openStoreId(store, {
    readOnly,
    signal,
    onAdopted: (id) => log.info({ store: id }, "the container had data but no store id: it has one now"),
  });
  notices.push(...(await storeNotices(client, requests, prefix + STORE, signal)));
  const whyNot = await whyNotSigning(store, client, signal);
  if (whyNot !== undefined) notices.push(whyNot);
  const blob = createObjectBlobDriver(store, {
    storeId,
    capabilities: ["DURABLE", "REPLICAS", ...(whyNot === undefined ? ["SIGN_URL"] : [])],
    uploadMemoryBytes,
    uploadTtlMs,
    readOnly,
    clock,
    log,
  });
  return { name: "io.outrigger.azure", version: release(), blob, notices, close: () => blob.close() };
}

/** A signature that was given to the driver is its own; an identity has to be allowed to sign. */
async function whyNotSigning(store: ObjectStore, { signer }: Client, signal: AbortSignal): Promise<string | undefined> {
  if (store.signUrl === undefined || signer === undefined) {
    return "no URLs for clients (SIGN_URL): a shared access signature cannot sign others; --account-key or an identity can";
  }
  try {
    await store.signUrl(STORE, 60_000);
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return `no URLs for clients (SIGN_URL): the identity needs the role Storage Blob Delegator on the account (${(error as Error).message})`;
  }
}
