/**
 * Listings and counts: one set of rules for both stores (blob.list.*, meta.list.*, *.count.01). Keys are chosen so that
 * only the tests of list.01 depend on the order of bytes, and pages so that only they depend on start_after being
 * exclusive.
 */
import assert from "node:assert/strict";
import { limits } from "../../proto/limits.ts";
import type { Calls, Context, StoreKind, Test } from "../contract.ts";
import { expectFault } from "../faults.ts";
import { names } from "./key-sets.ts";
import { naming } from "./naming.ts";

export interface PageRequest {
  readonly prefix: string;
  readonly startAfter: string;
  readonly limit: number;
}

export interface Listed {
  readonly items: readonly { readonly key: string }[];
  readonly more: boolean;
}

/** A store, as far as listing it goes. */
export interface ListedStore {
  readonly kind: StoreKind;
  put(peer: Calls, keys: readonly string[]): Promise<void>;
  remove(peer: Calls, keys: readonly string[]): Promise<void>;
  list(peer: Calls, request: PageRequest): Promise<Listed>;
  count(peer: Calls, prefix: string): Promise<{ readonly count: number; readonly exact: boolean }>;
}

/** Which of these a naive order, by words, folders or without case, puts elsewhere. */
const ORDERED = [
  "A",
  "B",
  "Z",
  "_x",
  "a-b",
  "a-b/c",
  "a.b",
  "a.b/c",
  "a/b",
  "a/b-c",
  "a/b.c",
  "a/c/d",
  "a0",
  "a10",
  "a9",
  "aB",
  "a_b",
  "aa",
  "ab",
  "b",
  "z-1",
  "z.1/y",
  "z/1",
  "z1",
].sort();
// "a-b" and "a-b/c" cannot both be in a store that refuses path-prefixes.
const TRICKY = ORDERED.filter((name) => !ORDERED.some((other) => other.startsWith(`${name}/`)));

/** As large a page as there is, said in so many words: that 0 means it is list.05's. */
const ALL = limits.listItems;

