/**
 * Blocks: staged under a private name, put together there by one request, and copied to their key. Never under the key
 * itself, where any other write of it would take them away, and where two uploads would lie in one heap.
 */
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import type { ContainerClient } from "@azure/storage-blob";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import type { ObjectCondition, ObjectFacts, PartFacts, PartStore, RequestHow } from "../../server/objects/contract.ts";
import { conditionLost, conditionsOf, factsOf } from "./facts.ts";
import type { Failure } from "./failures.ts";
import type { Listings } from "./list.ts";
import type { Requests } from "./requests.ts";

/** A blob has at most so many blocks. https://learn.microsoft.com/rest/api/storageservices/put-block-list */
const MOST_BLOCKS = 50_000;
const REF_TIME = 9;
const REF_CHARACTERS = REF_TIME + 8;
const NUMBER_DIGITS = 5;

/**
 * When it was begun and something random, of one length always: all blocks of a blob must have ids of one length, and the
 * blocks of two uploads under one name must not have the same.
 */
export function newRef(nowMs: number): string {
  return nowMs.toString(36).padStart(REF_TIME, "0") + randomBytes(4).toString("hex");
}

export function blockId(ref: string, number: number): string {
  return Buffer.from(`${ref}-${String(number).padStart(NUMBER_DIGITS, "0")}`).toString("base64");
}

/** undefined: somebody else's block. */
export function parseBlockId(id: string): { readonly ref: string; readonly number: number } | undefined {
  const text = Buffer.from(id, "base64").toString("latin1");
  const [, ref, number] = /^([0-9a-z]+)-(\d{5})$/.exec(text) ?? [];
  return ref === undefined || ref.length !== REF_CHARACTERS ? undefined : { ref, number: Number(number) };
}

export class Blocks implements PartStore {
  readonly limits = { leastPartBytes: 1, mostParts: MOST_BLOCKS };
  readonly direct = false;
  readonly #container: ContainerClient;
  readonly #requests: Requests;
  readonly #listings: Listings;
  readonly #folder: string;

  /** @param folder where all blocks are staged: they are looked for nowhere else */
  constructor(container: ContainerClient, requests: Requests, listings: Listings, folder: string) {
    this.#container = container;
    this.#requests = requests;
    this.#listings = listings;
    this.#folder = folder;
  }

  /** Asks nothing of the account: the first block makes the place. */
  async begin(): Promise<string> {
    return newRef(Date.now());
  }

