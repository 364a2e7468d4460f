/** Cores in any phase of a move of blobs, over two fake blob stores and one fake meta store (or two). */
import type {
  BlobStore,
  ExchangeSteps,
  ExchangeTargets,
  MetaStore,
  StoreHealth,
  Stores,
  StoreTarget,
} from "../../../client/contract.ts";
import { type BlobMove, MovingStores } from "../../../registry/moving/stores.ts";
import { createRepositories, type RunningRepositories } from "../../../registry/repository/index.ts";
import { copyBlobs as copyAllBlobs, heedDeletes } from "../../../transfer/index.ts";
import { FakeBackend, type FakeHooks, type FakeStores } from "../../helpers/fake-stores.ts";
import { silent, testClock } from "../repository/world.ts";

export const OLD = "11111111-1111-4111-8111-111111111111";
export const NEW = "33333333-3333-4333-8333-333333333333";

/** "done": the new store alone. */
export type Phase = "none" | "read" | "write" | "done";

export interface Data {
  readonly old: FakeBackend;
  readonly next: FakeBackend;
  readonly meta: FakeBackend;
}

export function newData(): Data {
  const data = { old: new FakeBackend(), next: new FakeBackend(), meta: new FakeBackend() };
  data.next.blobFacts = { ...data.next.blobFacts, id: NEW };
  return data;
}

export interface Hooks {
  readonly old?: FakeHooks;
  readonly next?: FakeHooks;
  readonly meta?: FakeHooks;
}

/** What the client is to a core: addresses "old" and "new" of blobs, "meta" or that of another backend of `metas`. */
class FakeClient implements Stores {
  readonly blobs: BlobStore;
  readonly meta: MetaStore;
  readonly #known: ReadonlyMap<string, FakeStores>;
  readonly #metas: ReadonlyMap<string, FakeStores>;
  readonly #listeners: Parameters<Stores["onChanged"]>[0][] = [];
  #blobs: BlobStore;
  #meta: MetaStore;
  #beside: BlobStore | undefined;

