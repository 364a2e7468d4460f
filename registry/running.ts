/** A registry as a whole: stores, rules, listener, and what changes while it runs. */
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { ConnectOptions, Stores } from "../client/contract.ts";
import type { ObserveCall } from "../client/observed.ts";
import { type Clock, systemClock } from "../proto/clock.ts";
import { createOpenAuthenticator } from "./auth/basic.ts";
import { createBcryptPool } from "./auth/bcrypt-pool.ts";
import { tlsFilesOf } from "./config/cluster.ts";
import type { Config } from "./config.ts";
import { openFront } from "./front.ts";
import { createAside } from "./http/aside.ts";
import type { Traffic } from "./http/exchange.ts";
import { type Backend, createHandler } from "./http/handler.ts";
import type { Listener } from "./http/listener.ts";
import { createMetrics } from "./http/metrics.ts";
import { createReadiness } from "./http/readiness.ts";
import { loadAuthenticator, loadTls } from "./materials.ts";
import { Cluster } from "./members/cluster.ts";
import { openListener, urlHost } from "./opening.ts";
import { withPage } from "./page/handler.ts";
import { ownOverview } from "./page/overview.ts";
import { Pairs } from "./pairs/pairs.ts";
import { normalPrefix } from "./pairs/routes.ts";
import type { Repositories } from "./repository/contract.ts";
import type { Ledger } from "./repository/ledger.ts";
import type { MemberListOfCores } from "./repository/member-list.ts";
import { openSearching } from "./searching.ts";
import { readSecretFile } from "./secret-file.ts";
import { redirectOf } from "./targets.ts";
import { createTurns } from "./turns.ts";
import { type Watch, watchFiles } from "./watch.ts";

