/** Version, then Describe: whether a driver is used, and what it says of the store that is wanted (protocol.md section 4). */
import type { Logger } from "pino";
import type { Clock } from "../proto/clock.ts";
import { hasReason, OutriggerError } from "../proto/errors.ts";
import type { ApiVersions } from "../proto/gen/outrigger/handshake/v1/ApiVersions.ts";
import type { Store } from "../proto/gen/outrigger/handshake/v1/Store.ts";
import { limits } from "../proto/limits.ts";
import type { AnswerMetadata, Transport } from "../proto/transport.ts";
import { type ApiName, type ApiVersion, spoken } from "../proto/versions.ts";
import { violation, wholeNumber } from "./checks.ts";
import type { StoreFacts, StoreLimits } from "./contract.ts";
import { timedUnary } from "./timed.ts";
import { type CompatCode, decideVersion } from "./versions.ts";

export type StoreKind = "blob" | "meta";

export interface HandshakeInput {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Logger;
  readonly kind: StoreKind;
  readonly address: string;
  readonly core: { readonly name: string; readonly version: string };
  readonly requiredCapabilities: readonly string[];
  readonly offered?: readonly ApiVersion[];
  readonly compat: readonly CompatCode[];
  readonly signal?: AbortSignal | undefined;
}

export interface Description {
  readonly facts: StoreFacts;
  /** The contract hash under which this was said. */
  readonly contract: string;
  readonly version: ApiVersion;
  /** What speaks to the store: the transport itself, or compat code around it. */
  readonly transport: Transport;
  /** Sentences for the log, already levelled. */
  readonly remarks: readonly { readonly level: "info" | "warn"; readonly text: string }[];
}

const apis = { blob: "outrigger.blob", meta: "outrigger.meta" } as const satisfies Record<StoreKind, ApiName>;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** @throws NOT_A_DRIVER, VERSION_UNSUPPORTED, CAPABILITY_MISSING, CLOCK_SKEW, PROTOCOL_VIOLATION, or what the transport throws */
export async function handshake(input: HandshakeInput): Promise<Description> {
  const { transport, kind, address } = input;
  const api = apis[kind];
  const remarks: { level: "info" | "warn"; text: string }[] = [];
  const { decision, response, metadata } = await introduce(input, api);
  if (decision.log) remarks.push(decision.log);
  for (const notice of response.notices)
    remarks.push({ level: "warn", text: `the driver at ${address} says: ${notice}` });
  const wanted = response.stores.filter((store) => isKind(store, kind));
  const [store] = wanted;
  if (store === undefined)
    throw violation("handshake.describe.02", `the driver at ${address} speaks ${api} but describes no ${kind} store`);
  if (wanted.length > 1)
    throw violation("handshake.describe.02", `the driver at ${address} describes ${wanted.length} ${kind} stores`);
  if (!UUID.test(store.id))
    throw violation("handshake.describe.04", `the ${kind} store at ${address} has the id ${JSON.stringify(store.id)}`);
  const missing = input.requiredCapabilities.filter((name) => !store.capabilities.includes(name));
  if (missing.length > 0) {
    throw new OutriggerError(
      "CAPABILITY_MISSING",
      `the ${kind} store at ${address} (${response.driver} ${response.version}) lacks ${missing.join(", ")}, which the configuration needs`,
    );
  }
  return {
    facts: {
      id: store.id,
      capabilities: new Set(store.capabilities),
      limits: limitsOf(store),
      outside: wholeNumber("handshake.describe.02", "outside", store.outside),
      driver: response.driver,
      driverVersion: response.version,
      address,
    },
    contract: metadata.contract as string,
    version: decision.use,
    transport: decision.through ? decision.through.adapt(transport) : transport,
    remarks,
  };
}

/**
 * Both calls: which version of an API is used, and what is said under it.
 * @throws NOT_A_DRIVER, VERSION_UNSUPPORTED, CLOCK_SKEW, PROTOCOL_VIOLATION, or what the transport throws
 */
