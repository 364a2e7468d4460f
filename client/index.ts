/** `import { connect } from "outrigger/client"`: what a registry core uses to speak to its stores. */
export type {
  AppendRequest,
  AppendResult,
  BlobInfo,
  BlobRead,
  BlobStore,
  CallOptions,
  Condition,
  ConnectOptions,
  ExchangeSteps,
  ExchangeTargets,
  MetaCondition,
  MetaItem,
  MetaOperation,
  MetaStore,
  Page,
  PageRequest,
  StoreFacts,
  StoreHealth,
  StoreLimits,
  Stores,
  StoreTarget,
  UploadInfo,
} from "./contract.ts";
export { grpcTransport } from "./grpc.ts";
export { type Description, type HandshakeInput, handshake, type StoreKind } from "./handshake.ts";
export type { ObserveCall, ObservedCall } from "./observed.ts";
export { connectBlobs, type OneBlobStore } from "./one-store.ts";
export { checkPair, pairKey } from "./pair.ts";
export {
  connectScanner,
  type ScannedImage,
  type ScannerClient,
  type ScanOutcome,
  type Severity,
  type Vulnerability,
} from "./scanner.ts";
export { type ConnectParts, connect } from "./stores.ts";
export { type CompatCode, type Decision, decideVersion } from "./versions.ts";
