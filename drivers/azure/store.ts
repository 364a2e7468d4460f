/** What server/objects needs of an object store, in a container of Azure Blob Storage. */
import type { ContainerClient } from "@azure/storage-blob";
import type { Logger } from "pino";
import { hasReason } from "../../proto/errors.ts";
import type { PageRequest } from "../../server/contract.ts";
import type { ObjectCondition, ObjectFacts, ObjectStore, RequestHow } from "../../server/objects/contract.ts";
import type { Client } from "./client.ts";
import { Copies, type CopySizes, type Origin } from "./copy.ts";
import { conditionLost, conditionsOf, etagMismatch, factsOf, isWhole, type Meet, metadataOf } from "./facts.ts";
import type { Failure } from "./failures.ts";
import { Listings } from "./list.ts";
import { Blocks } from "./parts.ts";
import { absence, type Range, Reads } from "./read.ts";
import { Requests } from "./requests.ts";
import { type Signer, signedFor } from "./source.ts";

export interface AzureStoreSettings {
  readonly requestTimeoutMs: number;
  readonly log: Logger;
  /** Where blocks are staged: server/objects/names.ts, after the store's prefix. */
  readonly bytesFolder: string;
  /** Test knob: what is copied at once, what by blocks. */
  readonly copySizes?: CopySizes;
}

interface PutOptions {
  readonly condition?: ObjectCondition;
  readonly digest?: string;
}

export function createAzureStore(client: Client, settings: AzureStoreSettings): ObjectStore {
  const { container, asked, source, signer } = client;
  const requests = new Requests(asked, settings.requestTimeoutMs);
  const meet = stranger(settings.log);
  const reads = new Reads(container, requests, meet);
  const listings = new Listings(container, requests, meet);
  const copies = new Copies(container, requests, reads, source, settings.copySizes);
  const blobs = new Blobs(container, requests, reads);
  return {
    place: asked.place,
    async check(signal) {
      await listings.list({ prefix: "!", startAfter: "", limit: 1 }, signal);
    },
    head: (name, signal) => reads.head(name, signal),
    read: (name, range: Range, signal) => reads.read(name, range, signal),
    put: (name, data, options, how) => blobs.put(name, data, options, how),
    delete: (name, condition, how) => blobs.delete(name, condition, how),
    list: (request: PageRequest, signal) => listings.list(request, signal),
    copy: (origin: Origin, destination, options, how) =>
      blobs.overBroken(destination, options, how.signal, (wanted) => copies.copy(origin, destination, wanted, how)),
    ...(signer !== undefined ? { signUrl: (name, ttlMs) => signUrl(requests, signer, name, ttlMs) } : {}),
    parts: new Blocks(container, requests, listings, settings.bytesFolder),
    async close() {},
  };
}

/** Told once: an append blob is never still while its writer lives, and a copy cannot replace one. */
function stranger(log: Logger): Meet {
  let told = false;
  return (name, blobType) => {
    if (told || blobType === undefined || blobType === "BlockBlob") return;
    told = true;
    log.warn(
      { key: name, blobType },
      "a blob is no block blob, as others write them (distribution's driver does): it is served as it is",
    );
  };
}

class Blobs {
  readonly #container: ContainerClient;
  readonly #requests: Requests;
  readonly #reads: Reads;

  constructor(container: ContainerClient, requests: Requests, reads: Reads) {
    this.#container = container;
    this.#requests = requests;
    this.#reads = reads;
  }

  put(name: string, data: Uint8Array, options: PutOptions, how: RequestHow): Promise<ObjectFacts> {
    const blob = this.#container.getBlockBlobClient(name);
    const metadata = metadataOf(options.digest);
    return this.overBroken(name, options, how.signal, async ({ condition }) => {
      const meaning = ({ code }: Failure) =>
        code === "BlobAlreadyExists" || code === "ConditionNotMet" ? conditionLost(name, condition) : undefined;
      const told = await this.#requests.once({ ...how, meaning, bodyBytes: data.length }, (abortSignal) =>
        blob.upload(data, data.length, { abortSignal, metadata, conditions: conditionsOf(condition) }),
      );
      return factsOf(name, data.length, { ...told, metadata });
    });
  }

  async delete(name: string, condition: ObjectCondition | undefined, how: RequestHow): Promise<void> {
    const blob = this.#container.getBlobClient(name);
    const meaning = (failure: Failure) =>
      failure.code === "ConditionNotMet" ? etagMismatch(name) : absence(name)(failure);
    try {
      // Snapshots that others made go with it: without it they would keep it.
      await this.#requests.once({ ...how, meaning }, (abortSignal) =>
        blob.delete({ abortSignal, deleteSnapshots: "include", conditions: conditionsOf(condition) }),
      );
    } catch (error) {
      if (hasReason(error, "KEY_NOT_FOUND")) return;
      // The account tells a condition on a blob that is not there as one that does not hold.
      if (!hasReason(error, "ETAG_MISMATCH") || (await this.#reads.properties(name, how.signal)) !== undefined)
        throw error;
    }
  }

  /**
   * A copy of somebody else's that failed is absent for every reader; so must it be for who writes only where nothing is,
   * although the account counts it as a blob.
   */
  async overBroken<Options extends PutOptions>(
    name: string,
    options: Options,
    signal: AbortSignal,
    write: (options: Options) => Promise<ObjectFacts>,
  ): Promise<ObjectFacts> {
    try {
      return await write(options);
    } catch (error) {
      if (!hasReason(error, "KEY_EXISTS")) throw error;
      const there = await this.#reads.properties(name, signal);
      if (there === undefined || isWhole(there.copyStatus) || there.copyStatus === "pending") throw error;
      const { etag } = factsOf(name, 0, there);
      try {
        return await write({ ...options, condition: { ifEtag: etag } });
      } catch (again) {
        throw hasReason(again, "ETAG_MISMATCH") ? error : again;
      }
    }
  }
}

async function signUrl(requests: Requests, signer: Signer, name: string, ttlMs: number) {
  const expiresMs = Date.now() + signedFor(ttlMs);
  // To the second, downwards: what is told must not outlive it.
  const expires = new Date(Math.floor(expiresMs / 1000) * 1000);
  const signal = AbortSignal.timeout(requests.timeoutMs);
  const url = await requests.harmless({ signal }, (abortSignal) => signer.sign(name, expires, abortSignal));
  return { url, expiresMs: expires.getTime() };
}
