/** One schedule as it runs: the processes, what befalls them, the tasks, and the end at which all must be well again. */
import { pino } from "pino";
import type { Clock } from "../../proto/clock.ts";
import { hasReason, OutriggerError, type Reason } from "../../proto/errors.ts";
import { RegistryError } from "../../registry/errors.ts";
import type { Coverage } from "./coverage.ts";
import { SimDisk } from "./disk.ts";
import { type Mutation, NO_MUTATION } from "./mutation.ts";
import { CALM, Network, type Taps } from "./network.ts";
import type { Fault, Plan, Task } from "./plan.ts";
import { type BootedCore, bootCore, type DriverParts, openDriver } from "./processes.ts";
import { Random } from "./random.ts";
import { Backend } from "./shared-driver.ts";
import { WireWatch } from "./wire-watch.ts";
import { Life, settled, World } from "./world.ts";

export const silent = pino({ level: "silent" });

/** A schedule that runs longer than this never ends. */
const MOST_STEPS = 40_000;
/** Once everything is healed, what is under way must end within this time. */
const MOST_MS_HEALED = 150_000;

export interface DriverSlot {
  readonly name: string;
  readonly index: number;
  life: Life;
  up: boolean;
}

export interface CoreSlot {
  readonly name: string;
  readonly index: number;
  life: Life;
  core: BootedCore | undefined;
}

/** What a kind of schedule does. */
export interface Workload {
  task(task: Task, core: CoreSlot): Promise<void>;
  /** After all is healed and every task has ended, on a core that lives. */
  finish(core: CoreSlot): Promise<void>;
  /** After every step. */
  look?(): void;
}

export class Simulation {
  readonly plan: Plan;
  readonly world: World;
  readonly network: Network;
  readonly disk: SimDisk;
  readonly backend: Backend;
  readonly mutation: Mutation;
  readonly drivers: DriverSlot[] = [];
  readonly cores: CoreSlot[] = [];
  readonly watch: WireWatch;
  /** Request ids of calls that the network disturbed. */
  readonly disturbed = new Set<string>();
  /** Virtual ms until which a driver that was stopped may still finish what it had begun. */
  stoppedUntilMs = 0;
  healed = false;
  blobStoreId = "";
  readonly #random: Random;
  readonly #taps: Taps;
  #open = 0;

