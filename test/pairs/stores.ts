/** Stores by the names of the matrix: each a driver process on a backend of its own, which can be killed and started again. */

import { join } from "node:path";
import { azureStore } from "../drivers/azure/azure.ts";
import { startAzurite } from "../drivers/azure/azurite.ts";
import { newFile, program } from "../drivers/bolt/bolt.ts";
import { flagsOf, newTable } from "../drivers/dynamodb/dynamodb.ts";
import { credentials, startDynamodbLocal } from "../drivers/dynamodb/dynamodb-local.ts";
import { startConditions } from "../drivers/gcs/conditions.ts";
import { flagsFor, startServer } from "../drivers/gcs/gcs.ts";
import {
  environment,
  folderStore,
  type OpendalStore,
  bucketStore as opendalBucket,
} from "../drivers/opendal/opendal.ts";
import { RedisServer } from "../drivers/redis/redis.ts";
import { s3Store } from "../drivers/s3/s3.ts";
import { type DriverOptions, listening, runOutrigger, startDriver } from "../helpers/outrigger.ts";
import { launch, type Running, type Scope } from "../helpers/processes.ts";
import { startS3Server } from "../helpers/s3-server.ts";
import { tempFolder } from "../helpers/temp.ts";
import { type Tool, tool } from "../helpers/tools.ts";

export interface StoreProcess {
  readonly address: string;
  /** -9, and back at the same address. */
  kill(): Promise<void>;
}

export interface StoreKind {
  readonly needs: readonly Tool[];
  /** Whether what it acknowledged is there after kill -9. */
  readonly lasting: boolean;
  start(scope: Scope): Promise<StoreProcess>;
}

/** A process that is started again with the same words. */
async function restartable(address: string, run: () => Promise<Running>): Promise<StoreProcess> {
  let running = await run();
  return {
    address,
    async kill() {
      if (running.exit !== undefined) throw new Error(`${running.name} ended by itself: ${running.tail()}`);
      await running.kill();
      running = await run();
    },
  };
}

const socket = (scope: Scope) => `unix://${join(tempFolder(scope, "st"), "d.sock")}`;

/** A driver of this package, on a backend that is there already. */
export async function ownDriver(
  scope: Scope,
  options: Required<Pick<DriverOptions, "driver">> & Pick<DriverOptions, "flags" | "env">,
  how: { readonly init: boolean },
): Promise<StoreProcess> {
  const { driver, flags = [], env = {} } = options;
  if (how.init) await runOutrigger(["driver", driver, ...flags, "--init"], { env });
  const address = socket(scope);
  return restartable(address, async () => (await startDriver(scope, { driver, flags, env, address })).process);
}

async function opendal(scope: Scope, store: OpendalStore): Promise<StoreProcess> {
  const address = socket(scope);
  return restartable(address, async () => {
    const args = ["-m", "outrigger_opendal", ...store.flags, "--listen", address];
    const running = scope.add(launch("opendal", tool("opendal-python"), args, { env: environment(store) }));
    await listening(running, address);
    return running;
  });
}

export const storeKinds = {
  filesystem: {
    needs: [],
    lasting: true,
    start: (scope) =>
      ownDriver(scope, { driver: "filesystem", flags: ["--root", tempFolder(scope, "root")] }, { init: true }),
  },
  memory: {
    needs: [],
    lasting: false,
    start: (scope) => ownDriver(scope, { driver: "memory" }, { init: false }),
  },
  azure: {
    needs: ["azurite", "azure-sdk"],
    lasting: true,
    async start(scope) {
      const { env } = await azureStore(await startAzurite(scope));
      return ownDriver(scope, { driver: "azure", env }, { init: false });
    },
  },
  bolt: {
    needs: ["outrigger-driver-bolt"],
    lasting: true,
    async start(scope) {
      const file = await newFile(scope);
      const address = socket(scope);
      return restartable(address, async () => {
        const running = scope.add(launch("bolt", program(), ["--file", file, "--listen", address]));
        await listening(running, address);
        return running;
      });
    },
  },
  dynamodb: {
    needs: ["dynamodb-local", "dynamodb-sdk"],
    lasting: true,
    async start(scope) {
      const { address } = await startDynamodbLocal(scope);
      const flags = flagsOf({ table: newTable(), endpoint: `http://${address}` });
      return ownDriver(scope, { driver: "dynamodb", flags, env: credentials }, { init: true });
    },
  },
  gcs: {
    needs: ["fake-gcs-server", "gcs-sdk"],
    lasting: true,
    async start(scope) {
      const flags = flagsFor((await startConditions(scope, (await startServer(scope)).address)).address);
      return ownDriver(scope, { driver: "gcs", flags }, { init: true });
    },
  },
  lmdb: {
    needs: ["lmdb-sdk"],
    lasting: true,
    start: (scope) =>
      ownDriver(scope, { driver: "lmdb", flags: ["--folder", tempFolder(scope, "lmdb")] }, { init: true }),
  },
  opendal: {
    needs: ["opendal-python"],
    lasting: true,
    start: async (scope) => opendal(scope, await folderStore(scope)),
  },
  "opendal-s3": {
    needs: ["opendal-python", "versitygw"],
    lasting: true,
    start: async (scope) => opendal(scope, await opendalBucket(scope)),
  },
  redis: {
    needs: ["redis-server", "redis-sdk"],
    lasting: true,
    async start(scope) {
      const { url } = await RedisServer.start(scope);
      return ownDriver(scope, { driver: "redis", flags: ["--url", url] }, { init: true });
    },
  },
  s3: {
    needs: ["versitygw", "s3-sdk"],
    lasting: true,
    async start(scope) {
      const { env } = await s3Store(await startS3Server(scope));
      return ownDriver(scope, { driver: "s3", env }, { init: false });
    },
  },
} as const satisfies Readonly<Record<string, StoreKind>>;

export type StoreName = keyof typeof storeKinds;
