/**
 * A recording: JSON lines, the first of which says what it is; then what happened, in order. A file that ends in the
 * middle of a line is read up to there.
 */
import { createWriteStream, type WriteStream } from "node:fs";
import { open, rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { Failure } from "../failure.ts";
import type { SeenMessage } from "./frames.ts";
import type { Outcome } from "./seen-call.ts";

const FORMAT = { recording: "outrigger-tap", version: 1 } as const;

/** `at`: ms since the recording began; `call`: counts from 1. */
interface Event {
  readonly at: number;
  readonly call: number;
}

export interface CallEvent extends Event {
  readonly event: "call";
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface MessageEvent extends Event {
  readonly event: "request" | "answer";
  /** As it was on the wire. */
  readonly size: number;
  /** base64; shorter than `size` where --bytes cut it. */
  readonly data: string;
}

export interface RequestEndEvent extends Event {
  readonly event: "request-end";
}

export interface EndEvent extends Event {
  readonly event: "end";
  /** Absent where the call was broken off. */
  readonly outcome?: Outcome;
  readonly brokenBy?: "core" | "driver";
}

export type RecordedEvent = CallEvent | MessageEvent | RequestEndEvent | EndEvent;

export interface CallRecorder {
  call(path: string, metadata: Readonly<Record<string, string>>): void;
  message(event: "request" | "answer", message: SeenMessage): void;
  requestEnd(): void;
  end(outcome: Outcome | undefined, brokenBy: "core" | "driver" | undefined): void;
}

export class Recorder {
  readonly #file: WriteStream;
  readonly #startedMs = performance.now();
  readonly #keepBytes: number;
  #calls = 0;
  #room: Promise<void> | undefined;

  /** Rejects when the file can no longer be written. */
  readonly failed: Promise<never>;

  private constructor(file: WriteStream, keepBytes: number) {
    this.#file = file;
    this.#keepBytes = keepBytes;
    this.failed = new Promise((_, reject) => file.on("error", reject));
    // Whoever awaits it sees the failure; nobody has to.
    this.failed.catch(() => undefined);
  }

  /** @param keepBytes of each message. @throws Failure for a file that is there */
  static async open(path: string, keepBytes: number): Promise<Recorder> {
    const file = createWriteStream(path, { flags: "wx", highWaterMark: 1024 * 1024 });
    await new Promise<void>((resolve, reject) => {
      file.once("open", () => resolve());
      file.once("error", (error: NodeJS.ErrnoException) =>
        reject(
          error.code === "EEXIST"
            ? new Failure(`${path} is there already: name a new file to record to`, { cause: error })
            : error,
        ),
      );
    });
    const recorder = new Recorder(file, keepBytes);
    file.write(`${JSON.stringify({ ...FORMAT, startedMs: Date.now() })}\n`);
    return recorder;
  }

  next(): CallRecorder {
    this.#calls += 1;
    const call = this.#calls;
    const write = (event: object) =>
      this.#write({ at: Number((performance.now() - this.#startedMs).toFixed(2)), call, ...event });
    return {
      call: (path, metadata) => write({ event: "call", path, metadata }),
      message: (event, { sizeBytes, data }) =>
        write({ event, size: sizeBytes, data: data?.subarray(0, this.#keepBytes).toString("base64") ?? "" }),
      requestEnd: () => write({ event: "request-end" }),
      end: (outcome, brokenBy) => write({ event: "end", outcome, brokenBy }),
    };
  }

  /** Resolves when the disk has caught up; `undefined`: it has. */
  room(): Promise<void> | undefined {
    return this.#room;
  }

  #write(event: object): void {
    if (this.#file.write(`${JSON.stringify(event)}\n`) || this.#room !== undefined) return;
    this.#room = new Promise((resolve) => {
      const done = () => {
        this.#room = undefined;
        this.#file.off("drain", done).off("close", done);
        resolve();
      };
      this.#file.once("drain", done).once("close", done);
    });
  }

  /** Resolves when all of it is in the file, or it cannot be. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#file.destroyed) resolve();
      else this.#file.once("close", resolve).end();
    });
  }

  /** Nothing was recorded: the file goes. */
  async discard(): Promise<void> {
    await this.close();
    await rm(this.#file.path, { force: true });
  }
}

export interface Recording {
  /** Unix ms. */
  readonly startedMs: number;
  readonly events: AsyncIterable<RecordedEvent>;
}

/** @throws Failure for what is not a recording */
export async function openRecording(path: string): Promise<Recording> {
  const lines = linesOf(path);
  const { value: head } = await lines.next();
  const { recording, version, startedMs } = ((head ? parse(head) : undefined) ?? {}) as Record<string, unknown>;
  if (recording !== FORMAT.recording || typeof startedMs !== "number")
    throw new Failure(`${path} is not a recording of outrigger tap`);
  if (version !== FORMAT.version)
    throw new Failure(`${path} is a recording of version ${version}: this release reads ${FORMAT.version}`);
  return { startedMs, events: eventsIn(lines) };
}

async function* linesOf(path: string): AsyncGenerator<string, undefined> {
  // Opened before readline is asked: it loses an error of opening.
  const file = await open(path);
  yield* createInterface({ input: file.createReadStream(), crlfDelay: Number.POSITIVE_INFINITY });
  return undefined;
}

async function* eventsIn(lines: AsyncGenerator<string, undefined>): AsyncGenerator<RecordedEvent> {
  for await (const line of lines) {
    const event = parse(line);
    if (event === undefined) return;
    yield event as unknown as RecordedEvent;
  }
}

/** `undefined` for the last line of a tap that was killed. */
function parse(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
