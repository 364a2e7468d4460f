/**
 * Copies at the account, one that is answered when it is whole and not before: Copy Blob From URL up to 256 MiB, blocks that
 * the account reads by itself and one Put Block List above. Never Copy Blob, which goes on behind everybody's back: its
 * destination has a length and other bytes for as long, and what it replaced is gone from the start.
 */
import type { ContainerClient, Metadata } from "@azure/storage-blob";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import { eachAtOnce } from "../../server/objects/at-once.ts";
import type { ObjectCondition, ObjectFacts, RequestHow } from "../../server/objects/contract.ts";
import { conditionLost, conditionsOf, etagMismatch, factsOf, keyNotFound, metadataOf, quoted } from "./facts.ts";
import type { Failure } from "./failures.ts";
import { blockId, newRef } from "./parts.ts";
import type { Reads } from "./read.ts";
import type { Requests } from "./requests.ts";
import type { Source } from "./source.ts";

const MIB = 1024 * 1024;
/** https://learn.microsoft.com/rest/api/storageservices/copy-blob-from-url */
const AT_ONCE_MOST_BYTES = 256 * MIB;
const BLOCK_BYTES = 128 * MIB;
const BLOCKS_AT_ONCE = 4;
/** The account copies some 50 MiB a second at the least; a request's own time is for answers that are small. */
const COPY_PATIENCE = 4;
/** How often another write of the key may take the blocks away. */
const TRIES = 3;

export interface CopySizes {
  readonly atOnceMostBytes: number;
  readonly blockBytes: number;
}

export type Origin = Pick<ObjectFacts, "name" | "etag" | "sizeBytes">;

interface Wanted {
  readonly condition?: ObjectCondition;
  readonly digest?: string;
}

export class Copies {
  readonly #container: ContainerClient;
  readonly #requests: Requests;
  readonly #reads: Reads;
  readonly #source: Source;
  readonly #sizes: CopySizes;

  constructor(container: ContainerClient, requests: Requests, reads: Reads, source: Source, sizes?: CopySizes) {
    this.#container = container;
    this.#requests = requests;
    this.#reads = reads;
    this.#source = source;
    this.#sizes = sizes ?? { atOnceMostBytes: AT_ONCE_MOST_BYTES, blockBytes: BLOCK_BYTES };
  }

  async copy(origin: Origin, destination: string, wanted: Wanted, how: RequestHow): Promise<ObjectFacts> {
    return origin.sizeBytes <= this.#sizes.atOnceMostBytes
      ? this.#atOnce(origin, destination, wanted, how)
      : this.#byBlocks(origin, destination, wanted, how);
  }

  async #atOnce(origin: Origin, destination: string, { condition, digest }: Wanted, how: RequestHow) {
    const { url, ...authorization } = await this.#readable(origin.name, how.signal);
    const blob = this.#container.getBlobClient(destination);
    const metadata = await this.#metadata(origin, digest, how.signal);
    const told = await this.#requests.once(
      { ...how, meaning: this.#meaning(origin, destination, condition), bodyBytes: COPY_PATIENCE * origin.sizeBytes },
      (abortSignal) =>
        blob.syncCopyFromURL(url, {
          abortSignal,
          metadata,
          conditions: conditionsOf(condition),
          sourceConditions: { ifMatch: quoted(origin.etag) },
          ...authorization,
        }),
    );
    return factsOf(destination, origin.sizeBytes, { ...told, metadata });
  }

  async #byBlocks(origin: Origin, destination: string, { condition, digest }: Wanted, how: RequestHow) {
    const metadata = await this.#metadata(origin, digest, how.signal);
    for (let tried = 1; ; tried++) {
      const ids = await this.#stage(origin, destination, how);
      // An etag never comes back: the source that has it now had it all the while.
      const now = await this.#reads.head(origin.name, how.signal);
      if (now === undefined) throw keyNotFound(origin.name);
      if (now.etag !== origin.etag) throw etagMismatch(origin.name);
      const blob = this.#container.getBlockBlobClient(destination);
      try {
        const told = await this.#requests.once(
          { ...how, meaning: this.#meaning(origin, destination, condition) },
          (abortSignal) => blob.commitBlockList(ids, { abortSignal, metadata, conditions: conditionsOf(condition) }),
        );
        return factsOf(destination, origin.sizeBytes, { ...told, metadata });
      } catch (error) {
        // Another write of this key took the blocks away.
        if (!hasReason(error, "UPLOAD_NOT_FOUND")) throw error;
        if (tried === TRIES) {
          throw new OutriggerError("BACKEND_DOWN", `${destination} is written by others again and again`, {
            cause: error,
          });
        }
      }
    }
  }

  /** Under the destination's name, since the account copies nothing else there at once; nobody sees them before. */
  async #stage(origin: Origin, destination: string, how: RequestHow): Promise<string[]> {
    const { blockBytes } = this.#sizes;
    const ref = newRef(Date.now());
    const blocks = Array.from({ length: Math.ceil(origin.sizeBytes / blockBytes) }, (_, at) => ({
      id: blockId(ref, at + 1),
      offset: at * blockBytes,
      length: Math.min(blockBytes, origin.sizeBytes - at * blockBytes),
    }));
    const blob = this.#container.getBlockBlobClient(destination);
    await eachAtOnce(BLOCKS_AT_ONCE, blocks, async ({ id, offset, length }) => {
      const { url, ...authorization } = await this.#readable(origin.name, how.signal);
      // The same block again is the same block.
      await this.#requests.harmless(
        { ...how, meaning: this.#meaning(origin, destination, undefined), bodyBytes: COPY_PATIENCE * length },
        (abortSignal) => blob.stageBlockFromURL(id, url, offset, length, { abortSignal, ...authorization }),
      );
    });
    return blocks.map(({ id }) => id);
  }

  #readable(name: string, signal: AbortSignal) {
    return this.#requests.harmless({ signal }, (abortSignal) => this.#source.of(name, abortSignal));
  }

  /** What is said of the copy, or else what is said of its source. */
  async #metadata(origin: Origin, digest: string | undefined, signal: AbortSignal): Promise<Metadata> {
    if (digest !== undefined) return metadataOf(digest);
    const [known] = (await this.#reads.head(origin.name, signal))?.digests ?? [];
    return metadataOf(known);
  }

  #meaning(origin: Origin, destination: string, condition: ObjectCondition | undefined) {
    return ({ code, error }: Failure): OutriggerError | undefined => {
      switch (code) {
        case "BlobAlreadyExists":
          return conditionLost(destination, condition);
        case "SourceConditionNotMet":
          return etagMismatch(origin.name);
        case "ConditionNotMet":
        case "TargetConditionNotMet":
          // Which of both it was does not matter to who asked with a condition on the destination and lost it.
          return condition === undefined ? etagMismatch(origin.name) : etagMismatch(destination);
        case "BlobNotFound":
          return keyNotFound(origin.name);
        case "CannotVerifyCopySource":
          return /\b404\b/.test(String(error.cause)) ? keyNotFound(origin.name) : undefined;
        case "InvalidBlockList":
          return new OutriggerError("UPLOAD_NOT_FOUND", `the blocks of ${destination} are not there`);
        default:
          return undefined;
      }
    };
  }
}
