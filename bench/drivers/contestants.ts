/** Each driver with a server of its own, and the floor on the same server. */
import { join } from "node:path";
import { pino } from "pino";
import { connect } from "../../client/index.ts";
import { azureStore, startAzure } from "../../test/drivers/azure/azure.ts";
import { account, accountKey, startAzurite } from "../../test/drivers/azure/azurite.ts";
import { newFile, startBolt } from "../../test/drivers/bolt/bolt.ts";
import { filesystemMember } from "../../test/drivers/composed/members.ts";
import { ComposedProcess } from "../../test/drivers/composed/process.ts";
import { initialise as initialiseDynamodb, newTable, startDynamodb } from "../../test/drivers/dynamodb/dynamodb.ts";
import { startDynamodbLocal } from "../../test/drivers/dynamodb/dynamodb-local.ts";
import { startConditions } from "../../test/drivers/gcs/conditions.ts";
import { BUCKET, flagsFor, initialise as initialiseGcs, startGcs, startServer } from "../../test/drivers/gcs/gcs.ts";
import { initialise as initialiseLmdb, startLmdb } from "../../test/drivers/lmdb/lmdb.ts";
import { bucketStore, startOpendal } from "../../test/drivers/opendal/opendal.ts";
import { initialise as initialiseRedis, RedisServer, startRedisDriver } from "../../test/drivers/redis/redis.ts";
import { s3Store, startS3 } from "../../test/drivers/s3/s3.ts";
import { initialiseRoot, startDriver } from "../../test/helpers/outrigger.ts";
import type { Scope } from "../../test/helpers/processes.ts";
import { accessKey, secretKey, startS3Server } from "../../test/helpers/s3-server.ts";
import { tempFolder } from "../../test/helpers/temp.ts";
import {
  azureFloor,
  dynamodbFloor,
  filesFloor,
  gcsFloor,
  lmdbFloor,
  memoryFloor,
  redisFloor,
  s3Floor,
} from "./floors.ts";
import { type BlobWork, blobThrough, type MetaWork, metaThrough } from "./work.ts";

export type Floor =
  | { readonly kind: "meta"; readonly what: string; readonly work: MetaWork }
  | { readonly kind: "blob"; readonly what: string; readonly work: BlobWork };

export interface Contestant {
  /** Brings server and driver up. @returns the driver's address */
  start(scope: Scope): Promise<{ readonly driver: string; readonly floor: Floor }>;
}

/** A driver over the protocol. A pair is two stores: what is not given lies in memory. */
export async function through(scope: Scope, { blobs, meta }: { readonly blobs?: string; readonly meta?: string }) {
  const other = async () => (await startDriver(scope, { driver: "memory" })).address;
  const stores = connect(
    { blobs: { address: blobs ?? (await other()) }, meta: { address: meta ?? (await other()) } },
    { log: pino({ level: "silent" }) },
  );
  scope.defer(() => stores.close());
  await stores.ready();
  return stores;
}

async function composed(scope: Scope, driver: string, flags: readonly string[]): Promise<string> {
  return (await (await new ComposedProcess(scope, driver, flags).initialise()).start()).address;
}

