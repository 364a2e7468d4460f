/** Copies at the server: in one request, or by parts where it is too large for one or S3 compares only so. */
import { CopyObjectCommand, UploadPartCopyCommand } from "@aws-sdk/client-s3";
import { eachAtOnce } from "../../server/objects/at-once.ts";
import type { ObjectCondition, ObjectFacts, PartFacts, RequestHow } from "../../server/objects/contract.ts";
import type { Failure } from "./errors.ts";
import {
  conditionMeaning,
  conditionsOf,
  etagMismatch,
  factsOf,
  isAbsent,
  keyNotFound,
  metadataOf,
  quoted,
} from "./facts.ts";
import type { Parts } from "./parts.ts";
import type { How, Requests } from "./requests.ts";

const MIB = 1024 * 1024;

export type Origin = Pick<ObjectFacts, "name" | "etag" | "sizeBytes">;

export interface CopySizes {
  /** Up to here one request does it. */
  readonly wholeBytes: number;
  readonly partBytes: number;
}

/** One request may copy 5 GiB, and takes as long as it takes; parts go side by side. */
export const copySizes: CopySizes = { wholeBytes: 512 * MIB, partBytes: 256 * MIB };
const PARTS_MOST = 10_000;
const PARTS_AT_ONCE = 8;
/** A copy is work for the server: it owes its answer for longer. */
const COPY_MS = 10 * 60_000;

export interface CopyParts {
  readonly requests: Requests;
  readonly bucket: string;
  readonly parts: Parts;
  readonly sizes: CopySizes;
  /** Whether the server heeds conditions of CopyObject. */
  readonly compares: boolean;
}

export class Copies {
  readonly #with: CopyParts;

  constructor(parts: CopyParts) {
    this.#with = parts;
  }

  async copy(
    origin: Origin,
    destination: string,
    options: { readonly condition?: ObjectCondition; readonly digest?: string },
    how: RequestHow,
  ): Promise<ObjectFacts> {
    const { sizes, compares } = this.#with;
    const whole = origin.sizeBytes <= sizes.wholeBytes && (options.condition === undefined || compares);
    return whole || origin.sizeBytes === 0
      ? this.#whole(origin, destination, options, how)
      : this.#byParts(origin, destination, options, how);
  }

  async #whole(
    origin: Origin,
    destination: string,
    { condition, digest }: { readonly condition?: ObjectCondition; readonly digest?: string },
    how: RequestHow,
  ): Promise<ObjectFacts> {
    const { requests, bucket } = this.#with;
    const lost = conditionMeaning(destination, condition);
    const request: How = {
      ...how,
      timeoutMs: COPY_MS,
      meaning: (failure) => this.#sourceMeaning(origin, failure, condition) ?? lost(failure),
    };
    const send = condition === undefined ? requests.harmless.bind(requests) : requests.once.bind(requests);
    const { output, dateMs } = await send(request, (client, watched, sending) =>
      client.send(
        watched(
          new CopyObjectCommand({
            Bucket: bucket,
            Key: destination,
            CopySource: this.#source(origin.name),
            CopySourceIfMatch: quoted(origin.etag),
            MetadataDirective: "REPLACE",
            Metadata: metadataOf(digest),
            ...conditionsOf(condition),
          }),
        ),
        sending,
      ),
    );
    return {
      ...factsOf(destination, origin.sizeBytes, output.CopyObjectResult ?? {}, dateMs),
      digests: digest === undefined ? [] : [digest],
    };
  }

  async #byParts(
    origin: Origin,
    destination: string,
    { condition, digest }: { readonly condition?: ObjectCondition; readonly digest?: string },
    how: RequestHow,
  ): Promise<ObjectFacts> {
    const { parts, sizes } = this.#with;
    const ref = await parts.begin(destination, how, digest);
    try {
      const partBytes = Math.max(sizes.partBytes, Math.ceil(origin.sizeBytes / PARTS_MOST / MIB) * MIB);
      const count = Math.ceil(origin.sizeBytes / partBytes);
      const copied: PartFacts[] = [];
      await eachAtOnce(
        PARTS_AT_ONCE,
        Array.from({ length: count }, (_, index) => index),
        async (index) => {
          const startBytes = index * partBytes;
          const endBytes = Math.min(origin.sizeBytes, startBytes + partBytes);
          const etag = await this.#part(origin, destination, ref, index + 1, startBytes, endBytes, how);
          copied[index] = { number: index + 1, sizeBytes: endBytes - startBytes, etag };
        },
      );
      const facts = await parts.complete(destination, ref, copied, condition === undefined ? {} : { condition }, how);
      return { ...facts, digests: digest === undefined ? [] : [digest] };
    } catch (error) {
      // After a lost answer it may be complete: then there is nothing to abandon. Its own failure says less than this one.
      await parts.abandon(destination, ref, { signal: how.signal, assertInTime() {} }).catch(() => {});
      throw error;
    }
  }

  async #part(
    origin: Origin,
    destination: string,
    ref: string,
    number: number,
    startBytes: number,
    endBytes: number,
    how: RequestHow,
  ): Promise<string> {
    const { requests, bucket } = this.#with;
    const { output } = await requests.harmless(
      { ...how, timeoutMs: COPY_MS, meaning: (failure) => this.#sourceMeaning(origin, failure, undefined) },
      (client, watched, sending) =>
        client.send(
          watched(
            new UploadPartCopyCommand({
              Bucket: bucket,
              Key: destination,
              UploadId: ref,
              PartNumber: number,
              CopySource: this.#source(origin.name),
              CopySourceIfMatch: quoted(origin.etag),
              CopySourceRange: `bytes=${startBytes}-${endBytes - 1}`,
            }),
          ),
          sending,
        ),
    );
    return output.CopyPartResult?.ETag?.replaceAll('"', "") ?? "";
  }

  /** 412 without a condition of the destination's is about the source; with one it can be either. */
  #sourceMeaning(origin: Origin, failure: Failure, condition: ObjectCondition | undefined) {
    if (failure.status === 412 && condition === undefined) return etagMismatch(origin.name);
    return isAbsent(failure) && (condition === undefined || "ifAbsent" in condition)
      ? keyNotFound(origin.name)
      : undefined;
  }

  #source(name: string): string {
    return encodeURIComponent(`${this.#with.bucket}/${name}`).replaceAll("%2F", "/");
  }
}