  constructor(
    known: ReadonlyMap<string, FakeStores>,
    metas: ReadonlyMap<string, FakeStores>,
    targets: ExchangeTargets,
  ) {
    this.#known = known;
    this.#metas = metas;
    this.#blobs = this.#store("old");
    this.#meta = this.#metaStore("meta");
    this.#take(targets);
    this.blobs = following(() => this.#blobs);
    this.meta = following(() => this.#meta);
  }

  get beside(): BlobStore | undefined {
    return this.#beside;
  }

  get uploadStoreId(): string {
    return this.#blobs.facts.id;
  }

  blobsById(storeId: string): BlobStore | undefined {
    return [...this.#known.values()].find(({ blobs }) => blobs.facts.id === storeId)?.blobs;
  }

  endsHere(storeId: string): boolean {
    return storeId === this.#blobs.facts.id;
  }

  health(): StoreHealth[] {
    return [];
  }

  async ready(): Promise<void> {}

  switchTo(kind: "blob" | "meta", target: StoreTarget): Promise<void> {
    return this.exchange({ [kind === "blob" ? "blobs" : "meta"]: target });
  }

  switchBoth(blobs: StoreTarget, meta: StoreTarget): Promise<void> {
    return this.exchange({ blobs, meta });
  }

  async exchange(targets: ExchangeTargets, how: ExchangeSteps = {}): Promise<void> {
    const blobs = targets.blobs === undefined ? this.#blobs : this.#store(targets.blobs.address);
    const { beside } = targets;
    const next = beside === undefined ? this.#beside : beside === "none" ? undefined : this.#store(beside.address);
    const meta = targets.meta === undefined ? this.#meta : this.#metaStore(targets.meta.address);
    const stores = { blobs: blobs.facts.id, beside: next?.facts.id, meta };
    await how.check?.(stores);
    await how.record?.(stores);
    const before = this.#meta;
    this.#take(targets);
    how.commit?.();
    if (before === this.#meta) return;
    for (const listener of this.#listeners)
      listener({ kind: "meta", facts: this.#meta.facts, outsideGrew: false, otherStore: true });
  }

  #take({ blobs, beside, meta }: ExchangeTargets): void {
    if (blobs !== undefined) this.#blobs = this.#store(blobs.address);
    if (meta !== undefined) this.#meta = this.#metaStore(meta.address);
    if (beside !== undefined) this.#beside = beside === "none" ? undefined : this.#store(beside.address);
  }

  #store(address: string): BlobStore {
    const found = this.#known.get(address);
    if (found === undefined) throw new Error(`no blob store at ${address}`);
    return found.blobs;
  }

  #metaStore(address: string): MetaStore {
    const found = this.#metas.get(address);
    if (found === undefined) throw new Error(`no meta store at ${address}`);
    return found.meta;
  }

  onChanged(listener: Parameters<Stores["onChanged"]>[0]): void {
    this.#listeners.push(listener);
  }

  async close(): Promise<void> {}
}

function following<Store extends object>(current: () => Store): Store {
  return new Proxy({} as Store, {
    get(_, name) {
      const store = current();
      const value = Reflect.get(store, name, store);
      return typeof value === "function" ? value.bind(store) : value;
    },
  });
}

export interface MovingCore {
  readonly repositories: RunningRepositories;
  readonly stores: MovingStores;
  /** As a reload does. */
  go(phase: Phase): Promise<void>;
}

export async function startCore(
  data: Data,
  phase: Phase,
  options: {
    readonly hooks?: Hooks;
    readonly onlyCore?: boolean;
    readonly metas?: Readonly<Record<string, FakeBackend>>;
    readonly mode?: "one" | "many";
    readonly sealedWaitMs?: () => number;
  } = {},
): Promise<MovingCore> {
  const { hooks = {}, onlyCore = false } = options;
  const known = new Map([
    ["old", data.old.connect(hooks.old)],
    ["new", data.next.connect(hooks.next)],
  ]);
  const metas = new Map([["meta", data.meta.connect(hooks.meta)]]);
  for (const [address, backend] of Object.entries(options.metas ?? {})) metas.set(address, backend.connect(hooks.meta));
  const client = new FakeClient(known, metas, targetsOf(phase));
  const stores = new MovingStores(client, moveOf(phase, onlyCore), { clock: testClock, log: silent });
  await stores.ready();
  const repositories = createRepositories({
    stores,
    mode: options.mode ?? "many",
    clock: testClock,
    log: silent,
    // Whatever is served comes from the stores.
    contentMemoryBytes: 1,
    ...(options.sealedWaitMs === undefined ? {} : { sealedWaitMs: options.sealedWaitMs }),
  });
  await repositories.start();
  return { repositories, stores, go: (to) => stores.moveOn(targetsOf(to), moveOf(to, onlyCore)) };
}

function targetsOf(phase: Phase): ExchangeTargets {
  if (phase === "none") return { blobs: { address: "old" }, beside: "none" };
  if (phase === "done") return { blobs: { address: "new" }, beside: "none" };
  return { blobs: { address: "old" }, beside: { address: "new" } };
}

function moveOf(phase: Phase, onlyCore: boolean): BlobMove | undefined {
  return phase === "none" || phase === "done" ? undefined : { phase, onlyCore };
}

/** `outrigger copy --only blobs … --from-meta …`. `read` runs after each blob was read and before it is written. */
export async function copyBlobs(
  data: Data,
  how: { readonly read?: (key: string) => unknown; readonly hooks?: Hooks } = {},
): Promise<void> {
  const { read, hooks = {} } = how;
  const to = data.next.connect({
    ...hooks.next,
    async before(call) {
      if (call.method === "blob.put" || call.method === "blob.append") await read?.(call.keys[0] ?? "");
      await hooks.next?.before?.(call);
    },
  });
  const { meta } = data.meta.connect(hooks.meta);
  const heeding = heedDeletes(meta, to.blobs, {}, testClock);
  const { problems } = await copyAllBlobs(data.old.connect().blobs, to.blobs, {
    ...heeding,
    jobs: 1,
    clock: testClock,
  });
  if (problems.count > 0) throw new Error(JSON.stringify(problems.kept));
}
