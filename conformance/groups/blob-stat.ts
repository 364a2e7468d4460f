/** Stat, and what is seen when: whole or not at all, at once, unchanged, under etags that stand for one content. */
import assert from "node:assert/strict";
import type { Calls, Context, Test } from "../contract.ts";
import { expectFault } from "../faults.ts";
import {
  etagOf,
  isNotFound,
  move,
  put,
  putMany,
  read,
  remove,
  stat,
  statOne,
  textOf,
  texts,
  upload,
} from "./blob-calls.ts";
import { names } from "./key-sets.ts";

const BIG = 900 * 1024;

export const blobStatTests: readonly Test[] = [
  {
    id: "blob.stat.01",
    title: "each key asked is answered, in the order asked, absent ones too, a repeated one twice",
    async run(ctx) {
      const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => ctx.key(name)) as [string, string, string, string];
      await put(ctx, a, "a");
      await put(ctx, c, "c");
      for (const keys of [
        [c, b, a],
        [b],
        [a, a, b, a],
        [d, c, b, a, b, c, d],
        [...names(ctx.prefix, 999), a].reverse(),
      ]) {
        const { results } = await ctx.blob.stat({ keys });
        const answered = results.map(({ key }) => key);
        assert.deepEqual(answered, keys, `${answered.length} results are not the ${keys.length} keys in their order`);
        for (const { key, info } of results) {
          assert.equal(info?.key, [a, c].includes(key) ? key : undefined, `${key} in a Stat of ${keys.length} keys`);
        }
      }
    },
  },
  {
    id: "blob.stat.01/none",
    title: "no keys, no results",
    async run(ctx) {
      assert.deepEqual((await ctx.blob.stat({ keys: [] })).results, []);
    },
  },
  {
    id: "blob.stat.02",
    title: "more than 1000 keys are refused, 1000 are not",
    async run(ctx) {
      const keys = names(ctx.prefix, 1001);
      await expectFault(ctx.blob.stat({ keys }), "INVALID_FIELD");
      await expectFault(ctx.blob.stat({ keys: Array<string>(1001).fill(ctx.key()) }), "INVALID_FIELD");
      await ctx.blob.stat({ keys: keys.slice(1) });
    },
  },
  {
    id: "blob.stat.03",
    title: "Stat agrees with Read: in size and etag, however the blob came",
    async run(ctx) {
      const sizes = new Map<string, number>();
      for (const size of [0, 1, 1000, 262_145, 1_048_576]) {
        const key = ctx.key(`put-${size}`);
        await put(ctx, key, ctx.random.bytes(size));
        sizes.set(key, size);
      }
      const uploaded = ctx.key("uploaded");
      await upload(ctx, ctx.uploadId(), uploaded, ctx.random.bytes(2_500_001));
      sizes.set(uploaded, 2_500_001);
      const shorter = ctx.key("shorter");
      await put(ctx, shorter, ctx.random.bytes(5000));
      await put(ctx, shorter, ctx.random.bytes(10));
      sizes.set(shorter, 10);
      const moved = ctx.key("moved");
      await put(ctx, ctx.key("source"), ctx.random.bytes(777));
      await move(ctx, ctx.key("source"), moved);
      sizes.set(moved, 777);
      for (const [key, size] of sizes) {
        const info = await statOne(ctx, key);
        assert.equal(info?.size, size, `Stat's size of ${key}`);
        const begun = await read(ctx, { key });
        assert.equal(begun.info?.size, size, `the size that Read's start tells of ${key}`);
        assert.equal(begun.info?.etag, info?.etag, `${key} has one etag in Stat, and another in Read's start`);
      }
    },
  },
  {
    id: "blob.visible.01",
    title: "a blob that is put is there whole or not at all: for Stat, Read, List and Count",
    async run(ctx) {
      const bytes = ctx.random.bytes(BIG);
      const [writer, ...watchers] = [ctx.connect(), ctx.connect(), ctx.connect(), ctx.connect()] as [Calls, ...Calls[]];
      let over = false;
      let current = ctx.key("k0");
      /** What each call told of a blob's size, by key, while it was put and after. */
      const told = new Map<string, Set<number>>();
      const tell = (what: string, key: string, size: number | undefined) => {
        if (size !== undefined) told.set(`${what} ${key}`, (told.get(`${what} ${key}`) ?? new Set()).add(size));
      };
      const looks: readonly ((peer: Calls, key: string) => Promise<void>)[] = [
        async (peer, key) => tell("Stat", key, (await statOne(peer, key))?.size),
        async (peer, key) => {
          for (const item of (await peer.blob.list({ prefix: key })).items) tell("List", item.key, item.size);
        },
        async (peer, key) => {
          try {
            const found = await read(peer, { key });
            tell("Read", key, found.info?.size);
            tell("The length that Read announces", key, found.length);
            assert.ok(found.bytes.equals(bytes.subarray(0, found.bytes.length)), "Read gives other bytes than are put");
          } catch (error) {
            if (!isNotFound(error)) throw error;
          }
        },
      ];
      const watch = async (peer: Calls, index: number) => {
        while (!over) await looks[index % looks.length]?.(peer, current);
      };
      const write = async () => {
        try {
          for (let turn = 0; turn < 10; turn++) {
            current = ctx.key(`k${turn}`);
            await put(writer, current, bytes);
            for (const look of looks) await look(writer, current);
          }
        } finally {
          over = true;
        }
      };
      await Promise.all([write(), ...watchers.map(watch)]);
      for (const [what, sizes] of told) {
        assert.equal(sizes.size, 1, `${what} tells ${[...sizes].join(" and ")} bytes of a blob that is put once`);
      }
    },
  },
  {
    id: "blob.visible.01/overwritten",
    title: "and one that is overwritten is there as it was or as it will be, and never gone",
    async run(ctx) {
      const key = ctx.key("k");
      const sizes = [BIG, BIG - 4321];
      const contents = sizes.map((size) => ctx.random.bytes(size));
      await put(ctx, key, contents[0] as Buffer);
      const [writer, stats, reads] = [ctx.connect(), ctx.connect(), ctx.connect()];
      let over = false;
      const write = async () => {
        try {
          for (let turn = 1; turn < 12; turn++) await put(writer, key, contents[turn % 2] as Buffer);
        } finally {
          over = true;
        }
      };
      const watchStat = async () => {
        const told = new Set<number>();
        while (!over) {
          const info = await statOne(stats, key);
          assert.ok(info, "Stat shows nothing where a blob is overwritten");
          told.add(info.size);
        }
        assert.ok(told.size <= 2, `Stat shows ${[...told].join(", ")} bytes of a blob of ${sizes.join(" or ")}`);
      };
      const watchRead = async () => {
        while (!over) {
          const { info, bytes } = await read(reads, { key });
          const due = contents[sizes.indexOf(info?.size ?? -1)];
          assert.ok(due, `Read begins a blob of ${info?.size} bytes; there were only ones of ${sizes}`);
          assert.ok(
            bytes.equals(due.subarray(0, bytes.length)),
            "Read gives bytes of another content than it began with",
          );
        }
      };
      await Promise.all([write(), watchStat(), watchRead()]);
    },
  },
  {
    id: "blob.visible.02",
    title: "a Stat or Read that starts after an acknowledged change sees it, on any connection",
    async run(ctx) {
      const peers = [ctx, ctx.connect(), ctx.connect()] as const;
      const [key, other] = [ctx.key("one"), ctx.key("other")];
      for (let turn = 0; turn < 40; turn++) {
        const [by, to] = [ctx.random.pick(peers), ctx.random.pick(peers)];
        const text = `turn ${turn}`;
        const how = ["put", "overwritten", "moved", "deleted"][turn % 4];
        if (how === "moved") {
          await put(by, other, text);
          await move(by, other, key);
        } else if (how === "deleted") await remove(by, key);
        else await put(by, key, text);
        const due = how === "deleted" ? undefined : text;
        const [found, seen, source] = await Promise.all([textOf(to, key), statOne(to, key), statOne(to, other)]);
        assert.equal(found, due, `${key} was ${how}; Read`);
        assert.equal(seen === undefined, due === undefined, `${key} was ${how}; Stat shows it as before`);
        assert.equal(source, undefined, `${other} was moved away; Stat shows it`);
      }
    },
  },
  {
    id: "blob.visible.03",
    title: "bytes and etag of a key stay as they are, whatever happens beside it",
    async run(ctx) {
      const keys = names(ctx.prefix, 12);
      for (const key of keys) await put(ctx, key, `bytes of ${key}`);
      const before = await shown(ctx, keys);
      const beside = keys.map((key) => `${key}-beside`);
      await putMany(ctx, beside);
      for (const key of beside.slice(0, 4)) await move(ctx, key, `${key}-moved`);
      await remove(ctx, ...beside);
      const upload = ctx.blob.append();
      await upload.open({ uploadId: ctx.uploadId(), key: keys[0] ?? "" });
      await upload.chunks(0, Buffer.from("never committed"));
      upload.halfClose();
      await upload.rest();
      assert.deepEqual(await shown(ctx.connect(), keys), before);
    },
  },
  {
    id: "blob.etag.01",
    title: "an etag never stands for two contents of one key, also after it was deleted",
    async run(ctx) {
      const [key, other] = [ctx.key("k"), ctx.key("other")];
      const seen = new Map<string, string>();
      for (let turn = 0; turn < 40; turn++) {
        // As long as each other, and as soon after each other as can be.
        const text = `content ${String(turn).padStart(4, "0")}`;
        if (turn % 5 === 4) {
          await put(ctx, other, text);
          await move(ctx, other, key);
        } else await put(ctx, key, text);
        standsFor(seen, await etagOf(ctx, key), text);
        if (turn % 3 === 2) await remove(ctx, key);
      }
    },
  },
  {
    id: "blob.etag.01/at-once",
    title: "also where many put it at once",
    async run(ctx) {
      const key = ctx.key();
      const seen = new Map<string, string>();
      const work = async (peer: Calls, name: number) => {
        for (let turn = 0; turn < 8; turn++) {
          const text = `content ${name} ${turn}`;
          standsFor(seen, (await put(peer, key, text))?.etag ?? "", text);
        }
      };
      await Promise.all([0, 1, 2, 3].map((name) => work(ctx.connect(), name)));
    },
  },
  {
    id: "blob.etag.01/restarted",
    title: "also after the driver was killed and came back",
    requires: { start: true },
    timeoutMs: 90_000,
    async run(ctx) {
      const keys = names(ctx.prefix, 3);
      const seen = new Map(keys.map((key) => [key, new Map<string, string>()]));
      for (let life = 0; life < 3; life++) {
        const peer = ctx.connect();
        for (let turn = 0; turn < 3; turn++) {
          for (const key of keys) {
            const text = `life ${life} turn ${turn}`;
            await put(peer, key, text);
            standsFor(seen.get(key), await etagOf(peer, key), text);
          }
          await remove(peer, ...keys.slice(turn));
        }
        await ctx.driver.kill();
        await ctx.driver.start();
      }
    },
  },
];

function standsFor(seen: Map<string, string> | undefined, etag: string, text: string): void {
  const before = seen?.get(etag);
  assert.ok(before === undefined || before === text, `the etag "${etag}" stands for "${before}" and for "${text}"`);
  seen?.set(etag, text);
}

async function shown(peer: Calls | Context, keys: readonly string[]) {
  const infos = await stat(peer, keys);
  const contents = await texts(peer, keys);
  return keys.map((key, index) => ({ etag: infos.get(key)?.etag, text: contents[index] }));
}
