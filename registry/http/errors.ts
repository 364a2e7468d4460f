/** Failures as answers: the OCI error body, its status, and one log line for what someone must look at. */
import type { ServerResponse } from "node:http";
import type { Logger } from "pino";
import { OutriggerError } from "../../proto/errors.ts";
import { RegistryError } from "../errors.ts";
import { ClientGone } from "./body.ts";
import { driverErrors, fromDriver } from "./driver-errors.ts";

/** A failure within an answer that is given all the same: as what it is told; what someone must look at is logged. */
export function explainBy(log: Logger): (error: unknown) => { readonly message: string; readonly code: string } {
  return (error) => {
    const known = toRegistryError(error);
    const level = levelOf(error);
    if (level !== "silent") log[level]({ err: error, code: known.code }, known.message);
    return known;
  };
}

/** Writes the answer unless one was begun or nobody is there to read it. */
export function answerError(response: ServerResponse, error: unknown, log: Logger, requestId: string): void {
  if (error instanceof ClientGone || response.destroyed) {
    log.debug({ err: error, requestId }, "the client went away before its answer");
    return;
  }
  const known = toRegistryError(error);
  const level = levelOf(error);
  if (level !== "silent") log[level]({ err: error, requestId, status: known.status, code: known.code }, known.message);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = errorBody(known);
  // Headers set before (Location, Range, Allow …) belong to this answer.
  response.statusCode = known.status;
  response.setHeader("Content-Type", "application/json");
  response.setHeader("Content-Length", body.length);
  response.setHeader("Docker-Distribution-Api-Version", "registry/2.0");
  // RFC 9110, 15.5.6: what is left is reading.
  if (known.status === 405 && !response.hasHeader("Allow")) response.setHeader("Allow", "GET, HEAD");
  if (known.retryAfterSeconds !== undefined) response.setHeader("Retry-After", known.retryAfterSeconds);
  response.end(body);
}

/** `{"errors":[{code, message, detail}]}` (OCI distribution spec, "Error Codes"). */
export function errorBody(error: RegistryError): Buffer {
  const detail = error.detail === undefined ? {} : { detail: error.detail };
  return Buffer.from(JSON.stringify({ errors: [{ code: error.code, message: error.message, ...detail }] }));
}

export function toRegistryError(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  if (error instanceof OutriggerError) return fromDriver(error);
  return new RegistryError("UNKNOWN", "the registry met a fault of its own; its log has the cause", { cause: error });
}

function levelOf(error: unknown): "silent" | "debug" | "warn" | "error" {
  if (error instanceof OutriggerError) return driverErrors[error.reason].log;
  if (error instanceof RegistryError) {
    if (error.cause instanceof OutriggerError) return driverErrors[error.cause.reason].log;
    return error.status === 500 ? "error" : "silent";
  }
  return "error";
}
