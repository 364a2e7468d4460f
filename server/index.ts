/** `import … from "outrigger/server"`: what a driver author needs. */
export { type Clock, systemClock } from "../proto/clock.ts";
export { hasReason, OutriggerError, type OutriggerErrorOptions, type Reason } from "../proto/errors.ts";
export * from "./contract.ts";
export { createHandlers, type DriverHandlers, type HandlersOptions } from "./handlers.ts";
export { type Host, type HostOptions, hostDriver } from "./host.ts";
export { runDriver } from "./main.ts";
export { UsageError } from "./option-values.ts";
export { hostOptions } from "./options.ts";
