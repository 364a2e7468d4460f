/** Opens a mirror: both members connected and known, what is pending read, and only then served. */
import { OutriggerError } from "../../proto/errors.ts";
import type { Driver, OpenContext } from "../../server/contract.ts";
import { release } from "../../server/release.ts";
import { assertAllThere, connectMembers } from "../composed/connect.ts";
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
import { MirrorBlobs } from "./blobs.ts";
import { Copies } from "./copies.ts";
import { sideBySide } from "./diff.ts";
import { Journal } from "./journal.ts";
import { MirrorKeeper } from "./keeper.ts";
import type { MirrorOptions } from "./options.ts";
import { MirrorState, type Mode } from "./state.ts";

const KIND = "mirror";

async function connect(options: MirrorOptions, context: OpenContext): Promise<readonly [Member, Member]> {
  const [primary, secondary] = await connectMembers(
    KIND,
    [
      { name: "primary", title: "the primary", target: targetOf(options.primary, options) },
      { name: "secondary", title: "the secondary", target: targetOf(options.secondary, options) },
    ],
    options.memberWait,
    context,
  );
  if (primary === undefined || secondary === undefined) throw new Error("a mirror has two members");
  return [primary, secondary];
}

/** Writes the mirror's id into both members, where it is absent. @throws Error with one sentence */
export async function initMirror(options: MirrorOptions, context: OpenContext): Promise<void> {
  const [primary, secondary] = await connect(options, context);
  try {
    assertAllThere([primary, secondary]);
    const [known, other] = await Promise.all([findRecord(KIND, primary), findRecord(KIND, secondary)]);
    const isBegun = other !== undefined && names(other, primary, secondary);
    // Ended between the two records that it writes: the secondary's names this pair, the primary's an older one.
    const isHalf = isBegun && known !== undefined && known.id === other.id && !names(known, primary, secondary);
    if (known !== undefined && other !== undefined && !isHalf) {
      await agreedRecord(KIND, [primary, secondary]);
      return;
    }
    if (other !== undefined && !isBegun)
      throw new OutriggerError(
        "WRONG_STORE",
        `${secondary.who} is of mirror ${other.id} already, and ${primary.who} is not: exchange the addresses, or give an empty secondary`,
      );
    const id = known?.id ?? other?.id ?? newStoreId();
    const privateKeys = new PrivateKeys(KIND, id);
    for await (const [key, here] of onlyThere(primary, secondary, privateKeys)) {
      throw new OutriggerError(
        "WRONG_STORE",
        `${secondary.who} holds ${key}, which ${here ? "differs from what" : ""}${here ? " " : ""}${primary.who} ${here ? "has" : "does not have"}: the secondary is made as the primary is, so exchange the addresses or give an empty one`,
      );
    }
    const members = { primary: describeMember(primary), secondary: describeMember(secondary) };
    const record = { id, members, state: { mode: options.secondaryWrites, filled: "no" } };
    // The primary last: with its record the mirror is there.
    for (const member of [secondary, primary]) await writeRecord(KIND, member, record);
  } finally {
    for (const member of [primary, secondary]) member.close();
  }
}

function names({ members }: CompositionRecord, primary: Member, secondary: Member): boolean {
  return members["primary"]?.storeId === primary.facts?.id && members["secondary"]?.storeId === secondary.facts?.id;
}

/** Keys of the secondary that a mirror would take away or overwrite. */
async function* onlyThere(primary: Member, secondary: Member, privateKeys: PrivateKeys) {
  for await (const [key, here, there] of sideBySide({ primary, secondary, privateKeys })) {
    if (there !== undefined && here?.sizeBytes !== there.sizeBytes) yield [key, here] as const;
  }
}

/** @throws Error with one sentence */
export async function openMirror(options: MirrorOptions, context: OpenContext): Promise<Driver> {
  const { log, clock, readOnly } = context;
  const [primary, secondary] = await connect(options, context);
  try {
    if (primary.facts === undefined && secondary.facts === undefined) assertAllThere([primary, secondary]);
    const found = await agreedRecord(KIND, [primary, secondary]);
    const record = { ...found, members: { ...found.members } };
    for (const member of [primary, secondary]) {
      if (member.facts !== undefined) record.members[member.name] = describeMember(member);
      // Whoever answers there later must be this store.
      member.connection.channel.retarget({ ...member.connection.channel.target, id: member.storeId });
    }
    const privateKeys = new PrivateKeys(KIND, record.id);
    const locks = new KeyLocks();
    const journal = new Journal({
      primary,
      clock,
      prefix: `${privateKeys.prefix}pending/`,
      maxPending: options.maxPending,
    });
    const ending = new AbortController();
    const copies = new Copies({ primary, secondary, journal, locks, clock, ending: ending.signal });
    const mode = options.secondaryWrites as Mode;
    const state = new MirrorState({
      record,
      isNews: JSON.stringify(record.members) !== JSON.stringify(found.members),
      mode,
      primary,
      secondary,
      journal,
    });
    const keeper = new MirrorKeeper({
      primary,
      secondary,
      journal,
      copies,
      locks,
      privateKeys,
      clock,
      log,
      readOnly,
      ending,
      compare: options.compare as "size" | "content",
      diffEveryMs: options.diffEvery,
      onBoth: () => state.bothThere(),
      onAlike: () => state.alike(),
    });
    const parts = { primary, secondary, journal };
    const facts = composedFacts(record.id, Object.values(record.members), {
      able: ["DURABLE", "SIGN_URL"],
      outside: primary.facts?.outside ?? 0,
    });
    const onDemand = () => keeper.diffSoon();
    process.on("SIGUSR2", onDemand);
    if (primary.facts !== undefined) await keeper.begin();
    keeper.start();
    return {
      name: "io.outrigger.mirror",
      version: release(),
      blob: new MirrorBlobs({ facts, ...parts, copies, keeper, locks, privateKeys, state, clock, readOnly }),
      notices: ["run one process of this mirror: two would not know of each other's changes"],
      async close() {
        process.off("SIGUSR2", onDemand);
        await keeper.close();
        for (const member of [primary, secondary]) member.close();
      },
    };
  } catch (error) {
    for (const member of [primary, secondary]) member.close();
    throw error;
  }
}
