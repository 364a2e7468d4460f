/** Move and Delete. */
import assert from "node:assert/strict";
import type { Test } from "../contract.ts";
import { expectFault } from "../faults.ts";
import { etagOf, move, put, putMany, read, remove, stat, statOne, textOf, texts, upload } from "./blob-calls.ts";
import { names } from "./key-sets.ts";

export const blobChangeTests: readonly Test[] = [
  {
    id: "blob.move.01",
    title: "a move gives the bytes another key and takes the source away, overwriting what was there",
    async run(ctx) {
      const [source, fresh, taken] = [ctx.key("source"), ctx.key("far/away/fresh"), ctx.key("taken")];
      for (const destination of [fresh, taken]) {
        await put(ctx, taken, "what was there");
        await put(ctx, source, `moved to ${destination}`);
        const info = await move(ctx, source, destination);
        assert.equal(info?.key, destination, "the key of the answer's info");
        assert.deepEqual(await texts(ctx, [source, destination]), [undefined, `moved to ${destination}`]);
        assert.equal(
          info?.etag,
          await etagOf(ctx, destination),
          "the etag of the answer's info is not the destination's",
        );
      }
      const large = ctx.random.bytes(2_000_003);
      await upload(ctx, ctx.uploadId(), source, large);
      await move(ctx, source, taken);
      const { bytes } = await read(ctx, { key: taken });
      assert.ok(bytes.equals(large.subarray(0, bytes.length)) && bytes.length > 0, "other bytes than were moved");
    },
  },
  {
    id: "blob.move.01/one-change",
    title: "who reads the destination sees the old bytes or the new ones, never none",
    async run(ctx) {
      const [source, destination] = [ctx.key("source"), ctx.key("destination")];
      await put(ctx, destination, "turn 0");
      const [writer, stats, reads] = [ctx.connect(), ctx.connect(), ctx.connect()];
      let over = false;
      const write = async () => {
        try {
          for (let turn = 1; turn <= 40; turn++) {
            await put(writer, source, `turn ${turn}`);
            await move(writer, source, destination);
          }
        } finally {
          over = true;
        }
      };
      const watchStat = async () => {
        while (!over) assert.ok(await statOne(stats, destination), "Stat finds nothing where a blob is overwritten");
      };
      const watchRead = async () => {
        let last = 0;
        while (!over) {
          const text = await textOf(reads, destination);
          assert.match(text ?? "nothing", /^turn \d+$/, "Read, where a blob is overwritten");
          const turn = Number(text?.slice(5));
          assert.ok(turn >= last, `Read shows turn ${turn} after turn ${last}`);
          last = turn;
        }
      };
      await Promise.all([write(), watchStat(), watchRead()]);
    },
  },
  {
    id: "blob.move.02",
    title: "an absent source is KEY_NOT_FOUND and leaves the destination as it was",
    async run(ctx) {
      const [taken, free] = [ctx.key("taken"), ctx.key("free")];
      const [never, deleted, above] = [ctx.key("never"), ctx.key("deleted"), ctx.key("above")];
      await put(ctx, taken, "stays");
      await put(ctx, deleted, "x");
      await put(ctx, `${above}/below`, "x");
      await remove(ctx, deleted);
      const etag = await etagOf(ctx, taken);
      for (const source of [never, deleted, above]) {
        for (const destination of [taken, free, source]) {
          await expectFault(ctx.blob.move({ source, destination }).rest(), "KEY_NOT_FOUND");
        }
      }
      assert.deepEqual(await texts(ctx, [taken, free, `${above}/below`]), ["stays", undefined, "x"]);
      assert.equal(await etagOf(ctx, taken), etag);
    },
  },
  {
    id: "blob.move.03",
    title: "a move onto itself changes nothing",
    async run(ctx) {
      const key = ctx.key();
      await put(ctx, key, "stays");
      const etag = await etagOf(ctx, key);
      const info = await move(ctx, key, key);
      assert.equal(info?.key, key, "the key of the answer's info");
      assert.equal(await textOf(ctx, key), "stays");
      assert.equal(await etagOf(ctx, key), etag, "the etag has changed");
    },
  },
  {
    id: "blob.delete.01",
    title: "one result for each key, in the order asked; an absent key is OK",
    async run(ctx) {
      const [a, b, never, deleted] = ["a", "b", "never", "deleted"].map((name) => ctx.key(name)) as [
        string,
        string,
        string,
        string,
      ];
      await put(ctx, a, "a");
      await put(ctx, b, "b");
      await put(ctx, deleted, "x");
      await remove(ctx, deleted);
      const keys = [never, b, deleted, a, ctx.key("far/away")];
      const { results } = await ctx.blob.delete({ keys });
      assert.deepEqual(
        results.map(({ key, reason }) => ({ key, reason })),
        keys.map((key) => ({ key, reason: "" })),
      );
      assert.deepEqual([...(await stat(ctx, keys)).keys()], [], "a key whose Delete was OK is there");
      assert.deepEqual((await ctx.blob.delete({ keys: [] })).results, [], "no keys, no results");
    },
  },
  {
    id: "blob.delete.01/thousand",
    title: "also of a thousand keys",
    async run(ctx) {
      const keys = names(ctx.prefix, 1000);
      const there = keys.filter((_, index) => index % 25 === 0);
      await putMany(ctx, there);
      const { results } = await ctx.blob.delete({ keys });
      assert.deepEqual(
        results.map(({ key }) => key),
        keys,
      );
      assert.deepEqual(
        results.filter(({ reason }) => reason !== ""),
        [],
      );
      assert.deepEqual([...(await stat(ctx, keys)).keys()], [], "a key whose Delete was OK is there");
    },
  },
  {
    id: "blob.delete.02",
    title: 'only the key itself goes: "a" leaves "ab", "a-b" and what lies below "a/"',
    async run(ctx) {
      const beside = ["ab", "a-b", "a.b", "a0", "A", "c/d", "c/e/f", "c-d", "cc/d"].map((name) => ctx.key(name));
      for (const key of beside) await put(ctx, key, key);
      await put(ctx, ctx.key("a"), "x");
      await remove(ctx, ctx.key("a"), ctx.key("c"), ctx.key("c/e"));
      assert.deepEqual(await texts(ctx, [ctx.key("a"), ...beside]), [undefined, ...beside]);
      // The last one of a "folder" takes no neighbour along.
      await remove(ctx, ctx.key("c/e/f"));
      assert.deepEqual(await texts(ctx, [ctx.key("c/d"), ctx.key("c/e/f")]), [ctx.key("c/d"), undefined]);
    },
  },
];
