/** The pair of stores a core works with: connected, checked as a pair, and exchangeable while requests go on. */
import { randomBytes } from "node:crypto";
import { type Logger, pino } from "pino";
import { type Clock, systemClock } from "../proto/clock.ts";
import { OutriggerError } from "../proto/errors.ts";
import type { Transport } from "../proto/transport.ts";
import { DriverBlobStore } from "./blob-store.ts";
import { UploadBudget } from "./budget.ts";
import { type Change, isAway, StoreChannel } from "./channel.ts";
import type {
  BlobStore,
  ConnectOptions,
  ExchangeSteps,
  ExchangeTargets,
  MetaStore,
  StoreHealth,
  Stores,
  StoreTarget,
} from "./contract.ts";
import { grpcTransport } from "./grpc.ts";
import type { StoreKind } from "./handshake.ts";
import { idOf, KeptStores, type Side } from "./kept-stores.ts";
import { DriverMetaStore } from "./meta-store.ts";
import { type ObserveCall, observed } from "./observed.ts";
import { checkPair, lookAtPair, type PairInput, pairKey } from "./pair.ts";
import { Readiness } from "./readiness.ts";
import type { CompatCode } from "./versions.ts";

export interface ConnectParts {
  /** Default: nothing is logged. */
  readonly log?: Logger;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** In [0, 1); default: the system's. A simulation gives its own. */
  readonly random?: () => number;
  /** How an address becomes calls; default: gRPC. A simulation gives its own. */
  readonly transport?: (target: StoreTarget) => Transport;
  /** Told of every call to a driver when it has ended. */
  readonly onCall?: ObserveCall;
  /** Code for older drivers. */
  readonly compat?: readonly CompatCode[];
}

const UPLOAD_BUDGET_BYTES = 128 * 1024 * 1024;
const RESUME_BUDGET_MS = 30_000;
const PAIR_RETRY_MS = 1_000;
const SWITCH_MS = 15_000;

/** Begins to connect to both stores at once. @throws INVALID_FIELD for an address of no known form */
export function connect(options: ConnectOptions, parts: ConnectParts = {}): Stores {
  return new ConnectedStores(options, { ...parts, log: parts.log ?? pino({ level: "silent" }) });
}

/** The same process asked for its other store: what is said of the blob store alone (its id, its root) is not said of it. */
function besides({ address, tls }: StoreTarget): StoreTarget {
  return tls === undefined ? { address } : { address, tls };
}

const systemRandom = () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48;

type LoggingParts = ConnectParts & { readonly log: Logger };

class ConnectedStores implements Stores {
  readonly blobs: BlobStore;
  readonly meta: MetaStore;
  readonly #options: ConnectOptions;
  readonly #parts: LoggingParts;
  readonly #clock: Clock;
  readonly #budget: UploadBudget;
  readonly #listeners: ((change: Change & { kind: StoreKind }) => void)[] = [];
  readonly #kept: KeptStores<BlobStore>;
  readonly #readiness = new Readiness(() => this.#refusal());
  #blob: Side<BlobStore>;
  #metaSide: Side<MetaStore>;
  #beside: Side<BlobStore> | undefined;
  #closed = false;
  /** Which look at the pair counts: a later one, or a switch, makes earlier ones void. */
  #pairTurn = 0;
  /** Why the pair is refused. */
  #mixed: OutriggerError | undefined;
  #cancelPairing: (() => void) | undefined;
  #switching: Promise<unknown> = Promise.resolve();

