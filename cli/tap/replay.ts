/**
 * A recording made to happen again with another driver. In the recorded order: what had ended before a call began has
 * ended again, and what an answer was waited for is waited for again.
 */
import { status as Code } from "@grpc/grpc-js";
import type { StoreTarget } from "../../client/contract.ts";
import { type Method, methods } from "../rpc/schema.ts";
import { differences, type Ended } from "./compare.ts";
import { plain } from "./describe-call.ts";
import { openRaw, RawCall } from "./raw-call.ts";
import type { EndEvent, MessageEvent, RecordedEvent } from "./recording.ts";
import { Renewal } from "./renewed.ts";
import type { Outcome } from "./seen-call.ts";

export interface ReplayedCall {
  readonly call: number;
  readonly method: string;
  /** Sentences; none: the same. */
  readonly differences: readonly string[];
  /** Why it was not compared. */
  readonly left?: string;
}

interface Running {
  readonly method: Method;
  readonly raw: RawCall;
  readonly recorded: Buffer[];
}

const WAIT_MS = 60_000;

export interface ReplayParts {
  readonly target: StoreTarget;
  /** By store kind. */
  readonly stores: Readonly<Record<string, string>>;
  /** Now minus the recording's beginning. */
  readonly laterMs: number;
}

export async function* replay(events: AsyncIterable<RecordedEvent>, parts: ReplayParts): AsyncGenerator<ReplayedCall> {
  const client = openRaw(parts.target);
  const renewal = new Renewal(parts.stores, parts.laterMs);
  const running = new Map<number, Running>();
  /** Calls that are not made, and those that were cut. */
  const left = new Map<number, ReplayedCall>();
  const leave = (call: number, method: string, why: string) => {
    running.get(call)?.raw.cancel();
    running.delete(call);
    left.set(call, { call, method, differences: [], left: why });
  };
  try {
    for await (const event of events) {
      const { call } = event;
      if (event.event === "call") {
        const method = methods().find(({ path }) => path === event.path);
        if (method === undefined) leave(call, event.path, "not a call of the contract");
        else {
          const raw = new RawCall(client, event.path, renewal.metadata(method, event.metadata));
          running.set(call, { method, raw, recorded: [] });
        }
        continue;
      }
      const one = running.get(call);
      if (one === undefined) {
        const told = left.get(call);
        if (event.event === "end" && told !== undefined) yield told;
        continue;
      }
      if ((event.event === "request" || event.event === "answer") && bytesOf(event) === undefined) {
        leave(call, one.method.name, "its messages are cut in the recording (--bytes)");
        continue;
      }
      if (event.event === "end") {
        running.delete(call);
        yield await ended(call, one, event, renewal);
      } else await step(one, event, renewal);
    }
    for (const [call, { method, raw }] of running) {
      raw.cancel();
      yield { call, method: method.name, differences: [], left: "it had not ended when the recording did" };
    }
  } finally {
    for (const { raw } of running.values()) raw.cancel();
    client.close();
  }
}

async function step(one: Running, event: MessageEvent | { event: "request-end" }, renewal: Renewal): Promise<void> {
  switch (event.event) {
    case "request":
      // What was sent after an answer may rest on it.
      if (one.recorded.length > 0) await one.raw.answered(WAIT_MS);
      return one.raw.send(renewal.request(one.method, bytesOf(event) ?? Buffer.alloc(0)), WAIT_MS);
    case "request-end":
      return one.raw.finish();
    case "answer":
      one.recorded.push(bytesOf(event) ?? Buffer.alloc(0));
  }
}

async function ended(
  call: number,
  { method, raw, recorded }: Running,
  event: EndEvent,
  renewal: Renewal,
): Promise<ReplayedCall> {
  const base = { call, method: method.name, differences: [] };
  if (event.outcome === undefined) {
    raw.cancel();
    await raw.outcome(WAIT_MS);
    return { ...base, left: `it was broken by the ${event.brokenBy ?? "driver"} in the recording` };
  }
  const outcome = await raw.outcome(WAIT_MS);
  try {
    const before = recorded.map((data) => plain(method.response, data));
    const now = raw.answers.map((data) => plain(method.response, data));
    renewal.learn(method, before, now);
    const told = differences(
      method,
      { answers: before, end: shown(event.outcome) },
      { answers: now, end: shown(outcome) },
    );
    return { ...base, differences: told };
  } catch (error) {
    return { ...base, differences: [`an answer cannot be read: ${(error as Error).message}`] };
  }
}

function shown({ code, reason }: Outcome): Ended {
  return { code: Code[code] ?? String(code), reason };
}

/** `undefined` where the recording holds only its beginning. */
function bytesOf({ data, size }: MessageEvent): Buffer | undefined {
  const bytes = Buffer.from(data, "base64");
  return bytes.length === size ? bytes : undefined;
}
