/** The registry's rules, over two stores: `createRepositories`. */
import type { Logger } from "pino";
import type { Stores } from "../../client/contract.ts";
import { type Clock, sleep } from "../../proto/clock.ts";
import { RegistryError } from "../errors.ts";
import { ensureIndex } from "../index/index.ts";
import { Pulls } from "../search/pulls.ts";
import { SearchIndex } from "../search/view.ts";
import { createBackground } from "./background.ts";
import type { Repositories } from "./contract.ts";
import type { Core } from "./core.ts";
import { deleteBlob, deleteManifest, deleteTag } from "./delete.ts";
import { DigestCache } from "./digest-cache.ts";
import { FactsMemory } from "./facts-memory.ts";
import { createHandover } from "./handover.ts";
import { HeldLease, type Lease, NoLease } from "./lease.ts";
import { Ledger } from "./ledger.ts";
import { listRepositories, listTags } from "./listings.ts";
import { MemberListOfCores } from "./member-list.ts";
import { mountBlob } from "./mount.ts";
import { DEFAULT_SEALED_WAIT_MS, Patience } from "./patience.ts";
import { getManifest, readBlob, statBlob } from "./pull.ts";
import { putManifest } from "./push-manifest.ts";
import { listReferrers } from "./referrers.ts";
import { ensureLocationSecret } from "./secret.ts";
import { appendUpload, cancelUpload, finishUpload, startUpload, uploadProgress } from "./uploads.ts";

export interface RepositoriesOptions {
  readonly stores: Stores;
  /** "one": this core alone, with tags and links in memory, under a lease. "many": any number of cores. */
  readonly mode: "one" | "many";
  readonly clock: Clock;
  readonly log: Logger;
  /** 0 to 1, for pauses between retries. Default Math.random. */
  readonly random?: () => number;
  /** Signs Locations. Default: made at the first start and kept in the meta store, where all cores find it. */
  readonly locationSecret?: Buffer;
  /** Manifests and small blobs in memory, in bytes. Default 64 MiB. */
  readonly contentMemoryBytes?: number;
  /** `mode: "one"`: tags, links and listings in memory, in bytes. Default 64 MiB. */
  readonly factsMemoryBytes?: number;
  /** How long a request's writes wait while the meta store is sealed, in all, as of now. Default 60 s. */
  readonly sealedWaitMs?: () => number;
  /** Whether pushes are refused, as of now. Default: they are not. */
  readonly readOnly?: () => boolean;
  /** `mode: "one"`: how often the lease is proven twice. Default 2 s; after a crash the next core waits twice this. */
  readonly beatMs?: number;
  /** How often pulls that were counted are added to what the store knows. Default 10 s. */
  readonly pullsFlushMs?: number;
  /** Whether search tells of a repository of that name. Default: of all. */
  readonly owns?: (name: string) => boolean;
}

export interface RunningRepositories extends Repositories {
  /**
   * Waits for the stores, the lease and, where it must be rebuilt, the index. May be called again after it rejected.
   * @throws UNAVAILABLE (RegistryError) with `mode: "many"` while another core holds the store alone
   */
  start(signal?: AbortSignal): Promise<void>;
  /** Pushes are taken from now on that were refused before. */
  becameWritable(): void;
  /** Gives the lease back. Requests must have ended. */
  close(): Promise<void>;
  /** Once started: what signs Locations, the same in all cores. */
  locationSecret(): Buffer;
  /** `owns` tells otherwise of some names than it did. */
  searchAnew(): void;
  /** For what searches keep and ask of the meta store beside the view. */
  readonly ledger: Ledger;
  /** Which list of a cluster's members this core and those beside it go by. */
  readonly list: MemberListOfCores;
}

const RETRY_MS = 1_000;
const DEFAULT_MEMORY_BYTES = 64 * 1024 * 1024;

