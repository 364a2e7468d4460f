/** Single objects of the bucket: what Cloud Storage tells of them, and the requests that write and take them away. */
import { randomBytes } from "node:crypto";
import { OutriggerError } from "../../proto/errors.ts";
import type { ObjectCondition, ObjectFacts, RequestHow } from "../../server/objects/contract.ts";
import type { GcsClient } from "./client.ts";
import type { Crc32c } from "./crc32c.ts";
import { absentBucket, isBucketAbsent, type Problem } from "./failures.ts";

/** [JSON API, Objects resource] as far as it is asked for. */
export interface GcsObject {
  readonly name: string;
  /** Decimal. */
  readonly size?: string;
  /** Decimal; another one for each write of a name, ascending. */
  readonly generation: string;
  readonly timeCreated?: string;
  readonly updated?: string;
  readonly crc32c?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

export const OBJECT_FIELDS = "name,size,generation,timeCreated,updated,crc32c,metadata";

/** A generation as a client may name it. "0" is none: it means absent to Cloud Storage. */
const GENERATION = /^[1-9]\d{0,18}$/;

export function isGeneration(etag: string): boolean {
  return GENERATION.test(etag);
}

export function sizeOf(object: GcsObject): number {
  return Number(object.size ?? 0);
}

/** Custom metadata: "sha256:<hex>". */
export const DIGEST = "outrigger-digest";

export function factsOf(object: GcsObject): ObjectFacts {
  const digest = object.metadata?.[DIGEST];
  return {
    name: object.name,
    sizeBytes: sizeOf(object),
    etag: object.generation,
    modifiedMs: wholeSeconds(object.updated ?? object.timeCreated),
    digests: digest === undefined ? [] : [digest],
  };
}

/** As precise as the header of a read. @returns 0 where it is unknown */
export function wholeSeconds(time: string | undefined): number {
  return Math.floor((Date.parse(time ?? "") || 0) / 1000) * 1000;
}

/** For requests that change nothing. */
export function reading(signal: AbortSignal): RequestHow {
  return { signal, assertInTime: () => {} };
}

/** `ifGenerationMatch`, 0 where the name must be absent. @throws ETAG_MISMATCH for what is no generation at all */
export function generationOf(condition: ObjectCondition | undefined, name: string): string | undefined {
  if (condition === undefined) return undefined;
  if ("ifAbsent" in condition) return "0";
  if (!isGeneration(condition.ifEtag)) throw mismatch(name);
  return condition.ifEtag;
}

export function mismatch(name: string): OutriggerError {
  return new OutriggerError("ETAG_MISMATCH", `${name} has another etag`);
}

export function notMet(name: string, condition: ObjectCondition | undefined): OutriggerError {
  return condition !== undefined && "ifAbsent" in condition
    ? new OutriggerError("KEY_EXISTS", `${name} exists already`)
    : mismatch(name);
}

export class Objects {
  readonly client: GcsClient;
  readonly crc32c: Crc32c;

  constructor(client: GcsClient, crc32c: Crc32c) {
    this.client = client;
    this.crc32c = crc32c;
  }

  async head(object: string, signal: AbortSignal): Promise<GcsObject | undefined> {
    const answer = await this.client.json<GcsObject>(
      {
        method: "GET",
        path: this.client.objectPath(object),
        query: { fields: OBJECT_FIELDS, projection: "noAcl" },
        repeatable: true,
        expect: [404],
      },
      reading(signal),
    );
    if (answer.ok) return answer.body;
    this.assertBucket(answer.problem);
    return undefined;
  }

  /** @throws BACKEND_DOWN when the 404 is the bucket's */
  assertBucket(problem: Problem): void {
    if (isBucketAbsent(problem)) throw new OutriggerError("BACKEND_DOWN", absentBucket(this.client.place));
  }

  /**
   * Whole or not at all, with its CRC32C, which the service holds against what it received.
   * @param generation what it replaces; "0": nothing
   * @returns undefined when another generation is there
   */
  async insert(
    object: string,
    data: readonly Uint8Array[],
    options: {
      readonly generation: string | undefined;
      readonly metadata: Readonly<Record<string, string>>;
      /** Sent again whatever became of it: only where the bytes of a name are always the same. */
      readonly repeatable: boolean;
    },
    how: RequestHow,
  ): Promise<GcsObject | undefined> {
    const boundary = randomBytes(18).toString("hex");
    const description = JSON.stringify({
      name: object,
      contentType: "application/octet-stream",
      crc32c: await this.crc32c.of(data),
      metadata: options.metadata,
    });
    const head = `--${boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n${description}\r\n--${boundary}\r\ncontent-type: application/octet-stream\r\n\r\n`;
    const answer = await this.client.json<GcsObject>(
      {
        method: "POST",
        path: this.client.uploadPath,
        query: {
          uploadType: "multipart",
          name: object,
          ifGenerationMatch: options.generation,
          fields: OBJECT_FIELDS,
        },
        headers: { "content-type": `multipart/related; boundary=${boundary}` },
        body: [Buffer.from(head), ...data, Buffer.from(`\r\n--${boundary}--\r\n`)],
        repeatable: options.repeatable,
        expect: [412],
      },
      how,
    );
    return answer.ok ? answer.body : undefined;
  }

  /**
   * @param generation takes only this one away, for good where the bucket keeps versions
   * @returns "gone" also when it was not there
   */
  async delete(
    object: string,
    options: { readonly ifGeneration?: string; readonly forGood?: string },
    how: RequestHow,
  ): Promise<"gone" | "other"> {
    const answer = await this.client.json(
      {
        method: "DELETE",
        path: this.client.objectPath(object),
        query: { ifGenerationMatch: options.ifGeneration, generation: options.forGood },
        repeatable: true,
        expect: [404, 412],
      },
      how,
    );
    if (answer.ok) return "gone";
    this.assertBucket(answer.problem);
    return answer.problem.status === 404 ? "gone" : "other";
  }

  /** One page in the order of UTF-8 bytes. */
  async page(
    query: {
      readonly prefix: string;
      readonly startOffset?: string;
      readonly pageToken?: string;
      readonly limit: number;
      readonly delimiter?: string;
    },
    signal: AbortSignal,
  ): Promise<{
    readonly items: readonly GcsObject[];
    readonly prefixes: readonly string[];
    readonly next: string | undefined;
  }> {
    const answer = await this.client.json<{
      items?: readonly GcsObject[];
      prefixes?: readonly string[];
      nextPageToken?: string;
    }>(
      {
        method: "GET",
        path: this.client.objectPath(),
        query: {
          prefix: query.prefix,
          startOffset: query.startOffset === "" ? undefined : query.startOffset,
          pageToken: query.pageToken,
          delimiter: query.delimiter,
          maxResults: query.limit,
          projection: "noAcl",
          fields: `nextPageToken,prefixes,items(${OBJECT_FIELDS})`,
        },
        repeatable: true,
        expect: [404],
      },
      reading(signal),
    );
    if (!answer.ok) throw new OutriggerError("BACKEND_DOWN", absentBucket(this.client.place));
    return {
      items: answer.body.items ?? [],
      prefixes: answer.body.prefixes ?? [],
      next: answer.body.nextPageToken === "" ? undefined : answer.body.nextPageToken,
    };
  }
}
