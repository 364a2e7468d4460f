/** Small private objects as a whole. */
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import type { ObjectFacts, ObjectStore } from "./contract.ts";

export interface Whole {
  readonly data: Buffer;
  readonly facts: ObjectFacts;
}

/** @returns undefined where there is none. @throws STORED_CORRUPT when it is larger than anything this driver writes */
export async function readWhole(
  store: ObjectStore,
  name: string,
  signal: AbortSignal,
  mostBytes: number,
): Promise<Whole | undefined> {
  let bytes: Awaited<ReturnType<ObjectStore["read"]>>;
  try {
    bytes = await store.read(name, { offsetBytes: 0 }, signal);
  } catch (error) {
    if (hasReason(error, "KEY_NOT_FOUND")) return undefined;
    throw error;
  }
  if (bytes.lengthBytes > mostBytes) {
    await bytes.cancel();
    throw new OutriggerError(
      "STORED_CORRUPT",
      `${name} in ${store.place} has ${bytes.lengthBytes} bytes: this driver never wrote it`,
    );
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of bytes.body) pieces.push(piece);
  return { data: Buffer.concat(pieces), facts: bytes.facts };
}
