/** The SDK's client of one container. It repeats nothing by itself: requests.ts does. */
import { AnonymousCredential, ContainerClient, newPipeline, StorageSharedKeyCredential } from "@azure/storage-blob";
import type { Account } from "./credentials.ts";
import type { Asked } from "./failures.ts";
import { byIdentity, byKey, type Signer, type Source } from "./source.ts";

export interface Client {
  readonly container: ContainerClient;
  readonly asked: Asked;
  /** How a copy is told where its source is, and that it may read it. */
  readonly source: Source;
  readonly signer: Signer | undefined;
}

export async function connect(account: Account, containerName: string): Promise<Client> {
  const { credentials } = account;
  const url = `${account.url}/${encodeURIComponent(containerName)}`;
  const options = { retryOptions: { maxTries: 1 } };
  const asked: Asked = {
    place: `container ${containerName} at ${account.url}`,
    container: containerName,
    account: account.name,
    host: new URL(account.url).host,
    credentials: credentials.kind,
  };
  if (credentials.kind === "key") {
    const credential = new StorageSharedKeyCredential(credentials.account, credentials.key);
    const container = new ContainerClient(url, newPipeline(credential, options));
    return { container, asked, ...byKey(container, credential) };
  }
  if (credentials.kind === "sas") {
    const container = new ContainerClient(
      `${url}?${credentials.token}`,
      newPipeline(new AnonymousCredential(), options),
    );
    // The blobs' URLs bear the signature already. It is the driver's own: no client gets it.
    const source = { of: async (name: string) => ({ url: container.getBlobClient(name).url }) };
    return { container, asked, source, signer: undefined };
  }
  const credential = await credentials.load();
  const container = new ContainerClient(url, newPipeline(credential, options));
  return { container, asked, ...byIdentity(account, container, credential) };
}
