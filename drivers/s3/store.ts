/** What server/objects needs of an object store, in a bucket. */
import { DeleteObjectCommand, GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { bodyMs } from "../../server/objects/body-time.ts";
import type { ObjectCondition, ObjectFacts, ObjectStore, RequestHow } from "../../server/objects/contract.ts";
import type { Clients } from "./client.ts";
import { conflictRetried } from "./conflicts.ts";
import { Copies, type CopySizes, copySizes } from "./copy.ts";
import { conditionMeaning, conditionsOf, etagMismatch, factsOf, isAbsent, metadataOf } from "./facts.ts";
import { listPage } from "./list.ts";
import { Parts } from "./parts.ts";
import { Reads } from "./read.ts";
import { Requests } from "./requests.ts";

/** What was found out about the server; see probe.ts. */
export interface Abilities {
  /** Conditions of CopyObject are heeded. */
  readonly copyCompares: boolean;
  /** Those of DeleteObject. */
  readonly deleteCompares: boolean;
}

export interface S3StoreSettings {
  readonly bucket: string;
  readonly requestTimeoutMs: number;
  readonly abilities: Abilities;
  readonly signs: boolean;
  /** Test knob. */
  readonly copySizes?: CopySizes;
}

export function createS3Store(clients: Clients, settings: S3StoreSettings): ObjectStore {
  const { bucket, requestTimeoutMs, abilities } = settings;
  const requests = new Requests(clients, bucket);
  const reads = new Reads(requests, bucket, 2 * requestTimeoutMs);
  const parts = new Parts(requests, bucket, requestTimeoutMs);
  const copies = new Copies({
    requests,
    bucket,
    parts,
    sizes: settings.copySizes ?? copySizes,
    compares: abilities.copyCompares,
  });
  return {
    place: clients.place,
    async check(signal) {
      await listPage(requests, bucket, { prefix: "!", startAfter: "", limit: 1 }, signal);
    },
    head: (name, signal) => reads.head(name, signal),
    read: (name, range, signal) => reads.read(name, range, signal),
    put: (name, data, options, how) =>
      put(requests, bucket, name, data, options, { ...how, timeoutMs: requestTimeoutMs + bodyMs(data.length) }),
    async delete(name, condition, how) {
      if (condition !== undefined && !abilities.deleteCompares) {
        // As near as the server lets us: nothing that must not be lost depends on it.
        const there = await reads.head(name, how.signal);
        if (there === undefined) return;
        if (!("ifEtag" in condition) || there.etag !== condition.ifEtag) throw etagMismatch(name);
      }
      await remove(requests, bucket, name, abilities.deleteCompares ? condition : undefined, how);
    },
    list: (request, signal) => listPage(requests, bucket, request, signal),
    copy: (origin, destination, options, how) => copies.copy(origin, destination, options, how),
    ...(settings.signs ? { signUrl: (name, ttlMs) => signUrl(clients, bucket, name, ttlMs) } : {}),
    parts,
    async close() {
      clients.close();
    },
  };
}

async function put(
  requests: Requests,
  bucket: string,
  name: string,
  data: Uint8Array,
  { condition, digest }: { readonly condition?: ObjectCondition; readonly digest?: string },
  how: RequestHow & { readonly timeoutMs: number },
): Promise<ObjectFacts> {
  const lost = conditionMeaning(name, condition);
  // A request with a condition whose answer was lost would meet its own work when it is sent again.
  const send = condition === undefined ? requests.harmless.bind(requests) : requests.once.bind(requests);
  const Metadata = metadataOf(digest);
  const { output, dateMs } = await conflictRetried(condition, how.signal, (noteConflict) =>
    send({ ...how, meaning: (failure) => lost(failure) ?? noteConflict(failure) }, (client, watched, options) =>
      client.send(
        watched(
          new PutObjectCommand({
            Bucket: bucket,
            Key: name,
            Body: data,
            ContentLength: data.length,
            Metadata,
            ...conditionsOf(condition),
          }),
        ),
        options,
      ),
    ),
  );
  return factsOf(name, data.length, { ...output, Metadata }, dateMs);
}

async function remove(
  requests: Requests,
  bucket: string,
  name: string,
  condition: ObjectCondition | undefined,
  how: RequestHow,
): Promise<void> {
  const absent = Symbol("absent");
  let seen: symbol | undefined;
  try {
    await requests.harmless(
      {
        ...how,
        meaning: (failure) => {
          if (isAbsent(failure)) seen = absent;
          return failure.status === 412 ? etagMismatch(name) : undefined;
        },
      },
      (client, watched, options) =>
        client.send(
          watched(new DeleteObjectCommand({ Bucket: bucket, Key: name, ...conditionsOf(condition) })),
          options,
        ),
    );
  } catch (error) {
    if (seen !== absent) throw error;
  }
}

/** It ends when the credentials do, if they do before. */
async function signUrl(clients: Clients, bucket: string, name: string, ttlMs: number) {
  const { expiration } = await clients.signing.config.credentials();
  const now = Date.now();
  const seconds = Math.max(
    1,
    Math.floor(Math.min(ttlMs, (expiration?.getTime() ?? Number.POSITIVE_INFINITY) - now) / 1000),
  );
  const signingDate = new Date(Math.floor(now / 1000) * 1000);
  const url = await getSignedUrl(clients.signing, new GetObjectCommand({ Bucket: bucket, Key: name }), {
    expiresIn: seconds,
    signingDate,
  });
  return { url, expiresMs: signingDate.getTime() + seconds * 1000 };
}
