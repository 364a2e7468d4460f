/**
 * Runs groups against a driver: one test after another, each with connections, keys and random choices of its own, so that
 * none depends on another. Whatever a driver does is a test's failure and nothing more: the run goes on.
 */
import { randomBytes } from "node:crypto";
import { callsOn } from "./calls.ts";
import { openScope, type PeerState, sleepFor } from "./context.ts";
import type { Context, Group, Test, Timers } from "./contract.ts";
import { noControl, StartedDriver } from "./control.ts";
import { Fault, KitError, NotRun, Silence } from "./faults.ts";
import { Observations } from "./observations.ts";
import { Recorder } from "./recorder.ts";
import { appliesTo, kindOf, type Means } from "./requirements.ts";
import {
  type DriverFacts,
  type Failed,
  type GroupResult,
  profilesOf,
  type RunResult,
  type TestResult,
} from "./results.ts";
import { ruleOf, select } from "./selection.ts";
import { type Target, Wire } from "./wire.ts";

export interface RunOptions {
  readonly groups: readonly Group[];
  /** The driver, and perhaps a replica of it. */
  readonly targets: readonly [Target, ...Target[]];
  /** How each of them is started; absent: they are there. */
  readonly start?: readonly string[];
  readonly kill?: string;
  readonly only?: readonly string[];
  readonly without?: readonly string[];
  /** Default 1. */
  readonly repeat?: number;
  readonly seed: number;
  /** Default: 10 s for an answer, 30 s for a listing or a stream's next message. */
  readonly patienceMs?: number;
  readonly localRoot?: string;
  /** Run what takes minutes too. */
  readonly slow?: boolean;
  /** The kit's own release, for the report. */
  readonly version: string;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: RunEvent) => void;
}

export type RunEvent =
  | { readonly type: "described"; readonly driver: DriverFacts | undefined; readonly error: string | undefined }
  | { readonly type: "group"; readonly group: Group }
  | { readonly type: "test"; readonly group: Group; readonly test: Test }
  | { readonly type: "result"; readonly group: Group; readonly result: TestResult }
  | { readonly type: "group-result"; readonly result: GroupResult };

const DESCRIBE_MS = 2_000;

export function timersOf(patienceMs: number | undefined): Timers {
  if (patienceMs !== undefined) return { unaryMs: patienceMs, listMs: patienceMs, streamMs: patienceMs };
  return { unaryMs: 10_000, listMs: 30_000, streamMs: 30_000 };
}

/**
 * @throws UnknownName for a name of `only` or `without` that there is not, KitError when the driver cannot be started
 */
export async function runKit(options: RunOptions): Promise<RunResult> {
  const groups = select(options.groups, options.only ?? [], options.without ?? []);
  const run = new Run(options);
  const startedAt = new Date();
  const startedMs = performance.now();
  try {
    await run.begin();
    const results: GroupResult[] = [];
    for (const group of groups) {
      if (options.signal?.aborted) break;
      results.push(await run.group(group));
    }
    const states = results.flatMap((group) => group.tests.map(({ state }) => state));
    const count = (wanted: string) => states.filter((state) => state === wanted).length;
    return {
      format: 1,
      kit: options.version,
      startedAt: startedAt.toISOString(),
      tookMs: Math.round(performance.now() - startedMs),
      addresses: options.targets.map(({ address }) => address),
      seed: options.seed,
      repeat: options.repeat ?? 1,
      filtered: (options.only ?? []).length + (options.without ?? []).length > 0 || options.signal?.aborted === true,
      ...(run.driver === undefined ? {} : { driver: run.driver }),
      groups: results,
      profiles: profilesOf(results),
      passed: count("passed"),
      failed: count("failed") + results.filter(({ error }) => error !== undefined).length,
      notClaimed: count("not-claimed"),
      notRun: count("not-run"),
      notes: run.notes,
    };
  } finally {
    await run.end();
  }
}

class Run {
  readonly notes: string[] = [];
  driver: DriverFacts | undefined;
  readonly #options: RunOptions;
  readonly #timers: Timers;
  readonly #peers: readonly [PeerState, ...PeerState[]];
  readonly #drivers: readonly StartedDriver[];
  readonly #means: Means;
  readonly #observations = new Observations();
  readonly #id = randomBytes(6).toString("hex");
  readonly #emit: (event: RunEvent) => void;
  #describeError: string | undefined;
  #tests = 0;
  /** Faults that nobody awaited, of whatever test runs. */
  #stray: ((error: unknown) => void) | undefined;
  readonly #onStray = (error: unknown) => {
    if (this.#stray === undefined) this.notes.push(`beside the tests: ${messageOf(error)}`);
    else this.#stray(error);
  };

