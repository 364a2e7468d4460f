/** How calls fail, as the kit sees it: what was on the wire, not interpreted. */
import assert from "node:assert/strict";
import { status as Code, type Metadata } from "@grpc/grpc-js";
import { errorInfoType, retryInfoType, statusType } from "../proto/details.ts";
import { type Reason, reasons } from "../proto/errors.ts";

/** The kit itself cannot go on: not a statement about the driver's answers. */
export class KitError extends Error {
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = "KitError";
  }
}

/** What a test found that keeps it from proving anything here; told as "not run". */
export class NotRun extends Error {
  constructor(why: string) {
    super(why);
    this.name = "NotRun";
  }
}

export interface FaultFacts {
  /** "blob.Stat" */
  readonly method: string;
  /** gRPC status by name: "NOT_FOUND". */
  readonly code: string;
  readonly message: string;
  /** Of google.rpc.ErrorInfo; absent where there is none: then the transport spoke, or the driver forgot it. */
  readonly reason?: string;
  readonly domain?: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Of google.rpc.RetryInfo. */
  readonly retryAfterMs?: number;
  /** What came instead of the initial metadata. */
  readonly trailers: Metadata;
}

/** A call that ended otherwise than with OK. */
export class Fault extends Error {
  readonly method: string;
  readonly code: string;
  readonly reason: string | undefined;
  readonly domain: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
  readonly trailers: Metadata;
  /** The driver's own words. */
  readonly details: string;

  constructor(facts: FaultFacts) {
    super(`${facts.method} ended with ${facts.code} / ${facts.reason ?? "no reason"}: ${facts.message.slice(0, 400)}`);
    this.name = "Fault";
    this.method = facts.method;
    this.code = facts.code;
    this.reason = facts.reason;
    this.domain = facts.domain;
    this.metadata = facts.metadata;
    this.retryAfterMs = facts.retryAfterMs;
    this.trailers = facts.trailers;
    this.details = facts.message;
  }
}

/** Nothing came for longer than the patience. */
export class Silence extends Error {
  constructor(what: string, ms: number) {
    super(`${what} within ${ms} ms`);
    this.name = "Silence";
  }
}

/** An answer that cannot be read as the message it should be. */
export class Garbled extends Error {
  constructor(method: string, cause: unknown) {
    super(
      `${method} was answered by bytes that are not its message: ${cause instanceof Error ? cause.message : cause}`,
      {
        cause,
      },
    );
    this.name = "Garbled";
  }
}

const DETAILS = "grpc-status-details-bin";

/** Reads a status and its trailers; details that cannot be read are no details. */
export function faultOf(method: string, code: number, message: string, trailers: Metadata): Fault {
  const name = Code[code] ?? `code ${code}`;
  const raw = trailers.get(DETAILS)[0];
  const found = raw instanceof Uint8Array ? readDetails(raw) : undefined;
  return new Fault({ method, code: name, message, metadata: {}, ...found, trailers });
}

type Details = Partial<Pick<FaultFacts, "reason" | "domain" | "metadata" | "retryAfterMs">>;

function readDetails(raw: Uint8Array): Details | undefined {
  try {
    const status = statusType.toObject(statusType.decode(raw), { longs: Number, arrays: true }) as {
      details: { type_url?: string; value?: Uint8Array }[];
    };
    let read: Details = {};
    for (const { type_url: type = "", value = new Uint8Array() } of status.details) {
      if (type.endsWith("/google.rpc.ErrorInfo")) {
        const info = errorInfoType.toObject(errorInfoType.decode(value), { defaults: true, objects: true });
        read = { ...read, reason: info["reason"], domain: info["domain"], metadata: info["metadata"] };
      } else if (type.endsWith("/google.rpc.RetryInfo")) {
        const { retryDelay } = retryInfoType.toObject(retryInfoType.decode(value), { longs: Number, defaults: true });
        if (retryDelay) read = { ...read, retryAfterMs: retryDelay.seconds * 1000 + retryDelay.nanos / 1e6 };
      }
    }
    return read;
  } catch {
    return undefined;
  }
}

/**
 * Waits for a call to fail with one of these reasons, under the code that belongs to it.
 * @returns the fault, for its metadata
 * @throws AssertionError when it succeeds or fails otherwise, Silence as it came
 */
export async function expectFault(call: Promise<unknown>, ...wanted: readonly [Reason, ...Reason[]]): Promise<Fault> {
  const words = wanted.map((reason) => `${Code[reasons[reason].code]} / ${reason}`).join(" or ");
  let answer: unknown;
  try {
    answer = await call;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const right = wanted.some((reason) => error.reason === reason && error.code === Code[reasons[reason].code]);
    assert.ok(right, `${words} was due, but ${error.message}`);
    return error;
  }
  const shown = answer === undefined ? "ended with OK" : `was answered: ${JSON.stringify(answer)?.slice(0, 300)}`;
  assert.fail(`${words} was due, but the call ${shown}`);
}

/** Whether an error says that nothing, or nothing readable, came from the other side at all. */
export function isBroken(error: unknown): boolean {
  return error instanceof Silence || error instanceof Garbled || (error instanceof Fault && error.reason === undefined);
}
