/** Child processes of tests: started, waited for by what they say, stopped by their pid, and gone after the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { createInterface } from "node:readline";

export interface ProcessOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Resolves `start` with the first line, of either stream, that it holds for. */
  readonly ready: (line: string) => boolean;
  readonly readyMs?: number;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running child. Its lines of both streams are kept, for the message of a failure and for `line`. */
export class Running {
  readonly name: string;
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  /** Resolves when it has ended and everything it said is in `lines`. */
  readonly exited: Promise<Exit>;
  #exit: Exit | undefined;
  readonly #events = new EventEmitter().setMaxListeners(0);

  constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on("line", (line) => {
        this.lines.push(line);
        this.#events.emit("line", line);
      });
    }
    this.exited = once(child, "close").then(([code, signal]) => {
      this.#exit = { code, signal };
      this.#events.emit("exit");
      return this.#exit;
    });
    // Whoever awaits it sees the failure; nobody has to.
    this.exited.catch(() => {});
  }

  get pid(): number {
    const { pid } = this.child;
    if (pid === undefined) throw new Error(`${this.name} has no pid: it could not be started`);
    return pid;
  }

  get exit(): Exit | undefined {
    return this.#exit;
  }

  /**
   * The first line, said already (after the first `after` lines) or within `ms`, that `wanted` holds for.
   * @throws Error when it ends or is too slow
   */
  line(wanted: (line: string) => boolean, ms = 30_000, after = 0): Promise<string> {
    const said = this.lines.slice(after).find(wanted);
    if (said !== undefined) return Promise.resolve(said);
    return new Promise((resolve, reject) => {
      const finish = (act: () => void) => {
        clearTimeout(timer);
        this.#events.off("line", onLine).off("exit", onExit);
        act();
      };
      const onLine = (line: string) => {
        if (wanted(line)) finish(() => resolve(line));
      };
      const onExit = () =>
        finish(() =>
          reject(new Error(`${this.name} ended with ${this.#exit?.signal ?? this.#exit?.code}: ${this.tail()}`)),
        );
      const timer = setTimeout(
        () =>
          finish(() => reject(new Error(`${this.name} did not say what was waited for in ${ms} ms: ${this.tail()}`))),
        ms,
      );
      this.#events.on("line", onLine).on("exit", onExit);
      if (this.#exit !== undefined) onExit();
    });
  }

  /** Its last words. */
  tail(count = 12): string {
    return this.lines.length === 0 ? "(it said nothing)" : `\n${this.lines.slice(-count).join("\n")}`;
  }

  signal(name: NodeJS.Signals): void {
    if (this.#exit === undefined) process.kill(this.pid, name);
  }

  /** kill -9 and gone. */
  async kill(): Promise<void> {
    if (this.#exit === undefined && this.child.pid !== undefined) this.child.kill("SIGKILL");
    await this.exited.catch(() => {});
  }

  /** SIGTERM and gone; killed when it takes longer than `ms`. @returns how it ended */
  async stop(ms = 15_000): Promise<Exit> {
    if (this.#exit !== undefined) return this.#exit;
    this.signal("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), ms);
    return this.exited.finally(() => clearTimeout(timer));
  }
}

/** Starts a program and waits until it says that it is ready. @throws Error with its last words when it does not */
export async function start(
  name: string,
  program: string,
  args: readonly string[],
  options: ProcessOptions,
): Promise<Running> {
  const running = launch(name, program, args, options);
  try {
    await running.line(options.ready, options.readyMs);
  } catch (error) {
    await running.kill();
    throw error;
  }
  return running;
}

/** Starts a program without waiting for anything. */
export function launch(
  name: string,
  program: string,
  args: readonly string[],
  options: Pick<ProcessOptions, "cwd" | "env"> = {},
): Running {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return new Running(name, child);
}

/**
 * What a test has to take away again, in reverse order, also when it fails: `await using scope = new Scope()` is not
 * in Node 20, so `t.after(scope.close)`.
 */
export class Scope {
  readonly #closers: (() => Promise<unknown> | unknown)[] = [];
  #closed = false;

  /** @returns what it was given */
  add<Closable extends Running>(running: Closable): Closable {
    this.defer(() => running.kill());
    return running;
  }

  /** What comes when the scope has been closed (a restart that was under way) is closed at once; nobody waits for it. */
  defer(close: () => Promise<unknown> | unknown): void {
    this.#closers.push(close);
    // Its failure is the file's: an unhandled rejection.
    if (this.#closed) void this.close();
  }

  readonly close = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (let closer = this.#closers.pop(); closer !== undefined; closer = this.#closers.pop()) {
      try {
        await closer();
      } catch (error) {
        failures.push(error);
      }
    }
    this.#closed = true;
    if (failures.length > 0) throw new AggregateError(failures, "cleaning up failed");
  };
}
