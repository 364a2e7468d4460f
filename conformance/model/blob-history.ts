/**
 * Several clients at one blob at once, and whether their answers have an order in which each is right. Every Put has a
 * text of its own, so that what is read tells who put it.
 */
import { accepted, type BlobPeer, isNotFound, read, remove } from "../groups/blob-calls.ts";
import type { Random } from "../random.ts";
import { Difference } from "./difference.ts";
import { type Happened, isLinearizable, type State, tellHistory } from "./linearize.ts";

export interface BlobHistoryStep {
  /** Which client does it. */
  readonly client: number;
  readonly call: "Put" | "Delete" | "Read";
  /** Of Put; "etag": the one that this client read last, "absent" where it read none. */
  readonly if?: "absent" | "etag";
}

const ABSENT = "";

export function blobHistoryStep(random: Random): BlobHistoryStep {
  const client = random.between(0, 2);
  const call = random.pick(["Put", "Put", "Read", "Read", "Delete"] as const);
  if (call !== "Put" || random.next() < 0.25) return { client, call };
  return { client, call, if: random.pick(["absent", "etag", "etag"] as const) };
}

type Call = Happened & {
  readonly kind: "read" | "absent" | "etag" | "plain";
  /** As `apply`, but for a condition that holds or not as it likes. */
  readonly loosely: Happened["apply"];
};

/** @throws Difference of blob.put.03, put.04 or visible.02 */
export async function runBlobHistory(
  peers: readonly BlobPeer[],
  key: string,
  steps: readonly BlobHistoryStep[],
): Promise<void> {
  const history: Call[] = [];
  let puts = 0;
  type Effect = (now: string) => string | undefined;
  const onKey = (effect: Effect) => (state: State) => {
    const next = effect(state["key"] ?? ABSENT);
    return next === undefined ? undefined : { key: next };
  };
  const happened = (kind: Call["kind"], startMs: number, text: string, effect: Effect, loose = effect) => {
    const endMs = performance.now();
    history.push({ kind, startMs, endMs, text, apply: onKey(effect), loosely: onKey(loose) });
  };

  const client = async (peer: BlobPeer, name: number) => {
    let seen: { readonly etag: string; readonly text: string } | undefined;
    for (const step of steps.filter((one) => one.client === name)) {
      const startMs = performance.now();
      if (step.call === "Read") {
        seen = await look(peer, key);
        const text = seen?.text ?? ABSENT;
        happened("read", startMs, `client ${name}: Read gives ${text || "KEY_NOT_FOUND"}`, (now) =>
          now === text ? now : undefined,
        );
      } else if (step.call === "Delete") {
        await remove(peer, key);
        happened("plain", startMs, `client ${name}: Delete`, () => ABSENT);
      } else {
        // None as long as another: an etag that is made of the size is another rule's.
        const text = `text ${++puts}`.padEnd(8 + puts, "+");
        const etag = step.if === "etag" ? seen : undefined;
        const condition = etag !== undefined ? { ifEtag: etag.etag } : step.if === undefined ? {} : { ifAbsent: true };
        const taken = await accepted(peer.blob.put({ key, data: Buffer.from(text), ...condition }));
        const kind = etag !== undefined ? "etag" : step.if === undefined ? "plain" : "absent";
        const words = { etag: ` if it is "${etag?.text}"`, plain: "", absent: " if absent" }[kind];
        const then = (now: string) => (taken ? text : now);
        const effect = (now: string) => {
          const holds = kind === "plain" || now === (etag?.text ?? ABSENT);
          return holds === taken ? then(now) : undefined;
        };
        const told = `client ${name}: Put ${text}${words}: ${taken ? "OK" : "refused"}`;
        happened(kind, startMs, told, effect, then);
      }
    }
  };
  await Promise.all(peers.map(client));
  judge(history);
}

async function look(peer: BlobPeer, key: string): Promise<{ etag: string; text: string } | undefined> {
  try {
    const { info, bytes } = await read(peer, { key });
    return { etag: info?.etag ?? "", text: bytes.toString() };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function judge(history: readonly Call[]): void {
  if (isLinearizable(history, {})) return;
  const words = `no order of these calls makes each answer right:\n${tellHistory(history)}`;
  const changes = history.filter(({ kind }) => kind !== "read");
  const loosely = (calls: readonly Call[], ...kinds: readonly Call["kind"][]) =>
    isLinearizable(
      calls.map((call) => (kinds.includes(call.kind) ? { ...call, apply: call.loosely } : call)),
      {},
    );
  if (!isLinearizable(changes, {})) {
    const byEtag = loosely(changes, "etag");
    // Either would explain it: then it is nobody's, and another history will tell.
    if (byEtag && loosely(changes, "absent")) return;
    throw new Difference(byEtag ? "blob.put.04" : "blob.put.03", words);
  }
  // A condition that was judged wrongly would explain it as well: then it is nobody's.
  if (!loosely(history, "etag", "absent")) throw new Difference("blob.visible.02", words);
}