export function createRepositories(options: RepositoriesOptions): RunningRepositories {
  const { stores, clock, log, random = Math.random } = options;
  const memory =
    options.mode === "one" ? new FactsMemory(options.factsMemoryBytes ?? DEFAULT_MEMORY_BYTES, clock) : undefined;
  const leaseOptions = {
    meta: stores.meta,
    clock,
    log,
    onLost: () => memory?.clear(),
    ...(options.beatMs === undefined ? {} : { beatMs: options.beatMs }),
  };
  const lease: Lease = options.mode === "one" ? new HeldLease(leaseOptions) : new NoLease(leaseOptions);
  const cache = new DigestCache(options.contentMemoryBytes ?? DEFAULT_MEMORY_BYTES);
  const sealedWaitMs = options.sealedWaitMs ?? (() => DEFAULT_SEALED_WAIT_MS);
  const patience = new Patience({ clock, log, random, lease, sealedWaitMs });
  /** For what the registry does of its own accord, whoever owns what. */
  const ownCore: Core = {
    ...{ stores, cache, clock, random, log },
    ledger: new Ledger(stores, lease, memory, { clock, random, patience }),
  };
  const list = new MemberListOfCores({
    ...{ mode: options.mode, clock, log },
    // A store that is sealed is no reason for reads to wait.
    ledger: new Ledger(stores, lease, memory, { clock, random }),
  });
  const ledger = new Ledger(stores, lease, memory, { clock, random, patience, list });
  const core: Core = { ...ownCore, ledger };
  let secret = options.locationSecret;
  const readOnly = options.readOnly ?? (() => false);
  const search = new SearchIndex({ core, owns: options.owns ?? (() => true) });
  const pulls = new Pulls({
    core: { ...core, ledger: new Ledger(stores, lease, memory, core) },
    readOnly,
    ...(options.pullsFlushMs === undefined ? {} : { flushMs: options.pullsFlushMs }),
  });
  const background = createBackground({ core: ownCore, lease, memory, search, readOnly });

  return {
    async start(signal) {
      await stores.ready();
      for (;;) {
        await lease.start(signal);
        try {
          secret ??= await ensureLocationSecret(ownCore, signal);
          await ensureIndex(ownCore, signal === undefined ? {} : { signal });
          break;
        } catch (error) {
          // Alone, and overtaken while it made the index: it waits for the lease again.
          if (options.mode === "many" || !(error instanceof RegistryError) || signal?.aborted) throw error;
          log.warn({ err: error }, "the start was interrupted; trying again");
          await sleep(clock, RETRY_MS, signal);
        }
      }
      background.start();
      await list.start();
    },
    becameWritable: () => background.becameWritable(),
    async close() {
      await background.close();
      await list.close();
      await search.close();
      await pulls.close();
      await lease.close();
    },
    locationSecret() {
      if (secret === undefined) throw new Error("the repositories are not started");
      return secret;
    },
    ledger,
    list,
    searchAnew: () => search.reset(),
    search,
    statBlob: (name, digest, context) => statBlob(core, name, digest, context),
    readBlob: (name, digest, range, context) => readBlob(core, name, digest, range, context),
    async statManifest(name, reference, context) {
      const found = await getManifest(core, name, reference, context);
      return found && { digest: found.digest, sizeBytes: found.sizeBytes, mediaType: found.mediaType };
    },
    async getManifest(name, reference, context) {
      const found = await getManifest(core, name, reference, context);
      if (found !== undefined) pulls.count(name, found.digest);
      return found;
    },
    listTags: (name, page, context) => listTags(core, name, page, context),
    listRepositories: (page, context) => listRepositories(core, page, context),
    listReferrers: (name, subject, page, context) => listReferrers(core, name, subject, page, context),
    startUpload: (name, algorithm) => startUpload(core, name, algorithm),
    appendUpload: (session, body, context) => appendUpload(core, session, body, context),
    finishUpload: (session, digest, body, context) => finishUpload(core, session, digest, body, context),
    uploadProgress: (session, context) => uploadProgress(core, session, context),
    cancelUpload: (session, context) => cancelUpload(core, session, context),
    mountBlob: (name, digest, source, context) => mountBlob(core, name, digest, source, context),
    putManifest: (name, manifest, context) => putManifest(core, name, manifest, context),
    deleteTag: (name, tag, context) => deleteTag(core, name, tag, context),
    deleteManifest: (name, digest, context) => deleteManifest(core, name, digest, context),
    deleteBlob: (name, digest, context) => deleteBlob(core, name, digest, context),
    handover: createHandover(core),
  };
}
