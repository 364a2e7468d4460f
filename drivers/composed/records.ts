/**
 * What a composition writes into each member: who it is, which member this is, and which stores all of them are. So any
 * member tells of the others while they are away, and another store behind an address is known.
 */
import { randomUUID } from "node:crypto";
import { OutriggerError } from "../../proto/errors.ts";
import type { StoreFacts } from "../../server/contract.ts";
import type { Member } from "./member.ts";
import { PrivateKeys } from "./private-keys.ts";

/** What is known of a member without asking it. */
export interface MemberRecord {
  readonly storeId: string;
  readonly capabilities: readonly string[];
  readonly limits: StoreFacts["limits"];
}

export interface CompositionRecord {
  readonly version: 1;
  readonly id: string;
  /** The member that holds this copy. */
  readonly member: string;
  readonly members: Readonly<Record<string, MemberRecord>>;
  /** What else the kind keeps: all strings, all members alike. */
  readonly state: Readonly<Record<string, string>>;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const RECORD = "member";

/**
 * The record that the member holds of a composition of this kind. One that it was given as part of another store, by a
 * composition before the one it belongs to, does not count beside its own.
 * @throws OutriggerError when it holds several, or one that cannot be read
 */
export async function findRecord(kind: string, member: Member): Promise<CompositionRecord | undefined> {
  const prefix = `outrigger-${kind}/`;
  const found: CompositionRecord[] = [];
  for (let startAfter = ""; ; ) {
    const { items } = await member.list({ prefix, startAfter, limit: 1 });
    const key = items[0]?.key;
    if (key === undefined) break;
    const id = key.slice(prefix.length).split("/", 1)[0] ?? "";
    if (UUID.test(id)) {
      const value = await member.getValue(`${prefix}${id}/${RECORD}`);
      if (value !== undefined) found.push(parse(value.text, id, member));
    }
    startAfter = `${prefix}${id}/~`;
  }
  const own = found.filter((record) => isOf(record, member));
  if (own.length > 1)
    throw new OutriggerError(
      "WRONG_STORE",
      `${member.who} holds the records of ${own.length} ${kind} stores (${own.map(({ id }) => id).join(", ")}): delete what lies under outrigger-${kind}/ of those that are no more`,
    );
  // Of another store alone: whoever asks says what is wrong.
  return own[0] ?? found[0];
}

/** Whether the record was written of this very store. A cache's fast store is named by no record: it may be any. */
function isOf(record: CompositionRecord, member: Member): boolean {
  if (Object.keys(record.members).length === 0) return record.member === member.name;
  return record.members[record.member]?.storeId === member.facts?.id;
}

function parse(text: string, id: string, member: Member): CompositionRecord {
  try {
    const record = JSON.parse(text) as CompositionRecord;
    if (record.version === 1 && record.id === id && typeof record.members === "object") return record;
  } catch {
    // Told below.
  }
  throw new OutriggerError(
    "STORED_CORRUPT",
    `${member.who} holds a record of store ${id} that this release cannot read`,
  );
}

export function recordKey(kind: string, id: string): string {
  return `${new PrivateKeys(kind, id).prefix}${RECORD}`;
}

/** What `member` tells of itself. Called once it is described. */
export function describeMember(member: Member): MemberRecord {
  const { facts } = member;
  if (facts === undefined) throw new OutriggerError("BACKEND_DOWN", `${member.who} does not answer`);
  const { persistStepBytes, uploadTtlMs, maxBlobBytes, listLagMs } = facts.limits;
  return {
    storeId: facts.id,
    capabilities: [...facts.capabilities].sort(),
    limits: {
      uploadTtlMs,
      ...(Number.isFinite(persistStepBytes) ? { persistStepBytes } : {}),
      ...(Number.isFinite(maxBlobBytes) ? { maxBlobBytes } : {}),
      ...(listLagMs === 0 ? {} : { listLagMs }),
    },
  };
}

export function writeRecord(
  kind: string,
  member: Member,
  record: Omit<CompositionRecord, "version" | "member">,
): Promise<unknown> {
  const { id, members, state } = record;
  return member.putValue(recordKey(kind, id), { version: 1, id, member: member.name, members, state });
}

/**
 * The one record of the members that answer.
 * @throws NOT_INITIALISED, WRONG_STORE: a sentence that names the member and what to change
 */
export async function agreedRecord(kind: string, members: readonly Member[]): Promise<CompositionRecord> {
  const there = members.filter((member) => member.facts !== undefined);
  const found = await Promise.all(there.map(async (member) => ({ member, record: await findRecord(kind, member) })));
  const known = found.find(({ record }) => record !== undefined);
  if (known?.record === undefined)
    throw new OutriggerError(
      "NOT_INITIALISED",
      `${there.map((member) => member.who).join(" and ")} belong${there.length === 1 ? "s" : ""} to no ${kind} store yet: run outrigger driver ${kind} once with --init`,
    );
  for (const { member, record } of found) assertBelongs(kind, member, record, known.record);
  for (const member of members) member.storeId = known.record.members[member.name]?.storeId ?? "";
  return known.record;
}

function assertBelongs(
  kind: string,
  member: Member,
  record: CompositionRecord | undefined,
  known: CompositionRecord,
): void {
  const expected = known.members[member.name]?.storeId;
  const own = member.facts?.id;
  if (expected !== undefined && own !== expected) {
    const other = Object.entries(known.members).find(([, { storeId }]) => storeId === own)?.[0];
    throw new OutriggerError(
      "WRONG_STORE",
      other === undefined
        ? `${member.who} is store ${own}, and this ${kind} store's ${member.name} is ${expected}: put the address right`
        : `${member.who} is this ${kind} store's ${other}: exchange the addresses`,
    );
  }
  if (record === undefined)
    throw new OutriggerError(
      "NOT_INITIALISED",
      `${member.who} has lost its record of ${kind} store ${known.id}: run outrigger driver ${kind} with --init`,
    );
  if (record.id !== known.id)
    throw new OutriggerError(
      "WRONG_STORE",
      `${member.who} belongs to ${kind} store ${record.id}, the others to ${known.id}: put the address right`,
    );
}

export function newStoreId(): string {
  return randomUUID();
}
