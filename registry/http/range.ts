/** Ranges, which HTTP and the distribution spec write differently. */
import { RegistryError } from "../errors.ts";

export interface ByteRange {
  readonly offsetBytes: number;
  readonly limitBytes: number;
}

const CHUNK = /^([0-9]{1,15})-([0-9]{1,15})$/;

/**
 * A pull's Range (RFC 9110, 14.1.2). `undefined` answers the whole: no header, another unit, several ranges (a server may).
 * @throws RANGE_INVALID when it lies outside or makes no sense
 */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | undefined {
  if (header === undefined) return undefined;
  const equals = header.indexOf("=");
  if (equals < 0 || header.slice(0, equals).trim().toLowerCase() !== "bytes") return undefined;
  const ranges = header.slice(equals + 1);
  if (ranges.includes(",")) return undefined;
  const match = /^\s*([0-9]{0,15})\s*-\s*([0-9]{0,15})\s*$/.exec(ranges);
  const first = match?.[1] ?? "";
  const last = match?.[2] ?? "";
  if (first === "" && last === "") throw unsatisfiable(`${JSON.stringify(header)} is not a range of bytes`, sizeBytes);
  if (first === "") {
    const suffix = Math.min(Number(last), sizeBytes);
    if (suffix === 0) throw unsatisfiable("the range is empty", sizeBytes);
    return { offsetBytes: sizeBytes - suffix, limitBytes: suffix };
  }
  const offsetBytes = Number(first);
  const end = last === "" ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  if (last !== "" && Number(last) < offsetBytes)
    throw unsatisfiable(`the range ${first}-${last} ends before it begins`, sizeBytes);
  if (offsetBytes >= sizeBytes)
    throw unsatisfiable(`the range begins at ${offsetBytes}, the blob has ${sizeBytes} bytes`, sizeBytes);
  return { offsetBytes, limitBytes: end - offsetBytes + 1 };
}

export interface ChunkRange {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/**
 * A chunk's Content-Range: `<first>-<last>`, both inclusive, no unit (distribution spec, "Pushing a blob in chunks").
 * @throws BLOB_UPLOAD_INVALID
 */
export function parseChunkRange(header: string | undefined): ChunkRange | undefined {
  if (header === undefined) return undefined;
  const match = CHUNK.exec(header.trim());
  const first = Number(match?.[1]);
  const last = Number(match?.[2]);
  if (match === null || last < first) {
    throw new RegistryError(
      "BLOB_UPLOAD_INVALID",
      `Content-Range ${JSON.stringify(header.slice(0, 100))} is not <first>-<last> of the chunk's bytes, counted from 0`,
    );
  }
  return { offsetBytes: first, sizeBytes: last - first + 1 };
}

/** How far an upload is, as the spec writes it: inclusive, and "0-0" also for nothing (as distribution does). */
export function progressRange(offsetBytes: number): string {
  return `0-${Math.max(0, offsetBytes - 1)}`;
}

function unsatisfiable(message: string, sizeBytes: number): RegistryError {
  return new RegistryError("RANGE_INVALID", message, { detail: { size: sizeBytes } });
}
