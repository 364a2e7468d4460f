/** Each driver with a server of its own, and the floor on the same server. */
import { join } from "node:path";
import { azureStore, startAzure } from "../../test/drivers/azure/azure.ts";
import { account, accountKey, startAzurite } from "../../test/drivers/azure/azurite.ts";
import { initialise as initialiseDynamodb, newTable, startDynamodb } from "../../test/drivers/dynamodb/dynamodb.ts";
import { startDynamodbLocal } from "../../test/drivers/dynamodb/dynamodb-local.ts";
import { startConditions } from "../../test/drivers/gcs/conditions.ts";
import { BUCKET, flagsFor, initialise as initialiseGcs, startGcs, startServer } from "../../test/drivers/gcs/gcs.ts";
import { initialise as initialiseLmdb, startLmdb } from "../../test/drivers/lmdb/lmdb.ts";
import { initialise as initialiseRedis, RedisServer, startRedisDriver } from "../../test/drivers/redis/redis.ts";
import { s3Store, startS3 } from "../../test/drivers/s3/s3.ts";
import type { Scope } from "../../test/helpers/processes.ts";
import { accessKey, secretKey, startS3Server } from "../../test/helpers/s3-server.ts";
import { tempFolder } from "../../test/helpers/temp.ts";
import { azureFloor, dynamodbFloor, gcsFloor, lmdbFloor, redisFloor, s3Floor } from "./floors.ts";
import type { BlobWork, MetaWork } from "./work.ts";

export type Floor =
  | { readonly kind: "meta"; readonly what: string; readonly work: MetaWork }
  | { readonly kind: "blob"; readonly what: string; readonly work: BlobWork };

export interface Contestant {
  /** Brings server and driver up. @returns the driver's address */
  start(scope: Scope): Promise<{ readonly driver: string; readonly floor: Floor }>;
}

export const contestants: Readonly<Record<string, Contestant>> = {
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
