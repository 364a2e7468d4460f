/** What tests of uploads do again and again. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { OpenInput } from "../../../proto/gen/outrigger/blob/v1/Open.ts";
import type { Progress } from "../../../proto/gen/outrigger/blob/v1/Progress.ts";
import { limits } from "../../../proto/limits.ts";
import type { AppendSession, Calls, Context } from "../../contract.ts";
import { Fault } from "../../faults.ts";

export function digestOf(data: Uint8Array, algorithm: "sha256" | "sha512" = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(data).digest("hex")}`;
}

/** A sender that no other open of the run has: what an attempt is compared with is its own. */
export function newSender(ctx: Context): string {
  return `kit-${ctx.random.hex(16)}`;
}

/** Opens an upload that is there, as another core would. */
export async function reopen(
  ctx: Context,
  uploadId: string,
  how: Omit<OpenInput, "uploadId"> = {},
  calls: Calls = ctx,
): Promise<{ readonly session: AppendSession; readonly persisted: number }> {
  const session = calls.blob.append();
  const { persisted } = await session.open({ create: false, sender: newSender(ctx), ...how, uploadId });
  return { session, persisted };
}

/** Asks for persisted = received and waits until it is told. */
export async function flushed(ctx: Context, session: AppendSession, received: number): Promise<Progress> {
  await session.send({ flush: {} });
  return toldPersisted(ctx, session, received);
}

/** Progress messages up to the one that tells just this much as received and persisted. */
export async function toldPersisted(ctx: Context, session: AppendSession, received: number): Promise<Progress> {
  const deadlineMs = performance.now() + ctx.timers.unaryMs;
  let last: Progress | undefined;
  for (;;) {
    const progress = await session
      .until("progress", Math.max(1, deadlineMs - performance.now()))
      .catch((error: unknown) => {
        if (error instanceof Fault || last === undefined) throw error;
        const { received: told, persisted } = last;
        throw new Error(
          `persisted = received = ${received} was due; told were received ${told}, persisted ${persisted}`,
          {
            cause: error,
          },
        );
      });
    last = progress;
    if (progress.persisted === received && progress.received === received) return progress;
  }
}

export interface Uploading {
  readonly uploadId: string;
  readonly session: AppendSession;
}

/** A new upload that holds `data`, all of it told persisted. Its stream is still open. */
export async function uploading(
  ctx: Context,
  data: Uint8Array,
  how: Omit<OpenInput, "uploadId"> = {},
): Promise<Uploading> {
  const uploadId = ctx.uploadId();
  const session = ctx.blob.append();
  await session.open({ sender: newSender(ctx), ...how, uploadId });
  await session.chunks(0, data);
  await flushed(ctx, session, data.length);
  return { uploadId, session };
}

/** As `uploading`, and nobody has it open. */
export async function uploaded(ctx: Context, data: Uint8Array, how: Omit<OpenInput, "uploadId"> = {}): Promise<string> {
  const { uploadId, session } = await uploading(ctx, data, how);
  session.halfClose();
  await session.rest();
  return uploadId;
}

/** Sends bytes and a commit, and waits for its end. */
export async function committed(
  ctx: Context,
  key: string,
  data: Uint8Array,
  commit: { readonly ifAbsent?: boolean; readonly digest?: string } = {},
) {
  const session = ctx.blob.append();
  await session.open({ uploadId: ctx.uploadId(), sender: newSender(ctx) });
  await session.chunks(0, data);
  await session.send({ commit: { key, digest: digestOf(data), ...commit } });
  return commitAnswer(session);
}

/** The commit's answer, and the end with OK that follows it. */
export async function commitAnswer(session: AppendSession) {
  const answer = await session.until("committed");
  await session.rest();
  return answer;
}

/** A key's bytes. @throws Fault KEY_NOT_FOUND */
export async function readAll(calls: Calls, key: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const { chunk } of calls.blob.read({ key })) if (chunk) parts.push(chunk.data as Buffer);
  return Buffer.concat(parts);
}

/** The key's size, or `undefined` where the key is absent. */
export async function sizeOf(calls: Calls, key: string): Promise<number | undefined> {
  const { results } = await calls.blob.stat({ keys: [key] });
  return results[0]?.info?.size;
}

/** The upload as listed, or `undefined`. Never asks for it by its id. */
export async function listed(calls: Calls, uploadId: string) {
  // Just before it, so that a store with many uploads costs no more.
  const { uploads } = await calls.blob.listUploads({ startAfter: uploadId.slice(0, -1), limit: limits.listItems });
  return uploads.find((upload) => upload.uploadId === uploadId);
}

/** Compares bytes by what a person can read. */
export function assertSame(actual: Buffer, expected: Buffer, what: string): void {
  if (actual.equals(expected)) return;
  const shorter = Math.min(actual.length, expected.length);
  let at = 0;
  while (at < shorter && actual[at] === expected[at]) at++;
  assert.fail(`${what}: ${actual.length} bytes instead of ${expected.length}; the first that differs is at ${at}`);
}
