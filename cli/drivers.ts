/** The drivers that come with this package, by name. Only the command knows them: the registry knows addresses. */
import type { DriverModule } from "../server/contract.ts";

export const drivers: Readonly<Record<string, () => Promise<DriverModule>>> = {
  azure: async () => (await import("../drivers/azure/index.ts")).driverModule,
  cache: async () => (await import("../drivers/cache/index.ts")).driverModule,
  dynamodb: async () => (await import("../drivers/dynamodb/index.ts")).driverModule,
  filesystem: async () => (await import("../drivers/filesystem/index.ts")).driverModule,
  gcs: async () => (await import("../drivers/gcs/index.ts")).driverModule,
  lmdb: async () => (await import("../drivers/lmdb/index.ts")).driverModule,
  memory: async () => (await import("../drivers/memory/index.ts")).driverModule,
  mirror: async () => (await import("../drivers/mirror/index.ts")).driverModule,
  redis: async () => (await import("../drivers/redis/index.ts")).driverModule,
  s3: async () => (await import("../drivers/s3/index.ts")).driverModule,
  shard: async () => (await import("../drivers/shard/index.ts")).driverModule,
};
