/** What a test's calls were, in short: for the report of a test that fails, and for the rules that all answers must keep. */
import { createHash } from "node:crypto";
import type { AnswerHead } from "./contract.ts";
import { Fault } from "./faults.ts";
import type { WireMethod } from "./wire.ts";

/** One message of a call. */
export interface MessageRecord {
  /** Since the test's start. */
  readonly atMs: number;
  readonly direction: "sent" | "received" | "note";
  readonly sizeBytes: number;
  readonly summary: string;
}

export interface CallRecord {
  readonly method: WireMethod;
  readonly address: string;
  /** Since the test's start. */
  readonly atMs: number;
  tookMs: number | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly messages: MessageRecord[];
  /** Messages in the middle that were left out of `messages`. */
  omitted: number;
  /** "OK", or how it failed; absent while it is open. */
  outcome: string | undefined;
}

/** One call's own part. */
export interface CallLog {
  sent(message: object, sizeBytes: number): void;
  received(message: object, sizeBytes: number): void;
  note(text: string): void;
  /** @param given whether the kit itself ended it */
  end(error: unknown, head: AnswerHead, given?: boolean): void;
}

/** Told of every answer, whatever the test makes of it. */
export interface AnswerWatch {
  message(method: WireMethod, sizeBytes: number): void;
  answer(method: WireMethod, error: unknown, head: AnswerHead): void;
}

const FIRST_CALLS = 20;
const LAST_CALLS = 80;
const MESSAGES = 24;

/** The calls of one test. Bounded: of many calls the first and the last are kept. */
export class Recorder {
  readonly #first: CallRecord[] = [];
  readonly #last: CallRecord[] = [];
  readonly #startedMs = performance.now();
  readonly #watch: AnswerWatch;
  #count = 0;

  constructor(watch: AnswerWatch) {
    this.#watch = watch;
  }

  get calls(): { readonly records: readonly CallRecord[]; readonly omitted: number } {
    const records = [...this.#first, ...this.#last];
    return { records, omitted: this.#count - records.length };
  }

  begin(method: WireMethod, address: string, metadata: Readonly<Record<string, string>>): CallLog {
    const startedMs = performance.now();
    const at = () => round(performance.now() - this.#startedMs);
    const record: CallRecord = {
      method,
      address,
      atMs: at(),
      tookMs: undefined,
      metadata,
      messages: [],
      omitted: 0,
      outcome: undefined,
    };
    this.#count++;
    if (this.#first.length < FIRST_CALLS) this.#first.push(record);
    else {
      this.#last.push(record);
      if (this.#last.length > LAST_CALLS) this.#last.shift();
    }
    const add = (direction: MessageRecord["direction"], sizeBytes: number, summary: () => string) => {
      const { messages } = record;
      if (messages.length >= MESSAGES) {
        messages.splice(MESSAGES / 2, 1);
        record.omitted++;
      }
      messages.push({ atMs: at(), direction, sizeBytes, summary: summary() });
    };
    return {
      sent: (message, sizeBytes) => add("sent", sizeBytes, () => summarize(message)),
      received: (message, sizeBytes) => {
        this.#watch.message(method, sizeBytes);
        add("received", sizeBytes, () => summarize(message));
      },
      note: (text) => add("note", 0, () => text),
      end: (error, head, given = false) => {
        record.tookMs = round(performance.now() - startedMs);
        record.outcome = outcomeOf(error, given);
        if (!given) this.#watch.answer(method, error, head);
      },
    };
  }
}

function outcomeOf(error: unknown, given: boolean): string {
  if (error === undefined) return "OK";
  if (given) return "cancelled by the kit";
  if (error instanceof Fault) return `${error.code} / ${error.reason ?? "no reason"}: ${error.details.slice(0, 400)}`;
  return error instanceof Error ? error.message : String(error);
}

const round = (ms: number) => Math.round(ms * 10) / 10;

const ITEMS = 5;
const TEXT = 120;

/** A message as one line: bytes by size and digest, long texts and lists cut. */
export function summarize(message: unknown): string {
  return JSON.stringify(shorten(message, 0)) ?? "";
}

function shorten(value: unknown, depth: number): unknown {
  if (value instanceof Uint8Array) return bytesInShort(value);
  if (typeof value === "string") return value.length > TEXT ? `${value.slice(0, TEXT)}… (${value.length})` : value;
  if (typeof value !== "object" || value === null) return value;
  if (depth > 6) return "…";
  if (Array.isArray(value)) {
    const shown = value.slice(0, ITEMS).map((item) => shorten(item, depth + 1));
    return value.length > ITEMS ? [...shown, `… ${value.length} in all`] : shown;
  }
  const entries = Object.entries(value).filter(([, field]) => field !== null && field !== undefined);
  return Object.fromEntries(entries.map(([name, field]) => [name, shorten(field, depth + 1)]));
}

function bytesInShort(bytes: Uint8Array): string {
  if (bytes.length === 0) return "<0 bytes>";
  if (bytes.length <= 32) return `<${bytes.length} bytes ${Buffer.from(bytes).toString("hex")}>`;
  // A whole digest of each chunk would cost more than the chunk's way here.
  const head = createHash("sha256").update(bytes.subarray(0, 4096)).digest("hex").slice(0, 8);
  return `<${bytes.length} bytes, the first ${Math.min(bytes.length, 4096)} with sha256 ${head}…>`;
}