export function listTests(store: ListedStore): readonly Test[] {
  const { kind } = store;

  /**
   * Every key below a prefix, page by page up to one on which nothing is new; `more` is another rule's, and so is a first
   * item that is start_after itself.
   */
  async function walk(
    peer: Calls,
    prefix: string,
    limit: number,
    betweenPages?: () => Promise<void>,
  ): Promise<string[]> {
    const all: string[] = [];
    for (let startAfter = "", pages = 0; ; pages++) {
      assert.ok(pages < 10_000, `a listing of ${prefix} has not ended after ${pages} pages`);
      const { items } = await store.list(peer, { prefix, startAfter, limit });
      const fresh = items.map(({ key }) => key).filter((key, index) => index > 0 || key !== startAfter);
      all.push(...fresh);
      const last = fresh.at(-1);
      if (last === undefined) return all;
      startAfter = last;
      await betweenPages?.();
    }
  }

  const keysOf = async (ctx: Context, request: PageRequest) =>
    (await store.list(ctx, request)).items.map(({ key }) => key);

  /** What lags is waited for: the blob store's List may. */
  const settle = (ctx: Context) => ctx.sleep(ctx.limits(kind).listLagMs);

  return [
    {
      id: `${kind}.list.01/order`,
      title: "keys come in ascending order of their bytes",
      async run(ctx) {
        const keys = TRICKY.map((name) => ctx.prefix + name);
        await store.put(ctx, ctx.random.shuffled(keys));
        await settle(ctx);
        for (const limit of [ALL, 2, 5]) {
          const listed = await walk(ctx, ctx.prefix, limit);
          const relative = listed.map((key) => key.slice(ctx.prefix.length));
          assert.deepEqual(relative, [...relative].sort(byBytes), `pages of ${limit}`);
        }
      },
    },
    {
      id: `${kind}.list.01/start-after`,
      title: "start_after is exclusive, and need not be a key",
      async run(ctx) {
        const keys = TRICKY.map((name) => ctx.prefix + name);
        await store.put(ctx, keys);
        await settle(ctx);
        const starts = [
          ...TRICKY,
          ...["a", "a/", "a/b/", "a-", "a-b0", "a~", "a!", "0", "zz", "{", "a/b\0", "a/ ", "AA", "a/bz/q", "z/1/2"],
        ];
        for (const start of starts) {
          const startAfter = ctx.prefix + start;
          const listed = await keysOf(ctx, { prefix: ctx.prefix, startAfter, limit: 3 });
          for (const key of listed) {
            assert.ok(byBytes(key, startAfter) > 0, `after "${start}" comes "${key.slice(ctx.prefix.length)}"`);
          }
        }
        for (const key of keys) {
          const listed = await keysOf(ctx, { prefix: key, startAfter: key, limit: 3 });
          assert.ok(!listed.includes(key), `after the prefix "${key.slice(ctx.prefix.length)}" it comes itself`);
        }
      },
    },
    {
      id: `${kind}.list.01/prefix`,
      title: "every key begins with the prefix, which may end inside a component",
      async run(ctx) {
        await store.put(
          ctx,
          TRICKY.map((name) => ctx.prefix + name),
        );
        await settle(ctx);
        const prefixes = [
          "a",
          "a-",
          "a/",
          "a/b",
          "a/b-",
          "aB",
          "A",
          "z",
          "z/",
          "z.1",
          "z.1/",
          "q",
          "a/b/c/d",
          "a//",
          "a b",
        ];
        for (const name of prefixes) {
          for (const startAfter of ["", ctx.prefix, `${ctx.prefix}a-`, `${ctx.prefix}a/b-c`]) {
            const prefix = ctx.prefix + name;
            const listed = await keysOf(ctx, { prefix, startAfter, limit: ALL });
            for (const key of listed) {
              assert.ok(key.startsWith(prefix), `under "${name}" comes "${key.slice(ctx.prefix.length)}"`);
            }
          }
        }
      },
    },
    {
      id: `${kind}.list.02`,
      title: "every key is listed once, whatever the size of the pages",
      async run(ctx) {
        const keys = names(ctx.prefix, 40);
        await store.put(ctx, keys);
        await settle(ctx);
        for (const limit of [ALL, 39, 40, 41, 7, 2]) {
          assertOnce(await walk(ctx, ctx.prefix, limit), keys, `pages of ${limit}`);
        }
        // From the middle, and below a prefix that ends inside a component.
        const late = await keysOf(ctx, { prefix: ctx.prefix, startAfter: `${keys[19]}x`, limit: ALL });
        assertOnce(late, keys.slice(20), "from between two keys");
        assertOnce(await walk(ctx, `${ctx.prefix}k001`, 4), keys.slice(10, 20), "below k001");
        const before = await keysOf(ctx, { prefix: `${ctx.prefix}k002`, startAfter: ctx.prefix, limit: ALL });
        assertOnce(before, keys.slice(20, 30), "below k002, from before it");
      },
    },
    {
      id: `${kind}.list.02/folders`,
      title: "keys of many components are listed once too, in each other's neighbourhood",
      async run(ctx) {
        const keys = TRICKY.map((name) => ctx.prefix + name);
        await store.put(ctx, keys);
        await settle(ctx);
        // Each from where it is due, so that a wrong order alone skips nothing.
        const whole = await keysOf(ctx, { prefix: ctx.prefix, startAfter: "", limit: ALL });
        assertOnce(whole, keys, "in one page");
        for (const key of keys) {
          const found = await keysOf(ctx, { prefix: key, startAfter: "", limit: ALL });
          assertOnce(
            found,
            keys.filter((other) => other.startsWith(key)),
            `below "${key.slice(ctx.prefix.length)}"`,
          );
        }
      },
    },
    {
      id: `${kind}.list.02/others`,
      title: "keys that stay are listed once while others come and go",
      async run(ctx) {
        const staying = names(ctx.prefix, 30);
        await store.put(ctx, staying);
        await settle(ctx);
        const end = performance.now() + 800;
        let walks = 0;
        const peer = ctx.connect();
        const churn = async (name: string) => {
          const other = ctx.connect();
          while (performance.now() < end) {
            const some = ctx.random.shuffled(staying).slice(0, 6);
            const passing = some.flatMap((key) => [`${key}-${name}`, `${key}.${name}`]);
            await store.put(other, passing);
            await store.remove(other, passing);
          }
        };
        const lister = async () => {
          for (; performance.now() < end || walks === 0; walks++) {
            const listed = await walk(peer, ctx.prefix, ctx.random.pick([3, 7, 11]));
            assertOnce(
              listed.filter((key) => staying.includes(key)),
              staying,
              "while others came and went",
            );
          }
        };
        await Promise.all([churn("x"), churn("y"), lister()]);
        ctx.note(`${walks} listings beside two writers`);
      },
    },
    {
      id: `${kind}.list.02/between-pages`,
      title: "keys that come or go between two pages hide none that stays",
      async run(ctx) {
        const staying = names(ctx.prefix, 20);
        const going = staying.map((key) => `${key}-going`);
        const coming = staying.map((key) => `${key}-coming`);
        await store.put(ctx, [...staying, ...going]);
        await settle(ctx);
        const listed = await walk(ctx, ctx.prefix, 6, async () => {
          await store.remove(ctx, going.splice(0, 4));
          await store.put(ctx, coming.splice(0, 4));
        });
        assertOnce(
          listed.filter((key) => staying.includes(key)),
          staying,
          "with changes between the pages",
        );
      },
    },
    {
      id: `${kind}.list.03`,
      title: "more is said while keys may follow, and an empty page never says it",
      async run(ctx) {
        const keys = names(ctx.prefix, 12);
        // Beside the prefix, so that "keys follow" is not the whole store's.
        await store.put(ctx, [...keys, `${ctx.prefix}j`, `${ctx.prefix}l`]);
        await settle(ctx);
        const prefix = `${ctx.prefix}k`;
        for (const limit of [1, 5, 11, 12, 13, ALL]) {
          for (let from = -1; from < keys.length; from++) {
            const startAfter = from < 0 ? "" : (keys[from] ?? "");
            const { items, more } = await store.list(ctx, { prefix, startAfter, limit });
            const what = `limit ${limit} after ${from + 1} of 12 keys: ${items.length} items`;
            if (items.length === 0) assert.equal(more, false, `${what}, and more`);
            const last = items.at(-1)?.key ?? startAfter;
            const left = keys.filter((key) => byBytes(key, last) > 0);
            if (left.length > 0) assert.equal(more, true, `${what}, ${left.length} keys follow, and no more`);
          }
        }
        for (const nothing of [`${ctx.prefix}m`, `${ctx.prefix}k0000x`, `${ctx.prefix}k/`]) {
          const { items, more } = await store.list(ctx, { prefix: nothing, startAfter: "", limit: ALL });
          assert.deepEqual([items.length, more], [0, false], `below ${nothing} there is nothing`);
        }
      },
    },
    {
      id: `${kind}.list.04`,
      title: "prefix and start_after are any ASCII up to 2048 bytes; other text is refused",
      async run(ctx) {
        const key = ctx.key("k");
        await store.put(ctx, [key]);
        const page = (prefix: string, startAfter: string) => store.list(ctx, { prefix, startAfter, limit: ALL });
        for (const odd of [
          "/",
          "//",
          ".",
          "..",
          "../..",
          "/etc",
          " ",
          "\0",
          "\n",
          "~",
          "\x7f",
          "%",
          "*",
          "a\\b",
          "[",
        ]) {
          for (const text of [odd, ctx.prefix + odd]) {
            await naming(`prefix ${JSON.stringify(text)}`, page(text, ""));
            await naming(`start_after ${JSON.stringify(text)}`, page(ctx.prefix, text));
            await naming(`Count of ${JSON.stringify(text)}`, store.count(ctx, text));
          }
        }
        const longest = ctx.prefix.padEnd(2048, "p");
        await page(longest, "");
        await page(ctx.prefix, longest);
        for (const bad of [`${longest}p`, `${ctx.prefix}ä`, "\u{1f600}", `${ctx.prefix}\u0080`]) {
          const words = bad.length > 2048 ? "2049 bytes" : JSON.stringify(bad);
          await naming(`prefix of ${words}`, expectFault(page(bad, ""), "INVALID_FIELD"));
          await naming(`start_after of ${words}`, expectFault(page(ctx.prefix, bad), "INVALID_FIELD"));
        }
      },
    },
    {
      id: `${kind}.list.05`,
      title: "a page has at most limit keys; 0 is 1000, and more than 1000 is refused",
      timeoutMs: 60_000,
      async run(ctx) {
        const keys = names(ctx.prefix, 1002);
        await store.put(ctx, keys);
        await settle(ctx);
        const page = (limit: number) => store.list(ctx, { prefix: ctx.prefix, startAfter: "", limit });
        for (const limit of [1, 2, 999, 1000, 0]) {
          const { items } = await page(limit);
          assert.ok(items.length <= (limit || 1000), `limit ${limit}: ${items.length} items`);
          assert.ok(items.length > 0, `limit ${limit}: no items of ${keys.length}`);
        }
        for (const limit of [1001, 4_294_967_295]) {
          await naming(`limit ${limit}`, expectFault(page(limit), "INVALID_FIELD"));
        }
        // While they are there: a count that stops at a page's end.
        const { count, exact } = await store.count(ctx, ctx.prefix);
        if (!exact) ctx.note(`Count of ${keys.length} keys says ${count}, not exact`);
      },
    },
    {
      id: `${kind}.count.01`,
      title: "a count that is said to be exact is",
      async run(ctx) {
        const keys = names(ctx.prefix, 1002);
        const prefixes: readonly (readonly [string, number])[] = [
          [ctx.prefix, 1002],
          [`${ctx.prefix}k000`, 10],
          [`${ctx.prefix}k0001`, 1],
          [`${ctx.prefix}k1`, 2],
          [`${ctx.prefix}k0001x`, 0],
          [`${ctx.prefix}j`, 0],
        ];
        const counts = async (due: (count: number) => number) => {
          for (const [prefix, number] of prefixes) {
            const { count, exact } = await store.count(ctx, prefix);
            const words = `below ${prefix.slice(ctx.prefix.length) || "everything"}`;
            if (exact) assert.equal(count, due(number), `${words}: exactly ${count}, it says`);
            else ctx.note(`not exact ${words}`);
          }
        };
        await counts(() => 0);
        await store.put(ctx, keys);
        await settle(ctx);
        await ctx.sleep(50);
        await counts((number) => number);
        await store.remove(ctx, keys);
        await settle(ctx);
        await ctx.sleep(50);
        await counts(() => 0);
      },
    },
    {
      id: `${kind}.count.01/while-growing`,
      title: "also while keys come: no fewer than before it began, no more than when it ended",
      async run(ctx) {
        const keys = names(ctx.prefix, 120);
        let begun = 0;
        let done = 0;
        const writer = async () => {
          const peer = ctx.connect();
          for (const key of keys) {
            begun++;
            await store.put(peer, [key]);
            done++;
          }
        };
        const counter = async () => {
          const peer = ctx.connect();
          while (done < keys.length) {
            const least = done;
            const { count, exact } = await store.count(peer, ctx.prefix);
            const lag = ctx.limits(kind).listLagMs > 0;
            if (exact && !lag) {
              assert.ok(count >= least && count <= begun, `exactly ${count}, it says; ${least} to ${begun} were there`);
            }
          }
        };
        await Promise.all([writer(), counter()]);
      },
    },
  ];
}

/** In the order of bytes; keys and bounds are ASCII. */
function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Each of `due` once, and nothing else; the order is another rule's. */
function assertOnce(listed: readonly string[], due: readonly string[], what: string): void {
  const times = new Map<string, number>();
  for (const key of listed) times.set(key, (times.get(key) ?? 0) + 1);
  const missing = due.filter((key) => !times.has(key));
  const repeated = [...times].filter(([, count]) => count > 1).map(([key]) => key);
  const strange = [...times.keys()].filter((key) => !due.includes(key));
  if (missing.length + repeated.length + strange.length === 0) return;
  const some = (keys: readonly string[]) => {
    const shown = keys.slice(0, 5).map((key) => key.split("/").slice(3).join("/"));
    return keys.length === 0 ? "" : ` (${shown.join(", ")}${keys.length > 5 ? ", …" : ""})`;
  };
  assert.fail(
    `${what}: of ${due.length} keys ${missing.length} are missing${some(missing)}, ` +
      `${repeated.length} come twice${some(repeated)}, ${strange.length} should not be there${some(strange)}`,
  );
}
