/** `import … from "outrigger/proto"`: the contract as TypeScript. */
export { type Clock, sleep, systemClock } from "./clock.ts";
export {
  fromStatus,
  hasReason,
  OutriggerError,
  type Reason,
  type Recovery,
  reasons,
  type Side,
  toStatus,
} from "./errors.ts";
export {
  type Algorithm,
  algorithmOf,
  assertAscii,
  assertDigest,
  assertKey,
  assertUploadId,
  invalidField,
  isAlgorithm,
  isDigest,
  isKey,
} from "./keys.ts";
export { limits } from "./limits.ts";
export { contract, loadServices, protoFolder, type Services } from "./load.ts";
export { headers } from "./metadata.ts";
export { loaderOptions, protoFiles } from "./options.ts";
export { type ApiName, type ApiVersion, spoken } from "./versions.ts";
