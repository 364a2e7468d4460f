/** What surrounds every call of a driver's function: its context, its time, and what its errors become on the wire. */
import type { Logger } from "pino";
import type { Clock } from "../proto/clock.ts";
import { OutriggerError } from "../proto/errors.ts";
import type { IncomingCall, RequestMetadata } from "../proto/transport.ts";
import type { CallContext } from "./contract.ts";

/** Its signal is made when it is looked at: most calls are over before anybody does, and it costs more than all else here. */
export function incomingCall(metadata: RequestMetadata, controller: AbortController): IncomingCall {
  return {
    metadata,
    get signal() {
      return controller.signal;
    },
  };
}

/** The context of one call. `notAfterMs` is `undefined` for reads. */
export function createContext(
  clock: Clock,
  log: Logger,
  call: IncomingCall,
  notAfterMs: number | undefined,
): CallContext {
  let child: Logger | undefined;
  return {
    get signal() {
      return call.signal;
    },
    requestId: call.metadata.requestId,
    get log() {
      child ??= log.child({ requestId: call.metadata.requestId });
      return child;
    },
    notAfterMs,
    assertInTime: () => assertInTime(clock, notAfterMs),
  };
}

/** A context for what nobody waits for: expiry, and cleaning up behind a caller that has gone. */
export function backgroundContext(log: Logger): CallContext {
  return { signal: new AbortController().signal, log, notAfterMs: undefined, assertInTime() {} };
}

/** [call.notafter.01] @throws TOO_LATE */
export function assertInTime(clock: Clock, notAfterMs: number | undefined): void {
  if (notAfterMs === undefined) return;
  const now = clock.now();
  if (now > notAfterMs) {
    throw new OutriggerError("TOO_LATE", `it is ${now - notAfterMs} ms past the request's not-after time`, {
      metadata: { notAfterMs: String(notAfterMs), nowMs: String(now) },
    });
  }
}

/** [blob.abort.02] */
export function uploadBusy(uploadId: string, ifIdleMs: number): OutriggerError {
  return new OutriggerError("UPLOAD_BUSY", `upload ${uploadId} was used less than ${ifIdleMs} ms ago`);
}

/** [call.store.01] @throws INVALID_FIELD, WRONG_STORE */
export function assertStore(metadata: RequestMetadata, id: string): void {
  if (metadata.store === undefined || metadata.store === "") {
    throw new OutriggerError("INVALID_FIELD", "outrigger-store: the request names no store", {
      metadata: { field: "outrigger-store" },
    });
  }
  if (metadata.store !== id) {
    throw new OutriggerError("WRONG_STORE", `this driver holds store ${id}, not the one asked for`, {
      metadata: { store: id },
    });
  }
}

/**
 * What a fault becomes on the wire. OutriggerErrors pass; a full disk is QUOTA whichever driver met it; everything else
 * is INTERNAL, and its cause is logged here, once, because it does not cross the wire.
 */
export function asOutriggerError(fault: unknown, what: string, log: Logger, signal?: AbortSignal): OutriggerError {
  if (fault instanceof OutriggerError) return fault;
  if (signal?.aborted) {
    return signal.reason instanceof OutriggerError
      ? signal.reason
      : new OutriggerError("STREAM_BROKEN", `${what}: the caller has gone`, { cause: fault });
  }
  const code = (fault as { code?: unknown } | undefined)?.code;
  if (code === "ENOSPC" || code === "EDQUOT") {
    log.error({ err: fault, method: what }, "the backend is full");
    return new OutriggerError("QUOTA", `${what}: the backend is full`, { cause: fault });
  }
  log.error({ err: fault, method: what }, "a driver's function failed");
  return new OutriggerError("INTERNAL", `${what}: the driver met a fault of its own; its log has the cause`, {
    cause: fault,
  });
}