  constructor(options: RunOptions) {
    this.#options = options;
    this.#timers = timersOf(options.patienceMs);
    this.#emit = options.onEvent ?? (() => {});
    const [first, ...others] = options.targets.map((target, index) => this.#peer(target, index));
    if (first === undefined) throw new KitError("no address");
    this.#peers = [first, ...others];
    this.#drivers = this.#peers.map(({ control }) => control).filter((control) => control instanceof StartedDriver);
    this.#means = {
      start: options.start !== undefined,
      replicas: options.targets.length > 1,
      localRoot: options.localRoot !== undefined,
      slow: options.slow ?? false,
    };
  }

  async begin(): Promise<void> {
    process.on("uncaughtException", this.#onStray).on("unhandledRejection", this.#onStray);
    const [first, ...replicas] = this.#peers;
    if (first.control instanceof StartedDriver) await first.control.start();
    try {
      first.described ??= await this.#describe(first);
      this.driver = factsOf(first);
    } catch (error) {
      this.#describeError = messageOf(error);
    }
    this.#emit({ type: "described", driver: this.driver, error: this.#describeError });
    const claimed = first.described?.stores.some(({ capabilities }) => capabilities.includes("REPLICAS")) === true;
    // A second process on a store that must be alone would only be refused.
    if (!claimed) return;
    for (const replica of replicas) {
      if (replica.control instanceof StartedDriver) await replica.control.start();
      replica.described ??= await this.#describe(replica);
    }
  }

  async end(): Promise<void> {
    for (const driver of this.#drivers) await driver.close();
    process.off("uncaughtException", this.#onStray).off("unhandledRejection", this.#onStray);
  }

  async group(group: Group): Promise<GroupResult> {
    this.#emit({ type: "group", group });
    const { name, profile, summary } = group;
    const tests: TestResult[] = [];
    let error: string | undefined;
    const needsClaim = group.requires.store !== undefined || group.requires.capability !== undefined;
    if (this.driver === undefined && needsClaim) {
      error = `it cannot begin, because the driver does not describe itself: ${this.#describeError}`;
    }
    for (const test of group.tests) {
      if (this.#options.signal?.aborted) break;
      const result = error === undefined ? await this.#test(group, test) : skipped(test, "not-run", error);
      tests.push(result);
      this.#emit({ type: "result", group, result });
    }
    const result = { name, profile, summary, ...(error === undefined ? {} : { error }), tests };
    this.#emit({ type: "group-result", result });
    return result;
  }

  async #test(group: Group, test: Test): Promise<TestResult> {
    const applies = appliesTo(this.#peers[0].described, this.#means, group.requires, test.requires);
    if (!applies.applies) {
      const slow = applies.state === "not-run" && applies.slow ? { slow: true as const } : {};
      return { ...skipped(test, applies.state, applies.why), ...slow };
    }
    this.#emit({ type: "test", group, test });
    const startedMs = performance.now();
    const notes: string[] = [];
    const repeat = this.#options.repeat ?? 1;
    let failure: Failed | NotRun | undefined;
    let runs = 0;
    while (runs < repeat && failure === undefined && !this.#options.signal?.aborted) {
      runs++;
      failure = await this.#once(test, runs, notes);
    }
    if (failure instanceof NotRun) return skipped(test, "not-run", failure.message);
    return {
      id: ruleOf(test),
      test: test.id,
      title: test.title,
      state: failure === undefined ? "passed" : "failed",
      tookMs: Math.round(performance.now() - startedMs),
      runs,
      notes: [...new Set(notes)],
      ...(failure === undefined ? {} : { failure }),
    };
  }

  async #once(test: Test, run: number, notes: string[]): Promise<Failed | NotRun | undefined> {
    const seed = this.#options.seed + run - 1;
    const over = new AbortController();
    const signals = [over.signal, ...(this.#options.signal === undefined ? [] : [this.#options.signal])];
    const scope = openScope({
      peers: this.#peers,
      test: test.id,
      prefix: `kit/${this.#id}/${++this.#tests}/`,
      seed,
      timers: this.#timers,
      signal: AbortSignal.any(signals),
      localRoot: this.#options.localRoot,
      observations: this.#observations,
    });
    const failed = (error: unknown): Failed => {
      const { records, omitted } = scope.recorder.calls;
      const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {};
      return { message: messageOf(error), ...stack, run, seed, calls: records, omittedCalls: omitted };
    };
    try {
      await this.#running();
      await this.#within(test, scope.context, over);
      return undefined;
    } catch (error) {
      return error instanceof NotRun ? error : failed(error);
    } finally {
      over.abort(new KitError("the test is over"));
      await scope.close();
      notes.push(...scope.notes);
      const left = await this.#cleanUp(scope);
      if (left !== undefined) this.notes.push(`${test.id} left something behind: ${left}`);
    }
  }

  async #cleanUp(scope: ReturnType<typeof openScope>): Promise<string | undefined> {
    try {
      await this.#running();
      const left = await scope.cleanUp();
      return left.length === 0 ? undefined : left.join("; ");
    } catch (error) {
      return messageOf(error);
    }
  }

  /** The test's own work, ended by its time or by a stray fault. */
  async #within(test: Test, context: Context, over: AbortController): Promise<void> {
    const patienceMs = Math.max(this.#timers.unaryMs, this.#timers.streamMs);
    const timeoutMs = (test.timeoutMs ?? 30_000) + 4 * patienceMs;
    const late = sleepFor(timeoutMs, over.signal).then(() => {
      throw new KitError(`the test did not end within ${timeoutMs} ms`);
    });
    const stray = new Promise<never>((_, reject) => {
      this.#stray = reject;
    });
    const interrupted = new Promise<never>((_, reject) => {
      const { signal } = this.#options;
      signal?.addEventListener("abort", () => reject(new KitError("interrupted")), { once: true, signal: over.signal });
    });
    const work = test.run(context);
    // Once the race is lost, what else they say is of no interest.
    for (const loser of [late, stray, interrupted, work]) loser.catch(() => {});
    try {
      await Promise.race([work, late, stray, interrupted]);
    } finally {
      this.#stray = () => {};
    }
  }

  /** A test may have left the driver dead, or with flags of its own. */
  async #running(): Promise<void> {
    for (const { control, described } of this.#peers) {
      if (!(control instanceof StartedDriver) || described === undefined || control.asGiven) continue;
      if (control.running) await control.kill();
      await control.start();
    }
  }

  #peer(target: Target, index: number): PeerState {
    const { start, kill } = this.#options;
    const command = start?.[index] ?? start?.[0];
    if (command === undefined) return { target, control: noControl(), described: undefined };
    const answers = async () => {
      try {
        state.described = await this.#describe(state);
        return true;
      } catch (error) {
        // A wrong answer is an answer: what is wrong with it is told by the tests.
        return !(error instanceof Silence) && !(error instanceof Fault && error.code === "UNAVAILABLE");
      }
    };
    const control = new StartedDriver({
      address: target.address,
      start: command,
      ...(kill === undefined ? {} : { kill }),
      answers,
    });
    const state: PeerState = { target, control, described: undefined };
    return state;
  }

  async #describe(peer: PeerState) {
    const wire = new Wire(peer.target, new Recorder(this.#observations.during("Describe")));
    // All else depends on it: a small --patience is not meant for it.
    const timers = { ...this.#timers, unaryMs: Math.max(this.#timers.unaryMs, DESCRIBE_MS) };
    try {
      const calls = callsOn(wire, { timers, storeId: () => undefined });
      return await calls.handshake.describe(describeRequest(this.#options.version));
    } finally {
      wire.close();
    }
  }
}

/** As a core would ask. */
function describeRequest(version: string) {
  return { coreName: "outrigger-conformance", coreVersion: version, apis: {} };
}

function factsOf({ described }: PeerState): DriverFacts | undefined {
  if (described === undefined) return undefined;
  return {
    name: described.driver,
    version: described.version,
    apis: Object.entries(described.apis).flatMap(([api, { versions }]) =>
      versions.map(({ major, minor }) => `${api} ${major}.${minor}`),
    ),
    stores: described.stores.map((store) => ({
      kind: kindOf(store) ?? String(store.kind),
      id: store.id,
      capabilities: store.capabilities,
    })),
  };
}

function skipped(test: Test, state: "not-claimed" | "not-run", why: string): TestResult {
  return { id: ruleOf(test), test: test.id, title: test.title, state, why, tookMs: 0, runs: 0, notes: [] };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
