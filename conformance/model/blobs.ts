/**
 * The blob store, but for uploads, beside a plain map. One client does random steps on both; wherever they part, a
 * `Difference` names the rule. Steps are plain data: keys are names below a prefix, etags are told by where they come from.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  accepted,
  type BlobPeer,
  digestOf,
  isNotFound,
  move,
  read,
  remove,
  stat,
  texts,
} from "../groups/blob-calls.ts";
import type { Random } from "../random.ts";
import { Difference } from "./difference.ts";
import { differenceOfPages, type PageStep, pagesOf } from "./pages.ts";

export type BlobStep =
  | {
      readonly call: "Put";
      readonly key: string;
      readonly text: string;
      /** "etag": the key's own, or its last one; "former": the one before. */
      readonly if?: "absent" | "etag" | "former";
      readonly digest?: "right" | "wrong";
    }
  | { readonly call: "Move"; readonly source: string; readonly destination: string }
  | { readonly call: "Delete"; readonly keys: readonly string[] }
  | { readonly call: "Stat"; readonly keys: readonly string[] }
  | { readonly call: "Read"; readonly key: string; readonly offset: number; readonly limit: number }
  | ({ readonly call: "List" } & PageStep)
  | { readonly call: "Count"; readonly prefix: string };

/** None is a path-prefix of another: a driver may refuse those. */
const KEYS = ["a-b", "a-b0", "a.b", "a/b", "a/c", "a0", "aB", "A", "b", "z/1/x", "z1"] as const;
const BOUNDS = ["", "", "a", "a-", "a/", "a0", "b", "z", "z/", "a.b", "a/b", "b0"] as const;

export interface BlobWeights {
  /** Changes beside looks, in a hundred. */
  readonly changes: number;
  /** How many keys there are: with few of them, conditions meet what is there. */
  readonly keys: number;
}

export function blobStep(random: Random, weights: BlobWeights): BlobStep {
  const { changes } = weights;
  const keys = KEYS.slice(0, weights.keys);
  const key = random.pick(keys);
  const some = (most: number) => random.shuffled(keys).slice(0, random.between(1, most));
  if (random.next() * 100 < changes) {
    const kind = random.next();
    if (kind < 0.12) return { call: "Delete", keys: some(2) };
    if (kind < 0.27) return { call: "Move", source: key, destination: random.pick(keys) };
    const condition = random.pick(["absent", "absent", "etag", "etag", "former"] as const);
    return {
      call: "Put",
      key,
      text: "0123456789".repeat(2).slice(0, random.between(0, 20)) + random.pick(["", "x", "y", "z"]),
      ...(random.next() < 0.6 ? { if: condition } : {}),
      ...(random.next() < 0.2 ? { digest: random.pick(["right", "wrong"] as const) } : {}),
    };
  }
  const kind = random.next();
  if (kind < 0.35) return { call: "Read", key, offset: random.between(0, 12), limit: random.pick([0, 1, 5, 100]) };
  if (kind < 0.6) return { call: "Stat", keys: some(5) };
  if (kind < 0.7) return { call: "Count", prefix: random.pick(BOUNDS) };
  const startAfter = random.next() < 0.5 ? "" : random.pick(BOUNDS);
  return { call: "List", prefix: random.pick(BOUNDS), startAfter, limit: random.pick([1, 2, 3, 1000, 1000]) };
}

export function* simplerBlob(step: BlobStep): Iterable<BlobStep> {
  if (step.call === "List") {
    if (step.limit !== 1000) yield { ...step, limit: 1000 };
    if (step.startAfter !== "") yield { ...step, startAfter: "" };
  }
  if ((step.call === "List" || step.call === "Count") && step.prefix !== "") yield { ...step, prefix: "" };
  if ((step.call === "Delete" || step.call === "Stat") && step.keys.length > 1) {
    for (const key of step.keys) yield { ...step, keys: [key] };
  }
  if (step.call === "Read" && step.offset > 0) yield { ...step, offset: 0 };
  if (step.call !== "Put") return;
  const { if: condition, digest, ...plain } = step;
  if (digest !== undefined) yield { ...plain, ...(condition === undefined ? {} : { if: condition }) };
  if (condition !== undefined) yield { ...plain, ...(digest === undefined ? {} : { digest }) };
  if (step.text.length > 1) yield { ...step, text: "x" };
}

interface Held {
  readonly text: string;
  readonly etag: string;
}

