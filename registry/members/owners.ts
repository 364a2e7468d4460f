/** Who owns a repository (members.md, "Members"): rendezvous, prefix, rules. Pure: the same on every member. */
import { createHash, createHmac } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { OwnerConfig } from "../config/cluster.ts";
import { ownerRule } from "./globs.ts";

/** `undefined`: the name belongs to nobody. */
export type OwnerOf = (name: string) => string | undefined;

export interface MemberList {
  readonly ids: readonly string[];
  readonly ownerOf: OwnerOf;
  /** Whether each member owns about as many of any names as the others. */
  readonly isEven: boolean;
  /** What two members must have in common to agree about every name: 16 hex digits. */
  readonly hash: string;
}

/** Names whose owner is kept in memory: a page of the catalog asks for a thousand again and again. */
const REMEMBERED = 20_000;

export function memberList(ids: readonly string[], owner: OwnerConfig): MemberList {
  const sorted = [...ids].sort();
  const known = new LRUCache<string, { readonly owner: string | undefined }>({ max: REMEMBERED });
  const find = strategy(sorted, owner);
  return {
    ids: sorted,
    ownerOf(name) {
      const held = known.get(name);
      if (held !== undefined) return held.owner;
      const found = find(name);
      known.set(name, { owner: found });
      return found;
    },
    isEven: owner.by === "rendezvous",
    hash: hashOf(sorted, owner),
  };
}

function strategy(ids: readonly string[], owner: OwnerConfig): OwnerOf {
  switch (owner.by) {
    case "rendezvous":
      return rendezvous(ids, owner.key);
    case "prefix": {
      const known = new Set(ids);
      return (name) => {
        const slash = name.indexOf("/");
        const first = slash < 0 ? name : name.slice(0, slash);
        return known.has(first) ? first : undefined;
      };
    }
    case "rules": {
      const rules = owner.rules.map(({ repositories, member }) => ({ fits: ownerRule(repositories), member }));
      return (name) => rules.find(({ fits }) => fits?.(name))?.member;
    }
  }
}

/**
 * Highest random weight: of all members the one whose number for the name is the largest. A new member takes only names
 * for which its number is, 1/N of all, and nothing moves between the others. One keyed hash a name; a member's number is
 * that, mixed with the member's own seed.
 */
function rendezvous(ids: readonly string[], key: string): OwnerOf {
  const seeds = ids.map((id) => {
    const digest = createHash("sha256").update(`outrigger-member\n${id}`).digest();
    return { id, high: digest.readUInt32BE(0), low: digest.readUInt32BE(4) };
  });
  return (name) => {
    const digest = createHmac("sha256", key).update(name).digest();
    const [one, two] = [digest.readUInt32BE(0), digest.readUInt32BE(4)];
    let best: { readonly id: string; readonly number: number } | undefined;
    for (const { id, high, low } of seeds) {
      // 53 bits, so that ties do not happen; in order of id if they do.
      const number = mix(mix(one ^ high) ^ two ^ low) * 0x20_0000 + (mix(two ^ high ^ 0x9e3779b9) >>> 11);
      if (best === undefined || number > best.number) best = { id, number };
    }
    return best?.id;
  };
}

/** The finisher of MurmurHash3: every bit of the input changes half of the output's. */
function mix(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function hashOf(ids: readonly string[], { by, key, rules }: OwnerConfig): string {
  const what = [
    "outrigger-members-1",
    by,
    ids,
    by === "rendezvous" ? key : "",
    rules.map(({ repositories, member }) => [repositories, member]),
  ];
  return createHash("sha256").update(JSON.stringify(what)).digest("hex").slice(0, 16);
}
