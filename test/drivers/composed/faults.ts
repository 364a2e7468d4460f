/**
 * Random changes of a composition while its processes are killed, stopped and started, held against a model: each key has
 * one writer, so that what is acknowledged is the state, and what failed leaves the old state or the new one.
 */
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type BlobConnection, connectBlobs } from "../../../client/blob-connection.ts";
import { hasReason, OutriggerError } from "../../../proto/errors.ts";
import type { Scope } from "../../helpers/processes.ts";
import type { Random } from "../../helpers/random.ts";
import { silentLog } from "./log.ts";

const MIB = 1024 * 1024;

/** Contents are compared by digest; `undefined`: absent. */
type Content = string | undefined;

export function connectTo(scope: Scope, address: string): BlobConnection {
  const connection = connectBlobs({ address }, { name: "test", version: "0", log: silentLog });
  scope.defer(() => connection.channel.close());
  return connection;
}

/** The digest of what the key holds. @throws what the driver says */
export async function contentOf({ store }: BlobConnection, key: string): Promise<Content> {
  try {
    const read = await store.read(key);
    const hash = createHash("sha256");
    for await (const piece of read.body) hash.update(piece);
    return `sha256:${hash.digest("hex")}`;
  } catch (error) {
    if (hasReason(error, "KEY_NOT_FOUND")) return undefined;
    throw error;
  }
}

export async function keysOf({ store }: BlobConnection, prefix = ""): Promise<string[]> {
  const keys: string[] = [];
  for (;;) {
    const page = await store.list({ prefix, startAfter: keys.at(-1) ?? "", limit: 50 });
    keys.push(...page.items.map((item) => item.key));
    if (!page.more) return keys;
  }
}

export function bytesOf(random: Random, sizeBytes: number): Buffer {
  const block = createHash("sha512").update(String(random.next())).digest();
  return Buffer.alloc(sizeBytes, block);
}

export function push({ store }: BlobConnection, key: string, data: Buffer, isKeyKnown: boolean): Promise<unknown> {
  async function* body() {
    for (let at = 0; at < data.length; at += 200_000) yield data.subarray(at, at + 200_000);
  }
  return store.append({
    uploadId: randomUUID(),
    create: true,
    algorithm: "sha256",
    offsetBytes: 0,
    body: body(),
    sizeBytes: data.length,
    ...(isKeyKnown ? { key } : {}),
    commit: { key, digest: digestOf(data), sizeBytes: data.length },
  });
}

export function digestOf(data: Uint8Array): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}

/** One key, its writer, and what it may hold. */
class Slot {
  readonly key: string;
  #allowed: Content[] = [undefined];
  readonly said: string[] = [];

  constructor(key: string) {
    this.key = key;
  }

  async change(what: string, to: Content, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
      this.#allowed = [to];
      this.said.push(`${what} ${to?.slice(7, 15)}: done`);
    } catch (error) {
      if (!(error instanceof OutriggerError)) throw error;
      if (!this.#allowed.includes(to)) this.#allowed.push(to);
      this.said.push(`${what} ${to?.slice(7, 15)}: ${error.reason} ${error.message.slice(0, 120)}`);
    }
  }

  /** What is seen is one of what may be. It stays open which one where a change may still take effect. */
  check(seen: Content, where: string): void {
    if (this.#allowed.includes(seen)) return;
    assert.fail(
      `${this.key} ${where} holds ${seen ?? "nothing"}, and may hold ${this.#allowed.map(String).join(" or ")}:\n${this.said.join("\n")}`,
    );
  }
}

export interface FaultRun {
  readonly random: Random;
  readonly connection: BlobConnection;
  readonly keys: number;
  /** Ends the run: resolves when enough faults were made. */
  readonly faults: () => Promise<void>;
}

/** @returns what every key may hold, to be checked wherever it can be read */
export async function changeUnderFaults({ random, connection, keys, faults }: FaultRun): Promise<readonly Slot[]> {
  const slots = Array.from({ length: keys }, (_, index) => new Slot(`docker/k${index}`));
  const ending = new AbortController();
  const counts = { done: 0, failed: 0, read: 0 };
  const writers = slots.map(async (slot) => {
    while (!ending.signal.aborted) {
      const draw = random.next();
      const data = bytesOf(
        random,
        draw < 0.5 ? 1 + Math.floor(random.next() * 60_000) : MIB + Math.floor(random.next() * 3 * MIB),
      );
      const before = slot.said.length;
      if (draw < 0.35)
        await slot.change("put", digestOf(data), () => connection.store.put(slot.key, data.subarray(0, MIB)));
      else if (draw < 0.75)
        await slot.change("push", digestOf(data), () => push(connection, slot.key, data, draw < 0.6));
      else await slot.change("delete", undefined, () => connection.store.delete([slot.key]));
      counts[slot.said.length > before && slot.said.at(-1)?.endsWith("done") ? "done" : "failed"]++;
      const seen = await contentOf(connection, slot.key).then(
        (content) => ({ content }),
        () => undefined,
      );
      if (seen !== undefined) {
        counts.read++;
        slot.check(seen.content, "meanwhile");
      }
      await sleep(random.next() * 30);
    }
  });
  const failing = Promise.all(writers);
  failing.catch(() => ending.abort());
  await Promise.race([faults(), failing]);
  ending.abort();
  await failing;
  assert.ok(counts.done > keys, `hardly anything was done: ${JSON.stringify(counts)}`);
  console.log(`faults: ${JSON.stringify(counts)}`);
  return slots;
}

/** Reads every key where it can be read again. */
export async function checkAll(slots: readonly Slot[], connection: BlobConnection, where: string): Promise<void> {
  for (const slot of slots) slot.check(await contentOf(connection, slot.key), where);
}
