/** Keys of the blob store: which there are, that they are flat, and that the meta store's are others. */
import assert from "node:assert/strict";
import type { Test } from "../contract.ts";
import { expectFault } from "../faults.ts";
import { put, read, remove, stat, textOf, texts } from "./blob-calls.ts";
import { badKeys, edgeKeys } from "./key-sets.ts";
import { put as putMeta, remove as removeMeta, texts as textsOfMeta, write } from "./meta-calls.ts";
import { naming } from "./naming.ts";

export const blobKeyTests: readonly Test[] = [
  {
    id: "blob.key.01",
    title: "every call refuses what is no key, and does nothing",
    async run(ctx) {
      const { blob } = ctx;
      const good = ctx.key("good");
      const target = ctx.key("target");
      await put(ctx, good, "good");
      const data = Buffer.from("bad");
      for (const { key, why } of badKeys(ctx.prefix)) {
        const calls: readonly (readonly [string, () => Promise<unknown>])[] = [
          ["Stat", () => blob.stat({ keys: [key] })],
          ["Stat among others", () => blob.stat({ keys: [good, key] })],
          ["Read", () => blob.read({ key }).rest()],
          ["Put", () => blob.put({ key, data })],
          ["Put if_absent", () => blob.put({ key, data, ifAbsent: true })],
          ["Move from", () => blob.move({ source: key, destination: target }).rest()],
          ["Move to", () => blob.move({ source: good, destination: key }).rest()],
          ["Move onto itself", () => blob.move({ source: key, destination: key }).rest()],
        ];
        for (const [what, call] of calls) {
          await naming(`${what}, of a key with ${why}`, expectFault(call(), "INVALID_KEY"));
        }
      }
      assert.deepEqual(await texts(ctx, [good, target]), ["good", undefined], "a call that was refused has an effect");
    },
  },
  {
    id: "blob.key.01/delete",
    title: "Delete too, without taking away the keys beside it",
    async run(ctx) {
      const good = ctx.key("good");
      await put(ctx, good, "good");
      for (const { key, why } of badKeys(ctx.prefix)) {
        const deleting = ctx.blob.delete({ keys: [good, key] });
        await naming(`Delete of a good key and one with ${why}`, expectFault(deleting, "INVALID_KEY"));
      }
      assert.equal(await textOf(ctx, good), "good", "a Delete that was refused has an effect");
    },
  },
  {
    id: "blob.key.01/edges",
    title: "odd but right keys are taken: dots, dashes, 255 in a component, 1024 in all",
    async run(ctx) {
      const keys = edgeKeys(ctx.prefix);
      for (const key of keys) {
        await naming(`a key of ${key.length} bytes, …${key.slice(-12)}`, put(ctx, key, key.slice(-12)));
      }
      const due = keys.map((key) => key.slice(-12));
      assert.deepEqual(await texts(ctx, keys), due);
      assert.deepEqual([...(await stat(ctx, keys)).keys()].sort(), [...keys].sort());
    },
  },
  {
    id: "blob.key.02",
    title: "keys are flat: no folder exists, is listed, or stays behind",
    async run(ctx) {
      const deep = ctx.key("x/y/z");
      const above = [ctx.key("x"), ctx.key("x/y")];
      const listed = async (prefix: string) => (await ctx.blob.list({ prefix })).items.map(({ key }) => key);
      const settle = () => ctx.sleep(ctx.limits("blob").listLagMs);
      await put(ctx, deep, "deep");
      await settle();
      assert.deepEqual([...(await stat(ctx, above)).keys()], [], `only ${deep} was put, but keys above it are there`);
      for (const key of above) assert.equal(await textOf(ctx, key), undefined, `${key}, above the only key, is read`);
      assert.deepEqual(await listed(ctx.prefix), [deep]);

      await remove(ctx, deep);
      await settle();
      assert.deepEqual(await listed(ctx.prefix), [], `${deep} was deleted and something stays`);
      // Nothing is in the way of a key where a "folder" was.
      await put(ctx, ctx.key("x"), "now a key");
      assert.deepEqual(await texts(ctx, [ctx.key("x"), deep]), ["now a key", undefined]);
    },
  },
  {
    id: "blob.key.02/conflict",
    title: "a key below another key is taken, or refused with KEY_CONFLICT and nothing changed",
    async run(ctx) {
      for (const [first, second] of [
        [ctx.key("a"), ctx.key("a/b")],
        [ctx.key("c/d"), ctx.key("c")],
      ] as const) {
        await put(ctx, first, "first");
        let due: string | undefined = "second";
        try {
          await put(ctx, second, "second");
        } catch (error) {
          due = undefined;
          await expectFault(Promise.reject(error), "KEY_CONFLICT");
        }
        assert.deepEqual(await texts(ctx, [first, second]), ["first", due]);
      }
    },
  },
  {
    id: "blob.key.03",
    title: "the meta store's keys are others, also where both stores have one backend",
    requires: { store: "meta" },
    async run(ctx) {
      const [both, blobOnly, metaOnly] = [ctx.key("both"), ctx.key("a/blob"), ctx.key("a/meta/link")];
      await put(ctx, both, "blob");
      await put(ctx, blobOnly, "blob");
      await write(ctx, putMeta(both, "meta"), putMeta(metaOnly, "meta"));
      assert.deepEqual(await texts(ctx, [both, blobOnly, metaOnly]), ["blob", "blob", undefined]);
      assert.deepEqual(await textsOfMeta(ctx, [both, blobOnly, metaOnly]), ["meta", undefined, "meta"]);
      await ctx.sleep(ctx.limits("blob").listLagMs);
      const blobs = (await ctx.blob.list({ prefix: ctx.prefix })).items.map(({ key }) => key);
      assert.equal(blobs.includes(metaOnly), false, `${metaOnly} of the meta store is listed as a blob`);
      const metas = (await ctx.meta.list({ prefix: ctx.prefix })).items.map(({ key }) => key);
      assert.equal(metas.includes(blobOnly), false, `the blob ${blobOnly} is listed in the meta store`);

      await remove(ctx, both);
      assert.deepEqual(await textsOfMeta(ctx, [both]), ["meta"], "a blob's Delete took away the meta store's key");
      await put(ctx, both, "again");
      await write(ctx, removeMeta(both));
      assert.equal((await read(ctx, { key: both })).bytes.toString(), "again", "a Write took away a blob");
    },
  },
];
