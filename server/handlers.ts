/**
 * Every rule of the protocol that the host owes, between a transport and a driver: no sockets, no real time, no
 * randomness of its own, so that a simulation drives exactly this code.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import type { Clock } from "../proto/clock.ts";
import { OutriggerError } from "../proto/errors.ts";
import { limits } from "../proto/limits.ts";
import type {
  AnyMethod,
  Handlers,
  IncomingCall,
  ReceivedRequests,
  StreamMethod,
  StreamMethods,
  UnaryMethod,
  UnaryMethods,
} from "../proto/transport.ts";
import { assertClaims, createBlobHandlers } from "./blob-handlers.ts";
import { asOutriggerError, assertInTime, assertStore, createContext } from "./calls.ts";
import type { CallContext, Driver, Store } from "./contract.ts";
import { describeDriver, uploadLimits } from "./facts.ts";
import * as fields from "./fields.ts";
import { type CreateHasher, createHasher } from "./hasher.ts";
import { createMetaHandlers } from "./meta-handlers.ts";
import { Uploads } from "./uploads.ts";

export interface HandlersOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** --read-only: refuse every mutating call. */
  readonly readOnly?: boolean;
  /** How long a stream's other side may owe its next step. Default 60,000. */
  readonly streamIdleMs?: number;
  /** Default: node:crypto in this thread. */
  readonly createHasher?: CreateHasher;
  /** Names for uploads that no core chose, [A-Za-z0-9-]{1,64}. Default: a random UUID. */
  readonly randomId?: () => string;
}

export interface DriverHandlers extends Handlers {
  /** Expires idle uploads [blob.expiry.01]; the host calls it now and then. @returns how many */
  expireUploads(): Promise<number>;
}

const mutating: ReadonlySet<AnyMethod> = new Set<AnyMethod>([
  "blob.Put",
  "blob.AbortUpload",
  "blob.Move",
  "blob.Delete",
  "meta.Write",
]);

type UnaryTable = {
  readonly [Name in UnaryMethod]?: (
    request: ReceivedRequests[Name],
    call: CallContext,
  ) => Promise<UnaryMethods[Name][1]>;
};

type StreamTable = {
  readonly [Name in StreamMethod]?: (
    request: ReceivedRequests[Name],
    call: CallContext,
  ) => AsyncIterable<StreamMethods[Name][1]>;
};

/** @throws Error when the driver claims what it does not have */
export function createHandlers(driver: Driver, options: HandlersOptions): DriverHandlers {
  const { clock, log, readOnly = false, streamIdleMs = limits.streamIdleMs, randomId = randomUUID } = options;
  const description = describeDriver(driver, streamIdleMs);
  const { blob, meta } = driver;
  if (blob !== undefined) assertClaims(blob);

  const uploads =
    blob &&
    new Uploads({
      driver: blob,
      clock,
      log,
      limits: uploadLimits(blob.facts, streamIdleMs),
      createHasher: options.createHasher ?? createHasher,
    });
  const blobTable = blob && uploads && createBlobHandlers({ driver: blob, uploads, clock, randomId });
  const unary: UnaryTable = {
    "handshake.Version": async () => description.version,
    "handshake.Describe": async ({ coreName, coreVersion }, call) => {
      call.log.info({ coreName, coreVersion }, "described to a core");
      return description.describe;
    },
    ...blobTable,
    ...(meta && createMetaHandlers(meta)),
  };
  const streams: StreamTable = blobTable ?? {};

  /** [call.store.01], [process.readonly.01], [call.notafter.01], in this order and before any field is looked at. */
  function admit(method: AnyMethod, call: IncomingCall): CallContext {
    const api = method.slice(0, method.indexOf("."));
    if (api === "handshake") return createContext(clock, log, call, undefined);
    assertStore(call.metadata, storeOf(driver, api).facts.id);
    if (!mutating.has(method)) return createContext(clock, log, call, undefined);
    assertWritable();
    const { notAfterMs } = call.metadata;
    if (notAfterMs !== undefined) fields.safeInteger("outrigger-not-after", notAfterMs);
    assertInTime(clock, notAfterMs);
    return createContext(clock, log, call, notAfterMs);
  }

  function assertWritable(): void {
    if (readOnly)
      throw new OutriggerError("READ_ONLY", "this store is sealed: its driver was started with --read-only");
  }

  return {
    async unary(method, request, call) {
      try {
        const context = admit(method, call);
        const handler = unary[method];
        if (handler === undefined) throw notServed(method);
        return await handler(request, context);
      } catch (fault) {
        throw asOutriggerError(fault, method, log, call.signal);
      }
    },

    async *stream(method, request, call) {
      try {
        const context = admit(method, call);
        const handler = streams[method];
        if (handler === undefined) throw notServed(method);
        yield* handler(request, context);
      } catch (fault) {
        throw asOutriggerError(fault, method, log, call.signal);
      }
    },

    async append(requests, send, call) {
      try {
        admit("blob.Append", call);
        if (uploads === undefined) throw notServed("blob.Append");
        await uploads.append(requests, send, call, assertWritable);
      } catch (fault) {
        throw asOutriggerError(fault, "blob.Append", log, call.signal);
      }
    },

    answerMetadata: () => ({ nowMs: clock.now(), contract: description.contract }),

    async expireUploads() {
      return uploads === undefined || readOnly ? 0 : uploads.expire();
    },
  };
}

function storeOf(driver: Driver, api: string): Store {
  const store = api === "blob" ? driver.blob : driver.meta;
  if (store === undefined) {
    throw new OutriggerError("CAPABILITY_MISSING", `this driver serves no ${api} store`);
  }
  return store;
}

function notServed(method: string): OutriggerError {
  return new OutriggerError("CAPABILITY_MISSING", `this driver does not serve ${method}`);
}
