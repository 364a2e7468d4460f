/**
 * Several clients of the meta store at once, and whether their answers have an order in which each is right. Every put has
 * a value of its own, so that what is seen tells who wrote it.
 */
import type { OperationInput } from "../../proto/gen/outrigger/meta/v1/Operation.ts";
import { Fault } from "../faults.ts";
import { type Condition, check, isRefusal, type MetaPeer, put, remove } from "../groups/meta-calls.ts";
import type { Random } from "../random.ts";
import { Difference } from "./difference.ts";
import { type Happened, isLinearizable, type State, tellHistory } from "./linearize.ts";

export interface MetaHistoryStep {
  /** Which client does it. */
  readonly client: number;
  /** None: a Get of every key. */
  readonly write?: readonly {
    readonly do: "put" | "delete" | "check";
    readonly key: string;
    /** "etag": the one that this client saw last; "present" where it saw none. */
    readonly if?: "absent" | "present" | "etag";
  }[];
}

export const HISTORY_CLIENTS = 3;
const KEYS = ["k", "l"] as const;
const ABSENT = "";

export function metaHistoryStep(random: Random): MetaHistoryStep {
  const client = random.between(0, HISTORY_CLIENTS - 1);
  if (random.next() < 0.35) return { client };
  // Mostly one key, and mostly conditions: what races is what meets.
  const keys = random.next() < 0.7 ? KEYS.slice(0, 1) : random.shuffled(KEYS);
  return {
    client,
    write: keys.map((key) => {
      const kind = random.pick(["put", "put", "put", "delete", "check"] as const);
      const condition = random.pick(["absent", "absent", "etag", "etag", "present"] as const);
      // A Delete always has one: that of an absent key is meta.write.07's.
      return { do: kind, key, ...(kind !== "put" || random.next() < 0.85 ? { if: condition } : {}) };
    }),
  };
}

interface Wrote {
  readonly kind: "put" | "delete" | "check";
  readonly key: string;
  readonly value: string;
  /** What the condition asks of the key's value; absent: nothing. */
  readonly needs?: (value: string) => boolean;
}

type Call = Happened & {
  readonly wrote?: readonly Wrote[];
  readonly saw?: State;
  /** As `apply`, but for a refused Write that did what came before the condition that failed. */
  readonly inPart?: Happened["apply"];
};

/** @throws Difference of meta.write.03, get.03, write.01 or seen.01 */
export async function runMetaHistory(
  peers: readonly MetaPeer[],
  prefix: string,
  steps: readonly MetaHistoryStep[],
): Promise<void> {
  const history: Call[] = [];
  let puts = 0;

  const client = async (peer: MetaPeer, own: readonly MetaHistoryStep[], name: number) => {
    const seen = new Map<string, { readonly etag: string; readonly value: string }>();
    for (const { write } of own) {
      const startMs = performance.now();
      if (write === undefined) {
        const { results } = await peer.meta.get({ keys: KEYS.map((key) => prefix + key) });
        const saw: Record<string, string> = {};
        seen.clear();
        for (const { key, item } of results) {
          const short = key.slice(prefix.length);
          saw[short] = item?.value.toString() ?? ABSENT;
          if (item) seen.set(short, { etag: item.etag, value: item.value.toString() });
        }
        history.push(readOf(saw, startMs, name));
        continue;
      }
      const wrote: Wrote[] = [];
      const operations = write.map(({ do: kind, key, if: asked }): OperationInput => {
        const value = kind === "put" ? `v${++puts}` : ABSENT;
        const known = seen.get(key);
        const condition: Condition | undefined =
          asked !== "etag" ? asked : known === undefined ? "present" : { etag: known.etag };
        const needs = needsOf(condition, known?.value);
        wrote.push({ kind, key, value, ...(needs === undefined ? {} : { needs }) });
        if (kind === "put") return put(prefix + key, value, condition);
        return kind === "delete" ? remove(prefix + key, condition) : check(prefix + key, condition ?? "present");
      });
      const accepted = await outcome(peer, operations);
      if (accepted === "conflict") continue;
      history.push(writeOf(wrote, accepted === "accepted", startMs, name));
    }
  };
  await Promise.all(
    peers.map((peer, name) =>
      client(
        peer,
        steps.filter((step) => step.client === name),
        name,
      ),
    ),
  );
  judge(history);
}

