/** The same work without driver and protocol, in one process: by each vendor's SDK with its own defaults, by node:fs. */
import { createReadStream } from "node:fs";
import { mkdir, open, rename, stat } from "node:fs/promises";
import { Agent } from "node:http";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { sdkOf } from "./sdk.ts";
import { type BlobWork, largePieces, type MetaWork } from "./work.ts";

const MIB = 2 ** 20;
/** What the drivers take for a blob of this size, and how many parts they send at once. */
const PART_BYTES = 8 * MIB;
const PARTS_AT_ONCE = 4;

async function drain(body: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of body);
}

/** Cuts a large blob into parts, a few of them under way at once. @returns what each was answered, in order */
async function inParts<Answer>(
  sizeBytes: number,
  send: (part: Buffer, number: number) => Promise<Answer>,
): Promise<Answer[]> {
  const answers: Promise<Answer>[] = [];
  let pieces: Buffer[] = [];
  let held = 0;
  const cut = async () => {
    const part = Buffer.concat(pieces);
    [pieces, held] = [[], 0];
    const oldest = answers[answers.length - PARTS_AT_ONCE];
    if (oldest !== undefined) await oldest;
    answers.push(send(part, answers.length + 1));
  };
  for (const piece of largePieces(sizeBytes)) {
    pieces.push(piece);
    held += piece.length;
    if (held >= PART_BYTES) await cut();
  }
  if (held > 0) await cut();
  return Promise.all(answers);
}

export function memoryFloor(): BlobWork {
  const blobs = new Map<string, readonly Uint8Array[]>();
  return {
    stat: async (key) => blobs.get(key)?.length,
    put: async (key, data) => blobs.set(key, [Buffer.from(data)]),
    read: async (key) => blobs.get(key),
    upload: async (key, sizeBytes) => blobs.set(key, [...largePieces(sizeBytes)]),
  };
}

