/** Put: a small blob in one call, under conditions. */
import assert from "node:assert/strict";
import { limits } from "../../proto/limits.ts";
import type { Context, Test } from "../contract.ts";
import { expectFault } from "../faults.ts";
import { accepted, digestOf, etagOf, put, remove, statOne, textOf } from "./blob-calls.ts";
import { naming } from "./naming.ts";

const CLIENTS = 8;

/** Puts of one key at once, each on a connection of its own. @returns the texts of those that were accepted */
async function race(ctx: Context, key: string, condition: { ifAbsent: true } | { ifEtag: string }): Promise<string[]> {
  const texts = Array.from({ length: CLIENTS }, (_, index) => `by ${index}`);
  const peers = texts.map(() => ctx.connect());
  const won = await Promise.all(
    texts.map((text, index) =>
      accepted((peers[index] ?? ctx).blob.put({ key, data: Buffer.from(text), ...condition })),
    ),
  );
  return texts.filter((_, index) => won[index]);
}

export const blobPutTests: readonly Test[] = [
  {
    id: "blob.put.01",
    title: "more than 1 MiB is refused, 1 MiB is not",
    async run(ctx) {
      const [full, over] = [ctx.key("full"), ctx.key("over")];
      const data = ctx.random.bytes(limits.putBytes + 1);
      await put(ctx, full, data.subarray(1));
      for (const size of [data.length, data.length + 100_000]) {
        const larger = Buffer.concat([data, Buffer.alloc(size - data.length)]);
        await naming(`${size} bytes`, expectFault(ctx.blob.put({ key: over, data: larger }), "INVALID_FIELD"));
      }
      assert.equal(await statOne(ctx, over), undefined, "a Put that was refused is there");
    },
  },
  {
    id: "blob.put.02",
    title: "a digest that is not the data's is DIGEST_MISMATCH; the data's own is taken",
    async run(ctx) {
      for (const algorithm of ["sha256", "sha512"] as const) {
        const [key, absent] = [ctx.key(algorithm), ctx.key(`${algorithm}-absent`)];
        const data = Buffer.from(`bytes for ${algorithm}`);
        await naming(algorithm, ctx.blob.put({ key, data, digest: digestOf(algorithm, data) }));
        for (const other of ["", "other bytes", `${data} `]) {
          const digest = digestOf(algorithm, other);
          for (const into of [key, absent]) {
            const putting = ctx.blob.put({ key: into, data: Buffer.from("wrong"), digest });
            await naming(`${algorithm} of other bytes`, expectFault(putting, "DIGEST_MISMATCH"));
          }
        }
        assert.equal(await textOf(ctx, key), data.toString(), "a Put with a wrong digest has overwritten the blob");
        assert.equal(await statOne(ctx, absent), undefined, "a Put with a wrong digest is there");
      }
    },
  },
  {
    id: "blob.put.02/never-visible",
    title: "and what has a wrong digest is not to be seen even for a moment",
    async run(ctx) {
      const key = ctx.key();
      const data = ctx.random.bytes(700_000);
      const digest = digestOf("sha256", "other bytes");
      const watcher = ctx.connect();
      let over = false;
      const watch = async () => {
        while (!over) assert.equal(await statOne(watcher, key), undefined, "Stat shows a blob with a wrong digest");
      };
      const write = async () => {
        try {
          for (let turn = 0; turn < 12; turn++) await accepted(ctx.blob.put({ key, data, digest }));
        } finally {
          over = true;
        }
      };
      await Promise.all([write(), watch()]);
    },
  },
  {
    id: "blob.put.03",
    title: "if_absent on a key that exists is KEY_EXISTS and changes nothing",
    async run(ctx) {
      const key = ctx.key();
      const data = Buffer.from("second");
      await ctx.blob.put({ key, data: Buffer.from("first"), ifAbsent: true });
      const etag = await etagOf(ctx, key);
      for (const again of [data, Buffer.from("first"), Buffer.alloc(0)]) {
        await expectFault(ctx.blob.put({ key, data: again, ifAbsent: true }), "KEY_EXISTS");
      }
      assert.deepEqual(
        [await textOf(ctx, key), await etagOf(ctx, key)],
        ["first", etag],
        "a refused Put has an effect",
      );
      await remove(ctx, key);
      await naming("once the key was deleted", ctx.blob.put({ key, data, ifAbsent: true }));
      assert.equal(await textOf(ctx, key), "second");
    },
  },
  {
    id: "blob.put.03/at-once",
    title: "of many Puts if_absent at once exactly one succeeds, and its bytes are there",
    async run(ctx) {
      for (let round = 0; round < 10; round++) {
        const key = ctx.key(`k${round}`);
        const won = await race(ctx, key, { ifAbsent: true });
        assert.equal(won.length, 1, `of ${CLIENTS} Puts if_absent ${won.length} were accepted`);
        assert.equal(await textOf(ctx, key), won[0]);
      }
    },
  },
  {
    id: "blob.put.04",
    title: "if_etag on another etag, or on an absent key, is ETAG_MISMATCH and changes nothing",
    async run(ctx) {
      const [key, absent, deleted] = [ctx.key("k"), ctx.key("absent"), ctx.key("deleted")];
      const data = Buffer.from("refused");
      await put(ctx, key, "first");
      const former = await etagOf(ctx, key);
      await ctx.blob.put({ key, data: Buffer.from("second"), ifEtag: former });
      const etag = await etagOf(ctx, key);
      await put(ctx, deleted, "x");
      const gone = await etagOf(ctx, deleted);
      await remove(ctx, deleted);
      for (const [into, ifEtag, what] of [
        [key, former, "the etag of the content before"],
        [key, "an-etag-never-given", "an etag that is none"],
        [absent, etag, "an absent key"],
        [deleted, gone, "a deleted key's last etag"],
      ] as const) {
        await naming(what, expectFault(ctx.blob.put({ key: into, data, ifEtag }), "ETAG_MISMATCH"));
      }
      assert.deepEqual(
        [await textOf(ctx, key), await etagOf(ctx, key)],
        ["second", etag],
        "a refused Put has an effect",
      );
      assert.equal(await statOne(ctx, absent), undefined);
      assert.equal(await statOne(ctx, deleted), undefined);
    },
  },
  {
    id: "blob.put.04/at-once",
    title: "of many Puts with one etag at once exactly one succeeds, and its bytes are there",
    async run(ctx) {
      const key = ctx.key();
      for (let round = 0; round < 10; round++) {
        await put(ctx, key, `round ${round}`);
        const won = await race(ctx, key, { ifEtag: await etagOf(ctx, key) });
        assert.equal(won.length, 1, `of ${CLIENTS} Puts with one etag ${won.length} were accepted`);
        assert.equal(await textOf(ctx, key), won[0]);
      }
    },
  },
  {
    id: "blob.put.05",
    title: "without a condition the key is overwritten, whatever was there",
    async run(ctx) {
      const key = ctx.key();
      for (const text of ["some bytes", "a good many more bytes than before", "few", "", "x", "same", "same"]) {
        const info = await put(ctx, key, text);
        assert.equal(info?.key, key, "the answer's key");
        assert.equal(await textOf(ctx, key), text);
      }
    },
  },
];
