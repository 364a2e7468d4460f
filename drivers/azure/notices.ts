/** What an operator should know of the account and the container. Nothing here is needed to serve: what may not be asked is not. */
import { OutriggerError } from "../../proto/errors.ts";
import type { Client } from "./client.ts";
import type { Requests } from "./requests.ts";

/** @throws Error where the account is of a kind that keys cannot lie in */
export async function accountNotices(client: Client, requests: Requests, signal: AbortSignal): Promise<string[]> {
  const { container, asked } = client;
  const notices: string[] = [];
  const account = await told(requests, signal, (abortSignal) => container.getAccountInfo({ abortSignal }));
  if (account?.isHierarchicalNamespaceEnabled === true) {
    throw new OutriggerError(
      "INVALID_FIELD",
      `account: ${asked.account || asked.host} has a hierarchical namespace (Data Lake), which lists in another order than keys have: use an account without`,
      { metadata: { field: "account" } },
    );
  }
  const properties = await told(requests, signal, (abortSignal) => container.getProperties({ abortSignal }));
  if (properties?.hasImmutabilityPolicy === true || properties?.hasLegalHold === true) {
    notices.push(
      `${asked.place} has an immutability policy or a legal hold: a registry changes and deletes, and will be refused that; take it off, or serve with --read-only`,
    );
  }
  if (properties?.blobPublicAccess !== undefined) {
    notices.push(`${asked.place} can be read by anybody, without the registry: make its access level private`);
  }
  return notices;
}

/** @param name of a blob that is there */
export async function storeNotices(
  client: Client,
  requests: Requests,
  name: string,
  signal: AbortSignal,
): Promise<string[]> {
  const { container, asked } = client;
  const blob = await told(requests, signal, (abortSignal) =>
    container.getBlobClient(name).getProperties({ abortSignal }),
  );
  if (blob?.versionId === undefined) return [];
  return [
    `${asked.place} keeps versions: what the registry deletes or overwrites stays, and is paid for, until a lifecycle rule takes old versions away`,
  ];
}

async function told<Answer>(
  requests: Requests,
  signal: AbortSignal,
  ask: (signal: AbortSignal) => Promise<Answer>,
): Promise<Answer | undefined> {
  try {
    return await requests.once({ signal }, ask);
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}
