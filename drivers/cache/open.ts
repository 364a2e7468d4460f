/** Opens a cache: the slow store has to be there, the fast one may come later. */
import { OutriggerError } from "../../proto/errors.ts";
import type { Driver, OpenContext } from "../../server/contract.ts";
import { release } from "../../server/release.ts";
import { assertAllThere, connectMembers } from "../composed/connect.ts";
import { composedFacts } from "../composed/facts.ts";
import type { Member } from "../composed/member.ts";
import { targetOf } from "../composed/options.ts";
import { PrivateKeys } from "../composed/private-keys.ts";
import { agreedRecord, describeMember, findRecord, newStoreId, writeRecord } from "../composed/records.ts";
import { CacheBlobs } from "./blobs.ts";
import { adopt, Fast, isTaken, KIND } from "./fast.ts";
import type { CacheOptions } from "./options.ts";
import { Reads } from "./reads.ts";

const LEAST_BYTES = 1024 * 1024;

const wantedFast = (options: CacheOptions) => ({
  name: "fast",
  title: "the fast store",
  target: targetOf(options.fast, options),
});

async function connect(options: CacheOptions, context: OpenContext): Promise<readonly [Member, Member]> {
  if (options.max < LEAST_BYTES) throw new OutriggerError("INVALID_FIELD", "--max must be at least 1MiB");
  const wanted = [
    { name: "slow", title: "the slow store", target: targetOf(options.slow, options) },
    wantedFast(options),
  ];
  const [slow, fast] = await connectMembers(KIND, wanted, options.memberWait, context);
  if (slow === undefined || fast === undefined) throw new Error("a cache has two members");
  return [slow, fast];
}

/** Writes the cache's id into the slow store, where it is absent, and takes the fast one. @throws Error with one sentence */
export async function initCache(options: CacheOptions, context: OpenContext): Promise<void> {
  const [slow, fast] = await connect(options, context);
  try {
    assertAllThere([slow, fast]);
    const known = await findRecord(KIND, slow);
    const id = known?.id ?? newStoreId();
    await isTaken(fast, id);
    // The slow store's first: ended behind it, the next --init goes on with the same id.
    if (known === undefined) await writeRecord(KIND, slow, { id, members: { slow: describeMember(slow) }, state: {} });
    await adopt(fast, id);
  } finally {
    for (const member of [slow, fast]) member.close();
  }
}

/** @throws Error with one sentence */
export async function openCache(options: CacheOptions, context: OpenContext): Promise<Driver> {
  const { log, clock } = context;
  const [slow, member] = await connect(options, context);
  let fast: Fast | undefined;
  try {
    assertAllThere([slow]);
    const { id } = await agreedRecord(KIND, [slow]);
    slow.connection.channel.retarget({ ...slow.connection.channel.target, id: slow.storeId });
    const privateKeys = new PrivateKeys(KIND, id);
    fast = new Fast({ id, wanted: wantedFast(options), maxBytes: options.max, context }, member);
    if (member.facts === undefined) log.warn(`${member.who} does not answer: everything is read from the slow store`);
    await fast.begin();
    fast.start();
    const reads = new Reads({ slow, fast, clock, log, maxBlobBytes: options.maxBlob });
    const facts = composedFacts(id, [describeMember(slow)], {
      able: ["DURABLE", "REPLICAS", "SIGN_URL"],
      outside: slow.facts?.outside ?? 0,
    });
    const used = fast;
    return {
      name: "io.outrigger.cache",
      version: release(),
      blob: new CacheBlobs({ facts, slow, reads, privateKeys }),
      async close() {
        await reads.close();
        await used.close();
        slow.close();
      },
    };
  } catch (error) {
    await fast?.close();
    for (const one of [slow, member]) one.close();
    throw error;
  }
}
