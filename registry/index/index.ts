/**
 * The index: everything under `outrigger/` that can be derived from link facts and bytes (architecture.md, "What the
 * registry keeps, and where"). Rebuilding and verifying are safe beside pushes and deletes: each derived key is written
 * with a check of its fact, and whoever changes a fact writes its derived keys along with it. A run that was cut short is
 * simply begun again: what is right already is only read.
 */
import { type Logger, pino } from "pino";
import type { CallOptions, MetaItem, Stores } from "../../client/contract.ts";
import { type Clock, systemClock } from "../../proto/clock.ts";
import { hasReason } from "../../proto/errors.ts";
import { assertAllBlobs, isOneMove, moveRecordKey, parseMoveRecord } from "../moving/record.ts";
import type { Core } from "../repository/core.ts";
import { DigestCache } from "../repository/digest-cache.ts";
import { indexMarkerKey } from "../repository/keys.ts";
import { NoLease } from "../repository/lease.ts";
import { Ledger } from "../repository/ledger.ts";
import { type IndexProgress, type IndexReport, IndexRun } from "./differences.ts";
import { deriveFromFacts } from "./from-facts.ts";
import { markerFor, OTHER_FORMAT, putMarker, whyRebuild } from "./marker.ts";
import { removeStale } from "./stale.ts";

export type { IndexProblem, IndexProgress, IndexReport } from "./differences.ts";

export interface IndexOptions {
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly random?: () => number;
  /** Called after each page of keys. */
  readonly progress?: (progress: IndexProgress) => void;
}

const CONTENT_MEMORY_BYTES = 8 * 1024 * 1024;
const TELL_EVERY_MS = 5_000;

/**
 * Makes every derived key anew where it is missing, wrong or stale.
 * @throws UNAVAILABLE (RegistryError) while a core with `cores: one` holds the store, or some blobs lie in another one
 */
export async function rebuildIndex(stores: Stores, options: IndexOptions = {}): Promise<IndexReport> {
  const core = await commandCore(stores, options, true);
  return rebuild(core, options);
}

/** Compares, changes nothing. @throws UNAVAILABLE (RegistryError) while some blobs lie in another store */
export async function verifyIndex(stores: Stores, options: IndexOptions = {}): Promise<IndexReport> {
  const core = await commandCore(stores, options, false);
  return runPasses(new IndexRun(core, false, options.signal ?? new AbortController().signal, options.progress));
}

/** At a core's start, and whenever the data turns out to be other than it was. @returns whether it was rebuilt */
export async function ensureIndex(core: Core, options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
  const read = options.signal === undefined ? {} : { signal: options.signal };
  const [held, move] = await core.ledger.get([indexMarkerKey, moveRecordKey], read);
  const record = move && parseMoveRecord(move.value);
  const marker = markerFor(core.stores);
  const why = whyRebuild(held, marker, (id, other) => isOneMove(record, id, other));
  if (why === undefined) {
    // After a move: the index goes with the blobs. While it lasts, each core would write the marker anew.
    if (held?.value.toString("utf8") !== marker && core.stores.beside === undefined) await mark(core, marker, read);
    return false;
  }
  if (why === OTHER_FORMAT && (await isSealed(core, held, read))) {
    core.log.warn({ why }, "the meta store is read-only, so its index stays as it is: searches may find less");
    return false;
  }
  core.log.info({ why }, "rebuilding the index");
  let toldAt = core.clock.monotonic();
  const report = await rebuild(core, {
    ...options,
    progress(progress) {
      if (core.clock.monotonic() - toldAt < TELL_EVERY_MS) return;
      toldAt = core.clock.monotonic();
      core.log.info(progress, "rebuilding the index goes on");
    },
  });
  const { problems, ...counts } = report;
  core.log.info({ ...counts, problems: problems.length }, "the index is rebuilt");
  for (const problem of problems.slice(0, 20)) core.log.warn(problem, "found while rebuilding the index");
  return true;
}

/** Pulls need nothing of what a newer format adds: a backup is served as it is. Not patiently: it is sealed on purpose. */
async function isSealed(core: Core, held: MetaItem | undefined, options: CallOptions): Promise<boolean> {
  if (held === undefined) return false;
  const check = { kind: "check", key: indexMarkerKey, condition: { ifEtag: held.etag } } as const;
  try {
    await core.stores.meta.write([check], options);
    return false;
  } catch (error) {
    return hasReason(error, "READ_ONLY");
  }
}

async function rebuild(core: Core, options: IndexOptions): Promise<IndexReport> {
  const signal = options.signal ?? new AbortController().signal;
  // As of now: what is changed from outside later must be seen as a change.
  const marker = markerFor(core.stores);
  const report = await runPasses(new IndexRun(core, true, signal, options.progress));
  await mark(core, marker, { signal });
  return report;
}

async function mark(core: Core, marker: string, options: { readonly signal?: AbortSignal }): Promise<void> {
  for (;;) {
    const [held] = await core.ledger.get([indexMarkerKey], options);
    if (held?.value.toString("utf8") === marker) return;
    try {
      await core.ledger.write([putMarker(held, marker)], options);
      return;
    } catch (error) {
      if (!hasReason(error, "CONDITION_FAILED", "CONFLICT")) throw error;
    }
  }
}

async function runPasses(run: IndexRun): Promise<IndexReport> {
  await deriveFromFacts(run);
  await removeStale(run);
  return run.report();
}

/** A command beside cores with `cores: many`, or alone. */
async function commandCore(stores: Stores, options: IndexOptions, writes: boolean): Promise<Core> {
  const { clock = systemClock, log = pino({ level: "silent" }), random = Math.random, signal } = options;
  await stores.ready();
  await assertAllBlobs(stores, signal === undefined ? {} : { signal });
  const lease = new NoLease({ meta: stores.meta, clock, log });
  if (writes) await lease.start(signal);
  const ledger = new Ledger(stores, lease, undefined, { clock, random });
  return { stores, ledger, cache: new DigestCache(CONTENT_MEMORY_BYTES), clock, random, log };
}
