/** How fast bytes go each way, measured with a blob of our own that is taken away again. */
import { randomBytes, randomUUID } from "node:crypto";
import type { Stores } from "../../client/contract.ts";
import { hasReason } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import { formatBytes, formatMs } from "../terminal.ts";
import { type Finding, note, ok } from "./findings.ts";
import { percentiles, roundTripFinding } from "./times.ts";

const MOST_BYTES = 64 * 1024 * 1024;
const LONGEST_MS = 3_000;
const WRITES = 20;

/** Blob: one upload and one read of at most 64 MiB or 3 s each way. Meta: twenty small writes, one after another. */
export async function measure(stores: Stores, signal: AbortSignal): Promise<Finding[]> {
  const key = `outrigger/doctor/${randomUUID()}`;
  try {
    return [...(await measureBlobs(stores, key, signal)), await measureMeta(stores, key, signal)];
  } catch (error) {
    if (hasReason(error, "READ_ONLY")) return [note("throughput: not measured, the store is sealed (--read-only)")];
    throw error;
  }
}

async function measureBlobs({ blobs }: Stores, key: string, signal: AbortSignal): Promise<Finding[]> {
  // Different bytes in each piece are not needed: nothing on the way compresses.
  const piece = randomBytes(limits.preferredChunkBytes);
  let sentBytes = 0;
  const uploadMs = performance.now();
  async function* body(): AsyncGenerator<Buffer> {
    while (sentBytes < MOST_BYTES && performance.now() - uploadMs < LONGEST_MS) {
      sentBytes += piece.length;
      yield piece;
    }
  }
  const uploadId = randomUUID();
  try {
    await blobs.append(
      { uploadId, create: true, algorithm: "sha256", offsetBytes: 0, body: body(), commit: { key } },
      { signal },
    );
    const wroteMs = performance.now() - uploadMs;
    const readMs = performance.now();
    const read = await blobs.read(key, {}, { signal });
    let readBytes = 0;
    // As a puller would: nothing is done with the bytes but counting them.
    for await (const chunk of read.body) readBytes += chunk.length;
    const tookMs = performance.now() - readMs;
    return [
      ok(`to the driver: ${rate(sentBytes, wroteMs)}, with commit`),
      ok(`from the driver: ${rate(readBytes, tookMs)}`),
    ];
  } finally {
    await blobs.abortUpload(uploadId);
    await blobs.delete([key]);
  }
}

async function measureMeta({ meta }: Stores, key: string, signal: AbortSignal): Promise<Finding> {
  const samples: number[] = [];
  try {
    for (let count = 0; count < WRITES; count += 1) {
      const startedMs = performance.now();
      const value = Buffer.from(`${count}`);
      await meta.write([{ kind: "put", key, value }], { signal });
      samples.push(performance.now() - startedMs);
    }
  } finally {
    await meta.write([{ kind: "delete", key }]);
  }
  return roundTripFinding(`meta write (${WRITES} in a row)`, percentiles(samples));
}

function rate(bytes: number, ms: number): string {
  return `${formatBytes(Math.round(bytes / (ms / 1000)))}/s (${formatBytes(bytes)} in ${formatMs(ms)})`;
}
