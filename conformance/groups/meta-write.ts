/** Write: all or none, under conditions. One client at a time; races are meta-races.ts. */
import assert from "node:assert/strict";
import type { OperationInput } from "../../proto/gen/outrigger/meta/v1/Operation.ts";
import { limits } from "../../proto/limits.ts";
import type { Context, Test } from "../contract.ts";
import { expectFault } from "../faults.ts";
import { names, padded } from "./key-sets.ts";
import { accepted, type Condition, check, etagOf, put, putMany, remove, texts, tooLate, write } from "./meta-calls.ts";
import { naming } from "./naming.ts";

/** How long a backend may be at an effect that was begun in time. */
const BACKEND_MS = 250;

/** A key that is there, one that is not, and one that was; and etags that none of them has. */
async function scene(ctx: Context) {
  const [present, absent, deleted, other] = ["present", "absent", "deleted", "other"].map((name) => ctx.key(name)) as [
    string,
    string,
    string,
    string,
  ];
  await write(ctx, put(present, "old"), put(deleted, "old"), put(other, "other"));
  const [former, gone] = [await etagOf(ctx, present), await etagOf(ctx, deleted)];
  await write(ctx, put(present, "now"), remove(deleted));
  return { present, absent, deleted, other, etag: await etagOf(ctx, present), former, gone };
}