export async function introduce(
  input: Pick<HandshakeInput, "transport" | "clock" | "address" | "signal" | "core" | "offered" | "compat">,
  api: ApiName,
) {
  const versions = await ask(input, "handshake.Version", {});
  const decision = decideVersion({
    api,
    offered: input.offered ?? spoken[api],
    listed: versionsOf(versions.response.api[api]),
    needed: true,
    compat: input.compat,
    address: input.address,
  });
  if (decision.use === undefined) throw new OutriggerError("VERSION_UNSUPPORTED", decision.log.text);
  const { response, metadata } = await ask(input, "handshake.Describe", {
    coreName: input.core.name,
    coreVersion: input.core.version,
    apis: { [api]: decision.use },
  });
  return { decision, response, metadata };
}

/** One of the two calls, with what every answer must carry and how far the process's clock may be off. */
async function ask<Method extends "handshake.Version" | "handshake.Describe">(
  input: Pick<HandshakeInput, "transport" | "clock" | "address" | "signal">,
  method: Method,
  request: object,
) {
  const sentMs = input.clock.now();
  try {
    const answer = await timedUnary(input.transport, input.clock, method, request, {
      metadata: {},
      deadlineMs: limits.unaryDeadlineMs,
      signal: input.signal,
    });
    if (answer.metadata.contract === undefined || answer.metadata.contract === "")
      throw violation("call.contract.01", `${method} was answered without outrigger-contract`);
    if (answer.metadata.nowMs === undefined)
      throw violation("call.now.01", `${method} was answered without outrigger-now`);
    assertClock(answer.metadata, sentMs, input.clock.now(), input.address);
    return answer;
  } catch (error) {
    if (hasReason(error, "CAPABILITY_MISSING", "NOT_A_DRIVER") && error.side === "transport")
      throw notADriver(input.address, error);
    throw error;
  }
}

export function notADriver(address: string, cause: unknown): OutriggerError {
  return new OutriggerError("NOT_A_DRIVER", `what answers at ${address} is not an Outrigger driver`, { cause });
}

/**
 * The driver stamped its answer between `sentMs` and `receivedMs` by our clock.
 * @throws CLOCK_SKEW when its stamp is more than 2 s outside
 */
export function assertClock(metadata: AnswerMetadata, sentMs: number, receivedMs: number, address: string): void {
  if (metadata.nowMs === undefined) return;
  const offMs =
    metadata.nowMs < sentMs ? metadata.nowMs - sentMs : metadata.nowMs > receivedMs ? metadata.nowMs - receivedMs : 0;
  if (Math.abs(offMs) <= limits.clockSkewMs) return;
  throw new OutriggerError(
    "CLOCK_SKEW",
    `the clock of the driver at ${address} is ${(Math.abs(offMs) / 1000).toFixed(1)} s ${offMs < 0 ? "behind" : "ahead of"} this one: set both by NTP (at most ${limits.clockSkewMs / 1000} s are allowed)`,
  );
}

function versionsOf(listed: ApiVersions | undefined): ApiVersion[] | undefined {
  return listed?.versions.map(({ major, minor }) => ({ major, minor }));
}

function isKind(store: Store, kind: StoreKind): boolean {
  return store.kind === (kind === "blob" ? "STORE_KIND_BLOB" : "STORE_KIND_META");
}

/** Zero on the wire is "not limited" or "not told". */
function limitsOf(store: Store): StoreLimits {
  const told = (field: string, value: number | undefined, otherwise: number) =>
    wholeNumber("handshake.describe.02", field, value ?? 0) || otherwise;
  return {
    persistStepBytes: told("persist_step_bytes", store.limits?.persistStepBytes, Number.POSITIVE_INFINITY),
    uploadTtlMs: told("upload_ttl_ms", store.limits?.uploadTtlMs, limits.uploadTtlMs),
    maxBlobBytes: told("max_blob_bytes", store.limits?.maxBlobBytes, Number.POSITIVE_INFINITY),
    listLagMs: told("list_lag_ms", store.limits?.listLagMs, 0),
    maxValueBytes: told("max_value_bytes", store.limits?.maxValueBytes, limits.valueBytes),
  };
}
