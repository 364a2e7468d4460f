/** Azurite as a process, and what the tests of this folder open on it. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { pino } from "pino";
import type { Client } from "../../../drivers/azure/client.ts";
import type { AzureStoreSettings } from "../../../drivers/azure/store.ts";
import type { ObjectStore } from "../../../server/objects/contract.ts";
import { listening } from "../../helpers/outrigger.ts";
import { launch, type Running, type Scope } from "../../helpers/processes.ts";
import { freePort, tempFolder } from "../../helpers/temp.ts";
import { repository, tool } from "../../helpers/tools.ts";

/** Azurite's own, and public. */
export const account = "devstoreaccount1";
export const accountKey = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
export const log = pino({ level: "silent" });

export interface Azurite {
  readonly process: Running;
  /** host:port */
  readonly address: string;
  /** http://host:port/devstoreaccount1 */
  readonly endpoint: string;
  readonly location: string;
}

export async function startAzurite(
  scope: Scope,
  options: { readonly location?: string; readonly port?: number; readonly flags?: readonly string[] } = {},
): Promise<Azurite> {
  const location = options.location ?? tempFolder(scope, "az");
  const port = options.port ?? (await freePort());
  const address = `127.0.0.1:${port}`;
  const where = ["--blobHost", "127.0.0.1", "--blobPort", String(port), "--location", location];
  const quiet = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"];
  const flags = [...where, ...quiet, ...(options.flags ?? [])];
  const process = scope.add(launch("azurite", tool("azurite"), flags));
  await listening(process, address);
  return { process, address, endpoint: `http://${address}/${account}`, location };
}

let containers = 0;

/** An empty one, by the SDK's own client. */
export async function newContainer({ endpoint }: Pick<Azurite, "endpoint">): Promise<Client["container"]> {
  const { container } = await clientOf(endpoint, `images-${process.pid}-${containers++}`);
  await container.create();
  return container;
}

/** Imported late: the SDK may not be there, and then nothing of this folder runs. */
export async function clientOf(endpoint: string, container: string): Promise<Client> {
  const [{ connect }, { accountOf }] = await Promise.all([
    import("../../../drivers/azure/client.ts"),
    import("../../../drivers/azure/credentials.ts"),
  ]);
  return connect(accountOf({ ...noOptions, account, accountKey, endpoint }, {}), container);
}

/** A shared access signature of the container. @param permissions as "racwdl" */
export async function signatureFor(
  container: Client["container"],
  permissions: string,
  expiresOn: Date,
): Promise<string> {
  type Permissions = NonNullable<Parameters<typeof container.generateSasUrl>[0]["permissions"]>;
  // The SDK lies in its driver's folder.
  const sdk = createRequire(join(repository, "drivers/azure/index.ts"))("@azure/storage-blob") as {
    readonly ContainerSASPermissions: { parse(text: string): Permissions };
  };
  const url = await container.generateSasUrl({
    permissions: sdk.ContainerSASPermissions.parse(permissions),
    expiresOn,
  });
  return new URL(url).search;
}

export const noOptions = {
  account: undefined,
  endpoint: undefined,
  accountKey: undefined,
  accountKeyFile: undefined,
  sasToken: undefined,
  sasTokenFile: undefined,
  connectionString: undefined,
  connectionStringFile: undefined,
};

export async function storeOf(
  endpoint: string,
  container: string,
  settings: Partial<AzureStoreSettings> = {},
): Promise<ObjectStore> {
  const { createAzureStore } = await import("../../../drivers/azure/store.ts");
  return createAzureStore(await clientOf(endpoint, container), {
    requestTimeoutMs: 30_000,
    log,
    bytesFolder: "!outrigger/bytes/",
    ...settings,
  });
}

/** What a file in Azurite's folder is called that holds what it knows of blobs: it is written five seconds late. */
export function databaseOf({ location }: Azurite): string {
  return join(location, "__azurite_db_blob__.json");
}