export const metaWriteTests: readonly Test[] = [
  {
    id: "meta.write.01",
    title: "all operations of a Write take effect",
    async run(ctx) {
      const keys = names(ctx.prefix, 100);
      const goes = (index: number) => index < 40 && index % 3 === 2;
      await putMany(ctx, keys.slice(0, 40), "old");
      await write(ctx, ...keys.map((key, index) => (goes(index) ? remove(key) : put(key, `new ${index}`))));
      const due = keys.map((_, index) => (goes(index) ? undefined : `new ${index}`));
      assert.deepEqual(await texts(ctx, keys), due);
    },
  },
  {
    id: "meta.write.01/refused",
    title: "or none does: wherever in the Write the condition stands that does not hold",
    async run(ctx) {
      for (const at of [0, 1, 3, 5]) {
        const names = ["a", "b", "c", "d", "e", "fails"].map((name) => ctx.key(`${name}${at}`));
        const [a, b, c, d, e, fails] = names as [string, string, string, string, string, string];
        await write(ctx, put(b, "b"), put(d, "d"), put(e, "e"));
        const operations = [put(a, "x"), put(b, "x", "present"), put(c, "x", "absent"), remove(d), check(e, "present")];
        const refused = operations.toSpliced(at, 0, put(fails, "x", "present"));
        if (!(await accepted(ctx, ...refused))) {
          const due = [undefined, "b", undefined, "d", "e", undefined];
          assert.deepEqual(await texts(ctx, names), due, "a Write that was refused is there in part");
          // It was refused for that one condition.
          await write(ctx, ...operations);
        }
        assert.deepEqual((await texts(ctx, names)).slice(0, 5), ["x", "x", "x", undefined, "e"]);
      }
    },
  },
  {
    id: "meta.write.01/invalid",
    title: "nor of a Write that is refused for what it asks",
    async run(ctx) {
      const [a, b] = [ctx.key("a"), ctx.key("b")];
      const wrongs: readonly OperationInput[] = [
        put(ctx.key("big"), Buffer.alloc(limits.valueBytes + 1)),
        { key: ctx.key("nothing") },
        { key: ctx.key("unchecked"), check: {} },
        put(a, "twice"),
        put(`${ctx.prefix}a//b`, "x"),
      ];
      for (const wrong of wrongs) {
        const taken = await accepted(ctx, put(a, "x"), put(b, "x"), wrong);
        if (!taken) {
          assert.deepEqual(
            await texts(ctx, [a, b]),
            [undefined, undefined],
            "a Write that was refused is there in part",
          );
        } else await write(ctx, remove(a), remove(b));
      }
    },
  },
  {
    id: "meta.write.02",
    title: "a condition that does not hold is CONDITION_FAILED, one that holds is not",
    async run(ctx) {
      const { present, absent, deleted, other, etag, former, gone } = await scene(ctx);
      const unknown = "an-etag-never-given";
      const cases: readonly (readonly [string, string, Condition, boolean])[] = [
        ["if_absent of a key that is there", present, "absent", false],
        ["if_absent of a key that never was", absent, "absent", true],
        ["if_absent of a key that was deleted", deleted, "absent", true],
        ["if_present of a key that is there", present, "present", true],
        ["if_present of a key that never was", absent, "present", false],
        ["if_present of a key that was deleted", deleted, "present", false],
        ["if_etag with the key's etag", present, { etag }, true],
        ["if_etag with the key's former etag", present, { etag: former }, false],
        ["if_etag with an etag that is none", present, { etag: unknown }, false],
        ["if_etag of a key that never was", absent, { etag }, false],
        ["if_etag of a deleted key with its last etag", deleted, { etag: gone }, false],
      ];
      for (const [words, key, condition, holds] of cases) {
        await naming(`check, ${words}`, decided([check(key, condition)], holds));
        if (!holds) {
          await naming(`put, ${words}`, decided([put(key, "x", condition)], false));
          await naming(`delete, ${words}`, decided([remove(key, condition)], false));
        }
      }
      await naming("put, if_etag", decided([put(present, "y", { etag })], true));
      await naming("delete, if_present", decided([remove(present, "present")], true));
      await naming("put, if_absent", decided([put(absent, "y", "absent")], true));
      await naming("put, if_present", decided([put(absent, "z", "present")], true));
      await naming("delete, if_absent", decided([remove(deleted, "absent")], true));
      await naming("delete, if_etag", decided([remove(other, { etag: await etagOf(ctx, other) })], true));

      async function decided(operations: OperationInput[], holds: boolean): Promise<void> {
        const writing = write(ctx, ...operations);
        if (holds) await writing;
        else await expectFault(writing, "CONDITION_FAILED");
      }
    },
  },
  {
    id: "meta.write.02/index",
    title: "and names in metadata `index` the first operation whose condition does not hold",
    async run(ctx) {
      const { present, absent, etag, former } = await scene(ctx);
      const keys = names(ctx.prefix, 6);
      const good = [check(present, { etag }), check(absent, "absent"), put(keys[0] ?? "", "x", "absent")];
      const bad = [put(keys[1] ?? "", "x", "present"), remove(keys[2] ?? "", { etag: former })];
      for (const [operations, index] of [
        [bad, 0],
        [[...good, ...bad], 3],
        [[...good.slice(0, 1), ...bad, ...good.slice(1)], 1],
        [[put(keys[3] ?? "", "x"), remove(keys[4] ?? "", "absent"), ...bad], 2],
      ] as const) {
        const fault = await expectFault(write(ctx, ...operations), "CONDITION_FAILED");
        assert.equal(fault.metadata["index"], String(index), `metadata index, of ${operations.length} operations`);
      }
    },
  },
  {
    id: "meta.write.05",
    title: "what is no right Write is refused",
    async run(ctx) {
      const key = ctx.key("k");
      const more = names(ctx.prefix, 101);
      const large = ctx.random.bytes(limits.valueBytes);
      const full = filling(more, large, limits.writeBytes);
      const cases: readonly (readonly [string, readonly OperationInput[]])[] = [
        ["no operations", []],
        ["101 operations", more.map((name) => put(name, "x"))],
        ["a value over 256 KiB", [put(key, Buffer.alloc(limits.valueBytes + 1))]],
        ["one byte over 3.5 MiB", [...full, put(ctx.key("z"), "")]],
        ["two puts of one key", [put(key, "1"), put(key, "2")]],
        ["a put and a delete of one key", [put(key, "1"), remove(key)]],
        ["a check and a put of one key", [check(key, "absent"), put(key, "1")]],
        ["one key twice, among others", [put(key, "1"), put(more[0] ?? "", "x"), put(key, "1")]],
        ["an operation without action", [{ key }]],
        ["an operation without action, but with a condition", [{ key, ifAbsent: {} }]],
        ["a check without condition", [{ key, check: {} }]],
      ];
      for (const [what, operations] of cases) {
        const writing = ctx.meta.write({ operations: [...operations] });
        await naming(`a Write with ${what}`, expectFault(writing, "INVALID_FIELD"));
      }
      assert.deepEqual(await texts(ctx, [key]), [undefined], "a Write that was refused has an effect");
    },
  },
  {
    id: "meta.write.05/most",
    title: "what is as large as may be is taken: 100 operations, 256 KiB a value, 3.5 MiB in all",
    async run(ctx) {
      const keys = names(ctx.prefix, 100);
      await naming("100 operations", write(ctx, ...keys.map((key) => put(key, "x"))));
      const large = ctx.random.bytes(limits.valueBytes);
      await naming("a value of 256 KiB", write(ctx, put(ctx.key("large"), large)));
      const full = filling(keys, large, limits.writeBytes);
      await naming("3.5 MiB", write(ctx, ...full));
      await naming("a key of 1024 bytes", write(ctx, put(padded(ctx.prefix, 1024), "")));
      const due = full.map(({ put }) => (put as Buffer).length);
      const sizes = (await texts(ctx, keys.slice(0, full.length))).map((text) => text?.length);
      assert.deepEqual(sizes, due);
    },
  },
  {
    id: "meta.write.05/empty-etag",
    title: "an if_etag that is empty holds for no key",
    async run(ctx) {
      const { present, absent, deleted } = await scene(ctx);
      for (const key of [present, absent, deleted]) {
        for (const operation of [put(key, "x", { etag: "" }), remove(key, { etag: "" }), check(key, { etag: "" })]) {
          await expectFault(write(ctx, operation), "INVALID_FIELD", "CONDITION_FAILED");
        }
      }
    },
  },
  {
    id: "meta.write.06",
    title: "one result for each operation in order: a put's new etag, the etag a check saw, nothing for a delete",
    async run(ctx) {
      const { present, absent, deleted, other, etag } = await scene(ctx);
      const made = ctx.key("made");
      const { results } = await write(
        ctx,
        check(present, { etag }),
        put(made, "made"),
        remove(other, "present"),
        check(absent, "absent"),
        put(deleted, "again", "absent"),
        remove(ctx.key("never"), "absent"),
      );
      const due = [
        { key: present, etag },
        { key: made, etag: await etagOf(ctx, made) },
        { key: other, etag: "" },
        { key: absent, etag: "" },
        { key: deleted, etag: await etagOf(ctx, deleted) },
        { key: ctx.key("never"), etag: "" },
      ];
      assert.deepEqual(
        results.map(({ key, etag }) => ({ key, etag })),
        due,
      );
      assert.ok(due[1]?.etag && due[4]?.etag, "a key that was put has an empty etag");
    },
  },
  {
    id: "meta.write.07",
    title: "deleting an absent key without a condition is OK",
    async run(ctx) {
      const { deleted, absent } = await scene(ctx);
      await ctx.meta.write({ operations: [remove(absent)] });
      await ctx.meta.write({ operations: [remove(deleted), put(ctx.key("beside"), "x"), remove(ctx.key("never"))] });
      assert.deepEqual(await texts(ctx, [absent, deleted, ctx.key("beside")]), [undefined, undefined, "x"]);
    },
  },
  {
    id: "meta.write.08",
    title: "a Write that arrives past its not-after is TOO_LATE and does nothing",
    async run(ctx) {
      const [a, b] = [ctx.key("a"), ctx.key("b")];
      await write(ctx, put(b, "stays"));
      for (const notAfter of [1, Date.now() - 60_000]) {
        const late = ctx.meta.write({ operations: [put(a, "late"), remove(b)] }, { ...tooLate(), notAfter });
        await expectFault(late, "TOO_LATE");
      }
      await ctx.sleep(50);
      assert.deepEqual(await texts(ctx, [a, b]), [undefined, "stays"], "a Write that was TOO_LATE has an effect");
    },
  },
  {
    id: "meta.write.08/near",
    title: "nor does one take effect after it: what is not there once its time is over never comes",
    async run(ctx) {
      const large = ctx.random.bytes(200 * 1024);
      const peer = ctx.connect();
      for (let round = 0; round < 3; round++) {
        const keys = names(ctx.prefix, 24, `r${round}-`);
        const notAfter = (await driverNow(ctx)) + 6 + 6 * round;
        const results = keys.map((key) =>
          peer.meta.write({ operations: [put(key, large)] }, { notAfter }).then(
            () => true,
            () => false,
          ),
        );
        // By the driver's own clock every one of them is late by then. What the backend takes between the last look at
        // the clock and the effect is nobody's fault.
        while ((await driverNow(ctx)) <= notAfter + BACKEND_MS) await ctx.sleep(10);
        const once = await texts(ctx, keys);
        const taken = await Promise.all(results);
        await ctx.sleep(200);
        const later = await texts(ctx, keys);
        for (const [index, key] of keys.entries()) {
          const came = once[index] === undefined && later[index] !== undefined;
          assert.ok(!came, `${key} was absent after its Write's not-after, and came later`);
          if (!taken[index]) assert.equal(later[index], undefined, `${key} is there, though its Write was refused`);
        }
      }
    },
  },
];

/** Puts that come to exactly so many bytes of keys and values. */
function filling(keys: readonly string[], large: Buffer, bytes: number): OperationInput[] {
  const operations: OperationInput[] = [];
  let left = bytes;
  for (const key of keys) {
    if (left <= key.length) break;
    const value = large.subarray(0, Math.min(large.length, left - key.length));
    operations.push(put(key, value));
    left -= key.length + value.length;
  }
  assert.equal(left, 0, "the kit's own sum is wrong");
  return operations;
}

/** The driver's clock, unix ms, as its answers tell it. */
async function driverNow(ctx: Context): Promise<number> {
  const { metadata } = await ctx.answer("meta.Get", { keys: [] });
  const now = Number(metadata.get("outrigger-now")[0]);
  assert.ok(Number.isFinite(now), "an answer without outrigger-now");
  return now;
}
