/** Multipart uploads. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { hasReason, OutriggerError } from "../../proto/errors.ts";
import type { ObjectCondition, ObjectFacts, PartFacts, PartStore, RequestHow } from "../../server/objects/contract.ts";
import { conflictRetried } from "./conflicts.ts";
import type { Failure } from "./errors.ts";
import { conditionMeaning, conditionsOf, factsOf, metadataOf, quoted } from "./facts.ts";
import { decoded } from "./list.ts";
import type { Requests } from "./requests.ts";

/** S3's own, and of all its likes. */
const LEAST_PART_BYTES = 5 * 1024 * 1024;
const PARTS_MOST = 10_000;
/** The server reads all parts, perhaps: it owes its answer for longer. */
const COMPLETE_MS = 10 * 60_000;

export class Parts implements PartStore {
  readonly limits = { leastPartBytes: LEAST_PART_BYTES, mostParts: PARTS_MOST };
  readonly direct = true;
  readonly #requests: Requests;
  readonly #bucket: string;
  readonly #partTimeoutMs: number;

  constructor(requests: Requests, bucket: string, requestTimeoutMs: number) {
    this.#requests = requests;
    this.#bucket = bucket;
    // Its bytes have to get there first.
    this.#partTimeoutMs = 8 * requestTimeoutMs;
  }

  async begin(name: string, how: RequestHow, digest?: string): Promise<string> {
    const { output } = await this.#requests.harmless(how, (client, watched, options) =>
      client.send(
        watched(new CreateMultipartUploadCommand({ Bucket: this.#bucket, Key: name, Metadata: metadataOf(digest) })),
        options,
      ),
    );
    return output.UploadId ?? "";
  }

  async put(
    name: string,
    ref: string,
    number: number,
    data: readonly Uint8Array[],
    how: RequestHow,
  ): Promise<PartFacts> {
    const [first] = data;
    const body = data.length === 1 && first !== undefined ? first : Buffer.concat(data);
    const { output } = await this.#requests.harmless(
      { ...how, timeoutMs: this.#partTimeoutMs, meaning: unknownUpload(name) },
      (client, watched, options) =>
        client.send(
          watched(
            new UploadPartCommand({
              Bucket: this.#bucket,
              Key: name,
              UploadId: ref,
              PartNumber: number,
              Body: body,
              ContentLength: body.length,
            }),
          ),
          options,
        ),
    );
    return { number, sizeBytes: body.length, etag: output.ETag?.replaceAll('"', "") ?? "" };
  }

  async list(name: string, ref: string, signal: AbortSignal): Promise<readonly PartFacts[]> {
    const parts: PartFacts[] = [];
    try {
      for (let marker: string | undefined = "0"; marker !== undefined; ) {
        const from: string = marker;
        const { output } = await this.#requests.harmless(
          { signal, meaning: unknownUpload(name) },
          (client, watched, options) =>
            client.send(
              watched(new ListPartsCommand({ Bucket: this.#bucket, Key: name, UploadId: ref, PartNumberMarker: from })),
              options,
            ),
        );
        for (const { PartNumber = 0, Size = 0, ETag = "" } of output.Parts ?? []) {
          parts.push({ number: PartNumber, sizeBytes: Size, etag: ETag.replaceAll('"', "") });
        }
        const last = parts.at(-1)?.number ?? 0;
        marker = output.IsTruncated === true && last > Number(from) ? String(last) : undefined;
      }
    } catch (error) {
      if (hasReason(error, "UPLOAD_NOT_FOUND")) return [];
      throw error;
    }
    return parts;
  }

  async complete(
    name: string,
    ref: string,
    parts: readonly PartFacts[],
    { condition }: { readonly condition?: ObjectCondition },
    how: RequestHow,
  ): Promise<ObjectFacts> {
    const lost = conditionMeaning(name, condition);
    const unknown = unknownUpload(name);
    const { output, dateMs } = await conflictRetried(condition, how.signal, (noteConflict) =>
      this.#requests.once(
        {
          ...how,
          timeoutMs: COMPLETE_MS,
          meaning: (failure) => unknown(failure) ?? lost(failure) ?? noteConflict(failure),
        },
        (client, watched, options) =>
          client.send(
            watched(
              new CompleteMultipartUploadCommand({
                Bucket: this.#bucket,
                Key: name,
                UploadId: ref,
                MultipartUpload: {
                  Parts: parts.map(({ number, etag }) => ({ PartNumber: number, ETag: quoted(etag) })),
                },
                ...conditionsOf(condition),
              }),
            ),
            options,
          ),
      ),
    );
    const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
    return factsOf(name, sizeBytes, output, dateMs);
  }

  async abandon(name: string, ref: string, how: RequestHow): Promise<void> {
    try {
      await this.#requests.harmless({ ...how, meaning: unknownUpload(name) }, (client, watched, options) =>
        client.send(
          watched(new AbortMultipartUploadCommand({ Bucket: this.#bucket, Key: name, UploadId: ref })),
          options,
        ),
      );
    } catch (error) {
      if (!hasReason(error, "UPLOAD_NOT_FOUND")) throw error;
    }
  }

  async *begun(prefix: string, signal: AbortSignal) {
    let marker: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
    while (marker !== undefined) {
      const from: { KeyMarker?: string; UploadIdMarker?: string } = marker;
      const { output } = await this.#requests.harmless({ signal }, (client, watched, options) =>
        client.send(
          watched(
            new ListMultipartUploadsCommand({
              Bucket: this.#bucket,
              ...(prefix === "" ? {} : { Prefix: prefix }),
              ...from,
              EncodingType: "url",
            }),
          ),
          options,
        ),
      );
      for (const { Key = "", UploadId = "", Initiated } of output.Uploads ?? []) {
        yield { name: decoded(Key), ref: UploadId, begunMs: Initiated?.getTime() ?? Date.now() };
      }
      const next = { KeyMarker: decoded(output.NextKeyMarker ?? ""), UploadIdMarker: output.NextUploadIdMarker ?? "" };
      const goesOn = next.KeyMarker !== (from.KeyMarker ?? "") || next.UploadIdMarker !== (from.UploadIdMarker ?? "");
      marker = output.IsTruncated === true && goesOn ? next : undefined;
    }
  }
}

function unknownUpload(name: string) {
  return ({ code }: Failure): OutriggerError | undefined =>
    code === "NoSuchUpload"
      ? new OutriggerError("UPLOAD_NOT_FOUND", `there is no multipart upload of ${name}`)
      : undefined;
}
