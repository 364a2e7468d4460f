/** A read that the primary began and the secondary ends. */
import type { BlobRead } from "../../client/contract.ts";
import { isDown } from "../composed/fault.ts";

/**
 * @param rest the bytes from there on, from elsewhere; throws why there are none
 */
export async function* continued(
  read: BlobRead,
  rest: (atBytes: number, why: unknown) => Promise<BlobRead>,
): AsyncGenerator<Uint8Array> {
  let atBytes = read.startBytes;
  try {
    for await (const piece of read.body) {
      yield piece;
      atBytes += piece.length;
    }
    return;
  } catch (error) {
    if (!isDown(error)) throw error;
    const other = await rest(atBytes, error);
    yield* other.body;
  }
}
