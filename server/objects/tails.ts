/** What lies beyond an upload's last whole part. */
import { OutriggerError } from "../../proto/errors.ts";
import { eachAtOnce } from "./at-once.ts";
import type { ObjectStore } from "./contract.ts";
import { untimed } from "./held-state.ts";
import type { Tail } from "./state.ts";

const READS_AT_ONCE = 8;

/** In order. @throws STORED_CORRUPT where one does not have the size that it was written with; KEY_NOT_FOUND */
export async function readTails(store: ObjectStore, tails: readonly Tail[]): Promise<Uint8Array[]> {
  const read: Uint8Array[][] = [];
  await eachAtOnce(READS_AT_ONCE, tails.entries(), async ([index, tail]) => {
    const pieces: Uint8Array[] = [];
    for await (const piece of pieceByPiece(store, tail)) pieces.push(piece);
    read[index] = pieces;
  });
  return read.flat();
}

/** All of them, which follow each other, in one piece of memory. @throws as `readTails` */
export async function readTailsWhole(store: ObjectStore, tails: readonly Tail[]): Promise<Buffer> {
  const startBytes = tails[0]?.startBytes ?? 0;
  const data = Buffer.allocUnsafe((tails.at(-1)?.endBytes ?? 0) - startBytes);
  await eachAtOnce(READS_AT_ONCE, tails, async (tail) => {
    let at = tail.startBytes - startBytes;
    for await (const piece of pieceByPiece(store, tail)) {
      data.set(piece, at);
      at += piece.length;
    }
  });
  return data;
}

export async function* pieceByPiece(store: ObjectStore, tail: Tail): AsyncGenerator<Uint8Array> {
  const bytes = await store.read(tail.name, { offsetBytes: 0 }, untimed.signal);
  const { body, lengthBytes } = bytes;
  if (lengthBytes !== tail.endBytes - tail.startBytes) {
    await bytes.cancel();
    throw new OutriggerError("STORED_CORRUPT", `${tail.name} has ${lengthBytes} bytes, not those it was written with`);
  }
  yield* body;
}