async function outcome(peer: MetaPeer, operations: OperationInput[]): Promise<"accepted" | "refused" | "conflict"> {
  try {
    await peer.meta.write({ operations });
    return "accepted";
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return error instanceof Fault && error.reason === "CONFLICT" ? "conflict" : "refused";
  }
}

function needsOf(condition: Condition | undefined, value: string | undefined): ((now: string) => boolean) | undefined {
  if (condition === undefined) return undefined;
  if (condition === "absent") return (now) => now === ABSENT;
  return condition === "present" ? (now) => now !== ABSENT : (now) => now === value;
}

function readOf(saw: State, startMs: number, name: number): Call {
  const text = `client ${name}: Get sees ${Object.entries(saw).map(([key, value]) => `${key}=${value || "absent"}`)}`;
  return { startMs, endMs: performance.now(), text, saw, apply: (state) => (sees(saw, state) ? state : undefined) };
}

function sees(saw: State, state: State): boolean {
  return Object.entries(saw).every(([key, value]) => (state[key] ?? ABSENT) === value);
}

function writeOf(wrote: readonly Wrote[], accepted: boolean, startMs: number, name: number): Call {
  const words = wrote.map(({ kind, key, value, needs }) => {
    return `${kind} ${key}${kind === "put" ? `=${value}` : ""}${needs === undefined ? "" : ` ${tellNeeds(needs)}`}`;
  });
  const text = `client ${name}: Write ${words.join(", ")}: ${accepted ? "accepted" : "CONDITION_FAILED"}`;
  const apply = (state: State): State | undefined => {
    const hold = wrote.every(({ key, needs }) => needs?.(state[key] ?? ABSENT) ?? true);
    if (!accepted) return hold ? undefined : state;
    if (!hold) return undefined;
    const changes = wrote.filter(({ kind }) => kind !== "check").map(({ key, value }) => [key, value]);
    return { ...state, ...Object.fromEntries(changes) };
  };
  const inPart = (state: State): State | undefined => {
    const now = { ...state };
    for (const { kind, key, value, needs } of wrote) {
      if (!(needs?.(now[key] ?? ABSENT) ?? true)) return now;
      if (kind !== "check") now[key] = value;
    }
    return undefined;
  };
  return { startMs, endMs: performance.now(), text, apply, ...(accepted ? { wrote } : { inPart }) };
}

function tellNeeds(needs: (value: string) => boolean): string {
  if (needs(ABSENT)) return "if absent";
  return needs("any") ? "if present" : "if the etag last seen";
}

function judge(history: readonly Call[]): void {
  if (isLinearizable(history, {})) return;
  const words = `no order of these calls makes each answer right:\n${tellHistory(history)}`;
  const inPart = history.map((call) => ({ ...call, apply: call.inPart ?? call.apply }));
  if (isLinearizable(inPart, {})) throw new Difference("meta.write.01", `refused Writes did something; ${words}`);
  const writes = history.filter(({ saw }) => saw === undefined);
  if (!isLinearizable(writes, {})) throw new Difference("meta.write.03", words);
  const split = history.flatMap((call) => {
    if (call.saw === undefined) return [call];
    return Object.entries(call.saw).map(([key, value]) => ({
      ...call,
      apply: (state: State) => (sees({ [key]: value }, state) ? state : undefined),
    }));
  });
  throw new Difference(split.length <= 31 && isLinearizable(split, {}) ? "meta.get.03" : "meta.seen.01", words);
}
