/**
 * What a schedule is, before anything runs: all of it follows from the seed, and a failing one is shrunk by taking tasks
 * and faults out of it.
 */
import type { Weather } from "./network.ts";
import { Random } from "./random.ts";

/** What the schedule is about. */
export const kinds = ["stores", "fences", "budget", "registry"] as const;
export type Kind = (typeof kinds)[number];

/** One driver process on a disk, or two over one backend. */
export type Topology = "filesystem" | "replicas";

export type Side = "driver" | "core";

export type Fault =
  /** kill -9, started again after forMs. */
  | {
      readonly what: "kill";
      readonly side: Side;
      readonly index: number;
      readonly atMs: number;
      readonly forMs: number;
    }
  /** SIGSTOP, continued after forMs. */
  | {
      readonly what: "stop";
      readonly side: Side;
      readonly index: number;
      readonly atMs: number;
      readonly forMs: number;
    }
  /** The driver's machine loses power. */
  | { readonly what: "power"; readonly atMs: number; readonly forMs: number }
  | { readonly what: "full"; readonly atMs: number; readonly forMs: number; readonly freeBytes: number }
  /** The wall clock of a driver's machine is set. */
  | { readonly what: "clock"; readonly index: number; readonly atMs: number; readonly skewMs: number };

export interface Task {
  readonly atMs: number;
  readonly core: number;
  /** Everything the task decides comes from here. */
  readonly seed: number;
  readonly what: string;
}

export interface Plan {
  readonly seed: number;
  /** Everybody wants the same few things. */
  readonly hot: boolean;
  readonly kind: Kind;
  readonly topology: Topology;
  readonly cores: number;
  readonly coreMode: "many" | "one";
  readonly weather: Weather;
  readonly diskSlow: number;
  readonly backendFaults: number;
  readonly backendSlow: number;
  readonly persistStepBytes: number;
  readonly uploadBudgetBytes: number;
  /** How far the filesystem driver's log grows before it is written anew. */
  readonly compactBytes: number;
  readonly tasks: readonly Task[];
  readonly faults: readonly Fault[];
}

const weights: Record<Kind, Readonly<Record<string, number>>> = {
  stores: {
    "meta write": 14,
    "meta get": 8,
    "meta list": 2,
    "blob push": 8,
    "blob push in two": 3,
    "blob read": 6,
    "blob put": 4,
    "blob stat": 3,
    "blob delete": 2,
    "blob list": 1,
    "blob move": 1,
    "blob abort": 1,
  },
  fences: { "raw stream": 5, "raw commit": 2, "raw read": 2, "raw get": 1 },
  budget: { "blob push": 6, "blob read": 1 },
  registry: {
    "push image": 6,
    "pull image": 4,
    retag: 5,
    "read tag": 4,
    "delete tag": 2,
    "delete manifest": 3,
    "delete blob": 5,
    "push blob": 2,
    "mount blob": 2,
    "list tags": 2,
  },
};

export function makePlan(seed: number, only?: { readonly kind?: Kind; readonly topology?: Topology }): Plan {
  const random = new Random(seed);
  const kind = only?.kind ?? random.weighted({ stores: 56, fences: 17, budget: 2, registry: 25 });
  const topology = only?.topology ?? (random.chance(0.5) ? "filesystem" : "replicas");
  const stormy = random.chance(0.75);
  const weather: Weather = stormy
    ? {
        late: some(random, 0.02),
        cut: some(random, 0.02),
        hole: some(random, 0.004),
        repeat: some(random, 0.1),
      }
    : { late: 0, cut: 0, hole: 0, repeat: 0 };
  const lengthMs = random.pick(kind === "registry" ? [40, 150, 2_000, 15_000] : [60, 300, 2_000, 20_000]);
  const cores = kind === "budget" ? 1 : random.between(1, 3);
  const count = kind === "budget" ? 32 : kind === "registry" ? random.between(3, 7) : random.between(4, 11);
  const tasks: Task[] = [];
  for (let i = 0; i < count; i++) {
    tasks.push({
      atMs: kind === "budget" ? random.fraction() * 50 : random.fraction() * lengthMs,
      core: random.below(cores),
      seed: random.next(),
      what: random.weighted(weights[kind]),
    });
  }
  return {
    seed,
    hot: random.chance(0.5),
    kind,
    topology,
    cores,
    coreMode: kind === "registry" && random.chance(0.3) ? "one" : "many",
    weather,
    diskSlow: some(random, 0.01),
    backendFaults: topology === "replicas" ? some(random, 0.01) : 0,
    backendSlow: topology === "replicas" ? some(random, 0.01) : 0,
    persistStepBytes: kind === "budget" ? 4096 : random.pick([16, 64, 256]),
    uploadBudgetBytes: kind === "budget" ? random.between(64, 600) : 4096,
    compactBytes: random.pick([512, 2_048, 1_000_000]),
    tasks: tasks.sort((a, b) => a.atMs - b.atMs),
    faults: makeFaults(random, topology, cores, lengthMs),
  };
}

function makeFaults(random: Random, topology: Topology, cores: number, lengthMs: number): Fault[] {
  const faults: Fault[] = [];
  const count = random.pick([0, 1, 1, 2, 3, 5]);
  for (let i = 0; i < count; i++) {
    const atMs = random.fraction() * lengthMs;
    const side = random.chance(0.75) ? "driver" : "core";
    const index = side === "driver" ? random.below(topology === "replicas" ? 2 : 1) : random.below(cores);
    const forMs = random.pick([20, 200, 1_500]) * random.fraction();
    const what = random.weighted({ kill: 5, stop: 4, power: 2, full: 2, clock: 1.5 });
    if (what === "kill") faults.push({ what, side, index, atMs, forMs });
    else if (what === "stop") faults.push({ what, side, index, atMs, forMs: random.pick([forMs, 12_000, 40_000]) });
    else if (what === "clock") {
      faults.push({ what, index: random.below(2), atMs, skewMs: Math.round((random.fraction() - 0.5) * 1_800) });
    } else if (topology === "replicas") faults.push({ what: "kill", side, index, atMs, forMs });
    else if (what === "power") faults.push({ what, atMs, forMs });
    else faults.push({ what, atMs, forMs: forMs * 3, freeBytes: random.below(600) });
  }
  return faults.sort((a, b) => a.atMs - b.atMs);
}

/** Often none, mostly a little. */
function some(random: Random, most: number): number {
  return random.chance(0.3) ? 0 : random.fraction() * most;
}