/** As durable as a driver that claims DURABLE. */
export function filesFloor(folder: string): BlobWork {
  let count = 0;
  async function write(key: string, pieces: Iterable<Uint8Array>): Promise<void> {
    const path = join(folder, key);
    const aside = join(folder, `aside-${count++}`);
    await mkdir(dirname(path), { recursive: true });
    const file = await open(aside, "wx");
    try {
      for (const piece of pieces) await file.write(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(aside, path);
    const holder = await open(dirname(path));
    await holder.sync().finally(() => holder.close());
  }
  return {
    stat: (key) => stat(join(folder, key)),
    put: (key, data) => write(key, [data]),
    read: (key) => drain(createReadStream(join(folder, key), { highWaterMark: MIB })),
    upload: (key, sizeBytes) => write(key, largePieces(sizeBytes)),
  };
}

interface S3Sdk {
  readonly S3: new (
    config: object,
  ) => Record<
    "headObject" | "putObject" | "getObject" | "createMultipartUpload" | "uploadPart" | "completeMultipartUpload",
    (input: object) => Promise<Record<string, unknown>>
  >;
}

export async function s3Floor(server: {
  readonly endpoint: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}): Promise<BlobWork> {
  const { S3 } = await sdkOf<S3Sdk>("s3", "@aws-sdk/client-s3");
  const { endpoint, bucket: Bucket, ...credentials } = server;
  const client = new S3({
    endpoint,
    credentials,
    region: "us-east-1",
    forcePathStyle: true,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: { httpAgent: new Agent({ keepAlive: true, maxSockets: 64 }) },
  });
  return {
    stat: (Key) => client.headObject({ Bucket, Key }),
    put: (Key, Body) => client.putObject({ Bucket, Key, Body }),
    async read(Key) {
      const { Body } = await client.getObject({ Bucket, Key });
      await drain(Body as Readable);
    },
    async upload(Key, sizeBytes) {
      const { UploadId } = await client.createMultipartUpload({ Bucket, Key });
      const Parts = await inParts(sizeBytes, async (Body, PartNumber) => {
        const { ETag } = await client.uploadPart({ Bucket, Key, UploadId, PartNumber, Body });
        return { ETag, PartNumber };
      });
      await client.completeMultipartUpload({ Bucket, Key, UploadId, MultipartUpload: { Parts } });
    },
  };
}

interface AzureBlob {
  getProperties(): Promise<unknown>;
  upload(data: Uint8Array, bytes: number): Promise<unknown>;
  download(): Promise<{ readonly readableStreamBody?: NodeJS.ReadableStream }>;
  stageBlock(id: string, data: Uint8Array, bytes: number): Promise<unknown>;
  commitBlockList(ids: readonly string[]): Promise<unknown>;
}
interface AzureSdk {
  readonly BlobServiceClient: {
    fromConnectionString(text: string): {
      getContainerClient(name: string): { getBlockBlobClient(name: string): AzureBlob };
    };
  };
}

export async function azureFloor(server: {
  readonly connectionString: string;
  readonly container: string;
}): Promise<BlobWork> {
  const { BlobServiceClient } = await sdkOf<AzureSdk>("azure", "@azure/storage-blob");
  const container = BlobServiceClient.fromConnectionString(server.connectionString).getContainerClient(
    server.container,
  );
  const at = (key: string) => container.getBlockBlobClient(key);
  return {
    stat: (key) => at(key).getProperties(),
    put: (key, data) => at(key).upload(data, data.length),
    async read(key) {
      const { readableStreamBody } = await at(key).download();
      await drain(readableStreamBody as unknown as AsyncIterable<Uint8Array>);
    },
    async upload(key, sizeBytes) {
      const blob = at(key);
      const ids = await inParts(sizeBytes, async (part, number) => {
        const id = Buffer.from(String(number).padStart(8, "0")).toString("base64");
        await blob.stageBlock(id, part, part.length);
        return id;
      });
      await blob.commitBlockList(ids);
    },
  };
}

interface GcsFile {
  getMetadata(): Promise<unknown>;
  save(data: Uint8Array, options: object): Promise<unknown>;
  createReadStream(options: object): Readable;
}
interface GcsSdk {
  readonly Storage: new (
    options: object,
  ) => {
    bucket(name: string): {
      file(name: string): GcsFile;
      combine(sources: readonly string[], destination: string): Promise<unknown>;
    };
  };
}

export async function gcsFloor(server: { readonly endpoint: string; readonly bucket: string }): Promise<BlobWork> {
  const { Storage } = await sdkOf<GcsSdk>("gcs", "@google-cloud/storage");
  const storage = new Storage({ apiEndpoint: server.endpoint, projectId: "bench", useAuthWithCustomEndpoint: false });
  const bucket = storage.bucket(server.bucket);
  return {
    stat: (key) => bucket.file(key).getMetadata(),
    put: (key, data) => bucket.file(key).save(data, { resumable: false, validation: false }),
    read: (key) => drain(bucket.file(key).createReadStream({ validation: false })),
    async upload(key, sizeBytes) {
      const parts = await inParts(sizeBytes, async (part, number) => {
        const name = `${key}.part-${number}`;
        await bucket.file(name).save(part, { resumable: false, validation: false });
        return name;
      });
      await bucket.combine(parts, key);
    },
  };
}

interface RedisSdk {
  readonly Redis: new (
    url: string,
  ) => {
    hget(key: string, field: string): Promise<unknown>;
    hsetnx(key: string, field: string, value: Uint8Array): Promise<unknown>;
    hset(key: string, ...fields: (string | Uint8Array)[]): Promise<unknown>;
    zadd(key: string, ...members: (string | number)[]): Promise<unknown>;
    zrangebylex(key: string, from: string, to: string, limit: "LIMIT", at: number, count: number): Promise<string[]>;
    hmget(key: string, ...fields: string[]): Promise<unknown>;
    quit(): Promise<unknown>;
  };
}

/** A hash of values beside a sorted set of their names. */
export async function redisFloor(url: string): Promise<MetaWork & { close(): Promise<void> }> {
  const { Redis } = await sdkOf<RedisSdk>("redis", "ioredis");
  const redis = new Redis(url);
  return {
    get: (key) => redis.hget("floor", key),
    write: (key, value) => Promise.all([redis.hsetnx("floor", key, value), redis.zadd("floor-names", 0, key)]),
    writeTen(key, value) {
      const keys = Array.from({ length: 10 }, (_, index) => `${key}/${index}/link`);
      return Promise.all([
        redis.hset("floor", ...keys.flatMap((one) => [one, value])),
        redis.zadd("floor-names", ...keys.flatMap((one) => [0, one])),
      ]);
    },
    async list(prefix) {
      const names = await redis.zrangebylex("floor-names", `[${prefix}`, `[${prefix}~`, "LIMIT", 0, 100);
      return redis.hmget("floor", ...names);
    },
    close: async () => void (await redis.quit()),
  };
}

interface LmdbSdk {
  open(options: object): {
    get(key: string): unknown;
    put(key: string, value: Uint8Array): Promise<unknown>;
    transaction(work: () => void): Promise<unknown>;
    getRange(range: object): { readonly asArray: unknown[] };
    readonly flushed: Promise<unknown>;
    close(): Promise<void>;
  };
}

export async function lmdbFloor(path: string): Promise<MetaWork & { close(): Promise<void> }> {
  const { open } = await sdkOf<LmdbSdk>("lmdb", "lmdb");
  const data = open({ path, encoding: "binary" });
  return {
    get: async (key) => data.get(key),
    async write(key, value) {
      await data.put(key, value);
      await data.flushed;
    },
    async writeTen(key, value) {
      await data.transaction(() => {
        for (let index = 0; index < 10; index++) data.put(`${key}/${index}/link`, value);
      });
      await data.flushed;
    },
    list: async (prefix) => data.getRange({ start: prefix, end: `${prefix}~`, limit: 100 }).asArray,
    close: () => data.close(),
  };
}

interface DynamoSdk {
  readonly DynamoDB: new (
    config: object,
  ) => Record<
    "createTable" | "getItem" | "putItem" | "transactWriteItems" | "query",
    (input: object) => Promise<unknown>
  >;
}

export async function dynamodbFloor(endpoint: string): Promise<MetaWork> {
  const { DynamoDB } = await sdkOf<DynamoSdk>("dynamodb", "@aws-sdk/client-dynamodb");
  const client = new DynamoDB({
    endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "bench", secretAccessKey: "bench" },
  });
  const TableName = "floor";
  const key = (name: string) => ({ p: { S: "bench" }, k: { S: name } });
  await client.createTable({
    TableName,
    BillingMode: "PAY_PER_REQUEST",
    KeySchema: [
      { AttributeName: "p", KeyType: "HASH" },
      { AttributeName: "k", KeyType: "RANGE" },
    ],
    AttributeDefinitions: ["p", "k"].map((AttributeName) => ({ AttributeName, AttributeType: "S" })),
  });
  const ConditionExpression = "attribute_not_exists(k)";
  return {
    get: (name) => client.getItem({ TableName, Key: key(name), ConsistentRead: true }),
    write: (name, value) => client.putItem({ TableName, Item: { ...key(name), v: { B: value } }, ConditionExpression }),
    writeTen: (name, value) =>
      client.transactWriteItems({
        TransactItems: Array.from({ length: 10 }, (_, index) => ({
          Put: { TableName, Item: { ...key(`${name}/${index}/link`), v: { B: value } }, ConditionExpression },
        })),
      }),
    list: (prefix) =>
      client.query({
        TableName,
        ConsistentRead: true,
        Limit: 100,
        KeyConditionExpression: "p = :p and begins_with(k, :k)",
        ExpressionAttributeValues: { ":p": { S: "bench" }, ":k": { S: prefix } },
      }),
  };
}
