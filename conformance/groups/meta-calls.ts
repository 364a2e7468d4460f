/**
 * Calls of the meta store as its tests make them. What belongs to a rule of its own is borne here, so that only that rule's
 * tests fail: results in another order, a start_after that is answered, etags that only Get tells rightly.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { Item } from "../../proto/gen/outrigger/meta/v1/Item.ts";
import type { OperationInput } from "../../proto/gen/outrigger/meta/v1/Operation.ts";
import type { WriteResponse } from "../../proto/gen/outrigger/meta/v1/WriteResponse.ts";
import { limits } from "../../proto/limits.ts";
import type { CallOptions, Calls } from "../contract.ts";
import { Fault } from "../faults.ts";

export type Condition = "absent" | "present" | { readonly etag: string };

/** Whoever can call: the context, or a connection of its own. */
export type MetaPeer = Pick<Calls, "meta">;

export const put = (key: string, value: Uint8Array | string, condition?: Condition): OperationInput => ({
  key,
  put: typeof value === "string" ? Buffer.from(value) : value,
  ...conditionOf(condition),
});

export const remove = (key: string, condition?: Condition): OperationInput => ({
  key,
  delete: {},
  ...conditionOf(condition),
});

export const check = (key: string, condition: Condition): OperationInput => ({
  key,
  check: {},
  ...conditionOf(condition),
});

function conditionOf(condition: Condition | undefined): OperationInput {
  if (condition === undefined) return {};
  if (condition === "absent") return { ifAbsent: {} };
  return condition === "present" ? { ifPresent: {} } : { ifEtag: condition.etag };
}

/** One Write; contention is tried again, as a core does. @throws Fault for every other refusal */
export function write(peer: MetaPeer, ...operations: readonly OperationInput[]): Promise<WriteResponse> {
  return patiently(() => peer.meta.write({ operations: [...operations] }));
}

/** Calls again while the answer is CONFLICT: the driver says that the same Write may win later. */
export async function patiently<Result>(call: () => Promise<Result>, most = 100): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof Fault && error.reason === "CONFLICT") || tries >= most) throw error;
      await sleep(Math.min(tries, 20));
    }
  }
}

/** Whether the Write was accepted; any refusal by the driver is a no, whatever its reason. */
export async function accepted(peer: MetaPeer, ...operations: readonly OperationInput[]): Promise<boolean> {
  try {
    await write(peer, ...operations);
    return true;
  } catch (error) {
    if (isRefusal(error)) return false;
    throw error;
  }
}

/** A refusal that a store makes for what was asked, also under a wrong code or without a reason. */
export function isRefusal(error: unknown): error is Fault {
  const own = ["ABORTED", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "ALREADY_EXISTS", "NOT_FOUND", "OUT_OF_RANGE"];
  return error instanceof Fault && (error.reason !== undefined || own.includes(error.code));
}

/** By key, however many; absent ones are left out. One call for each 100, more where an answer was full. */
export async function get(peer: MetaPeer, keys: readonly string[]): Promise<Map<string, Item>> {
  const found = new Map<string, Item>();
  for (let wanted = [...keys]; wanted.length > 0; ) {
    const asked = wanted.splice(0, limits.getKeys);
    const { results, unread } = await peer.meta.get({ keys: asked });
    for (const { key, item } of results) if (item) found.set(key, item);
    if (results.length === 0 && unread.length >= asked.length) assert.fail(`Get answered none of ${asked.length} keys`);
    wanted = [...unread, ...wanted];
  }
  return found;
}

export async function getOne(peer: MetaPeer, key: string): Promise<Item | undefined> {
  return (await get(peer, [key])).get(key);
}

/** @throws AssertionError where it is absent */
export async function etagOf(peer: MetaPeer, key: string): Promise<string> {
  const item = await getOne(peer, key);
  assert.ok(item, `${key} was put and is absent`);
  return item.etag;
}

/** Values as text, absent ones as `undefined`, in the order of `keys`. */
export async function texts(peer: MetaPeer, keys: readonly string[]): Promise<(string | undefined)[]> {
  const found = await get(peer, keys);
  return keys.map((key) => found.get(key)?.value.toString("latin1"));
}

/**
 * Every item below a prefix, page by page. A first item that is the start itself is dropped [meta.list.01]; what is
 * answered twice otherwise is twice in the answer.
 */
export async function listAll(
  peer: MetaPeer,
  prefix: string,
  limit: number = limits.listItems,
  betweenPages?: () => Promise<void>,
): Promise<Item[]> {
  const all: Item[] = [];
  let startAfter = "";
  for (let pages = 0; ; pages++) {
    assert.ok(pages < 10_000, `a listing of ${prefix} has not ended after ${pages} pages`);
    const { items, more } = await peer.meta.list({ prefix, startAfter, limit });
    const fresh = items[0]?.key === startAfter ? items.slice(1) : items;
    all.push(...fresh);
    const last = fresh.at(-1)?.key;
    if (!more || last === undefined) return all;
    startAfter = last;
    await betweenPages?.();
  }
}

/** Puts many keys, as few Writes as it takes. */
export async function putMany(
  peer: MetaPeer,
  keys: readonly string[],
  value: Uint8Array | string = "v",
  perWrite: number = limits.writeOperations,
): Promise<void> {
  for (let at = 0; at < keys.length; at += perWrite) {
    await write(peer, ...keys.slice(at, at + perWrite).map((key) => put(key, value)));
  }
}

/** Options of a call whose time has run out. */
export const tooLate = (): CallOptions => ({ notAfter: Date.now() - 60_000 });
