/**
 * The rules that every answer must keep, looked at on every answer of every test, whatever that test is about. The group
 * "calls", which runs last, fails by what was seen.
 */
import { status as Code, type Metadata } from "@grpc/grpc-js";
import { type Reason, reasons } from "../proto/errors.ts";
import { limits } from "../proto/limits.ts";
import { headers } from "../proto/metadata.ts";
import type { AnswerHead, Observation } from "./contract.ts";
import { Fault } from "./faults.ts";
import type { AnswerWatch } from "./recorder.ts";
import type { WireMethod } from "./wire.ts";

/** Codes that gRPC libraries raise by themselves: without a reason they may be the transport's. */
const TRANSPORT_CODES = new Set([
  "CANCELLED",
  "DEADLINE_EXCEEDED",
  "UNAVAILABLE",
  "UNIMPLEMENTED",
  "RESOURCE_EXHAUSTED",
  "INTERNAL",
  "UNKNOWN",
]);

/** What grpc-js says of a message that is larger than even the kit takes. */
const TOO_LARGE = /^Received message larger than max/;

const MOST = 20;

export class Observations {
  readonly #seen = new Map<string, Observation[]>();
  readonly #counts = new Map<string, number>();

  of(id: string): readonly Observation[] {
    return this.#seen.get(id) ?? [];
  }

  count(id: string): number {
    return this.#counts.get(id) ?? 0;
  }

  /** What watches the calls of one test. */
  during(test: string): AnswerWatch {
    const look = (id: string, method: WireMethod, what: string | undefined) => {
      this.#counts.set(id, this.count(id) + 1);
      if (what === undefined) return;
      const list = this.#seen.get(id) ?? [];
      this.#seen.set(id, list);
      if (list.length < MOST) list.push({ test, method, what });
    };
    return {
      message(method, sizeBytes) {
        const over = sizeBytes > limits.messageBytes;
        look("call.size.01", method, over ? `a message of ${sizeBytes} bytes` : undefined);
      },
      answer(method, error, head) {
        // Health is a library's service in every language: nothing is asked of it but its answers.
        if (method === "health.Check") return;
        if (error instanceof Fault) look("call.error.01", method, wrongError(error));
        if (error instanceof Fault && TOO_LARGE.test(error.details)) look("call.size.01", method, error.details);
        // Where the transport spoke, the driver's part of an answer may be missing.
        if (error !== undefined && !(error instanceof Fault && error.reason !== undefined)) return;
        look("call.now.01", method, wrongNow(head));
        look("call.contract.01", method, wrongContract(head.metadata));
      },
    };
  }
}

function wrongError(fault: Fault): string | undefined {
  const told = `${fault.code} / ${fault.reason ?? "no reason"} (${fault.details.slice(0, 200)})`;
  if (fault.reason === undefined) return TRANSPORT_CODES.has(fault.code) ? undefined : `${told}: no ErrorInfo`;
  if (fault.domain !== "outrigger") return `${told}: domain ${JSON.stringify(fault.domain)} instead of "outrigger"`;
  if (!Object.hasOwn(reasons, fault.reason)) return `${told}: there is no such reason`;
  const due = Code[reasons[fault.reason as Reason].code];
  return fault.code === due ? undefined : `${told}: the reason goes with ${due}`;
}

function wrongNow({ metadata }: AnswerHead): string | undefined {
  const told = metadata.get(headers.now).map(String);
  if (told.length !== 1) return `${headers.now} is there ${told.length} times`;
  return /^\d{13}$/.test(told[0] ?? "") ? undefined : `${headers.now} is ${JSON.stringify(told[0])}, not unix ms`;
}

function wrongContract(metadata: Metadata): string | undefined {
  const told = metadata.get(headers.contract).map(String);
  if (told.length !== 1) return `${headers.contract} is there ${told.length} times`;
  return /^[\x20-\x7e]{1,128}$/.test(told[0] ?? "")
    ? undefined
    : `${headers.contract} is ${JSON.stringify(told[0]?.slice(0, 200))}, not 1 to 128 characters of printable ASCII`;
}
