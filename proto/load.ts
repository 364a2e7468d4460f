/** The contract's services, loaded from the .proto files that lie beside this module (or beside it in `dist/`). */
import { fileURLToPath } from "node:url";
import { type GrpcObject, loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync, type PackageDefinition } from "@grpc/proto-loader";
import type { ProtoGrpcType as BlobPackage } from "./gen/blob.ts";
import type { ProtoGrpcType as HandshakePackage } from "./gen/handshake.ts";
import type { ProtoGrpcType as HealthPackage } from "./gen/health.ts";
import type { ProtoGrpcType as MetaPackage } from "./gen/meta.ts";
import type { ProtoGrpcType as ScanPackage } from "./gen/scan.ts";
import { loaderOptions, protoFiles, scannerProtoFile } from "./options.ts";

/** The folder that holds the .proto files: what `outrigger proto export` copies. */
export const protoFolder = fileURLToPath(new URL("./", import.meta.url));

export type Services = ReturnType<typeof loadServices>;

/** What the .proto files say. Reads them. `keepCase`: fields under their own names, `if_absent`. */
export function packageDefinition(how: { readonly keepCase?: boolean } = {}): PackageDefinition {
  return loadSync([...protoFiles], { ...loaderOptions, ...how, includeDirs: [protoFolder] });
}

/** Service definitions and clients of every API. Reads the files: call it once and keep the answer. */
export function loadServices() {
  const loaded = loadPackageDefinition(packageDefinition()) as GrpcObject &
    HandshakePackage &
    BlobPackage &
    MetaPackage &
    HealthPackage;
  return {
    handshake: loaded.outrigger.handshake.v1.HandshakeService,
    blob: loaded.outrigger.blob.v1.BlobService,
    meta: loaded.outrigger.meta.v1.MetaService,
    health: loaded.grpc.health.v1.Health,
  };
}

let services: Services | undefined;

/** `loadServices`, once a process. */
export function contract(): Services {
  services ??= loadServices();
  return services;
}

/** The service of a scanner. Reads the file: call it once and keep the answer. */
export function loadScanService() {
  const definition = loadSync(scannerProtoFile, { ...loaderOptions, includeDirs: [protoFolder] });
  return (loadPackageDefinition(definition) as GrpcObject & ScanPackage).outrigger.scan.v1.ScanService;
}
