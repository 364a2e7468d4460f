/** Two stores as a registry's core sees them, for commands that need them right away. */
import { pino } from "pino";
import type { StoreFacts, Stores, StoreTarget } from "../client/contract.ts";
import {
  connect,
  connectBlobs,
  grpcTransport,
  handshake,
  type OneBlobStore,
  pairKey,
  type StoreKind,
} from "../client/index.ts";
import { systemClock } from "../proto/clock.ts";
import { OutriggerError } from "../proto/errors.ts";
import { limits } from "../proto/limits.ts";
import type { Transport } from "../proto/transport.ts";
import { Failure } from "./failure.ts";
import { openLink } from "./link.ts";
import { version } from "./version.ts";

const READY_MS = 15_000;

export interface PairTargets {
  readonly blobs: StoreTarget;
  readonly meta: StoreTarget;
  /** Where blobs are being moved to. */
  readonly beside?: StoreTarget;
}

export interface PairFacts {
  readonly blob: StoreFacts;
  readonly meta: StoreFacts;
  readonly beside?: StoreFacts;
  /** Whether the meta store says that this is its blob store; false: it was never used with any. */
  readonly paired: boolean;
}

const log = pino({ level: "silent" });

/**
 * Everything that a registry checks before it uses two drivers, without changing anything: versions, clocks,
 * capabilities, pinned ids, and whether the stores belong together.
 * @throws Failure or OutriggerError: the first thing that is wrong
 */
export async function checkPairOnly({ blobs, meta, beside }: PairTargets): Promise<PairFacts> {
  await assertListening({ blobs, meta, ...(beside === undefined ? {} : { beside }) });
  const transports: Transport[] = [];
  const open = (target: StoreTarget) => {
    const transport = grpcTransport(target, { clock: systemClock, log });
    transports.push(transport);
    return transport;
  };
  try {
    const blob = await factsOf(open(blobs), "blob", blobs);
    const other = beside && (await factsOf(open(beside), "blob", beside));
    if (other?.id === blob.id) {
      throw new Failure(
        `stores.blobs.address and stores.blobs.move.to lead to the same store, ${blob.id}: there is nothing to move`,
      );
    }
    const metaTransport = open(meta);
    const metaFacts = await factsOf(metaTransport, "meta", meta);
    const { response } = await metaTransport.unary(
      "meta.Get",
      { keys: [pairKey] },
      { metadata: { store: metaFacts.id }, deadlineMs: limits.unaryDeadlineMs },
    );
    const recorded = response.results[0]?.item?.value.toString().trim();
    if (recorded !== undefined && recorded !== blob.id && recorded !== other?.id && blobs.acceptStoreId !== blob.id) {
      throw new OutriggerError(
        "WRONG_STORE",
        `the meta store at ${meta.address} belongs to the blob store ${recorded}, but the one at ${blobs.address} is ${blob.id}: give the address of the right one`,
      );
    }
    return {
      blob,
      meta: metaFacts,
      ...(other === undefined ? {} : { beside: other }),
      paired: recorded !== undefined,
    };
  } finally {
    for (const transport of transports) transport.close();
  }
}

async function factsOf(transport: Transport, kind: StoreKind, target: StoreTarget): Promise<StoreFacts> {
  const { facts } = await handshake({
    transport,
    kind,
    log,
    clock: systemClock,
    address: target.address,
    core: { name: "outrigger-cli", version: version() },
    requiredCapabilities: target.requiredCapabilities ?? [],
    compat: [],
  });
  if (target.id !== undefined && target.id !== facts.id) {
    throw new OutriggerError(
      "WRONG_STORE",
      `the ${kind} store at ${target.address} is ${facts.id}, but ${target.id} is pinned: correct the address or the id`,
    );
  }
  return facts;
}

/**
 * The pair, ready for use. Unlike a registry, which waits for a driver that is not there yet, this fails at once. Two
 * stores that were never used together are a pair from here on.
 */
export async function openPair(targets: PairTargets, coreName: string): Promise<Stores> {
  await assertListening(targets);
  const stores = connect({ ...targets, coreName, coreVersion: version() }, { log });
  try {
    await within(READY_MS, stores.ready());
    return stores;
  } catch (error) {
    await stores.close();
    throw error;
  }
}

/** A blob store alone, ready for use; fails at once where nobody listens. */
export async function openBlobs(target: StoreTarget, coreName: string): Promise<OneBlobStore> {
  await assertListening({ blobs: target, meta: target });
  const store = connectBlobs(target, { coreName, coreVersion: version() }, log);
  try {
    await within(READY_MS, store.ready());
    return store;
  } catch (error) {
    store.close();
    throw error;
  }
}

/** @throws Failure in one sentence where nobody listens, or what listens is no driver */
async function assertListening({ blobs, meta, beside }: PairTargets): Promise<void> {
  const all = [blobs, ...(blobs.address === meta.address ? [] : [meta]), ...(beside === undefined ? [] : [beside])];
  for (const target of all) {
    const link = openLink(target);
    try {
      await link.version();
    } finally {
      link.close();
    }
  }
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Failure(`the stores are not ready after ${ms / 1000} s: see outrigger doctor`)),
      ms,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