/** From the fewest parts to the most. */
export const contestants: Readonly<Record<string, Contestant>> = {
  memory: {
    async start(scope) {
      return {
        driver: (await startDriver(scope, { driver: "memory" })).address,
        floor: {
          kind: "blob",
          what: "a Map in this process, so that the protocol is all that is seen",
          work: memoryFloor(),
        },
      };
    },
  },
  filesystem: {
    async start(scope) {
      const root = tempFolder(scope, "root");
      await initialiseRoot(root);
      return {
        driver: (await startDriver(scope, { root })).address,
        floor: {
          kind: "blob",
          what: "node:fs in this process: a file written, synced, renamed to its name, its folder synced",
          work: filesFloor(tempFolder(scope, "files")),
        },
      };
    },
  },
  bolt: {
    async start(scope) {
      const { address } = await startBolt(scope, await newFile(scope));
      return {
        driver: address,
        floor: {
          kind: "meta",
          what: "the memory driver, over the protocol too: it syncs nothing",
          work: metaThrough(await through(scope, {})),
        },
      };
    },
  },
  opendal: {
    async start(scope) {
      const store = await bucketStore(scope);
      const { address } = await startOpendal(scope, store);
      return {
        driver: address,
        floor: {
          kind: "blob",
          what: "@aws-sdk/client-s3 on the same versitygw, 4 parts of 8 MiB at once",
          work: await s3Floor({
            endpoint: store.endpoint,
            bucket: store.bucket,
            accessKeyId: store.env["OUTRIGGER_OPTION_ACCESS_KEY_ID"] ?? "",
            secretAccessKey: store.env["OUTRIGGER_OPTION_SECRET_ACCESS_KEY"] ?? "",
          }),
        },
      };
    },
  },
  mirror: {
    async start(scope) {
      const [primary, secondary] = [await filesystemMember(scope), await filesystemMember(scope)];
      return {
        driver: await composed(scope, "mirror", ["--primary", primary.address, "--secondary", secondary.address]),
        floor: {
          kind: "blob",
          what: "one filesystem driver without the mirror",
          work: blobThrough(await through(scope, { blobs: (await filesystemMember(scope)).address })),
        },
      };
    },
  },
  shard: {
    async start(scope) {
      const [a, b] = [await filesystemMember(scope), await filesystemMember(scope)];
      return {
        driver: await composed(scope, "shard", ["--shards", `a=${a.address},b=${b.address}`]),
        floor: {
          kind: "blob",
          what: "one shard, a filesystem driver, by itself",
          work: blobThrough(await through(scope, { blobs: (await filesystemMember(scope)).address })),
        },
      };
    },
  },
  cache: {
    async start(scope) {
      const server = await startS3Server(scope);
      const [slow, alone] = [await s3Store(server), await s3Store(server)];
      const s3 = await startS3(scope, slow);
      const fast = await filesystemMember(scope);
      return {
        driver: await composed(scope, "cache", ["--slow", s3.address, "--fast", fast.address, "--max", "4GiB"]),
        floor: {
          kind: "blob",
          what: "the slow store, an s3 driver on a versitygw, without the folder before it",
          work: blobThrough(await through(scope, { blobs: (await startS3(scope, alone)).address })),
        },
      };
    },
  },
  azure: {
    async start(scope) {
      const azurite = await startAzurite(scope);
      const store = await azureStore(azurite);
      const { address } = await startAzure(scope, store);
      const parts = {
        DefaultEndpointsProtocol: "http",
        AccountName: account,
        AccountKey: accountKey,
        BlobEndpoint: azurite.endpoint,
      };
      const connectionString = Object.entries(parts)
        .map(([name, value]) => `${name}=${value};`)
        .join("");
      return {
        driver: address,
        floor: {
          kind: "blob",
          what: "@azure/storage-blob on the same Azurite, 4 blocks of 8 MiB at once",
          work: await azureFloor({ connectionString, container: store.container }),
        },
      };
    },
  },
  gcs: {
    async start(scope) {
      const server = await startServer(scope);
      // The server leaves conditions out: both go through what holds them.
      const { address } = await startConditions(scope, server.address);
      const flags = flagsFor(address);
      await initialiseGcs(flags);
      return {
        driver: (await startGcs(scope, flags)).address,
        floor: {
          kind: "blob",
          what: "@google-cloud/storage on the same fake-gcs-server, through the same proxy, 4 parts of 8 MiB at once, composed",
          work: await gcsFloor({ endpoint: `http://${address}`, bucket: BUCKET }),
        },
      };
    },
  },
  s3: {
    async start(scope) {
      const server = await startS3Server(scope);
      const { bucket, env } = await s3Store(server);
      return {
        driver: (await startS3(scope, { bucket, env })).address,
        floor: {
          kind: "blob",
          what: "@aws-sdk/client-s3 on the same versitygw, 4 parts of 8 MiB at once",
          work: await s3Floor({
            endpoint: server.endpoint,
            bucket,
            accessKeyId: accessKey,
            secretAccessKey: secretKey,
          }),
        },
      };
    },
  },
  redis: {
    async start(scope) {
      const server = await RedisServer.start(scope);
      await initialiseRedis(server.url);
      const { address } = await startRedisDriver(scope, server.url);
      const work = await redisFloor(server.url);
      scope.defer(work.close);
      return {
        driver: address,
        floor: { kind: "meta", what: "ioredis on the same redis-server (appendfsync always)", work },
      };
    },
  },
  dynamodb: {
    async start(scope) {
      const { address } = await startDynamodbLocal(scope);
      const options = { table: newTable(), endpoint: `http://${address}` };
      await initialiseDynamodb(options);
      return {
        driver: (await startDynamodb(scope, options)).address,
        floor: {
          kind: "meta",
          what: "@aws-sdk/client-dynamodb on the same DynamoDB Local, single items read and written without a transaction",
          work: await dynamodbFloor(options.endpoint),
        },
      };
    },
  },
  lmdb: {
    async start(scope) {
      const folder = await initialiseLmdb(join(tempFolder(scope, "lmdb"), "store"));
      const { address } = await startLmdb(scope, folder);
      const work = await lmdbFloor(join(tempFolder(scope, "lmdb"), "alone"));
      scope.defer(work.close);
      return {
        driver: address,
        floor: { kind: "meta", what: "lmdb inside this process, flushed before it goes on", work },
      };
    },
  },
};
