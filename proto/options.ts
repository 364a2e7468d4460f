/**
 * The one set of proto-loader options. `scripts/proto-types.ts` generates the types with the same ones.
 *
 * Sizes are numbers (guarded below 2^53 where they enter), bytes are Buffers that share the message's memory, an unknown
 * enum value stays a number, and proto3 `optional` fields stay absent.
 */
export const loaderOptions = {
  keepCase: false,
  longs: Number,
  enums: String,
  defaults: true,
  arrays: true,
  objects: true,
  oneofs: true,
} as const;

/** Every file of the drivers' contract, relative to `proto/`. */
export const protoFiles = [
  "outrigger/handshake/v1/handshake.proto",
  "outrigger/blob/v1/blob.proto",
  "outrigger/meta/v1/meta.proto",
  "google/rpc/status.proto",
  "google/rpc/error_details.proto",
  "grpc/health/v1/health.proto",
] as const;

/** What a scanner serves beside the handshake and health: no driver needs it. */
export const scannerProtoFile = "outrigger/scan/v1/scan.proto";
