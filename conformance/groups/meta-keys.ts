/** Keys of the meta store: which there are, and that they are flat. */
import assert from "node:assert/strict";
import type { Test } from "../contract.ts";
import { expectFault } from "../faults.ts";
import { badKeys, edgeKeys } from "./key-sets.ts";
import { accepted, check, get, listAll, put, remove, texts, write } from "./meta-calls.ts";
import { naming } from "./naming.ts";

export const metaKeyTests: readonly Test[] = [
  {
    id: "meta.key.01/get",
    title: "Get refuses what is no key",
    async run(ctx) {
      for (const { key, why } of badKeys(ctx.prefix)) {
        await naming(`Get of a key with ${why}`, expectFault(ctx.meta.get({ keys: [key] }), "INVALID_KEY"));
        const among = ctx.meta.get({ keys: [ctx.key("good"), key] });
        await naming(`Get of a good key and one with ${why}`, expectFault(among, "INVALID_KEY"));
      }
    },
  },
  {
    id: "meta.key.01/write",
    title: "Write refuses what is no key, whatever it was to do with it, and does nothing",
    async run(ctx) {
      const good = ctx.key("good");
      for (const { key, why } of badKeys(ctx.prefix)) {
        for (const operation of [put(key, "x"), remove(key), check(key, "absent")]) {
          const operations = [put(good, "must not be there"), operation];
          const what = `Write with a key with ${why}`;
          await naming(what, expectFault(ctx.meta.write({ operations }), "INVALID_KEY"));
        }
      }
      assert.deepEqual(
        await texts(ctx, [good]),
        [undefined],
        "a Write that was refused for its second key was applied",
      );
    },
  },
  {
    id: "meta.key.01/edges",
    title: "odd but right keys are taken: dots, dashes, 255 in a component, 1024 in all",
    async run(ctx) {
      for (const key of edgeKeys(ctx.prefix)) {
        await naming(`a key of ${key.length} bytes, …${key.slice(-12)}`, write(ctx, put(key, key)));
        assert.deepEqual(await texts(ctx, [key]), [key]);
      }
    },
  },
  {
    id: "meta.key.02",
    title: "keys are flat: no folder exists, is listed, or stays behind",
    async run(ctx) {
      const deep = ctx.key("x/y/z");
      const above = [ctx.key("x"), ctx.key("x/y")];
      await write(ctx, put(deep, "deep"));
      assert.deepEqual([...(await get(ctx, above)).keys()], [], `only ${deep} was put, but keys above it are there`);
      assert.deepEqual(await listedKeys(ctx, ctx.prefix), [deep]);
      assert.deepEqual(await listedKeys(ctx, `${ctx.prefix}x/y/z`), [deep]);

      await write(ctx, remove(deep));
      assert.deepEqual(await listedKeys(ctx, ctx.prefix), [], `${deep} was deleted and something stays`);
      // Nothing is in the way of a key where a "folder" was.
      await write(ctx, put(ctx.key("x"), "now a key"));
      assert.deepEqual(await texts(ctx, [ctx.key("x"), deep]), ["now a key", undefined]);
    },
  },
  {
    id: "meta.key.02/conflict",
    title: "a key below another key is taken, or refused with KEY_CONFLICT and nothing changed",
    async run(ctx) {
      for (const [first, second] of [
        [ctx.key("a"), ctx.key("a/b")],
        [ctx.key("c/d"), ctx.key("c")],
      ] as const) {
        await write(ctx, put(first, "first"));
        const beside = ctx.key(`beside-${first.slice(-1)}`);
        let taken = true;
        try {
          await write(ctx, put(beside, "beside"), put(second, "second"));
        } catch (error) {
          taken = false;
          await expectFault(Promise.reject(error), "KEY_CONFLICT");
        }
        const due = taken ? ["first", "second", "beside"] : ["first", undefined, undefined];
        assert.deepEqual(await texts(ctx, [first, second, beside]), due);
        assert.equal(await accepted(ctx, remove(first)), true);
        assert.deepEqual(await texts(ctx, [first, second]), [undefined, taken ? "second" : undefined]);
      }
    },
  },
];

async function listedKeys(ctx: Parameters<typeof listAll>[0], prefix: string): Promise<string[]> {
  return (await listAll(ctx, prefix)).map(({ key }) => key);
}