  constructor(options: ConnectOptions, parts: LoggingParts) {
    this.#options = options;
    this.#parts = parts;
    this.#clock = parts.clock ?? systemClock;
    this.#kept = new KeptStores(this.#clock);
    this.#budget = new UploadBudget(options.uploadBudgetBytes ?? UPLOAD_BUDGET_BYTES);
    this.#blob = this.#openBlob(options.blobs);
    this.#metaSide = this.#openMeta(options.meta ?? besides(options.blobs));
    this.#beside = options.beside && this.#openBlob(options.beside);
    this.blobs = following(() => this.#blob.store);
    this.meta = following(() => this.#metaSide.store);
    for (const { channel } of [this.#blob, this.#metaSide]) {
      channel.block(unpaired());
      this.#watch(channel);
      channel.start();
    }
    if (this.#beside !== undefined) this.#watchBeside(this.#beside.channel);
    this.#pairSoon(0);
  }

  get beside(): BlobStore | undefined {
    return this.#beside?.store;
  }

  get uploadStoreId(): string {
    return this.blobs.facts.id;
  }

  blobsById(storeId: string): BlobStore | undefined {
    const current = [this.#blob, this.#beside].find((side) => idOf(side) === storeId);
    return current?.store ?? this.#kept.get(storeId);
  }

  endsHere(storeId: string): boolean {
    return storeId === this.blobs.facts.id;
  }

  health(): StoreHealth[] {
    const pair = [this.#blob.channel.health(), this.#metaSide.channel.health()];
    return this.#beside === undefined ? pair : [...pair, { ...this.#beside.channel.health(), beside: true }];
  }

  ready(): Promise<void> {
    return this.#readiness.promise();
  }

  #refusal(): OutriggerError | undefined {
    if (this.#closed) return closedEarly();
    const sides = [this.#blob, this.#metaSide, this.#beside];
    return sides.find((side) => side?.channel.refusal !== undefined)?.channel.refusal ?? this.#mixed;
  }

  onChanged(listener: (change: Change & { kind: StoreKind }) => void): void {
    this.#listeners.push(listener);
  }

  switchTo(kind: StoreKind, target: StoreTarget): Promise<void> {
    return this.exchange({ [kind === "blob" ? "blobs" : "meta"]: target });
  }

  switchBoth(blobs: StoreTarget, meta: StoreTarget): Promise<void> {
    return this.exchange({ blobs, meta });
  }

  exchange(targets: ExchangeTargets, how: ExchangeSteps = {}): Promise<void> {
    const turn = this.#switching.then(() => this.#switch(targets, how));
    this.#switching = turn.catch(() => undefined);
    return turn;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelPairing?.();
    for (const side of [this.#blob, this.#metaSide, this.#beside]) side?.channel.close();
    this.#kept.close();
    this.#readiness.reject(closedEarly());
  }

  #channel(kind: StoreKind, target: StoreTarget): StoreChannel {
    const { log, compat, onCall } = this.#parts;
    const clock = this.#clock;
    const transport = this.#parts.transport?.(target) ?? grpcTransport(target, { clock, log });
    return new StoreChannel({
      transport: onCall === undefined ? transport : observed(transport, clock, onCall),
      clock,
      random: this.#parts.random ?? systemRandom,
      log,
      kind,
      target,
      core: { name: this.#options.coreName ?? "outrigger", version: this.#options.coreVersion ?? "" },
      compat: compat ?? [],
    });
  }

  #openBlob(target: StoreTarget): Side<BlobStore> {
    const channel = this.#channel("blob", target);
    const resumeBudgetMs = this.#options.resumeBudgetMs ?? RESUME_BUDGET_MS;
    return { channel, store: new DriverBlobStore({ channel, budget: this.#budget, resumeBudgetMs }) };
  }

  #openMeta(target: StoreTarget): Side<MetaStore> {
    const channel = this.#channel("meta", target);
    return { channel, store: new DriverMetaStore(channel) };
  }

  #watch(channel: StoreChannel): void {
    channel.onChange((change) => {
      // A store exchanged behind its address is half of another pair until that was looked at.
      if (change.otherStore) {
        channel.block(unpaired());
        this.#pairSoon(0);
      }
      this.#tell(channel.kind, change);
    });
    channel.onRefused((error) => this.#readiness.reject(error));
  }

  /** Nothing is derived from it, so nobody is told of its changes; another store in its place is refused by its channel. */
  #watchBeside(channel: StoreChannel): void {
    channel.onRefused((error) => this.#readiness.reject(error));
    channel.start();
  }

  #tell(kind: StoreKind, change: Change): void {
    for (const listener of this.#listeners) listener({ kind, ...change });
  }

  #pairSoon(afterMs: number): void {
    this.#cancelPairing?.();
    if (this.#closed) return;
    const turn = ++this.#pairTurn;
    this.#cancelPairing = this.#clock.after(afterMs, () => {
      void this.#pair(turn).then((done) => {
        if (!done && turn === this.#pairTurn) this.#pairSoon(PAIR_RETRY_MS);
      });
    });
  }

  /**
   * Unblocks both stores once the pair is known to be one. Never rejects.
   * @returns whether there is nothing left to do
   */
  async #pair(turn: number): Promise<boolean> {
    const [blob, meta, beside] = [this.#blob.channel, this.#metaSide.channel, this.#beside?.channel];
    try {
      await Promise.all([blob.described(), meta.described(), beside?.described()]);
      // Meanwhile closed, or switched: a switch checks its own pair.
      if (turn !== this.#pairTurn || this.#closed) return true;
      await checkPair(this.#pairOf(blob, meta, beside));
      if (turn === this.#pairTurn) this.#paired();
      return true;
    } catch (error) {
      if (turn !== this.#pairTurn || this.#closed) return true;
      if (error instanceof OutriggerError && !isAway(error)) {
        if (error.message !== this.#mixed?.message) this.#parts.log.error({ reason: error.reason }, error.message);
        this.#mixed = error;
        blob.block(error);
        meta.block(error);
        this.#readiness.reject(error);
      }
      return false;
    }
  }

  #paired(): void {
    this.#mixed = undefined;
    this.#blob.channel.block(undefined);
    this.#metaSide.channel.block(undefined);
    this.#readiness.resolve();
  }

  /** @throws WRONG_STORE */
  #pairOf(blob: StoreChannel, meta: StoreChannel, beside: StoreChannel | undefined): PairInput {
    if (beside?.facts.id === blob.facts.id) {
      throw new OutriggerError(
        "WRONG_STORE",
        `${blob.address} and ${beside.address} are the same blob store, ${blob.facts.id}: there is nothing to move`,
      );
    }
    return {
      meta: new DriverMetaStore(meta, true),
      blobId: blob.facts.id,
      besideId: beside?.facts.id,
      blobAddress: blob.address,
      metaAddress: meta.address,
      acceptStoreId: blob.target.acceptStoreId,
      warn: (text) => this.#parts.log.warn(text),
    };
  }

  /** Opens what is asked for, checks all of it, and only then uses it: all sides change in one step. */
  async #switch(targets: ExchangeTargets, how: ExchangeSteps): Promise<void> {
    const blob = targets.blobs && this.#openBlob(targets.blobs);
    const meta = targets.meta && this.#openMeta(targets.meta);
    const other = targets.beside;
    const opened = other === undefined || other === "none" ? undefined : this.#openBlob(other);
    const beside = other === undefined ? this.#beside : opened;
    const ours = [blob?.channel, meta?.channel, opened?.channel].filter((channel) => channel !== undefined);
    for (const channel of [blob?.channel, meta?.channel]) channel?.block(unpaired());
    try {
      const pair = await this.#checked(blob?.channel, meta?.channel, opened?.channel, beside?.channel);
      const next = { blobs: pair.blobId, beside: pair.besideId, meta: pair.meta };
      await how.check?.(next);
      await checkPair(pair);
      await how.record?.(next);
    } catch (error) {
      for (const channel of ours) channel.close();
      throw error;
    }
    const before = { blob: this.#blob, meta: this.#metaSide, beside: this.#beside };
    if (blob !== undefined) this.#blob = blob;
    if (meta !== undefined) this.#metaSide = meta;
    this.#beside = beside;
    how.commit?.();
    if (opened !== undefined) this.#watchBeside(opened.channel);
    if (before.beside !== undefined && before.beside !== beside) this.#retire(before.beside);
    if (blob !== undefined) this.#exchanged("blob", before.blob, blob.channel);
    if (meta !== undefined) this.#exchanged("meta", before.meta, meta.channel);
    this.#cancelPairing?.();
    this.#pairTurn++;
    this.#paired();
  }

  /** Who is told of an exchange, and what becomes of the store that was switched away from. */
  #exchanged(kind: StoreKind, before: Side<BlobStore> | Side<MetaStore>, channel: StoreChannel): void {
    this.#watch(channel);
    channel.start();
    const { facts } = channel;
    const known = before.channel.isDescribed ? before.channel.facts : undefined;
    // The same data, or what never answered: whoever loses the old driver goes on with the new one.
    if (known === undefined || known.id === facts.id) before.channel.successor = channel;
    if (kind === "blob") this.#retire(before as Side<BlobStore>);
    else before.channel.closeWhenIdle();
    this.#parts.log.info(
      { storeId: facts.id, from: before.channel.address, to: channel.address },
      `the ${kind} store is now ${channel.address}`,
    );
    const otherStore = known !== undefined && known.id !== facts.id;
    const outsideGrew = known !== undefined && !otherStore && facts.outside > known.outside;
    if (otherStore || outsideGrew) this.#tell(kind, { facts, outsideGrew, otherStore });
  }

  /** Kept for the uploads that began on it; where the same data are reached otherwise now, whoever uses it goes on there. */
  #retire(side: Side<BlobStore>): void {
    const current = [this.#blob, this.#beside].filter((one) => one !== undefined);
    for (const one of current) {
      const id = idOf(one);
      if (id !== undefined) this.#kept.replacedBy(id, one.channel);
    }
    const id = idOf(side);
    const successor = id === undefined ? undefined : current.find((one) => idOf(one) === id);
    if (successor !== undefined) side.channel.successor = successor.channel;
    if (id === undefined || successor !== undefined) side.channel.closeWhenIdle();
    else this.#kept.keep(id, side);
  }

  /**
   * Everything that is asked of stores before they are used; nothing is changed.
   * @returns the pair that they would be
   * @throws what is wrong with one of them
   */
  async #checked(
    blob: StoreChannel | undefined,
    meta: StoreChannel | undefined,
    opened: StoreChannel | undefined,
    beside: StoreChannel | undefined,
  ): Promise<PairInput> {
    const asked = [blob, meta, opened].filter((channel) => channel !== undefined);
    const addresses = asked.map(({ address }) => address).join(" and ");
    const ending = new AbortController();
    const cancel = this.#clock.after(SWITCH_MS, () =>
      ending.abort(new OutriggerError("TIMED_OUT", `${addresses} was not checked within ${SWITCH_MS / 1000} s`)),
    );
    try {
      await Promise.all(asked.map((channel) => channel.describe(ending.signal)));
      if (blob !== undefined && blob.facts.id !== idOf(this.#beside)) assertKnown("blob", blob, this.#blob.channel);
      if (meta !== undefined && !(blob !== undefined && (await this.#comesWith(meta, blob)))) {
        assertKnown("meta", meta, this.#metaSide.channel);
      }
      const pair = this.#pairOf(blob ?? this.#blob.channel, meta ?? this.#metaSide.channel, beside);
      await lookAtPair(pair);
      return pair;
    } finally {
      cancel();
    }
  }

  /**
   * Whether accepting these blobs accepts this meta store too: its own record names them, or the same address serves both
   * and there is no record yet.
   */
  async #comesWith(meta: StoreChannel, blob: StoreChannel): Promise<boolean> {
    const accepted = blob.target.acceptStoreId === blob.facts.id || blob.target.id === blob.facts.id;
    if (!accepted || meta.target.id !== undefined) return false;
    const [record] = await new DriverMetaStore(meta, true).get([pairKey]);
    return record === undefined
      ? meta.address === blob.address
      : record.value.toString("utf8").trim() === blob.facts.id;
  }
}

/** @throws WRONG_STORE for a store that is neither the one known nor one that is accepted in its place */
function assertKnown(kind: StoreKind, { facts, target, address }: StoreChannel, before: StoreChannel): void {
  const expected = target.id ?? (before.isDescribed ? before.facts.id : undefined);
  if (expected === undefined || facts.id === expected || facts.id === target.acceptStoreId) return;
  throw new OutriggerError(
    "WRONG_STORE",
    `the ${kind} store at ${address} is ${facts.id}, not ${expected}: to use its data instead, set acceptStoreId to ${facts.id}`,
  );
}

function closedEarly(): OutriggerError {
  return new OutriggerError("UNREACHABLE", "the stores were closed before they were ready", { side: "core" });
}

function unpaired(): OutriggerError {
  return new OutriggerError("UNREACHABLE", "the stores are not connected as a pair yet", {
    metadata: { sent: "no" },
    side: "core",
  });
}

/** A store that is always the current one: each call begins on it and ends where it began. */
function following<Store extends object>(current: () => Store): Store {
  return new Proxy({} as Store, {
    get(_, name) {
      const store = current();
      const value = Reflect.get(store, name, store);
      return typeof value === "function" ? value.bind(store) : value;
    },
  });
}