  async put(
    name: string,
    ref: string,
    number: number,
    data: readonly Uint8Array[],
    { signal, assertInTime }: RequestHow,
  ): Promise<PartFacts> {
    const sizeBytes = data.reduce((sum, { length }) => sum + length, 0);
    const blob = this.#container.getBlockBlobClient(name);
    // The same bytes again under the same id are the same block.
    await this.#requests.harmless({ signal, assertInTime, bodyBytes: sizeBytes }, (abortSignal) =>
      blob.stageBlock(blockId(ref, number), () => Readable.from(data, { objectMode: false }), sizeBytes, {
        abortSignal,
      }),
    );
    return { number, sizeBytes, etag: "" };
  }

  async list(name: string, ref: string, signal: AbortSignal): Promise<readonly PartFacts[]> {
    const { waiting } = await this.#blocks(name, signal);
    return waiting
      .flatMap(({ id, sizeBytes }) => {
        const block = parseBlockId(id);
        return block?.ref === ref ? [{ number: block.number, sizeBytes, etag: "" }] : [];
      })
      .sort((a, b) => a.number - b.number);
  }

  async complete(
    name: string,
    ref: string,
    parts: readonly PartFacts[],
    { condition }: { readonly condition?: ObjectCondition },
    how: RequestHow,
  ): Promise<ObjectFacts> {
    const ids = parts.map(({ number }) => blockId(ref, number));
    const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
    const isDone = ({ inBlob }: { readonly inBlob: readonly string[] }) =>
      ids.length > 0 && ids.length === inBlob.length && ids.every((id, at) => inBlob[at] === id);
    // The account would put blocks that are in the blob already together once more where the condition holds again.
    if (condition !== undefined && "ifEtag" in condition && isDone(await this.#blocks(name, how.signal)))
      throw gone(name);
    try {
      // Without a condition the first attempt has one, for the same reason.
      return await this.#commit(name, ids, sizeBytes, condition ?? { ifAbsent: true }, how);
    } catch (error) {
      if (!hasReason(error, "KEY_EXISTS", "ETAG_MISMATCH")) throw error;
      const blocks = await this.#blocks(name, how.signal);
      if (isDone(blocks)) throw gone(name);
      if (condition !== undefined || blocks.etag === undefined) throw error;
      return await this.#commit(name, ids, sizeBytes, { ifEtag: blocks.etag }, how);
    }
  }

  async abandon(name: string, ref: string, how: RequestHow): Promise<void> {
    const { signal } = how;
    const { waiting } = await this.#blocks(name, signal);
    if (!waiting.some(({ id }) => parseBlockId(id)?.ref === ref)) return;
    // Blocks go when a blob takes their place; that has no byte, and goes as well. Where a blob is already, blocks beside
    // it are seen by nobody, and the account takes them away within a week.
    try {
      const empty = await this.#commit(name, [], 0, { ifAbsent: true }, how);
      const blob = this.#container.getBlobClient(name);
      await this.#requests.once({ ...how, meaning: neverThere }, (abortSignal) =>
        blob.deleteIfExists({ abortSignal, conditions: conditionsOf({ ifEtag: empty.etag }) }),
      );
    } catch (error) {
      if (!hasReason(error, "KEY_EXISTS")) throw error;
    }
  }

  async *begun(prefix: string, signal: AbortSignal) {
    const under = this.#folder.startsWith(prefix) ? this.#folder : prefix;
    for await (const name of this.#listings.waiting(under, signal)) {
      const refs = new Set<string>();
      for (const { id } of (await this.#blocks(name, signal)).waiting) {
        const ref = parseBlockId(id)?.ref;
        if (ref !== undefined) refs.add(ref);
      }
      for (const ref of refs) yield { name, ref, begunMs: Number.parseInt(ref.slice(0, REF_TIME), 36) };
    }
  }

  async #commit(
    name: string,
    ids: string[],
    sizeBytes: number,
    condition: ObjectCondition,
    { signal, assertInTime }: RequestHow,
  ): Promise<ObjectFacts> {
    const blob = this.#container.getBlockBlobClient(name);
    const meaning = ({ code }: Failure) => {
      if (code === "BlobAlreadyExists" || code === "ConditionNotMet") return conditionLost(name, condition);
      return code === "InvalidBlockList" || code === "InvalidBlockId" || code === "BlobNotFound"
        ? gone(name)
        : undefined;
    };
    const told = await this.#requests.once({ signal, assertInTime, meaning }, (abortSignal) =>
      blob.commitBlockList(ids, { abortSignal, conditions: conditionsOf(condition) }),
    );
    return factsOf(name, sizeBytes, told);
  }

  async #blocks(name: string, signal: AbortSignal) {
    const blob = this.#container.getBlockBlobClient(name);
    const meaning = ({ code }: Failure) => (code === "BlobNotFound" ? gone(name) : undefined);
    try {
      const told = await this.#requests.harmless({ signal, meaning }, (abortSignal) =>
        blob.getBlockList("all", { abortSignal }),
      );
      return {
        waiting: (told.uncommittedBlocks ?? []).map(({ name: id, size: sizeBytes }) => ({ id, sizeBytes })),
        inBlob: (told.committedBlocks ?? []).map(({ name: id }) => id),
        etag: told.etag?.replace(/^"|"$/g, ""),
      };
    } catch (error) {
      if (!hasReason(error, "UPLOAD_NOT_FOUND")) throw error;
      return { waiting: [], inBlob: [], etag: undefined };
    }
  }
}

function gone(name: string): OutriggerError {
  return new OutriggerError("UPLOAD_NOT_FOUND", `the blocks of ${name} are not there`);
}

/** Of the empty blob that an upload was abandoned by: whoever changed it has done that work. */
function neverThere({ code }: Failure): OutriggerError | undefined {
  return code === "ConditionNotMet" ? new OutriggerError("KEY_EXISTS", "somebody else was here") : undefined;
}
