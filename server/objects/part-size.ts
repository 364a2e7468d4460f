/** How large an upload's parts are: fixed when it is opened, since all but the last must have one size. */
import type { PartStore } from "./contract.ts";

const MIB = 1024 * 1024;
const LEAST = 8 * MIB;
/** Of a blob whose size nobody tells beforehand. */
const UNKNOWN = 16 * MIB;
/** What fits into the memory of an upload. */
const MOST = 32 * MIB;
/** The rest of the numbers is for streams that take an upload over, which leave some unused. */
const USED_OF_TEN = 9;

type Limits = PartStore["limits"];

function usableParts({ mostParts }: Limits): number {
  return Math.floor((mostParts * USED_OF_TEN) / 10);
}

/** The largest blob whose size is known when its upload is opened. */
export function largestBlobBytes(limits: Limits, partBytes = 0): number {
  return usableParts(limits) * Math.max(MOST, partBytes);
}

export function partBytesFor(limits: Limits, sizeBytes: number | undefined, partBytes?: number): number {
  const least = Math.max(partBytes ?? (sizeBytes === undefined ? UNKNOWN : LEAST), limits.leastPartBytes);
  if (sizeBytes === undefined) return least;
  const needed = Math.ceil(sizeBytes / usableParts(limits));
  if (needed <= least) return least;
  // The size is what a caller says: it must not make parts that do not fit into memory.
  return Math.min(Math.ceil(needed / MIB) * MIB, Math.max(MOST, least));
}
