/** The driver as a process that the kit starts and kills. It believes neither: it looks whether somebody answers. */
import { type ChildProcess, spawn } from "node:child_process";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Control, Ended, RunCommandOptions } from "./contract.ts";
import { KitError } from "./faults.ts";

export interface ControlOptions {
  readonly address: string;
  /** Run by sh; ADDR and OUTRIGGER_LISTEN are in its environment, further flags are added to its end. */
  readonly start: string;
  /** Instead of SIGKILL to the process group; run by sh with ADDR in its environment. */
  readonly kill?: string;
  /** Whether it answers as a driver; rejects or resolves with false while it does not. */
  answers(): Promise<boolean>;
  /** How long it may take to answer; default 60 s. */
  readonly startMs?: number;
  /** How long it may go on answering after a kill; default 15 s. */
  readonly deathMs?: number;
}

const START_MS = 60_000;
/** At another address: a driver that is deaf to it would be waited for in each test. */
const START_ELSEWHERE_MS = 20_000;
/** How long what started a container may outlive it before the kit goes on. */
const STARTER_MS = 500;
const DEATH_MS = 15_000;
const KEPT_WORDS = 16_384;

/** Without --start: every use says what to give. */
export function noControl(): Control {
  const refuse = () => Promise.reject(new KitError("this needs --start CMD"));
  const elsewhere = () => {
    throw new KitError("this needs --start CMD");
  };
  return { kill: refuse, start: refuse, run: refuse, stop: refuse, running: false, elsewhere };
}

interface Child {
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
  end: Ended | undefined;
  said: string;
}

export class StartedDriver implements Control {
  readonly #options: ControlOptions;
  #child: Child | undefined;
  #flags: readonly string[] = [];

  constructor(options: ControlOptions) {
    this.#options = options;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.end === undefined;
  }

  /** Runs as the command line says, without the flags of a test. */
  get asGiven(): boolean {
    return this.running && this.#flags.length === 0;
  }

