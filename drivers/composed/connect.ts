/** Members at a start: connected, waited for, and none of them the same store as another. */
import { connectBlobs } from "../../client/blob-connection.ts";
import type { StoreTarget } from "../../client/contract.ts";
import { sleep } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import type { OpenContext } from "../../server/contract.ts";
import { release } from "../../server/release.ts";
import { Member } from "./member.ts";

export interface Wanted {
  readonly name: string;
  /** "the primary", "shard a" */
  readonly title: string;
  readonly target: StoreTarget;
}

/** Less than a core's 10 s and 30 s: what a stopped member leaves of them is for the answer, or for another member. */
const PATIENCE = { unaryMs: 7_000, streamMs: 20_000 };

export function connectMember(kind: string, { name, title, target }: Wanted, context: OpenContext): Member {
  const { log, clock } = context;
  const connection = connectBlobs(target, {
    name: `outrigger-${kind}`,
    version: release(),
    log: log.child({ member: name }),
    clock,
    once: true,
    patience: PATIENCE,
  });
  return new Member(name, `${title} at ${target.address}`, connection);
}

/**
 * Connects to all, and waits up to `waitMs` for each.
 * @throws Error with one sentence for one that is refused, or for two that are one store; everything is closed then
 */
export async function connectMembers(
  kind: string,
  wanted: readonly Wanted[],
  waitMs: number,
  context: OpenContext,
): Promise<Member[]> {
  const members: Member[] = [];
  try {
    for (const one of wanted) members.push(connectMember(kind, one, context));
    await Promise.all(members.map((member) => described(member, waitMs, context)));
    assertApart(members);
    return members;
  } catch (error) {
    for (const member of members) member.close();
    throw error;
  }
}

/** Resolves once it is described, or was waited for in vain. @throws Error why it is refused */
async function described(member: Member, waitMs: number, context: OpenContext): Promise<void> {
  const { channel } = member.connection;
  const ending = new AbortController();
  const signal = AbortSignal.any([ending.signal, context.signal]);
  const refused = new Promise<never>((_, reject) => {
    channel.onRefused((error) =>
      reject(new OutriggerError(error.reason, `${member.who} cannot be used: ${error.message}`)),
    );
  });
  const waited = sleep(context.clock, waitMs, signal);
  for (const promise of [refused, waited]) promise.catch(() => undefined);
  try {
    await Promise.race([channel.described(), refused, waited]);
    context.signal.throwIfAborted();
  } finally {
    ending.abort();
  }
}

/** @throws Error when two addresses lead to one store */
export function assertApart(members: readonly Member[]): void {
  const seen = new Map<string, Member>();
  for (const member of members) {
    const id = member.facts?.id ?? (member.storeId === "" ? undefined : member.storeId);
    if (id === undefined) continue;
    const other = seen.get(id);
    if (other !== undefined)
      throw new OutriggerError(
        "WRONG_STORE",
        `${other.who} and ${member.who} are the same store ${id}: each needs one of its own`,
      );
    seen.set(id, member);
  }
}

/** @throws Error naming those that did not answer */
export function assertAllThere(members: readonly Member[]): void {
  const away = members.filter((member) => member.facts === undefined);
  if (away.length > 0)
    throw new OutriggerError(
      "BACKEND_DOWN",
      `${away.map((member) => member.who).join(" and ")} does not answer: start its driver first, or put the address right${away[0]?.problem === undefined ? "" : ` (${away[0].problem})`}`,
    );
}
