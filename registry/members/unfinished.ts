/**
 * A change of members has to end before the next one: what the new owner has taken since would be older than what comes to
 * it, for who goes back before.
 */
import type { Clock } from "../../proto/clock.ts";
import type { Repositories, RequestContext } from "../repository/contract.ts";
import { heldBy, heldHere } from "./catalog.ts";
import type { MemberClient } from "./client.ts";
import { MemberDisagrees } from "./errors.ts";
import type { View } from "./view.ts";

interface Known {
  readonly view: View;
  readonly client: MemberClient;
  readonly clock: Clock;
  readonly local: Repositories;
}

/** A repository that has still to move. */
export interface Unmoved {
  readonly name: string;
  /** The member that has it. */
  readonly at: string;
}

/**
 * One that has to go from this member or to come to it. `undefined`: there is none, but for those of members that have
 * another list: between them and this one nothing moves.
 * @throws MemberDown, MemberWrong: it cannot be told
 */
export async function findUnmoved(known: Known, context: RequestContext): Promise<Unmoved | undefined> {
  const { view, local } = known;
  const { list, previous, self } = view;
  if (previous === undefined) return undefined;
  for await (const name of heldHere(local, context)) {
    const owner = list.ownerOf(name);
    // What neither list gives to this member goes nowhere.
    if (owner !== undefined && owner !== self && previous.ownerOf(name) === self) return { name, at: self };
  }
  const others = list.ids.includes(self) ? previous.ids.filter((id) => id !== self) : [];
  for (const at of others) {
    try {
      for await (const name of heldBy(known, at, context.signal))
        if (list.ownerOf(name) === self && previous.ownerOf(name) === at) return { name, at };
    } catch (error) {
      if (!(error instanceof MemberDisagrees)) throw error;
    }
  }
  return undefined;
}

/**
 * Whether a reload may exchange `now` for `next`. To take `previous` away is always allowed: a member may be lost.
 * @throws Error, in one sentence that says what to do
 */
export async function assertMayChange(
  now: View,
  next: View | undefined,
  unmoved: () => Promise<Unmoved | undefined>,
): Promise<void> {
  const { list, previous, self, hash } = now;
  if (previous === undefined) return;
  const isSameMember = next?.self === self;
  if (isSameMember && (next.hash === hash || (next.previous === undefined && next.hash === list.hash))) return;
  const todo =
    "keep cluster.members, cluster.owner and cluster.previous as they were until `outrigger cluster status` says that nothing is left to move";
  let found: Unmoved | undefined;
  try {
    found = await unmoved();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`the cluster's list changes, and it cannot be told what has still to move (${why}): ${todo}`, {
      cause,
    });
  }
  if (found === undefined) return;
  const { name, at } = found;
  throw new Error(
    `the cluster's list changes, and ${name} has still to move from ${at} to ${list.ownerOf(name)}: ${todo}`,
  );
}
