/** Both listings side by side: what is not alike is settled key by key. */
import { createHash } from "node:crypto";
import type { BlobInfo } from "../../client/contract.ts";
import { limits } from "../../proto/limits.ts";
import { isDown } from "../composed/fault.ts";
import type { Member } from "../composed/member.ts";
import type { PrivateKeys } from "../composed/private-keys.ts";
import { sameDigest } from "./copies.ts";

export interface DiffOptions {
  readonly primary: Member;
  readonly secondary: Member;
  readonly privateKeys: PrivateKeys;
  readonly compare: "size" | "content";
  /**
   * Called for each key that is not alike, a few at once. `anew`: the bytes were read and differ, whatever the secondary
   * says of them. `false`: it could not be, and stays pending. What it throws ends the diff
   */
  readonly repair: (key: string, anew: boolean) => Promise<boolean>;
  /** The primary's own bytes are not those of its digest, or cannot be read: nothing is copied over the other ones. */
  readonly damaged: (key: string, why?: unknown) => void;
  readonly signal: AbortSignal;
}

export interface DiffResult {
  readonly keys: number;
  readonly repaired: number;
  /** Those that could not be repaired, or not be compared. */
  readonly failed: number;
}

type Compared = "alike" | "other" | "other bytes" | { readonly damaged: true; readonly why?: unknown };

const REPAIRS_AT_ONCE = 4;

/** One blob that fails is told and left; a member that is down ends the diff. @throws BACKEND_DOWN, the signal's reason */
export async function diffMembers(options: DiffOptions): Promise<DiffResult> {
  const { repair, signal } = options;
  let keys = 0;
  let repaired = 0;
  let failed = 0;
  const running = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  for await (const [key, here, there] of sideBySide(options)) {
    signal.throwIfAborted();
    if (failure !== undefined) break;
    keys++;
    const how = here === undefined || there === undefined ? "other" : await compared(options, here, there);
    if (how === "alike") continue;
    if (typeof how === "object") {
      failed++;
      options.damaged(key, how.why);
      continue;
    }
    const work: Promise<void> = repair(key, how === "other bytes")
      .then((isDone) => {
        if (isDone) repaired++;
        else failed++;
      })
      .catch((error) => {
        failure ??= { error };
      })
      .finally(() => running.delete(work));
    running.add(work);
    if (running.size >= REPAIRS_AT_ONCE) await Promise.race(running);
  }
  await Promise.all(running);
  if (failure !== undefined) throw failure.error;
  return { keys, repaired, failed };
}

/** Every key of either side once, in order. */
export async function* sideBySide({
  primary,
  secondary,
  privateKeys,
}: Pick<DiffOptions, "primary" | "secondary" | "privateKeys">): AsyncGenerator<
  readonly [key: string, here: BlobInfo | undefined, there: BlobInfo | undefined]
> {
  const left = listing(primary, privateKeys);
  const right = listing(secondary, privateKeys);
  let here = await left.next();
  let there = await right.next();
  while (!here.done || !there.done) {
    // Keys are ASCII: comparing strings compares bytes.
    const key =
      here.done || (!there.done && there.value.key < here.value.key) ? (there.value as BlobInfo).key : here.value.key;
    const mine = !here.done && here.value.key === key ? here.value : undefined;
    const other = !there.done && there.value.key === key ? there.value : undefined;
    yield [key, mine, other];
    if (mine !== undefined) here = await left.next();
    if (other !== undefined) there = await right.next();
  }
}

async function* listing(member: Member, privateKeys: PrivateKeys): AsyncGenerator<BlobInfo> {
  for (let startAfter = ""; ; ) {
    const request = { prefix: "", startAfter, limit: limits.listItems };
    const page = await privateKeys.without((asked) => member.list(asked), request);
    yield* page.items;
    const last = page.items.at(-1);
    if (!page.more || last === undefined) return;
    startAfter = last.key;
  }
}

async function compared(
  { primary, secondary, compare, signal }: DiffOptions,
  here: BlobInfo,
  there: BlobInfo,
): Promise<Compared> {
  if (here.sizeBytes !== there.sizeBytes) return "other";
  if (compare === "size") return (sameDigest(here, there) ?? true) ? "alike" : "other";
  const [one, other] = await Promise.all([digestOf(primary, here, signal), digestOf(secondary, there, signal)]);
  // Changed or gone meanwhile: then whoever changed it sees to both.
  if (one === undefined || other === undefined) return "alike";
  if (one instanceof Unreadable) return { damaged: true, why: one.cause };
  if (one === other) return "alike";
  const told = here.digests.find((digest) => digest.startsWith("sha256:"));
  return told !== undefined && told !== `sha256:${one}` ? { damaged: true } : "other bytes";
}

/** This blob cannot be read, and its member is there. */
class Unreadable extends Error {}

/** `undefined`: changed or gone. @throws BACKEND_DOWN, the signal's reason */
async function digestOf(member: Member, info: BlobInfo, signal: AbortSignal): Promise<string | Unreadable | undefined> {
  const hash = createHash("sha256");
  try {
    const read = await member.read(info.key, { ifEtag: info.etag }, { signal });
    for await (const piece of read.body) hash.update(piece);
    return hash.digest("hex");
  } catch (error) {
    if (isDown(error) || signal.aborted) throw error;
    if (await changed(member, info)) return undefined;
    return new Unreadable(`${info.key} cannot be read at ${member.who}`, { cause: error });
  }
}

async function changed(member: Member, info: BlobInfo): Promise<boolean> {
  return (await member.statOne(info.key))?.etag !== info.etag;
}
