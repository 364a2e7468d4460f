/** Keeps one child process running: starts it again when it dies, with back-off, until it is told to stop. */
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { Failure } from "./failure.ts";
import { isReadyMessage } from "./self.ts";

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5_000;
const PROBE_EVERY_MS = 20;
/** Who served for so long starts again without delay. */
const STEADY_MS = 10_000;

export interface SupervisorOptions {
  /** "driver", "registry": for sentences. */
  readonly name: string;
  start(): ChildProcess;
  /** Asked every few milliseconds after a start: the address, once it can be reached. Absent: the child tells it itself. */
  probe?(): Promise<string | undefined>;
  /** Every line that it writes, to either stream. */
  onLine(line: string): void;
  /** It died after it had been ready, and is started again after delayMs. */
  onRestart(why: string, delayMs: number): void;
}

export interface Supervisor {
  readonly name: string;
  /**
   * The address it announced first. Rejects when it ends before that: what keeps it from starting will not go away by
   * trying again.
   */
  readonly ready: Promise<string>;
  signal(signal: NodeJS.Signals): void;
  /** Sends SIGTERM, after graceMs SIGKILL; resolves when it is gone. */
  stop(graceMs: number): Promise<void>;
}

export function supervise(options: SupervisorOptions): Supervisor {
  const first = deferred<string>();
  // Who only stops it need not look at this.
  first.promise.catch(() => undefined);
  const gone = deferred<void>();
  let child: ChildProcess | undefined;
  let timer: NodeJS.Timeout | undefined;
  /** Lines of a start: a failed one's last line is told by `ready`, not twice. */
  const held: string[] = [];
  let wasReady = false;
  let stopping = false;
  let delayMs = FIRST_DELAY_MS;

  function start(): void {
    timer = undefined;
    const current = options.start();
    child = current;
    const startedMs = performance.now();
    let lastLine = "";
    const onLine = (line: string) => {
      if (line.trim() === "") return;
      lastLine = line;
      if (wasReady) options.onLine(line);
      else held.push(line);
    };
    readLines(current.stdout, onLine);
    readLines(current.stderr, onLine);
    const isUp = (address: string) => {
      wasReady = true;
      for (const line of held.splice(0)) options.onLine(line);
      first.resolve(address);
    };
    current.on("message", (message) => {
      if (isReadyMessage(message)) isUp(message.address);
    });
    if (options.probe !== undefined) watch(current, options.probe, isUp);
    // "close" comes after the last line was read.
    current.once("close", (code, signal) => ended(why(code, signal, lastLine), performance.now() - startedMs));
    current.once("error", (error) => {
      if (current.pid === undefined) ended(`it cannot be started: ${error.message}`, 0);
    });
  }

  /** Asks until it is reached or gone. */
  function watch(
    current: ChildProcess,
    probe: () => Promise<string | undefined>,
    isUp: (address: string) => void,
  ): void {
    const ask = async () => {
      const address = await probe();
      if (child !== current) return;
      if (address !== undefined) isUp(address);
      else setTimeout(() => void ask(), PROBE_EVERY_MS);
    };
    void ask();
  }

  function ended(reason: string, livedMs: number): void {
    child = undefined;
    if (stopping) {
      gone.resolve();
      return;
    }
    if (!wasReady) {
      stopping = true;
      gone.resolve();
      for (const line of held.slice(0, -1)) options.onLine(line);
      first.reject(new Failure(`the ${options.name} does not start: ${reason}`));
      return;
    }
    delayMs = livedMs >= STEADY_MS ? FIRST_DELAY_MS : Math.min(delayMs * 2, LONGEST_DELAY_MS);
    options.onRestart(reason, delayMs);
    timer = setTimeout(start, delayMs);
  }

  start();
  return {
    name: options.name,
    ready: first.promise,
    signal(signal) {
      child?.kill(signal);
    },
    async stop(graceMs) {
      stopping = true;
      clearTimeout(timer);
      if (child === undefined) return;
      const current = child;
      const killer = setTimeout(() => current.kill("SIGKILL"), graceMs);
      current.kill("SIGTERM");
      await gone.promise;
      clearTimeout(killer);
    },
  };
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Promise.withResolvers, which Node 20 lacks. */
function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

function readLines(stream: Readable | null, onLine: (line: string) => void): void {
  if (stream !== null) createInterface({ input: stream }).on("line", onLine);
}

/** How it ended, by its own last words where it has some. */
function why(code: number | null, signal: NodeJS.Signals | null, lastLine: string): string {
  if (signal !== null) return `killed by ${signal}`;
  const words = messageOf(lastLine);
  return words === "" ? `it ended with exit code ${code}` : words;
}

/** A line's message, whether it is a JSON log line or plain. */
export function messageOf(line: string): string {
  if (line.startsWith("{")) {
    try {
      const { msg } = JSON.parse(line);
      if (typeof msg === "string") return msg;
    } catch {
      // Not JSON after all.
    }
  }
  return line.replace(/^outrigger: /, "").trim();
}
