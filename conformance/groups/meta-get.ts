/** Get of the meta store, and what is seen when. */
import assert from "node:assert/strict";
import { limits } from "../../proto/limits.ts";
import type { Context, Test } from "../contract.ts";
import { expectFault } from "../faults.ts";
import { names } from "./key-sets.ts";
import { get, listAll, put, putMany, remove, texts, write } from "./meta-calls.ts";

/** Values of which not twenty go into one message. */
const LARGE = 250 * 1024;

export const metaGetTests: readonly Test[] = [
  {
    id: "meta.get.01",
    title: "each key asked is answered, in the order asked, absent ones too, a repeated one twice",
    async run(ctx) {
      const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => ctx.key(name)) as [string, string, string, string];
      await write(ctx, put(a, "va"), put(c, "vc"));
      for (const keys of [[c, b, a], [b], [a, a, b, a], [d, c, b, a, b, c, d], names(ctx.prefix, 100).reverse()]) {
        const { results, unread } = await ctx.meta.get({ keys });
        assert.deepEqual(
          [...results.map(({ key }) => key), ...unread],
          keys,
          "results, then unread, are not the keys asked in their order",
        );
        for (const { key, item } of results) {
          const due = { [a]: "va", [c]: "vc" }[key];
          assert.equal(item?.value.toString(), due, `${key} in a Get of ${keys.length} keys`);
          if (item) assert.equal(item.key, key, "an item under another key than its result");
        }
      }
    },
  },
  {
    id: "meta.get.01/none",
    title: "no keys, no results",
    async run(ctx) {
      const { results, unread } = await ctx.meta.get({ keys: [] });
      assert.deepEqual([results, unread], [[], []]);
    },
  },
  {
    id: "meta.get.02",
    title: "an answer stops before 4 MiB and names what it left unread",
    async run(ctx) {
      const keys = names(ctx.prefix, 20);
      await putMany(ctx, keys, ctx.random.bytes(LARGE), 10);
      await followed(ctx, keys);
    },
  },
  {
    id: "meta.get.02/repeated",
    title: "also when one large key is asked a hundred times",
    async run(ctx) {
      const key = ctx.key();
      await write(ctx, put(key, ctx.random.bytes(limits.valueBytes)));
      await followed(ctx, Array<string>(100).fill(key));
    },
  },
  {
    id: "meta.get.03",
    title: "one Get never sees half of a Write",
    async run(ctx) {
      const keys = names(ctx.prefix, 24);
      const end = performance.now() + 700;
      await putMany(ctx, keys, "begin");
      const writer = async (name: string) => {
        const peer = ctx.connect();
        for (let turn = 0; performance.now() < end; turn++) {
          const order = ctx.random.shuffled(keys);
          // One of the two only, so that what it takes away is there.
          const gone = name === "a" && turn % 3 === 2;
          await write(peer, ...order.map((key) => (gone ? remove(key) : put(key, `${name}${turn}`))));
        }
      };
      let gets = 0;
      const reader = async () => {
        const peer = ctx.connect();
        while (performance.now() < end) {
          const { results, unread } = await peer.meta.get({ keys: ctx.random.shuffled(keys) });
          const seen = new Set(results.map(({ item }) => item?.value.toString() ?? "(absent)"));
          assert.equal(unread.length, 0, "small values were left unread");
          assert.ok(seen.size <= 1, `every Write sets all ${keys.length} keys, yet a Get saw ${[...seen].join(", ")}`);
          gets++;
        }
      };
      await Promise.all([writer("a"), writer("b"), reader(), reader(), reader(), reader()]);
      ctx.note(`${gets} Gets beside two writers`);
    },
  },
  {
    id: "meta.get.04",
    title: "more than 100 keys are refused, 100 are not",
    async run(ctx) {
      const keys = names(ctx.prefix, 101);
      await expectFault(ctx.meta.get({ keys }), "INVALID_FIELD");
      await expectFault(ctx.meta.get({ keys: Array<string>(101).fill(ctx.key()) }), "INVALID_FIELD");
      await ctx.meta.get({ keys: keys.slice(1) });
    },
  },
  {
    id: "meta.seen.01",
    title: "every acknowledged Write is seen by each Get, List and Count that starts later, on any connection",
    async run(ctx) {
      const peers = [ctx, ctx.connect(), ctx.connect()] as const;
      const key = ctx.key("one");
      let before = { there: 0, count: 0 };
      for (let turn = 0; turn < 60; turn++) {
        const [by, to] = [ctx.random.pick(peers), ctx.random.pick(peers)];
        const value = turn % 3 === 2 ? undefined : `turn ${turn}`;
        await write(by, value === undefined ? remove(key) : put(key, value));
        const [seen, listed, counted] = await Promise.all([
          texts(to, [key]),
          listAll(to, key),
          to.meta.count({ prefix: key }),
        ]);
        const what = value === undefined ? "was deleted" : `was set to "${value}"`;
        assert.deepEqual(seen, [value], `${key} ${what}; Get`);
        const inList = listed.map((item) => item.value.toString());
        assert.deepEqual(inList, value === undefined ? [] : [value], `${key} ${what}; List`);
        // How many there are is meta.count.01's; that it follows is this rule's.
        const now = { there: value === undefined ? 0 : 1, count: counted.count };
        if (counted.exact && turn > 0) {
          assert.equal(Math.sign(now.count - before.count), now.there - before.there, `${key} ${what}; Count`);
        }
        before = now;
      }
    },
  },
];

/** Gets all keys, following `unread`; every answer is a message that may be. */
async function followed(ctx: Context, keys: readonly string[]): Promise<void> {
  const whole = [...(await get(ctx, [...new Set(keys)])).values()][0]?.value.length;
  let wanted = [...keys];
  let answers = 0;
  while (wanted.length > 0) {
    const { response, sizeBytes } = await ctx.answer("meta.Get", { keys: wanted });
    answers++;
    const { results, unread } = response;
    assert.ok(sizeBytes <= limits.messageBytes, `an answer of ${sizeBytes} bytes for ${wanted.length} keys`);
    assert.ok(results.length > 0, "no key is answered");
    assert.deepEqual(
      [...results.map(({ key }) => key), ...unread].sort(),
      [...wanted].sort(),
      "results and unread together are not what was asked",
    );
    for (const { key, item } of results) {
      assert.equal(item?.value.length, whole, `${key}: a value that was put is cut or left out of an answer`);
    }
    wanted = unread;
  }
  assert.ok(answers > 1, `${keys.length} large values in one message`);
}
