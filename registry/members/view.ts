/** The cluster as one configuration has it; exchanged as a whole by a reload. */
import { createHash } from "node:crypto";
import type { Clock } from "../../proto/clock.ts";
import type { ClusterConfig, MemberConfig } from "../config/cluster.ts";
import { type PeerCertificates, readCertificates } from "./certificates.ts";
import { readKeyFile } from "./key-file.ts";
import { type Origin, openOrigin } from "./origin.ts";
import { type MemberList, memberList } from "./owners.ts";

export interface View {
  readonly self: string;
  readonly list: MemberList;
  /** What two members must have in common before one answers the other: the list, and the one before while names move. */
  readonly hash: string;
  /** While names move. */
  readonly previous: MemberList | undefined;
  /** Of all members, also of those that were; also of this one. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** The first signs; none: certificates alone prove who asks. */
  readonly keys: readonly Buffer[];
  /** Absent: keys alone do. */
  readonly certificates?: PeerCertificates | undefined;
  readonly partial: ClusterConfig["partial"];
  readonly digests: ClusterConfig["digests"];
  readonly answerMs: number;
}

/**
 * @param before whose connections are used on where they lead to the same
 * @throws Error, in one sentence, that names the setting
 */
export async function openView(config: ClusterConfig, clock: Clock, before?: View): Promise<View> {
  const { keyFile, tls } = config.peers;
  const keys = keyFile === undefined ? [] : await readKeyFile(keyFile);
  const certificates = tls && (await readCertificates(tls, config.self, before?.certificates));
  const origins = new Map<string, Origin>();
  for (const [id, member] of Object.entries({ ...config.previous?.members, ...config.members })) {
    origins.set(id, await openOrigin(id, withCertificate(member, config), clock, before?.origins.get(id)));
  }
  const list = memberList(Object.keys(config.members), config.owner);
  const listBefore = config.previous && memberList(Object.keys(config.previous.members), config.previous.owner);
  const previous = listBefore?.hash === list.hash ? undefined : listBefore;
  return {
    self: config.self,
    list,
    hash: hashOf(list, previous),
    previous,
    origins,
    keys,
    certificates,
    partial: config.partial,
    digests: config.digests,
    answerMs: config.answerSeconds * 1000,
  };
}

/** What this member shows to another one. */
function withCertificate(member: MemberConfig, { peers }: ClusterConfig): MemberConfig {
  if (peers.tls === undefined || member.tls?.cert !== undefined) return member;
  const { cert, key } = peers.tls;
  return { ...member, tls: { ...member.tls, cert, key } };
}

/** A member that lacks the list before would say of what is still there that it is nowhere. */
export function hashOf(list: MemberList, previous: MemberList | undefined): string {
  if (previous === undefined) return list.hash;
  return createHash("sha256").update(`outrigger-moving-1\n${previous.hash}\n${list.hash}`).digest("hex").slice(0, 16);
}

/** The other members that answer for names now, in order. */
export function others({ self, list }: View): string[] {
  return list.ids.filter((id) => id !== self);
}

/** Ends the connections of `before` that `after` does not use: those under way with it, unless they lead to the same. */
export function closeUnused(before: View, after: View | undefined): void {
  for (const [id, origin] of before.origins) {
    const next = after?.origins.get(id);
    if (next === origin) continue;
    // Another certificate breaks off nothing.
    if (next?.url === origin.url) origin.retire();
    else origin.close();
  }
}
