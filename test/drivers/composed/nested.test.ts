/** Compositions before others of their kind: each finds its own record, not the one that it keeps for the other. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { initCache, openCache } from "../../../drivers/cache/open.ts";
import { initMirror, openMirror } from "../../../drivers/mirror/open.ts";
import { initShards, openShards } from "../../../drivers/shard/open.ts";
import type { Driver } from "../../../server/contract.ts";
import { Scope } from "../../helpers/processes.ts";
import { connectTo, contentOf, digestOf } from "./faults.ts";
import { host, memberDefaults, openContext, Watched } from "./hosted.ts";

const MIB = 1024 * 1024;

interface Kind {
  init(one: string, other: string): Promise<void>;
  open(one: string, other: string): Promise<Driver>;
}

const cacheOptions = (slow: string, fast: string) => ({ ...memberDefaults, slow, fast, max: 8 * MIB, maxBlob: MIB });
const mirrorOptions = (primary: string, secondary: string) => ({
  ...memberDefaults,
  primary,
  secondary,
  secondaryWrites: "sync",
  compare: "size",
  diffEvery: 24 * 60 * 60 * 1000,
  maxPending: 1000,
});
const shardOptions = (a: string, b: string) => ({ ...memberDefaults, shards: `a=${a},b=${b}` });

const kinds: Readonly<Record<string, Kind>> = {
  mirror: {
    init: (...members) => initMirror(mirrorOptions(...members), openContext),
    open: (...members) => openMirror(mirrorOptions(...members), openContext),
  },
  shard: {
    init: (...members) => initShards(shardOptions(...members), openContext),
    open: (...members) => openShards(shardOptions(...members), openContext),
  },
  cache: {
    init: (...members) => initCache(cacheOptions(...members), openContext),
    open: (...members) => openCache(cacheOptions(...members), openContext),
  },
};

async function scoped(t: TestContext) {
  const scope = new Scope();
  t.after(scope.close);
  const store = async () => (await host(scope, (await Watched.memory()).open)).address;
  return { scope, store };
}

for (const [name, { init, open }] of Object.entries(kinds))
  describe(`a ${name} before a ${name}`, () => {
    it("starts again", async (t) => {
      const { scope, store } = await scoped(t);
      const below = [await store(), await store()] as const;
      const beside = await store();
      await init(...below);
      const inner = await host(scope, () => open(...below));
      await init(inner.address, beside);
      const start = async () => {
        const outer = await host(scope, () => open(inner.address, beside));
        const client = connectTo(scope, outer.address);
        await client.channel.described();
        return { outer, client };
      };
      const first = await start();
      for (let index = 0; index < 8; index++) await first.client.store.put(`docker/${index}`, Buffer.from(`${index}`));
      await first.outer.stop();
      await inner.stop();
      await host(scope, () => open(...below), inner.address);
      const { client } = await start();
      for (let index = 0; index < 8; index++)
        assert.equal(await contentOf(client, `docker/${index}`), digestOf(Buffer.from(`${index}`)));
    });
  });
