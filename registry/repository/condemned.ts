/**
 * Markers of digests that the collector is about to take away (architecture.md, "Taking things away beside pushes"):
 * absent → candidate → deleting → gone. A push reads the marker before it relies on the bytes, and its Write checks exactly
 * the state it read.
 */
import type { MetaItem, MetaOperation } from "../../client/contract.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { condemnedKey } from "./keys.ts";

export type CondemnedState = "candidate" | "deleting" | "gone";

export interface Condemned {
  readonly state: CondemnedState;
  /** Unix ms. */
  readonly sinceMs: number;
}

export function encodeCondemned(marker: Condemned): Buffer {
  return Buffer.from(JSON.stringify(marker));
}

/** @throws STORED_CORRUPT for a marker that cannot be read: guessing could lose bytes */
export function condemnedState(item: MetaItem | undefined): CondemnedState | undefined {
  if (item === undefined) return undefined;
  let marker: Partial<Condemned>;
  try {
    marker = JSON.parse(item.value.toString("utf8"));
  } catch (error) {
    throw new OutriggerError("STORED_CORRUPT", `${item.key} is not a marker`, { side: "core", cause: error });
  }
  if (marker.state === "candidate" || marker.state === "deleting" || marker.state === "gone") return marker.state;
  throw new OutriggerError("STORED_CORRUPT", `${item.key} has no state`, { side: "core" });
}

/** Whether readers may still be told of the bytes. */
export function isReadable(item: MetaItem | undefined): boolean {
  const state = condemnedState(item);
  return state === undefined || state === "candidate";
}

/** In the Write that links the digest: a candidate is cleared, and a `gone` whose bytes have been written again. */
export function relyingOn(digest: string, item: MetaItem | undefined): MetaOperation {
  const key = condemnedKey(digest);
  return item === undefined
    ? { kind: "check", key, condition: { ifAbsent: true } }
    : { kind: "delete", key, condition: { ifEtag: item.etag } };
}
