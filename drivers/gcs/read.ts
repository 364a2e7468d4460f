/** Bytes of an object, pinned to one generation, and held against its CRC32C where all of them are read. */
import type { IncomingMessage } from "node:http";
import { OutriggerError } from "../../proto/errors.ts";
import type { ObjectBytes, ObjectFacts } from "../../server/objects/contract.ts";
import type { RunningCrc32c } from "./crc32c.ts";
import { unreachable } from "./failures.ts";
import { DIGEST, factsOf, mismatch, type Objects, reading, sizeOf, wholeSeconds } from "./objects.ts";
import type { HttpReply } from "./transport.ts";

export interface ReadRange {
  readonly offsetBytes: number;
  readonly limitBytes?: number;
  /** A generation. */
  readonly ifEtag?: string;
}

/** How often an object that changes while it is asked for is asked for again. */
const MOST_LOOKS = 3;

/** @throws KEY_NOT_FOUND, ETAG_MISMATCH, OFFSET_MISMATCH */
export async function readObject(
  objects: Objects,
  name: string,
  range: ReadRange,
  signal: AbortSignal,
): Promise<ObjectBytes> {
  const { client } = objects;
  const { offsetBytes, limitBytes, ifEtag } = range;
  if (limitBytes === 0) return (await emptyRange(objects, name, range, signal)) ?? changing(name);
  const ranged = offsetBytes > 0 || limitBytes !== undefined;
  const lastByte = limitBytes === undefined ? "" : String(offsetBytes + limitBytes - 1);
  for (let look = 0; look < MOST_LOOKS; look++) {
    const answer = await client.stream(
      {
        method: "GET",
        path: client.objectPath(name),
        query: { alt: "media", ifGenerationMatch: ifEtag },
        // Stored bytes as they are: what is gzip at rest is not unpacked on the way.
        headers: { "accept-encoding": "gzip", ...(ranged ? { range: `bytes=${offsetBytes}-${lastByte}` } : {}) },
        repeatable: true,
        expect: [404, 412, 416],
      },
      reading(signal),
    );
    if (answer.ok) return bytesOf(objects, name, range, answer.body, signal);
    const { status } = answer.problem;
    if (status === 412) throw mismatch(name);
    if (status === 404) {
      objects.assertBucket(answer.problem);
      throw new OutriggerError("KEY_NOT_FOUND", `there is no ${name}`);
    }
    const empty = await emptyRange(objects, name, range, signal);
    if (empty !== undefined) return empty;
  }
  return changing(name);
}

function changing(name: string): never {
  throw new OutriggerError("BACKEND_DOWN", `${name} changes faster than it can be read`);
}

/** Cloud Storage refuses ranges without bytes. @returns undefined when there are bytes to read after all */
async function emptyRange(
  objects: Objects,
  name: string,
  { offsetBytes, limitBytes, ifEtag }: ReadRange,
  signal: AbortSignal,
): Promise<ObjectBytes | undefined> {
  const object = await objects.head(name, signal);
  if (object === undefined) throw new OutriggerError("KEY_NOT_FOUND", `there is no ${name}`);
  if (ifEtag !== undefined && object.generation !== ifEtag) throw mismatch(name);
  const sizeBytes = sizeOf(object);
  if (offsetBytes > sizeBytes) {
    throw new OutriggerError("OFFSET_MISMATCH", `${name} has ${sizeBytes} bytes`);
  }
  if (offsetBytes < sizeBytes && limitBytes !== 0) return undefined;
  return {
    facts: factsOf(object),
    startBytes: offsetBytes,
    lengthBytes: 0,
    body: none(),
    cancel: () => Promise.resolve(),
  };
}

async function* none(): AsyncGenerator<Uint8Array> {}

async function bytesOf(
  objects: Objects,
  name: string,
  { offsetBytes, limitBytes, ifEtag }: ReadRange,
  { status, message, body: come }: HttpReply,
  signal: AbortSignal,
): Promise<ObjectBytes> {
  const { place } = objects.client;
  try {
    const facts = headerFacts(name, message);
    // An emulator that does not know the condition answers another generation.
    if (ifEtag !== undefined && facts.etag !== ifEtag) throw mismatch(name);
    if (status === 200 && offsetBytes > 0) {
      throw new OutriggerError(
        "BACKEND_DOWN",
        `what answers at ${place.endpoint} ignores ranges: check --api-endpoint`,
      );
    }
    const lengthBytes = Math.min(facts.sizeBytes - offsetBytes, limitBytes ?? Number.POSITIVE_INFINITY);
    const whole = offsetBytes === 0 && lengthBytes === facts.sizeBytes;
    const expected = whole
      ? /crc32c=([A-Za-z0-9+/]+=*)/.exec(String(message.headers["x-goog-hash"] ?? ""))?.[1]
      : undefined;
    const body = pieces(objects, name, come, lengthBytes, expected, signal);
    return {
      facts,
      startBytes: offsetBytes,
      lengthBytes,
      body,
      cancel: async () => {
        message.destroy();
        await body.return(undefined);
      },
    };
  } catch (error) {
    message.destroy();
    throw error;
  }
}

function headerFacts(name: string, { headers }: IncomingMessage): ObjectFacts {
  const total = /\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1];
  const size = total ?? headers["x-goog-stored-content-length"] ?? headers["content-length"];
  const generation = headers["x-goog-generation"];
  if (typeof generation !== "string" || typeof size !== "string") {
    throw new OutriggerError("BACKEND_DOWN", `${name} came without its generation or size: check --api-endpoint`);
  }
  const kept = headers[`x-goog-meta-${DIGEST}`];
  return {
    name,
    sizeBytes: Number(size),
    etag: generation,
    modifiedMs: wholeSeconds(headers["last-modified"]),
    digests: typeof kept === "string" ? [kept] : [],
  };
}

async function* pieces(
  objects: Objects,
  name: string,
  come: HttpReply["body"],
  lengthBytes: number,
  expected: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const crc32c: RunningCrc32c | undefined = expected === undefined ? undefined : await objects.crc32c.begin();
  let leftBytes = lengthBytes;
  // One piece is held back, so that nobody has all the bytes of a damaged object.
  let held: Uint8Array | undefined;
  try {
    for await (const came of come) {
      const piece = came.length > leftBytes ? came.subarray(0, leftBytes) : came;
      crc32c?.update(piece);
      leftBytes -= piece.length;
      if (held !== undefined) yield held;
      held = piece;
      if (leftBytes === 0 && came.length > piece.length) break;
    }
    if (leftBytes > 0) throw new Error(`${leftBytes} of ${lengthBytes} bytes are missing`);
    if (crc32c !== undefined && crc32c.end() !== expected) {
      throw new OutriggerError("STORED_CORRUPT", `the bytes of ${name} do not have the CRC32C of the object`);
    }
    if (held !== undefined && held.length > 0) yield held;
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof OutriggerError ? error : unreachable(error, objects.client.place);
  } finally {
    crc32c?.drop();
    await come.return();
  }
}
