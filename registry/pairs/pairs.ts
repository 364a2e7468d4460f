/** All pairs of stores of a registry: the main one, and those of repository prefixes, each with its own beginning and end. */
import type { Logger } from "pino";
import type { StoreHealth } from "../../client/contract.ts";
import type { ObservedCall } from "../../client/observed.ts";
import { type Clock, sleep } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import type { Config } from "../config.ts";
import { type Claim, MovingStores } from "../moving/stores.ts";
import type { Repositories } from "../repository/contract.ts";
import type { Ledger } from "../repository/ledger.ts";
import type { RegistryParts, StartableRepositories } from "../running.ts";
import { type Configured, changeOf, connectOptions, moveOf, type PairSection, sectionsOf } from "../targets.ts";
import { Gate } from "./gate.ts";
import { type ListOfCores, listInPairs } from "./lists.ts";
import { routedRepositories } from "./repositories.ts";
import { Routes } from "./routes.ts";

interface Pair extends PairSection {
  readonly stores: MovingStores;
  readonly repositories: StartableRepositories;
  isServing: boolean;
  /** As its stores are now. */
  configured: Configured;
}

export interface PairsOptions {
  readonly log: Logger;
  readonly clock: Clock;
  readonly coreVersion: string | undefined;
  readonly secret: Buffer | undefined;
  /** As of now: a reload changes it. */
  readonly sealedWaitMs: () => number;
  readonly readOnly: () => boolean;
  /** Whether searches tell of a repository of that name, as of now. */
  readonly owns: (name: string) => boolean;
  readonly observeStoreCall: (call: ObservedCall, prefix: string) => void;
}

export interface PrefixedHealth extends StoreHealth {
  /** "": of all repositories that no prefix names. */
  readonly prefix: string;
}

/** The store answers, and what the registry keeps in it is still being looked at. */
const BEGINNING = {
  ready: false,
  problem: "the registry is still beginning to serve what lies below the prefix",
} as const;
const RETRY_START_MS = 2_000;
const RETRY_REFUSED_MS = 10_000;

export class Pairs {
  /** Of all pairs together. */
  readonly repositories: Repositories;
  readonly lists: ListOfCores;
  readonly #routes: Routes<Pair>;
  readonly #options: PairsOptions;
  readonly #ids = new Map<string, Pair>();
  readonly #cores: Config["cores"];
  #hasStarted = false;

