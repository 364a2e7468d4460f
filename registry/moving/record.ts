/**
 * What all cores know of a move of blobs: from which store to which, and whether any core has begun to write to the second
 * one. It keeps a core with an old configuration from answering 404 for what only the other store has.
 */
import type { CallOptions, MetaItem, MetaStore, Stores } from "../../client/contract.ts";
import { hasReason } from "../../proto/errors.ts";
import { RegistryError } from "../errors.ts";

export const moveRecordKey = "outrigger/move/blobs";

export interface MoveRecord {
  /** Store ids. */
  readonly from: string;
  readonly to: string;
  /** Some core writes, or has written, to `to`: each of the two may hold what the other lacks. */
  readonly written: boolean;
  /** Unix ms; a core has `to` as its only blob store. */
  readonly endedMs?: number;
}

/** How a core is configured. Without `to`: it moves nothing. */
export interface MoveIntent {
  readonly from: string;
  readonly to?: string;
  readonly phase: "none" | "read" | "write";
  /** It is the only core, or the operator says that the others are where they must be. */
  readonly unchecked: boolean;
}

export async function readMoveRecord(
  meta: MetaStore,
  options: CallOptions = {},
): Promise<{ readonly item: MetaItem | undefined; readonly record: MoveRecord | undefined }> {
  const [item] = await meta.get([moveRecordKey], options);
  return { item, record: item && parseMoveRecord(item.value) };
}

export function parseMoveRecord(value: Buffer): MoveRecord | undefined {
  try {
    const { from, to, written, endedMs } = JSON.parse(value.toString("utf8")) as Partial<MoveRecord>;
    if (typeof from !== "string" || typeof to !== "string") return undefined;
    return { from, to, written: written !== false, ...(typeof endedMs === "number" ? { endedMs } : {}) };
  } catch {
    return undefined;
  }
}

/** Whether both ids are of one move: the same blobs in two places. */
export function isOneMove(record: MoveRecord | undefined, a: string, b: string): boolean {
  return record !== undefined && [a, b].every((id) => id === record.from || id === record.to);
}

/**
 * Records that this core enters the phase, as far as that is safe beside the others.
 * @throws UNAVAILABLE, in one sentence: which setting is wrong and what would be right
 */
export async function enterPhase(
  meta: MetaStore,
  intent: MoveIntent,
  nowMs: number,
  options: CallOptions = {},
): Promise<void> {
  for (;;) {
    const { item, record } = await readMoveRecord(meta, options);
    const next = nextRecord(record, intent, nowMs);
    if (next === undefined || (record !== undefined && JSON.stringify(next) === JSON.stringify(record))) return;
    const condition = item === undefined ? ({ ifAbsent: true } as const) : { ifEtag: item.etag };
    const value = Buffer.from(JSON.stringify(next));
    try {
      await meta.write([{ kind: "put", key: moveRecordKey, value, condition }], options);
      return;
    } catch (error) {
      // That it has ended is only told for tidying up: the next start tells it.
      if (intent.phase === "none" && hasReason(error, "READ_ONLY")) return;
      if (!hasReason(error, "CONDITION_FAILED", "CONFLICT")) throw error;
    }
  }
}

/** Whether this core may enter the phase, by what is recorded now; changes nothing. @throws UNAVAILABLE, as enterPhase */
export async function assertMayEnter(
  meta: MetaStore,
  intent: MoveIntent,
  nowMs: number,
  options: CallOptions = {},
): Promise<void> {
  nextRecord((await readMoveRecord(meta, options)).record, intent, nowMs);
}

/** `undefined`: nothing to record. @throws UNAVAILABLE */
export function nextRecord(record: MoveRecord | undefined, intent: MoveIntent, nowMs: number): MoveRecord | undefined {
  const { from, to, phase } = intent;
  if (to === undefined || phase === "none") return withoutMove(record, from, nowMs);
  const same = isOneMove(record, from, to);
  if (record !== undefined && !same && record.endedMs === undefined && record.written && !intent.unchecked) {
    throw refused(
      `stores.blobs.move is from ${from} to ${to}, but a move from ${record.from} to ${record.to} has not ended: end that one first`,
    );
  }
  if (phase === "write" && !same && !intent.unchecked) {
    throw refused(
      "stores.blobs.move.phase is write, but no core was in phase read yet: let every core reload with phase read first, or set stores.blobs.move.onlyCore where there is no other core",
    );
  }
  // Back again: what was the target is written to by those that have not turned round yet.
  const turned = same && record !== undefined && record.from !== from;
  return { from, to, written: phase === "write" || turned || (same && record?.written === true) };
}

function withoutMove(record: MoveRecord | undefined, blobs: string, nowMs: number): MoveRecord | undefined {
  if (record === undefined || (blobs !== record.from && blobs !== record.to)) return undefined;
  if (blobs === record.to) {
    if (record.written) return { ...record, endedMs: record.endedMs ?? nowMs };
    throw refused(
      `stores.blobs is already ${record.to}, where blobs are being moved to, but no core has written to it yet: let every core reload with stores.blobs.move.phase read, then write, and copy the rest first`,
    );
  }
  if (!record.written || record.endedMs !== undefined) return undefined;
  throw refused(
    `stores.blobs is ${record.from} alone, but blobs are being moved to ${record.to} and some lie only there: set stores.blobs.move as the other cores have it`,
  );
}

/**
 * For whoever knows one blob store of a pair: while blobs are written to a second one, what lies only there looks absent.
 * @throws UNAVAILABLE, in one sentence: what to do
 */
export async function assertAllBlobs({ meta, blobs, beside }: Stores, options: CallOptions = {}): Promise<void> {
  const { record } = await readMoveRecord(meta, options);
  if (beside !== undefined || record === undefined || !record.written || record.endedMs !== undefined) return;
  const { from, to } = record;
  if (blobs.facts.id !== from && blobs.facts.id !== to) return;
  const other = blobs.facts.id === from ? to : from;
  throw refused(
    `the blobs of the meta store at ${meta.facts.address} are being moved from ${from} to ${to}, and what lies only in ${other} would be taken for lost: do this once the move has ended, or has been taken back and no core has ${other} any more`,
  );
}

function refused(message: string): RegistryError {
  return new RegistryError("UNAVAILABLE", message);
}