  constructor(plan: Plan, coverage: Coverage, mutation: Mutation = NO_MUTATION, trace = false) {
    this.plan = plan;
    this.mutation = mutation;
    const random = new Random(plan.seed ^ 0x5eed);
    this.#random = random;
    this.world = new World(random.fork(), coverage, trace);
    this.network = new Network(this.world, random.fork());
    this.disk = new SimDisk(this.world, random.fork());
    this.backend = new Backend(this.world, random.fork(), mutation.shared ?? {});
    this.watch = new WireWatch(this.world);
    this.#taps = {
      append: (metadata) => this.watch.append(metadata),
      disturbed: ({ requestId }) => {
        if (requestId !== undefined) this.disturbed.add(requestId);
      },
    };
  }

  get addresses(): readonly string[] {
    return this.drivers.map(({ name }) => name);
  }

  async run(workload: Workload): Promise<void> {
    const { plan, world } = this;
    await this.#begin();
    if (world.violation !== undefined) return;
    Object.assign(this.network.weather, plan.weather);
    this.disk.faults.slow = plan.diskSlow;
    this.backend.faults = plan.backendFaults;
    this.backend.slow = plan.backendSlow;
    let healMs = 1_000;
    const startMs = world.nowMs;
    for (const fault of plan.faults) {
      world.after(fault.atMs, () => this.#strike(fault));
      healMs = Math.max(healMs, fault.atMs + ("forMs" in fault ? fault.forMs : 0));
    }
    for (const task of plan.tasks) {
      healMs = Math.max(healMs, task.atMs + 500);
      this.#open++;
      world.after(task.atMs, () => {
        const slot = this.cores[task.core] as CoreSlot;
        this.#track(slot, `task ${task.what}`, () => workload.task(task, slot));
      });
    }
    world.after(healMs, () => this.#heal());
    await this.#until(startMs + healMs + MOST_MS_HEALED, () => this.healed && this.#open === 0, workload);
    if (world.violation !== undefined) return;
    // Requests that arrive again come before the last look.
    const calmMs = Math.max(world.nowMs, this.network.lastRepeatMs) + 1_000;
    world.after(calmMs - world.nowMs, () => undefined);
    await this.#until(calmMs + 1, () => world.nowMs >= calmMs, workload);
    if (world.violation !== undefined) return;
    const slot = this.cores[0] as CoreSlot;
    this.#open++;
    this.#track(slot, "the last look", () => workload.finish(slot));
    await this.#until(world.nowMs + MOST_MS_HEALED, () => this.#open === 0, workload);
  }

  /** Everything is started before anything goes wrong. */
  async #begin(): Promise<void> {
    const { plan, world } = this;
    const drivers = plan.topology === "replicas" ? 2 : 1;
    for (let index = 0; index < drivers; index++) {
      const slot = { name: `driver-${index}`, index, life: new Life(`driver-${index}`, world), up: false };
      slot.life.alive = false;
      this.drivers.push(slot);
      this.#startDriver(slot);
    }
    await this.#until(60_000, () => this.drivers.every(({ up }) => up));
    for (let index = 0; index < plan.cores; index++) {
      const slot: CoreSlot = { name: `core-${index}`, index, life: new Life(`core-${index}`, world), core: undefined };
      slot.life.alive = false;
      this.cores.push(slot);
      this.#startCore(slot);
    }
    await this.#until(world.nowMs + 60_000, () => {
      const ready = this.cores.filter(({ core }) => (plan.kind === "registry" ? core?.started : core?.connected));
      return ready.length === (plan.coreMode === "one" ? 1 : this.cores.length);
    });
    if (world.violation === undefined) {
      this.blobStoreId = this.cores.find(({ core }) => core?.connected)?.core?.blobs.facts.id ?? "";
    }
  }

  /** Steps until `done`, a violation, or too long. */
  async #until(deadlineMs: number, done: () => boolean, workload?: Workload): Promise<void> {
    const { world } = this;
    await settled();
    while (!done() && world.violation === undefined) {
      if (!world.step()) {
        world.fail("nothing hangs", "nothing is left to happen, and not everything has ended");
        break;
      }
      await settled();
      workload?.look?.();
      if (world.nowMs > deadlineMs) world.fail("nothing hangs", `${this.#open} tasks have not ended in time`);
      if (world.steps > MOST_STEPS) world.fail("nothing goes on for ever", `${world.steps} steps`);
    }
  }

  /** A task ends with its process. What it throws is a mistake of the simulation or of what it drives. */
  #track(slot: CoreSlot, what: string, run: () => Promise<void>): void {
    const { world } = this;
    let open = true;
    const end = () => {
      if (!open) return;
      open = false;
      this.#open--;
      forget();
    };
    const forget = slot.life.onDeath(end);
    slot.life.enter(() => {
      world.note(() => `${slot.name} begins ${what}`);
      run().then(end, (error) => {
        world.fail("errors are of the classes promised", `${what}: ${String(error)}`, error);
        end();
      });
    });
    if (!slot.life.alive) end();
  }

  #startDriver(slot: DriverSlot): void {
    if (slot.life.alive) return;
    const life = new Life(slot.name, this.world, slot.life.skewMs);
    slot.life = life;
    slot.up = false;
    const parts: DriverParts = {
      plan: this.plan,
      life,
      disk: this.disk,
      backend: this.backend,
      random: this.#random.fork(),
      mutation: this.mutation,
      log: silent,
    };
    const again = (error: unknown) => {
      this.world.note(() => `${slot.name} does not start: ${String(error)}`);
      this.world.expect(
        "a driver starts on what it left",
        isFull(error),
        () => `${slot.name} does not start: ${error instanceof Error ? error.stack : String(error)}`,
      );
      life.kill();
      this.world.after(100, () => this.#startDriver(slot));
    };
    this.world.note(() => `${slot.name} starts`);
    openDriver(parts).then((handlers) => {
      if (!life.alive) return;
      this.world.note(() => `${slot.name} is up`);
      slot.up = true;
      this.network.listen(slot.name, life, handlers);
      life.onDeath(() => {
        slot.up = false;
      });
    }, again);
  }

  #startCore(slot: CoreSlot): void {
    if (slot.life.alive) return;
    const life = new Life(slot.name, this.world);
    slot.life = life;
    this.world.note(() => `${slot.name} starts`);
    const transport = this.network.connect(life, this.addresses, this.#taps);
    slot.core = bootCore({
      plan: this.plan,
      life,
      transport: this.mutation.transport?.(transport) ?? transport,
      random: this.#random.fork(),
      mutation: this.mutation,
      log: silent,
    });
    const { core } = slot;
    const fail = (error: unknown) => this.world.fail("a core starts", String(error), error);
    core.ready().then(() => {
      core.connected = true;
    }, fail);
    if (this.plan.kind === "registry") this.#startRegistry(core, life);
  }

  /** Where a store is away at the start, a core tries again; with the mode "one" all but one wait here. */
  #startRegistry(core: BootedCore, life: Life): void {
    core.repositories.start().then(
      () => {
        core.started = true;
      },
      (error) => {
        told(error);
        life.after(200, () => this.#startRegistry(core, life));
      },
    );
  }

  #strike(fault: Fault): void {
    if (this.healed) return;
    const { world } = this;
    world.note(() => `fault ${JSON.stringify(fault)}`);
    switch (fault.what) {
      case "kill":
      case "stop": {
        const slot = (fault.side === "driver" ? this.drivers : this.cores)[fault.index];
        if (slot === undefined || !slot.life.alive || slot.life.stopped) return;
        const { life } = slot;
        if (fault.what === "kill") {
          world.coverage.count(`fault ${fault.side} killed`);
          if (fault.side === "driver" && this.watch.committing > 0)
            world.coverage.count("fault driver killed in a commit");
          life.kill();
          world.after(fault.forMs, () => this.#start(fault.side, fault.index));
        } else {
          world.coverage.count(`fault ${fault.side} stopped`);
          life.stop();
          if (fault.side === "driver") this.stoppedUntilMs = Math.max(this.stoppedUntilMs, world.nowMs + fault.forMs);
          world.after(fault.forMs, () => life.resume());
        }
        return;
      }
      case "power": {
        const [slot] = this.drivers;
        if (slot === undefined) return;
        world.coverage.count("fault power lost");
        slot.life.kill();
        this.disk.losePower();
        world.after(fault.forMs, () => this.#start("driver", 0));
        return;
      }
      case "full":
        world.coverage.count("fault disk filled");
        this.disk.faults.freeBytes = fault.freeBytes;
        world.after(fault.forMs, () => {
          this.disk.faults.freeBytes = Number.POSITIVE_INFINITY;
        });
        return;
      case "clock": {
        const slot = this.drivers[fault.index];
        if (slot === undefined) return;
        world.coverage.count(fault.skewMs < slot.life.skewMs ? "fault clock set back" : "fault clock set forward");
        slot.life.skewMs = fault.skewMs;
      }
    }
  }

  #start(side: "driver" | "core", index: number): void {
    if (side === "driver") {
      const slot = this.drivers[index];
      if (slot !== undefined) this.#startDriver(slot);
    } else {
      const slot = this.cores[index];
      if (slot !== undefined) this.#startCore(slot);
    }
  }

  #heal(): void {
    this.world.note(() => "all is healed");
    this.healed = true;
    Object.assign(this.network.weather, CALM);
    this.disk.faults.slow = 0;
    this.disk.faults.freeBytes = Number.POSITIVE_INFINITY;
    this.backend.faults = 0;
    this.backend.slow = 0;
    for (const slot of [...this.drivers, ...this.cores]) if (slot.life.stopped) slot.life.resume();
    for (const slot of this.drivers) this.#startDriver(slot);
    for (const slot of this.cores) this.#startCore(slot);
  }
}

/** A wait inside a task, in the core's time. */
export function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(ms, resolve);
  });
}

/** The reason of a fault that a caller was told, or the OCI code. Anything else is thrown on. */
export function told(error: unknown): Reason | `oci ${string}` {
  if (error instanceof OutriggerError) return error.reason;
  if (error instanceof RegistryError) return `oci ${error.code}`;
  throw error;
}

function isFull(error: unknown): boolean {
  return hasReason(error, "QUOTA") || (error as { code?: unknown } | undefined)?.code === "ENOSPC";
}

/** What a caller may be told when a driver is away, late or full: no promise is broken by it. */
export const UNLUCKY: ReadonlySet<string> = new Set<Reason>([
  "UNREACHABLE",
  "TIMED_OUT",
  "BREAKER_OPEN",
  "RESUME_EXHAUSTED",
  "STREAM_IDLE",
  "STREAM_BROKEN",
  "DRIVER_STARTING",
  "DRAINING",
  "BACKEND_DOWN",
  "TOO_LATE",
  "THROTTLED",
  "QUOTA",
]);
