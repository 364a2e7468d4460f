/** All pairs of stores of a registry: the main one, and those of repository prefixes, each with its own beginning and end. */
import type { Logger } from "pino";
import type { StoreHealth } from "../../client/contract.ts";
import type { ObservedCall } from "../../client/observed.ts";
import { type Clock, sleep } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import type { Config } from "../config.ts";
import { MovingStores } from "../moving/stores.ts";
import type { Repositories } from "../repository/contract.ts";
import type { RegistryParts, StartableRepositories } from "../running.ts";
import { connectOptions, moveOf, type PairSection, sectionsOf, switchStores } from "../targets.ts";
import { routedRepositories } from "./repositories.ts";
import { Routes } from "./routes.ts";

interface Pair extends PairSection {
  readonly stores: MovingStores;
  readonly repositories: StartableRepositories;
  isServing: boolean;
}

export interface PairsOptions {
  readonly log: Logger;
  readonly clock: Clock;
  readonly coreVersion: string | undefined;
  readonly secret: Buffer | undefined;
  readonly observeStoreCall: (call: ObservedCall, prefix: string) => void;
}

export interface PrefixedHealth extends StoreHealth {
  /** "": of all repositories that no prefix names. */
  readonly prefix: string;
}

const RETRY_START_MS = 2_000;
const RETRY_REFUSED_MS = 10_000;

export class Pairs {
  /** Of all pairs together. */
  readonly repositories: Repositories;
  readonly #routes: Routes<Pair>;
  readonly #options: PairsOptions;
  readonly #ids = new Map<string, Pair>();
  #hasStarted = false;

  constructor(parts: RegistryParts, config: Config, options: PairsOptions) {
    this.#options = options;
    const [main, ...others] = sectionsOf(config).map((section) => this.#open(parts, config, section));
    if (main === undefined) throw new Error("a registry has a main pair of stores");
    this.#routes = new Routes(main, others);
    this.repositories = others.length === 0 ? main.repositories : routedRepositories(this.#routes);
  }

  #open(parts: RegistryParts, config: Config, section: PairSection): Pair {
    const { clock, coreVersion, secret, observeStoreCall } = this.#options;
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
      assertOwn: (ids) => this.#assertOwn(pair, ids),
    });
    const repositories = parts.createRepositories({
      stores,
      mode: config.cores,
      clock,
      log,
      sealedWaitMs: config.stores.sealedWaitSeconds * 1000,
      ...(secret === undefined ? {} : { locationSecret: secret }),
    });
    const pair: Pair = { ...section, stores, repositories, isServing: false };
    return pair;
  }

  /** The phase of a move of blobs, of the main pair. */
  get phase(): string | undefined {
    return this.#routes.main.stores.phase;
  }

  /** Of the pair that a repository lies in. */
  storesOf(name: string): MovingStores {
    return this.#routes.of(name).stores;
  }

  /** What signs Locations, once started: the main pair's, for all. */
  locationSecret(): Buffer {
    return this.#routes.main.repositories.locationSecret();
  }

  /** Of the main pair, which decides whether this core is ready. */
  mainHealth(): StoreHealth[] {
    return this.#routes.main.stores.health();
  }

  health(): PrefixedHealth[] {
    return this.#routes.all.flatMap(({ prefix, stores }) => stores.health().map((store) => ({ ...store, prefix })));
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
  #assertOwn(pair: Pair, ids: readonly string[]): void {
    for (const id of ids) {
      const other = this.#ids.get(id);
      if (other === undefined || other === pair) continue;
      throw new Error(`${pair.path} and ${other.path} lead to the same store, ${id}: give each a store of its own`);
    }
    for (const [id, owner] of this.#ids) if (owner === pair) this.#ids.delete(id);
    for (const id of ids) this.#ids.set(id, pair);
  }

  /** @returns the keys that changed. Rejects, with the old ones in use, when a new one is refused */
  async switchTo(before: Config, next: Config): Promise<string[]> {
    const changed: string[] = [];
    const [old, now] = [sectionsOf(before), sectionsOf(next)];
    for (const pair of this.#routes.all) {
      const [from, to] = [old, now].map((sections) => sections.find(({ prefix }) => prefix === pair.prefix));
      // One that is gone needs a restart to go.
      if (from === undefined || to === undefined) continue;
      changed.push(...(await switchStores(pair.stores, [before, from], [next, to])));
    }
    return changed;
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
