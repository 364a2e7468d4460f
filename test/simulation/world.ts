/**
 * Time and the processes in it. One queue of events; each event is one step: it runs, then everything it set in motion
 * settles before the next one. No socket, no timer of the machine, no chance but the seed's.
 */
import type { Clock } from "../../proto/clock.ts";
import type { Coverage } from "./coverage.ts";
import type { Random } from "./random.ts";

/** Unix ms at which every simulation begins. */
export const EPOCH_MS = 1_700_000_000_000;

interface Event {
  readonly timeMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** A rule that was broken: what the simulation is there to find. */
export class Violation extends Error {
  readonly rule: string;

  constructor(rule: string, message: string, cause?: unknown) {
    super(`${rule}: ${message}`, cause === undefined ? undefined : { cause });
    this.name = "Violation";
    this.rule = rule;
  }
}

export class World {
  /** Virtual ms since the beginning. */
  nowMs = 0;
  steps = 0;
  violation: Violation | undefined;
  /** Lines of what happened; kept only where a failure is told again. */
  readonly trace: string[] | undefined;
  readonly random: Random;
  readonly coverage: Coverage;
  #order = 0;
  readonly #heap: Event[] = [];

  constructor(random: Random, coverage: Coverage, trace: boolean) {
    this.random = random;
    this.coverage = coverage;
    this.trace = trace ? [] : undefined;
  }

  note(line: () => string): void {
    if (this.trace !== undefined) this.trace.push(`${this.nowMs.toFixed(1).padStart(9)} ms  ${line()}`);
  }

  /** Keeps the first violation: the ones after it are often its consequences. */
  fail(rule: string, message: string, cause?: unknown): void {
    if (this.violation !== undefined) return;
    this.violation = cause instanceof Violation ? cause : new Violation(rule, message, cause);
    this.note(() => `VIOLATION ${this.violation?.message}`);
  }

  /** Counts that the rule was looked at, and fails where it does not hold. */
  expect(rule: string, holds: boolean, message: () => string): void {
    this.coverage.count(`rule ${rule}`);
    if (!holds) this.fail(rule, message());
  }

  /** Runs once at `delayMs` from now; the answer cancels it. */
  after(delayMs: number, run: () => void): () => void {
    const event: Event = { timeMs: this.nowMs + Math.max(0, delayMs), order: this.#order++, run };
    push(this.#heap, event);
    return () => {
      event.run = undefined;
    };
  }

  /** One event; what follows from it is `settled`'s. False: nothing is left to happen. */
  step(): boolean {
    for (;;) {
      const event = pop(this.#heap);
      if (event === undefined) return false;
      const { run } = event;
      if (run === undefined) continue;
      this.nowMs = event.timeMs;
      this.steps++;
      try {
        run();
      } catch (error) {
        this.fail("nothing throws into its caller", String(error), error);
      }
      return true;
    }
  }
}

/**
 * Resolves once no promise of the process has anything left to do. One at a time: each step waits for it before the next.
 * Promises are through after every single immediate, so that many are asked for at once: a turn of the event loop for each
 * step would cost more than most steps.
 */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    const before = waiting;
    waiting =
      before === undefined
        ? resolve
        : () => {
            before();
            resolve();
          };
    if (turns > 0) return;
    turns = TURNS_AT_ONCE;
    for (let turn = 0; turn < TURNS_AT_ONCE; turn++) setImmediate(takeTurn);
  });
}

const TURNS_AT_ONCE = 32;
/** Immediates that are still to come. */
let turns = 0;
let waiting: (() => void) | undefined;

function takeTurn(): void {
  turns--;
  const resolve = waiting;
  waiting = undefined;
  resolve?.();
}

/** One life of a process: what it started is gone with it, and nothing it does afterwards has an effect. */
export class Life {
  readonly name: string;
  readonly world: World;
  readonly clock: Clock;
  alive = true;
  stopped = false;
  /** What the wall clock of its machine is off by; may be changed at any time. */
  skewMs: number;
  #backlog: (() => void)[] = [];
  readonly #deathbed = new Set<() => void>();

  constructor(name: string, world: World, skewMs = 0) {
    this.name = name;
    this.world = world;
    this.skewMs = skewMs;
    this.clock = {
      now: () => Math.floor(EPOCH_MS + world.nowMs + this.skewMs),
      monotonic: () => world.nowMs,
      after: (ms, run) => this.after(ms, run),
    };
  }

  /** Runs `run` inside this process after `ms`: late if it is stopped then, never once it is dead. */
  after(ms: number, run: () => void): () => void {
    let cancelled = false;
    const cancel = this.world.after(ms, () =>
      this.enter(() => {
        if (!cancelled) run();
      }),
    );
    return () => {
      cancelled = true;
      cancel();
    };
  }

  enter(run: () => void): void {
    if (!this.alive) return;
    if (this.stopped) this.#backlog.push(run);
    else run();
  }

  /** SIGSTOP: time passes, nothing runs. */
  stop(): void {
    this.stopped = true;
  }

  /** SIGCONT: what waited runs now, event by event. */
  resume(): void {
    this.stopped = false;
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const run of backlog) this.world.after(0, () => this.enter(run));
  }

  /** kill -9. */
  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    this.#backlog = [];
    for (const told of this.#deathbed) told();
    this.#deathbed.clear();
  }

  /** What the outside notices when the process dies: its connections break. */
  onDeath(told: () => void): () => void {
    this.#deathbed.add(told);
    return () => this.#deathbed.delete(told);
  }
}

function before(a: Event, b: Event): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.order < b.order);
}

function push(heap: Event[], event: Event): void {
  let i = heap.length;
  heap.push(event);
  while (i > 0) {
    const parent = (i - 1) >> 1;
    const above = heap[parent] as Event;
    if (!before(event, above)) break;
    heap[i] = above;
    i = parent;
  }
  heap[i] = event;
}

function pop(heap: Event[]): Event | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (first === undefined || last === undefined || heap.length === 0) return first;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++;
    const below = heap[child] as Event;
    if (!before(below, last)) break;
    heap[i] = below;
    i = child;
  }
  heap[i] = last;
  return first;
}
