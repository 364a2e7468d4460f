/** One call as it goes by: measured, put into words, recorded. */

import type { IncomingHttpHeaders } from "node:http2";
import { status as Code, Metadata } from "@grpc/grpc-js";
import { fromStatus } from "../../proto/errors.ts";
import type { Method } from "../rpc/schema.ts";
import { formatBytes, formatMs } from "../terminal.ts";
import { CallWords } from "./describe-call.ts";
import { Frames, type SeenMessage } from "./frames.ts";
import type { CallSeen } from "./proxy.ts";
import type { CallRecorder } from "./recording.ts";

export interface SeenCallParts {
  readonly path: string;
  /** `undefined`: not of the contract (reflection). */
  readonly method: Method | undefined;
  readonly recorder: CallRecorder | undefined;
  /** One line when the call is over. */
  print(line: string): void;
}

export interface Outcome {
  readonly code: number;
  /** "" without. */
  readonly reason: string;
  readonly message: string;
}

export class SeenCall implements CallSeen {
  readonly #parts: SeenCallParts;
  readonly #startedMs = performance.now();
  readonly #startedAt = new Date();
  readonly #words: CallWords | undefined;
  readonly #requests: Frames;
  readonly #answers: Frames;

  constructor(parts: SeenCallParts, headers: IncomingHttpHeaders) {
    this.#parts = parts;
    this.#words = parts.method === undefined ? undefined : new CallWords(parts.method);
    parts.recorder?.call(parts.path, metadataOf(headers));
    this.#requests = new Frames((message) => this.#request(message));
    this.#answers = new Frames((message) => this.#answer(message));
  }

  request(data: Buffer): void {
    this.#requests.push(data);
  }

  requestEnd(): void {
    this.#parts.recorder?.requestEnd();
  }

  answerHead(): void {}

  answer(data: Buffer): void {
    this.#answers.push(data);
  }

  end(trailers: IncomingHttpHeaders | undefined, brokenBy: "core" | "driver" | undefined): void {
    const outcome = brokenBy === undefined && trailers !== undefined ? outcomeOf(trailers) : undefined;
    this.#parts.recorder?.end(outcome, brokenBy);
    const ended =
      outcome === undefined
        ? brokenBy === "core"
          ? "given up by the core"
          : "broken by the driver"
        : `${Code[outcome.code] ?? outcome.code}${outcome.reason === "" ? "" : `/${outcome.reason}`}`;
    const sizes = `${formatBytes(this.#requests.totalBytes)} in, ${formatBytes(this.#answers.totalBytes)} out`;
    const said = outcome !== undefined && outcome.code !== Code.OK ? ` (${outcome.message})` : "";
    this.#parts.print(
      [
        this.#startedAt.toISOString().slice(11, 23),
        formatMs(performance.now() - this.#startedMs).padStart(9),
        (this.#parts.method?.name ?? this.#parts.path).replace("Service.", ".").padEnd(18),
        ended.padEnd(2),
        sizes,
        `${this.#words ?? ""}${said}`,
      ]
        .join("  ")
        .replaceAll(/[\n\r]+/g, " ")
        // A digest is known by its beginning.
        .replaceAll(/[0-9a-f]{64,128}/g, (hex) => `${hex.slice(0, 12)}…`)
        .trimEnd(),
    );
  }

  #request(message: SeenMessage): void {
    this.#parts.recorder?.message("request", message);
    if (message.data !== undefined) tryTo(() => this.#words?.request(message.data as Buffer));
  }

  #answer(message: SeenMessage): void {
    this.#parts.recorder?.message("answer", message);
    if (message.data !== undefined) tryTo(() => this.#words?.answer(message.data as Buffer));
  }
}

/** Garbage is passed on and counted, not understood. */
function tryTo(read: () => void): void {
  try {
    read();
  } catch {}
}

/** What the trailers say. */
function outcomeOf(trailers: IncomingHttpHeaders): Outcome {
  const code = Number(trailers["grpc-status"] ?? Code.UNKNOWN);
  const text = String(trailers["grpc-message"] ?? "");
  const message = tryDecode(text);
  const details = trailers["grpc-status-details-bin"];
  const metadata = new Metadata();
  if (typeof details === "string") metadata.set("grpc-status-details-bin", Buffer.from(details, "base64"));
  return { code, reason: fromStatus(code, message, metadata)?.reason ?? "", message };
}

function tryDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Without what belongs to the connection, and without secrets. */
function metadataOf(headers: IncomingHttpHeaders): Record<string, string> {
  const left = [
    "te",
    "content-type",
    "user-agent",
    "grpc-accept-encoding",
    "accept-encoding",
    "authorization",
    "cookie",
  ];
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      name.startsWith(":") || left.includes(name) || value === undefined ? [] : [[name, String(value)]],
    ),
  );
}