/** The rules over the stores, with their beginning and end. */
export interface StartableRepositories extends Repositories {
  start(signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
  /** Pushes are taken from now on that were refused before. */
  becameWritable(): void;
  /** Once started. */
  locationSecret(): Buffer;
  /** `owns` tells otherwise of some names than it did. */
  searchAnew(): void;
  /** For what searches keep and ask of the meta store. */
  readonly ledger: Ledger;
  /** Which list of a cluster's members this core and those beside it go by. */
  readonly list: MemberListOfCores;
}

/** What a registry is made of; tests put in their own. */
export interface RegistryParts {
  connect(
    options: ConnectOptions,
    parts: { readonly log: Logger; readonly clock: Clock; readonly onCall: ObserveCall },
  ): Stores;
  createRepositories(options: {
    readonly stores: Stores;
    readonly mode: "one" | "many";
    readonly clock: Clock;
    readonly log: Logger;
    readonly locationSecret?: Buffer;
    readonly sealedWaitMs?: () => number;
    readonly readOnly?: () => boolean;
    /** Whether a repository of that name lies in these stores. */
    readonly owns?: (name: string) => boolean;
  }): StartableRepositories;
}

export interface StartOptions {
  readonly log: Logger;
  readonly clock?: Clock;
  readonly coreVersion?: string;
}

export interface RunningRegistry {
  /** As bound: http or https, with the port that was given for 0. */
  readonly address: string;
  /** Of /metrics, where it has a listener of its own. */
  readonly metricsAddress?: string;
  /** Resolves once requests are served. Rejects when the stores are refused: one sentence says why. */
  readonly ready: Promise<void>;
  /** Takes over what can change while requests go on. Rejects, with everything as it was, when something is wrong. */
  reload(config: Config): Promise<ReloadReport>;
  /** Refuses new connections, lets short requests end, ends long uploads so that they can be resumed. */
  drain(): Promise<void>;
  /** Frees everything; after `drain`, or at once. */
  close(): Promise<void>;
}

export interface ReloadReport {
  /** Keys whose new value is in use. */
  readonly changed: readonly string[];
  /** Keys whose new value needs a restart. */
  readonly ignored: readonly string[];
}

const DRAIN_MS = 30_000;
/** For uploads to persist what they have, after their bodies were ended. */
const PERSIST_MS = 10_000;
const ABORT_MS = 2_000;
/** How long the start waits to hear that the stores are refused, before it goes on in the background. */
const REFUSAL_MS = 1_000;
const BODY_LIMITS = { idleMs: 60_000, manifestBytes: 4 * 1024 * 1024 };

/** @throws Error, in one sentence, for whatever keeps it from starting */
export async function startWith(
  parts: RegistryParts,
  initial: Config,
  { log, clock = systemClock, coreVersion }: StartOptions,
): Promise<RunningRegistry> {
  let config = initial;
  const stopping = new AbortController();
  const pool = createBcryptPool();
  const secret = config.http.secretFile === undefined ? undefined : await readSecretFile(config.http.secretFile);
  let authenticator = await loadAuthenticator(config, pool, clock);
  const tls = await loadTls(config);
  const inTurn = createTurns();

  const traffic: Traffic = { bytesIn: 0, bytesOut: 0, uploadsOpen: 0, pullsOpen: 0 };
  const metrics = createMetrics(
    traffic,
    () => pairs.health(),
    () => cluster.health(),
  );
  const pairs = new Pairs(parts, config, {
    log,
    clock,
    coreVersion,
    secret,
    sealedWaitMs: () => config.stores.sealedWaitSeconds * 1000,
    readOnly: () => config.readOnly,
    owns: (name) => cluster.owns(name),
    observeStoreCall: metrics.observeStoreCall,
  });
  const searching = openSearching(pairs, config, { clock, log });
  const cluster = new Cluster({
    clock,
    log,
    coreVersion,
    observe: metrics.observeMember,
    changeMs: () => config.stores.sealedWaitSeconds * 1000,
    ownsChanged: () => pairs.searchAnew(),
    readOnly: () => config.readOnly,
    own: () => own(),
    lists: pairs.lists,
  });
  cluster.use(await cluster.prepare(config.cluster));
  let serving: Backend["serving"];
  const readiness = createReadiness({
    clock,
    health: () => pairs.health(),
    mustBeReady: () => pairs.mainHealth(),
    serving: () => serving !== undefined,
    outdated: () => pairs.lists.outdated,
  });
  const own = ownOverview({ state: () => readiness.state(), version: coreVersion });
  const { enabled, listen: metricsListen } = config.http.metrics;
  const handler = createHandler({
    backend: () => ({
      serving,
      authenticator,
      readOnly: config.readOnly,
      routing: cluster.routing,
      search: searching.service,
      redirect: redirectOf(config, (name) => pairs.storesOf(name)),
    }),
    aside: withPage(
      () => config.http.page,
      openFront({
        clock,
        log,
        version: coreVersion,
        authenticator: () => authenticator,
        readOnly: () => config.readOnly,
        cluster,
        search: searching.service,
        own,
      }),
      createAside({
        readiness,
        metrics: enabled && metricsListen === undefined ? metrics : undefined,
        phase: () => pairs.phase,
        phasesApart: () => pairs.phasesApart,
      }),
    ),
    clock,
    log,
    bodyLimits: BODY_LIMITS,
    traffic,
    metrics,
  });
  const listeners: Listener[] = [];
  let watches: Watch[] = [];
  const close = async () => {
    stopping.abort(new Error("the registry was closed"));
    for (const watch of watches) watch.stop();
    readiness.stop();
    for (const listener of listeners) {
      listener.stopAccepting();
      listener.closeAll();
    }
    await Promise.all(listeners.map((listener) => listener.closed()));
    handler.abortAll();
    await within(clock, ABORT_MS, handler.idle());
    await cluster.close();
    searching.close();
    await pairs.close();
    await pool.close();
  };

  try {
    const api = await openListener(config.http.listen, tls, handler);
    listeners.push(api);
    const apart =
      enabled && metricsListen !== undefined
        ? await openListener(
            metricsListen,
            undefined,
            createHandler({
              backend: () => ({ serving: undefined, authenticator: createOpenAuthenticator("pull"), readOnly: true }),
              aside: createAside({ readiness, metrics }),
              clock,
              log,
              bodyLimits: BODY_LIMITS,
              traffic,
              metrics: { observe() {} },
            }),
          )
        : undefined;
    if (apart) listeners.push(apart);
    readiness.start();

    const ready = serve();
    // Whoever starts a registry may look at `ready` later.
    ready.catch(() => {});
    await Promise.race([ready, within(clock, REFUSAL_MS, ready)]);
    watches = watchAll();

    return {
      address: `${tls ? "https" : "http"}://${urlHost(api.address.host)}:${api.address.port}`,
      ...(apart === undefined ? {} : { metricsAddress: `http://${urlHost(apart.address.host)}:${apart.address.port}` }),
      ready,
      reload: (next) => inTurn(() => reload(next)),
      drain,
      close: once(close),
    };

    async function serve(): Promise<void> {
      await pairs.start(stopping.signal);
      cluster.serveFrom(pairs.repositories);
      serving = { repositories: pairs.repositories, secret: pairs.locationSecret() };
      log.info({ cores: config.cores }, "the registry serves");
    }

    async function reload(next: Config): Promise<ReloadReport> {
      // Everything that can be wrong is looked at before anything is changed.
      if (next.cluster?.peers.tls && tls?.clientCa === undefined)
        throw new Error(
          "cluster.peers.tls needs a registry that asks for certificates from its start on, and this one was started without: restart it (members that have cluster.peers.keyFile too can be restarted one by one)",
        );
      const nextAuthenticator = await loadAuthenticator(next, pool, clock);
      const nextTls = await loadTls(next);
      const nextCluster = await cluster.prepare(next.cluster);
      const before = config;
      const changed = [...(await pairs.switchTo(next))];
      if (nextTls && tls) api.replaceTls(nextTls);
      authenticator = nextAuthenticator;
      cluster.use(nextCluster);
      searching.use(next);
      log.level = next.log.level;
      const differs = (key: string) => !isDeepStrictEqual(at(before, key), at(next, key));
      const ignored: string[] = fixedKeys.filter(differs);
      if (!isDeepStrictEqual(prefixesOf(before), prefixesOf(next))) ignored.push("stores.prefixes");
      changed.push(...liveKeys.filter(differs));
      const http = { ...before.http, tls: tls ? next.http.tls : undefined, page: next.http.page };
      config = { ...next, http, cores: before.cores };
      if (ignored.includes("stores.prefixes")) {
        // What a prefix that is still served has now; those that came or went wait for the restart.
        const now = new Map(next.stores.prefixes.map((section) => [normalPrefix(section.prefix), section]));
        const prefixes = before.stores.prefixes.map((section) => now.get(normalPrefix(section.prefix)) ?? section);
        config = { ...config, stores: { ...next.stores, prefixes } };
      }
      if (before.readOnly && !next.readOnly) pairs.becameWritable();
      for (const watch of watches) watch.stop();
      watches = watchAll();
      if (ignored.length > 0) log.warn({ keys: ignored }, "these settings changed, and need a restart");
      log.info({ changed }, "the configuration was reloaded");
      return { changed, ignored };
    }

    function watchAll(): Watch[] {
      const all: Watch[] = [];
      const { htpasswd } = config.auth;
      if (htpasswd) {
        all.push(
          watchFiles({
            files: [htpasswd.file],
            clock,
            changed: async () => {
              authenticator = await loadAuthenticator(config, pool, clock);
              log.info({ file: htpasswd.file }, "the accounts were read again");
            },
            failed: (error) => log.error({ err: error }, "the accounts changed and cannot be used: the old ones stay"),
          }),
        );
      }
      const pair = config.http.tls;
      if (pair) {
        all.push(
          watchFiles({
            files: [pair.cert, pair.key],
            clock,
            changed: async () => {
              const material = await loadTls(config);
              if (material) api.replaceTls(material);
              log.info({ file: pair.cert }, "the certificate was read again");
            },
            failed: (error) =>
              log.error({ err: error }, "the certificate changed and cannot be used: the old one stays"),
          }),
        );
      }
      const { cluster: section } = config;
      if (section?.peers.tls) {
        all.push(
          watchFiles({
            files: tlsFilesOf(section),
            clock,
            changed: () => inTurn(readMembersAgain),
            failed: (error) =>
              log.error({ err: error }, "the members' certificates changed and cannot be used: the old ones stay"),
          }),
        );
      }
      return all;
    }

    async function readMembersAgain(): Promise<void> {
      const material = await loadTls(config);
      const view = await cluster.prepare(config.cluster);
      if (stopping.signal.aborted) return;
      if (material) api.replaceTls(material);
      cluster.use(view);
      log.info("the members' certificates were read again");
    }

    async function drain(): Promise<void> {
      readiness.refuse("the registry is stopping");
      for (const listener of listeners) listener.stopAccepting();
      if (!(await within(clock, DRAIN_MS, handler.idle()))) {
        handler.endAll();
        if (!(await within(clock, PERSIST_MS, handler.idle()))) handler.abortAll();
      }
      await within(clock, ABORT_MS, handler.idle());
    }
  } catch (error) {
    await close();
    throw error;
  }
}

const liveKeys = [
  "stores.sealedWaitSeconds",
  "auth",
  "readOnly",
  "redirect",
  "log",
  "http.tls",
  "cluster",
  "scanner",
  "http.page",
] as const;
/** Settings that a reload cannot change. */
const fixedKeys = ["http.listen", "http.secretFile", "http.metrics", "cores", "uploadBudgetMiB", "reload"] as const;

/** Which repositories lie apart. */
function prefixesOf({ stores }: Config): string[] {
  return stores.prefixes.map(({ prefix }) => normalPrefix(prefix)).sort();
}

function at(config: Config, path: string): unknown {
  let value: unknown = config;
  for (const part of path.split(".")) value = (value as Record<string, unknown> | undefined)?.[part];
  return value;
}

/** Whether `work` settled within `ms`. */
async function within(clock: Clock, ms: number, work: Promise<unknown>): Promise<boolean> {
  let cancel = () => {};
  const late = new Promise<boolean>((resolve) => {
    cancel = clock.after(ms, () => resolve(false));
  });
  const done = work.then(
    () => true,
    () => true,
  );
  return Promise.race([done, late]).finally(cancel);
}

function once(run: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => {
    running ??= run();
    return running;
  };
}
