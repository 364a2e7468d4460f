/** Opens the shards: connected, known by their records, and those that are away waited for. */
import { OutriggerError } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import { backgroundContext } from "../../server/calls.ts";
import type { Driver, OpenContext } from "../../server/contract.ts";
import { release } from "../../server/release.ts";
import { assertAllThere, assertApart, connectMembers } from "../composed/connect.ts";
import { composedFacts } from "../composed/facts.ts";
import { KeyLocks } from "../composed/locks.ts";
import type { Member } from "../composed/member.ts";
import { targetOf } from "../composed/options.ts";
import { PrivateKeys } from "../composed/private-keys.ts";
import {
  agreedRecord,
  type CompositionRecord,
  describeMember,
  findRecord,
  newStoreId,
  writeRecord,
} from "../composed/records.ts";
import { ShardBlobs } from "./blobs.ts";
import { readShards, type ShardOptions } from "./options.ts";
import { placeOf } from "./place.ts";
import { Staging } from "./staging.ts";
import { ShardUploads } from "./uploads.ts";

const KIND = "shard";
const EXPIRE_EVERY_MS = 60 * 60 * 1000;

function connect(options: ShardOptions, context: OpenContext): Promise<Member[]> {
  const wanted = readShards(options.shards).map(({ name, address }) => ({
    name,
    title: `shard ${name}`,
    target: targetOf(address, options),
  }));
  return connectMembers(KIND, wanted, options.memberWait, context);
}

/** Writes the store's id and the shards' names into every shard. @throws Error with one sentence */
export async function initShards(options: ShardOptions, context: OpenContext): Promise<void> {
  const members = await connect(options, context);
  try {
    assertAllThere(members);
    const found = await Promise.all(members.map((member) => findRecord(KIND, member)));
    const known = found.find((record) => record !== undefined);
    if (known !== undefined) assertNames(known, members);
    if (found.every((record) => record !== undefined)) {
      await agreedRecord(KIND, members);
      return;
    }
    const id = known?.id ?? newStoreId();
    for (const [index, member] of members.entries()) if (found[index] === undefined) await assertEmpty(member, id);
    const record = {
      id,
      members: Object.fromEntries(members.map((member) => [member.name, describeMember(member)])),
      state: {},
    };
    for (const member of members) await writeRecord(KIND, member, record);
  } finally {
    for (const member of members) member.close();
  }
}

async function assertEmpty(member: Member, id: string): Promise<void> {
  const page = await new PrivateKeys(KIND, id).without((asked) => member.list(asked), {
    prefix: "",
    startAfter: "",
    limit: 1,
  });
  if (page.items.length > 0)
    throw new OutriggerError(
      "WRONG_STORE",
      `${member.who} holds ${page.items[0]?.key} already, which may belong to another shard: begin with empty stores, and copy into the whole`,
    );
}

/** The names are what keys go by: with others, keys would be looked for where they are not. */
function assertNames(record: CompositionRecord, members: readonly Member[]): void {
  const [known, given] = [Object.keys(record.members).sort(), members.map(({ name }) => name).sort()];
  if (known.join() === given.join()) return;
  throw new OutriggerError(
    "WRONG_STORE",
    `--shards names ${given.join(", ")}, and this store was made of ${known.join(", ")}: name those, or make a new store of the others and copy this one into it`,
  );
}

/** @throws Error with one sentence */
export async function openShards(options: ShardOptions, context: OpenContext): Promise<Driver> {
  const { log, clock } = context;
  const members = await connect(options, context);
  try {
    if (members.every((member) => member.facts === undefined)) assertAllThere(members);
    const record = await agreed(members);
    const described: Record<string, ReturnType<typeof describeMember>> = { ...record.members };
    for (const member of members) {
      if (member.facts !== undefined) described[member.name] = describeMember(member);
      else log.warn(`${member.who} does not answer: its keys cannot be served until it does`);
      member.connection.channel.retarget({ ...member.connection.channel.target, id: member.storeId });
    }
    assertApart(members);
    const privateKeys = new PrivateKeys(KIND, record.id);
    const names = members.map(({ name }) => name);
    const byName = new Map(members.map((member) => [member.name, member]));
    const memberOf = (what: string) => {
      const member = byName.get(placeOf(names, what));
      if (member === undefined) throw new Error("there is no shard");
      return member;
    };
    const locks = new KeyLocks();
    const now = () => clock.now();
    const staging = new Staging({ privateKeys, clock, locks, memberOf });
    const uploads = new ShardUploads({ members, memberOf, privateKeys, staging, locks, now });
    const facts = composedFacts(record.id, Object.values(described), {
      able: ["DURABLE", "SIGN_URL"],
      outside: members.reduce((sum, member) => sum + (member.facts?.outside ?? 0), 0),
    });
    const stopExpiring = context.readOnly
      ? () => {}
      : nowAndThen(context, () =>
          uploads.expire(facts.limits.uploadTtlMs ?? limits.uploadTtlMs, backgroundContext(log)),
        );
    return {
      name: "io.outrigger.shard",
      version: release(),
      blob: new ShardBlobs({ facts, members, memberOf, uploads, locks, privateKeys, now }),
      notices: ["run one process over these shards: two would not know of each other's moves"],
      async close() {
        stopExpiring();
        for (const member of members) member.close();
      },
    };
  } catch (error) {
    for (const member of members) member.close();
    throw error;
  }
}

async function agreed(members: readonly Member[]): Promise<CompositionRecord> {
  const there = members.filter((member) => member.facts !== undefined);
  const known = (await Promise.all(there.map((member) => findRecord(KIND, member)))).find(
    (record) => record !== undefined,
  );
  // Before anything else is compared: with other names nothing fits.
  if (known !== undefined) assertNames(known, members);
  return agreedRecord(KIND, members);
}

function nowAndThen({ clock, log }: OpenContext, work: () => Promise<void>): () => void {
  let stopped = false;
  let cancel = clock.after(EXPIRE_EVERY_MS / 60, run);
  function run() {
    work()
      .catch((err) => log.warn({ err }, "what uploads left behind could not be looked for"))
      .finally(() => {
        if (!stopped) cancel = clock.after(EXPIRE_EVERY_MS, run);
      });
  }
  return () => {
    stopped = true;
    cancel();
  };
}
