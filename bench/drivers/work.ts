/** The work that is measured, by a driver over the protocol and by its vendor's SDK alone. */
import { createHash, randomBytes } from "node:crypto";
import type { Stores } from "../../client/contract.ts";
import { type Figures, measure, throughput } from "./measure.ts";

/** A meta store's work with small values. */
export interface MetaWork {
  get(key: string): Promise<unknown>;
  /** One value, if its key is new. */
  write(key: string, value: Uint8Array): Promise<unknown>;
  /** Ten values at once, all or none: about what a manifest makes. */
  writeTen(key: string, value: Uint8Array): Promise<unknown>;
  /** A page of 100 keys. */
  list(prefix: string): Promise<unknown>;
}

/** A blob store's work; every body is read to its end. */
export interface BlobWork {
  stat(key: string): Promise<unknown>;
  put(key: string, data: Uint8Array): Promise<unknown>;
  read(key: string): Promise<unknown>;
  /** A blob of many MiB under a key that is known at the beginning. */
  upload(key: string, sizeBytes: number): Promise<unknown>;
}

export interface MetaFigures {
  readonly get: Figures;
  readonly write: Figures;
  readonly writeTen: Figures;
  readonly list: Figures;
}

export interface BlobFigures {
  readonly stat: Figures;
  readonly put1KiB: Figures;
  readonly read1KiB: Figures;
  readonly put1MiB: Figures;
  readonly read1MiB: Figures;
  /** MiB/s of one stream. */
  readonly upload: number;
  readonly download: number;
}

const MIB = 2 ** 20;
/** What a link holds. */
const LINK = Buffer.from(`sha256:${"0".repeat(64)}`);

export async function metaFigures(work: MetaWork, seconds: number): Promise<MetaFigures> {
  const run = randomBytes(6).toString("hex");
  for (let number = 0; number < 200; number++) await work.write(`bench/${run}/list/${1000 + number}/link`, LINK);
  return {
    get: await measure(seconds, () => work.get(`bench/${run}/list/1000/link`)),
    write: await measure(seconds, (number) => work.write(`bench/${run}/one/${number}/link`, LINK)),
    writeTen: await measure(seconds, (number) => work.writeTen(`bench/${run}/ten/${number}`, LINK)),
    list: await measure(seconds, () => work.list(`bench/${run}/list/`)),
  };
}

export async function blobFigures(work: BlobWork, seconds: number, largeBytes: number): Promise<BlobFigures> {
  const run = randomBytes(6).toString("hex");
  const key = (kind: string, number: number) => `bench/${run}/${kind}/${number}/data`;
  const [small, middle] = [randomBytes(1024), randomBytes(MIB)];
  await work.put(key("small", 0), small);
  await work.put(key("middle", 0), middle);
  const figures = {
    stat: await measure(seconds, () => work.stat(key("small", 0))),
    put1KiB: await measure(seconds, (number) => work.put(key("small", number + 1), small)),
    read1KiB: await measure(seconds, () => work.read(key("small", 0))),
    put1MiB: await measure(seconds, (number) => work.put(key("middle", number + 1), middle)),
    read1MiB: await measure(seconds, () => work.read(key("middle", 0))),
  };
  const upload = await throughput(largeBytes, 2, (number) => work.upload(key("large", number), largeBytes));
  const download = await throughput(largeBytes, 2, () => work.read(key("large", 0)));
  return { ...figures, upload, download };
}

/** Pieces of 1 MiB that differ from each other, and their digest, without all of them in memory. */
export function* largePieces(sizeBytes: number): Generator<Buffer> {
  for (let at = 0; at < sizeBytes; at += MIB) {
    const piece = Buffer.from(PIECE.subarray(0, Math.min(MIB, sizeBytes - at)));
    piece.writeUInt32LE(at / MIB, 0);
    yield piece;
  }
}

const PIECE = randomBytes(MIB);
const digests = new Map<number, string>();

function digestOfLarge(sizeBytes: number): string {
  let digest = digests.get(sizeBytes);
  if (digest === undefined) {
    const hash = createHash("sha256");
    for (const piece of largePieces(sizeBytes)) hash.update(piece);
    digest = `sha256:${hash.digest("hex")}`;
    digests.set(sizeBytes, digest);
  }
  return digest;
}

export function metaThrough({ meta }: Stores): MetaWork {
  const put = (key: string, value: Uint8Array) => ({ kind: "put", key, value, condition: { ifAbsent: true } }) as const;
  return {
    get: (key) => meta.get([key]),
    write: (key, value) => meta.write([put(key, value)]),
    writeTen: (key, value) => meta.write(Array.from({ length: 10 }, (_, index) => put(`${key}/${index}/link`, value))),
    list: (prefix) => meta.list({ prefix, limit: 100 }),
  };
}

export function blobThrough({ blobs }: Stores): BlobWork {
  async function* pieces(sizeBytes: number): AsyncGenerator<Buffer> {
    yield* largePieces(sizeBytes);
  }
  return {
    stat: (key) => blobs.stat([key]),
    put: (key, data) => blobs.put(key, data),
    async read(key) {
      const { body } = await blobs.read(key);
      for await (const _ of body);
    },
    // The digest is computed once, before: a pusher knows it too.
    upload: (key, sizeBytes) =>
      blobs.append({
        uploadId: randomBytes(16).toString("hex"),
        create: true,
        algorithm: "sha256",
        offsetBytes: 0,
        key,
        sizeBytes,
        body: pieces(sizeBytes),
        commit: { key, sizeBytes, digest: digestOfLarge(sizeBytes) },
      }),
  };
}

/** Computed before anything is timed. */
export function prepare(largeBytes: number): void {
  digestOfLarge(largeBytes);
}
