/** List and Count of the meta store. The rules are the blob store's as well, and so are most of these tests: lists.ts. */
import assert from "node:assert/strict";
import { limits } from "../../proto/limits.ts";
import type { Test } from "../contract.ts";
import { names } from "./key-sets.ts";
import { type ListedStore, listTests } from "./lists.ts";
import { getOne, listAll, put, putMany, remove, write } from "./meta-calls.ts";

const store: ListedStore = {
  kind: "meta",
  put: (peer, keys) => putMany(peer, keys),
  remove: async (peer, keys) => {
    for (let at = 0; at < keys.length; at += limits.writeOperations) {
      await write(peer, ...keys.slice(at, at + limits.writeOperations).map((key) => remove(key)));
    }
  },
  list: (peer, request) => peer.meta.list(request),
  count: (peer, prefix) => peer.meta.count({ prefix }),
};

export const metaListTests: readonly Test[] = [
  ...listTests(store),
  {
    id: "meta.list.03/size",
    title: "a page of large values ends before 4 MiB, with more",
    async run(ctx) {
      const keys = names(ctx.prefix, 20);
      await putMany(ctx, keys, ctx.random.bytes(250 * 1024), 10);
      const listed: string[] = [];
      for (let startAfter = "", more = true; more; ) {
        const { response, sizeBytes } = await ctx.answer("meta.List", {
          prefix: ctx.prefix,
          startAfter,
          limit: limits.listItems,
        });
        assert.ok(sizeBytes <= limits.messageBytes, `a page of ${sizeBytes} bytes`);
        const fresh = response.items.filter(({ key }) => key !== startAfter);
        assert.ok(fresh.length > 0 || !response.more, "an empty page says more");
        listed.push(...fresh.map(({ key }) => key));
        startAfter = listed.at(-1) ?? "";
        more = response.more;
      }
      assert.deepEqual(new Set(listed), new Set(keys), "following `more` does not lead to every key");
    },
  },
  {
    id: "meta.list.06",
    title: "each item is whole: value and etag of one Write, also while it is written",
    async run(ctx) {
      const keys = names(ctx.prefix, 12);
      const end = performance.now() + 500;
      await putMany(ctx, keys, "begin");
      const seen = new Map<string, Map<string, string>>();
      const note = (key: string, etag: string, value: string) => {
        const values = seen.get(key) ?? new Map<string, string>();
        const before = values.get(etag);
        assert.ok(
          before === undefined || before === value,
          `${key} was shown under one etag with "${before?.slice(0, 40)}" and "${value.slice(0, 40)}"`,
        );
        seen.set(key, values.set(etag, value));
      };
      const writer = async () => {
        const peer = ctx.connect();
        for (let turn = 0; performance.now() < end; turn++) {
          const chosen = ctx.random.shuffled(keys).slice(0, 4);
          await write(peer, ...chosen.map((key) => put(key, `${key} ${turn} ${"x".repeat(turn % 7)}`)));
          for (const key of chosen.slice(0, 1)) {
            const item = await getOne(peer, key);
            if (item) note(key, item.etag, item.value.toString());
          }
        }
      };
      const reader = async () => {
        const peer = ctx.connect();
        while (performance.now() < end) {
          for (const item of await listAll(peer, ctx.prefix, 5)) {
            const value = item.value.toString();
            const own = value === "begin" || value.startsWith(`${item.key} `);
            assert.ok(own, `${item.key} is listed with "${value.slice(0, 80)}", another key's`);
            note(item.key, item.etag, value);
          }
        }
      };
      await Promise.all([writer(), reader(), reader()]);
    },
  },
];
