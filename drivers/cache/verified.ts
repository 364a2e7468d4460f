/** A range of an entry, each piece of it verified before any of its bytes is given out. */
import { OutriggerError } from "../../proto/errors.ts";
import { dataKey, type Entry, isPiece, PIECE_BYTES } from "./entry.ts";
import type { Fast } from "./fast.ts";

/** @throws STORED_CORRUPT behind the last good piece; BACKEND_DOWN, KEY_NOT_FOUND */
export async function* verified(
  fast: Fast,
  entry: Entry,
  fromBytes: number,
  toBytes: number,
): AsyncGenerator<Uint8Array> {
  if (fromBytes === toBytes) return;
  const sums = await fast.sums(entry);
  const firstBytes = Math.floor(fromBytes / PIECE_BYTES) * PIECE_BYTES;
  const lastBytes = Math.min(entry.sizeBytes, Math.ceil(toBytes / PIECE_BYTES) * PIECE_BYTES);
  const range = { offsetBytes: firstBytes, limitBytes: lastBytes - firstBytes };
  const read = await fast.member.read(dataKey(fast.prefix, entry), range);
  if (read.info.sizeBytes !== entry.sizeBytes) {
    await read.cancel();
    throw corrupt(entry, 0);
  }
  let startBytes = firstBytes;
  for await (const piece of pieces(read.body, lastBytes - firstBytes)) {
    if (!isPiece(sums, startBytes / PIECE_BYTES, piece)) throw corrupt(entry, startBytes);
    const from = Math.max(0, fromBytes - startBytes);
    const to = Math.min(piece.length, toBytes - startBytes);
    if (from < to) yield piece.subarray(from, to);
    startBytes += piece.length;
  }
}

/** The same bytes in pieces of PIECE_BYTES, but for the last one. */
async function* pieces(body: AsyncIterable<Buffer>, lengthBytes: number): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let held = 0;
  let left = lengthBytes;
  for await (const data of body) {
    for (let at = 0; at < data.length; ) {
      const part = data.subarray(at, at + Math.min(PIECE_BYTES, left) - held);
      parts.push(part);
      held += part.length;
      at += part.length;
      if (held < Math.min(PIECE_BYTES, left)) continue;
      const piece = parts.length === 1 ? part : Buffer.concat(parts);
      left -= piece.length;
      parts = [];
      held = 0;
      yield piece;
    }
  }
}

function corrupt({ place, content }: Entry, atBytes: number): OutriggerError {
  return new OutriggerError(
    "STORED_CORRUPT",
    `the fast store's copy ${place}/${content} is damaged at byte ${atBytes}`,
  );
}