  constructor(parts: RegistryParts, config: Config, options: PairsOptions) {
    this.#options = options;
    this.#cores = config.cores;
    const [main, ...others] = sectionsOf(config).map((section) => this.#open(parts, config, section));
    if (main === undefined) throw new Error("a registry has a main pair of stores");
    this.#routes = new Routes(main, others);
    this.lists = listInPairs(() => this.#routes, config.cores === "many");
    this.repositories = others.length === 0 ? main.repositories : routedRepositories(this.#routes);
  }

  #open(parts: RegistryParts, config: Config, section: PairSection): Pair {
    const { clock, coreVersion, secret, sealedWaitMs, readOnly, owns, observeStoreCall } = this.#options;
    const { prefix } = section;
    const log = prefix === "" ? this.#options.log : this.#options.log.child({ prefix });
    const connected = parts.connect(connectOptions(config, coreVersion, section), {
      log,
      clock,
      onCall: (call) => observeStoreCall(call, prefix),
    });
    const stores: MovingStores = new MovingStores(connected, moveOf(config, section), {
      clock,
      log,
      claim: (ids) => this.#claim(pair, ids),
    });
    const repositories = parts.createRepositories({
      stores,
      mode: config.cores,
      clock,
      log,
      sealedWaitMs,
      readOnly,
      owns: (name) => this.#routes.of(name).prefix === prefix && owns(name),
      ...(secret === undefined ? {} : { locationSecret: secret }),
    });
    const pair: Pair = { ...section, stores, repositories, isServing: false, configured: [config, section] };
    return pair;
  }

  /** The phase of a move of blobs, of the main pair. */
  get phase(): string | undefined {
    return this.#routes.main.stores.phase;
  }

  /** Of the pairs of prefixes that are in one, by prefix. */
  get phasesApart(): Readonly<Record<string, string>> {
    const { main, all } = this.#routes;
    return Object.fromEntries(
      all.flatMap((pair) =>
        pair === main || pair.stores.phase === undefined ? [] : [[pair.prefix, pair.stores.phase]],
      ),
    );
  }

  /** Of the pair that a repository lies in. */
  storesOf(name: string): MovingStores {
    return this.#routes.of(name).stores;
  }

  /** Of all pairs; `owns`: whether a repository of that name lies in it, and is this registry's own. */
  ledgers(): { readonly ledger: Ledger; readonly owns: (name: string) => boolean }[] {
    return this.#routes.all.map((pair) => ({
      ledger: pair.repositories.ledger,
      owns: (name) => this.#routes.of(name) === pair && this.#options.owns(name),
    }));
  }

  /** Of other repositories than before. */
  searchAnew(): void {
    for (const { repositories } of this.#routes.all) repositories.searchAnew();
  }

  ledgerOf(name: string): Ledger {
    return this.#routes.of(name).repositories.ledger;
  }

  /** What signs Locations, once started: the main pair's, for all. */
  locationSecret(): Buffer {
    return this.#routes.main.repositories.locationSecret();
  }

  /** Of the main pair, which decides whether this core is ready. */
  mainHealth(): StoreHealth[] {
    return this.#routes.main.stores.health();
  }

  /** A prefix's stores are ready once its repositories are served. */
  health(): PrefixedHealth[] {
    const { main, all } = this.#routes;
    return all.flatMap((pair) => {
      const isBeginning = pair !== main && !pair.isServing;
      const { prefix, stores } = pair;
      return stores.health().map((store) => ({ ...store, ...(isBeginning && store.ready ? BEGINNING : {}), prefix }));
    });
  }

  /**
   * Resolves once the main pair serves; the others may still be waited for. Rejects when any is refused before that.
   * @throws Error in one sentence
   */
  async start(signal: AbortSignal): Promise<void> {
    const { main, all } = this.#routes;
    const others = all.filter((pair) => pair !== main).map((pair) => this.#startApart(pair, signal));
    const refused = Promise.all(others).then(() => new Promise<never>(() => undefined));
    await Promise.race([this.#start(main, signal), refused]);
    this.#hasStarted = true;
  }

  async #start(pair: Pair, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    await pair.stores.ready();
    for (;;) {
      try {
        await pair.repositories.start(signal);
        break;
      } catch (error) {
        if (!(error instanceof OutriggerError) || error.recovery === "never" || signal.aborted) throw error;
        log.warn({ err: error }, "the stores went away while the registry started; trying again");
        await sleep(clock, RETRY_START_MS, signal);
      }
    }
    pair.isServing = true;
    // Loaded before anybody asks; whoever does asks again, should it fail now.
    pair.repositories.search.view({ requestId: "start", signal }).catch((error: unknown) => {
      if (!signal.aborted) log.warn({ err: error }, "the index of images could not be loaded yet");
    });
  }

  /** Never leaves the others waiting. @throws Error when it is refused before the main pair serves */
  async #startApart(pair: Pair, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    for (;;) {
      try {
        await this.#start(pair, signal);
        log.info({ prefix: pair.prefix }, "the repositories below the prefix are served");
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (!this.#hasStarted) throw error;
        log.error({ err: error, prefix: pair.prefix }, "the stores of the prefix are refused; trying again");
        await sleep(clock, RETRY_REFUSED_MS, signal).catch(() => undefined);
      }
    }
  }

  /** Two pairs on one store would take each other's repositories for their own. @throws Error */
  #claim(pair: Pair, ids: readonly string[]): Claim {
    for (const id of ids) {
      const other = this.#ids.get(id);
      if (other === undefined || other === pair) continue;
      throw new Error(`${pair.path} and ${other.path} lead to the same store, ${id}: give each a store of its own`);
    }
    const added = ids.filter((id) => !this.#ids.has(id));
    for (const id of added) this.#ids.set(id, pair);
    return {
      keep: () => {
        for (const [id, owner] of this.#ids) if (owner === pair && !ids.includes(id)) this.#ids.delete(id);
      },
      giveUp: () => {
        for (const id of added) this.#ids.delete(id);
      },
    };
  }

  /**
   * All pairs, or none: each is checked before any is exchanged.
   * @returns the keys that changed
   * @throws why one was refused; everything is as it was, unless a store went away at the very moment of the exchange. What
   * was exchanged then is known, so the next reload, of whichever configuration, puts it right
   */
  async switchTo(next: Config): Promise<readonly string[]> {
    const sections = sectionsOf(next);
    const exchanges = this.#routes.all.flatMap((pair) => {
      const section = sections.find(({ prefix }) => prefix === pair.prefix);
      // One that is gone needs a restart to go; so does another number of cores.
      if (section === undefined) return [];
      const configured: Configured = [{ ...next, cores: this.#cores }, section];
      const change = changeOf(pair.configured, configured);
      return change === undefined ? [] : [{ pair, change, configured }];
    });
    const gate = new Gate(exchanges.length);
    const outcomes = await Promise.allSettled(
      exchanges.map(async ({ pair, change, configured }) => {
        try {
          await pair.stores.moveOn(change.targets, change.move, { checked: () => gate.pass() });
          pair.configured = configured;
        } catch (error) {
          gate.refuse(error);
          throw error;
        }
      }),
    );
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    return exchanges.flatMap(({ change }) => change.keys);
  }

  /** Pushes are taken from now on that were refused before. */
  becameWritable(): void {
    for (const { repositories } of this.#routes.all) repositories.becameWritable();
  }

  async close(): Promise<void> {
    const { log } = this.#options;
    for (const { repositories, stores } of this.#routes.all) {
      await repositories
        .close()
        .catch((error: unknown) => log.warn({ err: error }, "the repositories did not close well"));
      await stores.close().catch((error: unknown) => log.warn({ err: error }, "the stores did not close well"));
    }
  }
}
