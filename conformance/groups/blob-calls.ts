/**
 * Calls of the blob store as its tests make them. What belongs to a rule of its own is borne here, so that only that rule's
 * tests fail: chunks are taken in the order they come, whatever offset they tell, and as many as come.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { BlobInfo } from "../../proto/gen/outrigger/blob/v1/BlobInfo.ts";
import type { ReadRequestInput } from "../../proto/gen/outrigger/blob/v1/ReadRequest.ts";
import { limits } from "../../proto/limits.ts";
import type { CallOptions, Calls } from "../contract.ts";
import { Fault } from "../faults.ts";

/** Whoever can call: the context, or a connection of its own. */
export type BlobPeer = Pick<Calls, "blob">;

export interface Content {
  /** Absent where Read sent no `start`. */
  readonly info: BlobInfo | undefined;
  /** What `start` announced. */
  readonly start: number;
  readonly length: number;
  readonly bytes: Buffer;
}

/** A blob of at most 1 MiB, whatever is there already. */
export async function put(peer: BlobPeer, key: string, data: Uint8Array | string): Promise<BlobInfo | null> {
  return (await peer.blob.put({ key, data: typeof data === "string" ? Buffer.from(data) : data })).info;
}

/** A blob of any size. */
export async function upload(
  peer: BlobPeer,
  uploadId: string,
  key: string,
  data: Uint8Array,
): Promise<BlobInfo | null> {
  const session = peer.blob.append();
  await session.open({ uploadId, key, size: data.length });
  await session.chunks(0, data);
  await session.send({ step: "commit", commit: { key, size: data.length } } as never);
  return (await session.until("committed")).info ?? null;
}

/** What Stat tells, by key; absent ones are left out. */
export async function stat(peer: BlobPeer, keys: readonly string[]): Promise<Map<string, BlobInfo>> {
  const found = new Map<string, BlobInfo>();
  for (let at = 0; at < keys.length; at += limits.statKeys) {
    const { results } = await peer.blob.stat({ keys: keys.slice(at, at + limits.statKeys) });
    for (const { key, info } of results) if (info) found.set(key, info);
  }
  return found;
}

export async function statOne(peer: BlobPeer, key: string): Promise<BlobInfo | undefined> {
  return (await stat(peer, [key])).get(key);
}

/** @throws AssertionError where it is absent */
export async function etagOf(peer: BlobPeer, key: string): Promise<string> {
  const info = await statOne(peer, key);
  assert.ok(info, `${key} was put and is absent`);
  return info.etag;
}

/** A range, to its end. @throws Fault */
export async function read(peer: BlobPeer, request: ReadRequestInput, options?: CallOptions): Promise<Content> {
  const parts: Buffer[] = [];
  let first: { info: BlobInfo | undefined; start: number; length: number } | undefined;
  for (const { start, chunk } of await peer.blob.read(request, options).rest()) {
    if (start) first ??= { info: start.info ?? undefined, start: start.start, length: start.length };
    if (chunk) parts.push(chunk.data);
  }
  return { ...(first ?? { info: undefined, start: -1, length: -1 }), bytes: Buffer.concat(parts) };
}

/** A small blob's text, or `undefined` where Read finds none. */
export async function textOf(peer: BlobPeer, key: string): Promise<string | undefined> {
  try {
    return (await read(peer, { key })).bytes.toString("latin1");
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

export async function texts(peer: BlobPeer, keys: readonly string[]): Promise<(string | undefined)[]> {
  return Promise.all(keys.map((key) => textOf(peer, key)));
}

/** Also under a wrong code or without a reason. */
export function isNotFound(error: unknown): boolean {
  return error instanceof Fault && (error.code === "NOT_FOUND" || error.reason === "KEY_NOT_FOUND");
}

/** @returns what `info` said */
export async function move(peer: BlobPeer, source: string, destination: string): Promise<BlobInfo | undefined> {
  let last: BlobInfo | undefined;
  for (const { info } of await peer.blob.move({ source, destination }).rest()) last = info ?? last;
  return last;
}

/** Whatever Delete answers for each key. */
export async function remove(peer: BlobPeer, ...keys: readonly string[]): Promise<void> {
  for (let at = 0; at < keys.length; at += limits.deleteKeys) {
    await peer.blob.delete({ keys: keys.slice(at, at + limits.deleteKeys) });
  }
}

/** Many tiny blobs, several at once. */
export async function putMany(peer: BlobPeer, keys: readonly string[], atOnce = 16): Promise<void> {
  const queue = keys.values();
  const work = async () => {
    for (const key of queue) await put(peer, key, key.slice(-8));
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, keys.length) }, work));
}

export function digestOf(algorithm: "sha256" | "sha512", data: Uint8Array | string): string {
  return `${algorithm}:${createHash(algorithm).update(data).digest("hex")}`;
}

/** Whether the Put was accepted; any refusal by the driver is a no, whatever its reason. */
export async function accepted(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (error instanceof Fault && (error.reason !== undefined || REFUSALS.includes(error.code))) return false;
    throw error;
  }
}

const REFUSALS = ["ABORTED", "ALREADY_EXISTS", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE"];
