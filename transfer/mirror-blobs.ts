/**
 * Bytes that the source no longer has, taken away at the target, as a collector takes them (architecture.md, "Taking
 * things away beside pushes"): a marker, a look whether any repository still needs them, the bytes, the marker's last state.
 */
import type { MetaItem, MetaOperation, Stores } from "../client/contract.ts";
import { sleep } from "../proto/clock.ts";
import { limits } from "../proto/limits.ts";
import { type CondemnedState, condemnedState, encodeCondemned } from "../registry/repository/condemned.ts";
import {
  blobKey,
  condemnedKey,
  condemnedPrefix,
  digestOf,
  parseBlobKey,
  refsPrefix,
} from "../registry/repository/keys.ts";
import { blobPairs } from "./copy-blobs.ts";
import { pagesOf } from "./join.ts";
import { forEach } from "./pool.ts";
import type { Tally } from "./tally.ts";
import { FACTS_A_WRITE, type Target } from "./target.ts";

/** Past the not-after of a delete whose answer was lost, by any clock that a core accepts. */
const LATE_MS = limits.unaryDeadlineMs + limits.clockSkewMs;
const LISTS_AT_ONCE = 8;
/** No request lives that long. */
const GONE_KEPT_MS = 48 * 60 * 60 * 1000;

export async function mirrorBlobs(from: Stores, target: Target, tally: Tally): Promise<void> {
  await finishMarkers(target, tally);
  for await (const batch of blobPairs(from.blobs, target.core.stores.blobs, target.patience, target.call)) {
    const alone = batch.flatMap(({ key, from: source }) => (source === undefined ? [key] : []));
    for (let at = 0; at < alone.length; at += FACTS_A_WRITE) {
      await take(from, target, alone.slice(at, at + FACTS_A_WRITE), tally);
    }
  }
}

async function take(from: Stores, target: Target, keys: readonly string[], tally: Tally): Promise<void> {
  const infos = await target.patience.run(() => from.blobs.stat(keys, target.call));
  const extra = keys.filter((_, index) => infos[index] === undefined);
  const digests = extra.map(parseBlobKey).filter((digest) => digest !== undefined);
  const others = extra.filter((key) => parseBlobKey(key) === undefined);
  if (digests.length > 0) {
    // Markers of others are theirs: a collector at the target is at work.
    const marked = await target.unraced(async () => {
      const held = await target.getAll(digests.map(condemnedKey));
      const free = digests.filter((digest) => held.get(condemnedKey(digest)) === undefined);
      if (free.length > 0) await target.write(free.map((digest) => mark(target, digest, undefined, "candidate")));
      return free;
    });
    await condemn(target, marked, tally);
  }
  await target.patience.run(() => target.core.stores.blobs.delete(others, target.call));
  tally.blobs.deleted += others.length;
  tally.changed();
}

/** Candidates of a copy. Whoever links one from here on takes its marker away, which the next step's Write would notice. */
async function condemn(target: Target, digests: readonly string[], tally: Tally): Promise<void> {
  const { core, patience, call } = target;
  const needed = new Set<string>();
  await forEach(digests, LISTS_AT_ONCE, async (digest) => {
    const { items } = await patience.run(() => core.stores.meta.list({ prefix: refsPrefix(digest), limit: 1 }, call));
    if (items.length > 0) needed.add(digest);
  });
  const deleting = await target.unraced(async () => {
    const held = await target.getAll(digests.map(condemnedKey));
    const candidates = digests.filter((digest) => condemnedState(held.get(condemnedKey(digest))) === "candidate");
    const free = candidates.filter((digest) => !needed.has(digest));
    const operations = candidates.flatMap((digest): MetaOperation[] => {
      const item = held.get(condemnedKey(digest));
      if (item === undefined) return [];
      if (needed.has(digest)) return [{ kind: "delete", key: item.key, condition: { ifEtag: item.etag } }];
      return [mark(target, digest, item, "deleting")];
    });
    if (operations.length > 0) await target.write(operations);
    return free;
  });
  await finish(target, deleting, tally);
}

/** Digests that a copy has marked "deleting": nobody has them, and nobody can come to have them meanwhile. */
async function finish(target: Target, digests: readonly string[], tally: Tally): Promise<void> {
  if (digests.length === 0) return;
  await deleteForGood(target, digests.map(blobKey));
  await target.unraced(async () => {
    const held = await target.getAll(digests.map(condemnedKey));
    const operations = digests.flatMap((digest): MetaOperation[] => {
      const item = held.get(condemnedKey(digest));
      return condemnedState(item) === "deleting" ? [mark(target, digest, item, "gone")] : [];
    });
    if (operations.length > 0) await target.write(operations);
  });
  tally.blobs.deleted += digests.length;
  tally.changed();
}

/** Resolves when no attempt can take effect any more: what is written under the keys from here on stays. */
async function deleteForGood({ core, patience, call, signal }: Target, keys: readonly string[]): Promise<void> {
  const { clock } = core;
  let doubtfulMs: number | undefined;
  await patience.run(async () => {
    try {
      await core.stores.blobs.delete(keys, call);
    } catch (error) {
      doubtfulMs = clock.monotonic();
      throw error;
    }
  });
  if (doubtfulMs !== undefined) await sleep(clock, doubtfulMs + LATE_MS - clock.monotonic(), signal);
}

function mark(target: Target, digest: string, held: MetaItem | undefined, state: CondemnedState): MetaOperation {
  const sinceMs = target.core.clock.now();
  const value = Buffer.from(JSON.stringify({ ...JSON.parse(String(encodeCondemned({ state, sinceMs }))), by: "copy" }));
  const condition = held === undefined ? ({ ifAbsent: true } as const) : { ifEtag: held.etag };
  return { kind: "put", key: condemnedKey(digest), value, condition };
}

/** Of an earlier copy: what it left half done is ended, what no request can remember any more is taken away. */
export async function finishMarkers(target: Target, tally: Tally): Promise<void> {
  const { core, patience, call } = target;
  const pages = pagesOf((request) => core.stores.meta.list(request, call), { prefix: condemnedPrefix }, patience);
  for await (const page of pages) {
    const own = page.filter(({ value }) => markOf(value)?.by === "copy");
    for (const [state, end] of [
      ["candidate", condemn],
      ["deleting", finish],
    ] as const) {
      const left = own.filter((item) => condemnedState(item) === state);
      for (let at = 0; at < left.length; at += FACTS_A_WRITE) {
        const some = left.slice(at, at + FACTS_A_WRITE);
        const digests = some.map(({ key }) => digestOf(key.slice(condemnedPrefix.length)));
        await end(
          target,
          digests.filter((digest) => digest !== undefined),
          tally,
        );
      }
    }
    const old = own.filter((item) => {
      const sinceMs = markOf(item.value)?.sinceMs;
      return condemnedState(item) === "gone" && sinceMs !== undefined && core.clock.now() - sinceMs > GONE_KEPT_MS;
    });
    for (let at = 0; at < old.length; at += FACTS_A_WRITE) {
      const some = old.slice(at, at + FACTS_A_WRITE);
      await target.unraced(async () => {
        const held = await target.getAll(some.map(({ key }) => key));
        const same = some.filter(({ key, etag }) => held.get(key)?.etag === etag);
        if (same.length === 0) return;
        await target.write(same.map(({ key, etag }) => ({ kind: "delete", key, condition: { ifEtag: etag } })));
      });
    }
  }
}

function markOf(value: Buffer): { readonly by?: string; readonly sinceMs?: number } | undefined {
  try {
    return JSON.parse(value.toString("utf8"));
  } catch {
    return undefined;
  }
}
