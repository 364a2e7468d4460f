/**
 * The meta store keeps its blob store's id, so that two halves of different registries are never used together
 * (protocol.md section 4).
 */
import { hasReason, OutriggerError } from "../proto/errors.ts";
import type { MetaCondition, MetaOperation, MetaStore } from "./contract.ts";

export const pairKey = "outrigger/pair";

export interface PairInput {
  /** May be used although its calls are blocked until this is done. */
  readonly meta: MetaStore;
  readonly blobId: string;
  /** Of the blob store beside it: the record may also name that one. */
  readonly besideId?: string | undefined;
  readonly blobAddress: string;
  readonly metaAddress: string;
  /** The blob store id that the configuration accepts in place of the recorded one. */
  readonly acceptStoreId: string | undefined;
  readonly warn: (text: string) => void;
}

/** Changes nothing. @returns what would record the pair; `undefined`: it is recorded. @throws WRONG_STORE */
export async function lookAtPair(input: PairInput): Promise<MetaOperation | undefined> {
  const { meta, blobId } = input;
  const [record] = await meta.get([pairKey]);
  const recorded = record?.value.toString("utf8").trim();
  if (recorded === blobId || (recorded !== undefined && recorded === input.besideId)) return undefined;
  if (recorded !== undefined && input.acceptStoreId !== blobId) {
    throw new OutriggerError(
      "WRONG_STORE",
      `the meta store at ${input.metaAddress} belongs to the blob store ${recorded}, but the one at ${input.blobAddress} is ${blobId}: give the address of the right one, or set stores.blobs.acceptStoreId to ${blobId}`,
    );
  }
  const condition: MetaCondition = record === undefined ? { ifAbsent: true } : { ifEtag: record.etag };
  return { kind: "put", key: pairKey, value: Buffer.from(blobId), condition };
}

/** Checks the record, makes it where there is none, exchanges it where that is accepted. @throws WRONG_STORE */
export async function checkPair(input: PairInput): Promise<void> {
  for (let tried = 0; ; tried++) {
    const operation = await lookAtPair(input);
    if (operation === undefined) return;
    try {
      await input.meta.write([operation]);
      return;
    } catch (error) {
      if (hasReason(error, "READ_ONLY")) {
        input.warn(
          `the meta store at ${input.metaAddress} is read-only: which blob store belongs to it is not recorded`,
        );
        return;
      }
      // Another core was first: look at what it wrote.
      if (!hasReason(error, "CONDITION_FAILED") || tried >= 3) throw error;
    }
  }
}
