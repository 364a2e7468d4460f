/** The azure driver as a process, on Azurite. */
import { shellCommand } from "../../helpers/compiled.ts";
import type { DriverOptions, DriverProcess } from "../../helpers/outrigger.ts";
import { runOutrigger, startDriver } from "../../helpers/outrigger.ts";
import type { Scope } from "../../helpers/processes.ts";
import { type Azurite, account, accountKey, newContainer } from "./azurite.ts";

/** A container that the driver can be started on, any number of times. */
export interface AzureStore {
  readonly container: string;
  readonly env: Readonly<Record<string, string>>;
}

/** @param endpoint default: Azurite's own; else what stands before it */
export async function azureStore(azurite: Azurite, endpoint = azurite.endpoint): Promise<AzureStore> {
  const { containerName } = await newContainer(azurite);
  const env = {
    OUTRIGGER_ACCOUNT: account,
    OUTRIGGER_ACCOUNT_KEY: accountKey,
    OUTRIGGER_ENDPOINT: endpoint,
    OUTRIGGER_CONTAINER: containerName,
  };
  await runOutrigger(["driver", "azure", "--init"], { env });
  return { container: containerName, env };
}

/** One shell command that starts the driver, for the kit's --start. */
export function startCommand(): string {
  return `exec ${shellCommand("driver", "azure")}`;
}

export function startAzure(
  scope: Scope,
  store: AzureStore,
  options: Pick<DriverOptions, "address" | "flags"> = {},
): Promise<DriverProcess> {
  return startDriver(scope, { driver: "azure", env: store.env, ...options });
}