  async start(flags: readonly string[] = []): Promise<void> {
    const { address, startMs = START_MS } = this.#options;
    if (this.running) throw new KitError("the driver is running already");
    if (await listens(address)) throw new KitError(`something else answers at ${address}: the kit starts the driver`);
    const child = this.#spawn(flags);
    this.#child = child;
    this.#flags = flags;
    const deadline = performance.now() + startMs;
    while (!(await this.#answers())) {
      if (child.end !== undefined) {
        const { code, signal } = child.end;
        throw new KitError(`the driver ended (${signal ?? `exit ${code}`}) before it answered; it said: ${child.said}`);
      }
      if (performance.now() > deadline) {
        signalGroup(child.process, "SIGKILL");
        throw new KitError(
          `the driver did not answer at ${address} (OUTRIGGER_LISTEN) within ${startMs} ms; it said: ${child.said}`,
        );
      }
      await sleep(20);
    }
  }

  elsewhere(address: string): StartedDriver {
    const { answers: _, ...options } = this.#options;
    return new StartedDriver({
      ...options,
      address,
      answers: () => listens(address),
      startMs: START_ELSEWHERE_MS,
    });
  }

  async run(
    flags: readonly string[],
    { environment = {}, withinMs = START_MS }: RunCommandOptions = {},
  ): Promise<Ended & { readonly said: string }> {
    const child = this.#spawn(flags, environment);
    const late = sleep(withinMs, undefined, { ref: false });
    const end = await Promise.race([child.ended, late]);
    if (end !== undefined) return { ...end, said: child.said };
    signalGroup(child.process, "SIGKILL");
    await child.ended;
    throw new KitError(`the command ${["CMD", ...flags].join(" ")} did not end within ${withinMs} ms: ${child.said}`);
  }

  async kill(): Promise<void> {
    const { address, kill, deathMs = DEATH_MS } = this.#options;
    if (this.#child === undefined) throw new KitError("the driver was not started");
    if (kill !== undefined) await this.#runKill(kill);
    else signalGroup(this.#child.process, "SIGKILL");
    const deadline = performance.now() + deathMs;
    // A process that was started elsewhere (a container) may leave its starter behind: what counts is the address.
    while (await listens(address)) {
      if (performance.now() > deadline) throw new KitError(`the driver at ${address} still answers after the kill`);
      await sleep(10);
    }
    // Its own child has to be gone; what a kill command leaves of it is given a moment to be seen gone.
    if (kill === undefined) await this.#gone(this.#child, deadline);
    else await Promise.race([this.#child.ended, sleep(STARTER_MS, undefined, { ref: false })]);
  }

  async stop(withinMs: number): Promise<Ended | undefined> {
    const child = this.#child;
    if (child === undefined) throw new KitError("the driver was not started");
    const startedMs = performance.now();
    signalGroup(child.process, "SIGTERM");
    const end = await Promise.race([child.ended, sleep(withinMs, undefined, { ref: false })]);
    return end === undefined ? undefined : { ...end, tookMs: performance.now() - startedMs };
  }

  /** At the run's end: politely, then not, and whatever the command left in its group too. Never throws. */
  async close(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    if (child.end === undefined) await this.stop(6_000);
    signalGroup(child.process, "SIGKILL");
    await Promise.race([child.ended, sleep(1_000, undefined, { ref: false })]);
  }

  #spawn(flags: readonly string[], environment: Readonly<Record<string, string>> = {}): Child {
    const { address, start } = this.#options;
    const startedMs = performance.now();
    // A simple command takes the shell's place, so that signals and the exit code are the driver's own.
    const simple = !/[;&|<>()$`"'\\\n#]|^\s*(?:exec|\w+=)/.test(start);
    // Told once: by the flag, where there is one.
    const listen = flags.includes("--listen") ? undefined : address;
    const process_ = spawn("/bin/sh", ["-c", `${simple ? "exec " : ""}${start} "$@"`, "sh", ...flags], {
      env: { ...process.env, ADDR: address, OUTRIGGER_LISTEN: listen, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const child: Child = { process: process_, end: undefined, said: "", ended: undefined as never };
    const hear = (text: Buffer) => {
      child.said = `${child.said}${text}`.slice(-KEPT_WORDS);
    };
    process_.stdout?.on("data", hear);
    process_.stderr?.on("data", hear);
    const ended = new Promise<Ended>((resolve) => {
      const finish = (code: number | null, signal: NodeJS.Signals | null) => {
        child.end ??= { code, signal, tookMs: performance.now() - startedMs };
        resolve(child.end);
      };
      process_.once("exit", finish);
      process_.once("error", (error) => {
        child.said += error.message;
        finish(127, null);
      });
    });
    return Object.assign(child, { ended });
  }

  async #answers(): Promise<boolean> {
    try {
      return (await listens(this.#options.address)) && (await this.#options.answers());
    } catch {
      return false;
    }
  }

  async #runKill(command: string): Promise<void> {
    const killer = spawn("/bin/sh", ["-c", command], {
      env: { ...process.env, ADDR: this.#options.address, PID: String(this.#child?.process.pid ?? "") },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    killer.stderr.on("data", (text) => {
      said = `${said}${text}`.slice(-KEPT_WORDS);
    });
    const code = await new Promise<number | null>((resolve) =>
      killer.once("close", resolve).once("error", () => resolve(127)),
    );
    if (code !== 0) throw new KitError(`--kill ended with ${code}: ${said}`);
  }

  async #gone(child: Child, deadlineMs: number): Promise<void> {
    const left = Math.max(0, deadlineMs - performance.now());
    if ((await Promise.race([child.ended, sleep(left, undefined, { ref: false })])) === undefined)
      throw new KitError(`process ${child.process.pid} is still there after the kill`);
  }
}

/** The whole group that the kit made for it. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    // It has gone by itself; or its number is another's by now.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}

/** Whether anything accepts connections there. */
export function listens(address: string): Promise<boolean> {
  const path = address.startsWith("unix://") ? address.slice("unix://".length) : undefined;
  const bare = address.replace(/^dns:\/\/\//, "");
  const at = bare.lastIndexOf(":");
  const host = bare.slice(0, at).replace(/^\[(.*)\]$/, "$1");
  const socket = path === undefined ? connect(Number(bare.slice(at + 1)), host) : connect(path);
  return new Promise((resolve) => {
    const finish = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.setTimeout(2_000, () => finish(true));
    socket.once("connect", () => finish(true));
    socket.once("error", () => finish(false));
  });
}