/** The steps, from nothing, under a prefix that nothing else uses. @throws Difference */
export async function runBlobs(
  peer: BlobPeer,
  prefix: string,
  steps: readonly BlobStep[],
  lagMs: number,
): Promise<void> {
  const state = new Map<string, Held>();
  const had = new Map<string, string[]>();

  for (const step of steps) {
    const words = JSON.stringify(step);
    if (step.call === "Put") await doPut(step, words);
    else if (step.call === "Move") await doMove(step, words);
    else if (step.call === "Delete") await doDelete(step.keys, words);
    else if (step.call === "Stat") await doStat(step.keys, words);
    else if (step.call === "Read") await doRead(step, words);
    else if (step.call === "List") await doList(step);
    else await doCount(step.prefix, words);
  }

  async function doPut(step: Extract<BlobStep, { call: "Put" }>, words: string): Promise<void> {
    const { key, text, if: condition, digest } = step;
    const held = state.get(key);
    const ifEtag = condition === "etag" || condition === "former" ? etagOf(key, condition) : "";
    const taken = await accepted(
      peer.blob.put({
        key: prefix + key,
        data: Buffer.from(text),
        ...(condition === "absent" ? { ifAbsent: true } : {}),
        ...(ifEtag === "" ? {} : { ifEtag }),
        ...(digest === undefined ? {} : { digest: digestOf("sha256", digest === "right" ? text : `${text}!`) }),
      }),
    );
    const lost = condition === "absent" ? held !== undefined : ifEtag !== "" && ifEtag !== held?.etag;
    const rule = lost || condition !== undefined ? (condition === "absent" ? "blob.put.03" : "blob.put.04") : undefined;
    if (taken && digest === "wrong") throw new Difference("blob.put.02", `${words} was accepted`);
    if (taken && lost) throw new Difference(rule ?? "", `${words} was accepted`);
    if (!taken && !lost && digest !== "wrong") throw new Difference(rule ?? "blob.put.05", `${words} was refused`);
    if (taken) state.set(key, { text, etag: "" });
    await settled([key], taken ? "blob.put.05" : lost ? (rule ?? "") : "blob.put.02", words);
  }

  async function doMove(step: Extract<BlobStep, { call: "Move" }>, words: string): Promise<void> {
    const { source, destination } = step;
    const held = state.get(source);
    const before = state.get(destination);
    let found = true;
    try {
      await move(peer, prefix + source, prefix + destination);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      found = false;
    }
    if (found !== (held !== undefined)) {
      const rule = held === undefined ? "blob.move.02" : "blob.move.01";
      throw new Difference(rule, `${words} was ${found ? "answered with OK" : "NOT_FOUND"}`);
    }
    if (source === destination) {
      await settled([source], "blob.move.03", words);
      if (state.get(source)?.etag !== before?.etag) throw new Difference("blob.move.03", `${words} changed the etag`);
      return;
    }
    if (held !== undefined) {
      state.set(destination, { text: held.text, etag: "" });
      state.delete(source);
    }
    await settled([source, destination], held === undefined ? "blob.move.02" : "blob.move.01", words);
  }

  async function doDelete(keys: readonly string[], words: string): Promise<void> {
    await remove(peer, ...keys.map((key) => prefix + key));
    for (const key of keys) state.delete(key);
    await settled(keys, "blob.delete.01", words);
    await settled([...KEYS], "blob.delete.02", words);
  }

  /** What the keys hold is what the model says: now, or else it is the step's own rule that was broken. */
  async function settled(keys: readonly string[], rule: string, words: string): Promise<void> {
    const names = keys.map((key) => prefix + key);
    const due = keys.map((key) => state.get(key)?.text);
    let seen = await texts(peer, names);
    if (JSON.stringify(seen) !== JSON.stringify(due)) {
      const first = seen;
      await sleep(150);
      seen = await texts(peer, names);
      const late = JSON.stringify(seen) === JSON.stringify(due);
      const shown = keys.map((key, index) => `${key}: ${first[index] ?? "absent"}, not ${due[index] ?? "absent"}`);
      throw new Difference(late ? "blob.visible.02" : rule, `after ${words}: ${shown.join("; ")}`);
    }
    const infos = await stat(peer, names);
    for (const key of keys) {
      const held = state.get(key);
      const etag = infos.get(prefix + key)?.etag;
      if ((etag === undefined) !== (held === undefined)) {
        throw new Difference(
          "blob.visible.02",
          `after ${words}: Stat says that ${key} is ${etag ? "there" : "absent"}`,
        );
      }
      if (held === undefined || etag === undefined || held.etag === etag) continue;
      state.set(key, { text: held.text, etag });
      had.set(key, [...(had.get(key) ?? []), etag]);
    }
  }

  async function doStat(keys: readonly string[], words: string): Promise<void> {
    const infos = await stat(
      peer,
      keys.map((key) => prefix + key),
    );
    for (const key of keys) {
      const held = state.get(key);
      const info = infos.get(prefix + key);
      if (info?.etag !== held?.etag) throw new Difference("blob.visible.02", `${words}: ${key} has another etag`);
      if (held && info?.size !== held.text.length) {
        throw new Difference("blob.stat.03", `${words}: ${key} has ${info?.size} bytes, not ${held.text.length}`);
      }
    }
  }

  async function doRead(step: Extract<BlobStep, { call: "Read" }>, words: string): Promise<void> {
    const { key, offset, limit } = step;
    const held = state.get(key);
    if (held === undefined || offset > held.text.length) {
      if (!(await accepted(read(peer, { key: prefix + key, offset, limit })))) return;
      throw new Difference(held === undefined ? "blob.read.07" : "blob.read.04", `${words} was answered with OK`);
    }
    const due = held.text.slice(offset, offset + limit);
    const { bytes } = await read(peer, { key: prefix + key, offset, limit });
    const text = bytes.toString("latin1");
    if (text === due) return;
    const rule = text.length > due.length ? "blob.read.05" : due.startsWith(text) ? "blob.read.03" : "blob.read.02";
    throw new Difference(rule, `${words} gives "${text}", not "${due}"`);
  }

  async function doList(step: PageStep): Promise<void> {
    if (lagMs > 0) await sleep(lagMs);
    const list = () => pagesOf((request) => peer.blob.list(request), prefix, step);
    await differenceOfPages("blob", list, prefix, step, [...state.keys()]);
  }

  async function doCount(of: string, words: string): Promise<void> {
    if (lagMs > 0) await sleep(lagMs);
    const due = [...state.keys()].filter((key) => key.startsWith(of)).length;
    const { count, exact } = await peer.blob.count({ prefix: prefix + of });
    if (exact && count !== due) throw new Difference("blob.count.01", `${words} says exactly ${count}, not ${due}`);
  }

  function etagOf(key: string, which: "etag" | "former"): string {
    return had.get(key)?.at(which === "etag" ? -1 : -2) ?? "an-etag-never-given";
  }
}
