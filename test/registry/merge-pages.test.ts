import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { mergePages } from "../../registry/merge-pages.ts";

const names = fc.uniqueArray(fc.stringMatching(/^[a-c]{1,3}$/), { maxLength: 12 });

test("pages read one after the other give each name of all listings once, in order", () => {
  fc.assert(
    fc.property(fc.array(names, { maxLength: 4 }), fc.integer({ min: 1, max: 5 }), (all, limit) => {
      const listings = all.map((one) => [...one].sort());
      const read: string[] = [];
      for (let more = true; more; ) {
        const last = read.at(-1) ?? "";
        const pages = listings.map((listing) => {
          const rest = listing.filter((name) => name > last);
          return { items: rest.slice(0, limit), more: rest.length > limit };
        });
        const page = mergePages(pages, (name) => name, limit);
        assert.ok(page.items.length <= limit);
        assert.ok(!page.more || page.items.length === limit, "a page that goes on is full");
        read.push(...page.items);
        more = page.more;
      }
      assert.deepEqual(read, [...new Set(listings.flat())].sort());
    }),
  );
});

test("of an item that several pages have the first page's counts; nothing is told beyond the end of one that goes on", () => {
  const page = (keys: string, more: boolean, of: string) => ({ items: [...keys].map((key) => ({ key, of })), more });
  const told = (...pages: ReturnType<typeof page>[]) => {
    const { items, more } = mergePages(pages, ({ key }) => key, 10);
    return [items.map(({ key, of }) => key + of).join(" "), more];
  };
  assert.deepEqual(told(page("abd", false, "1"), page("bc", false, "2")), ["a1 b1 c2 d1", false]);
  assert.deepEqual(told(page("abd", false, "1"), page("bc", true, "2")), ["a1 b1 c2", true]);
  assert.deepEqual(told(page("abd", false, "1"), page("", true, "2")), ["", true]);
  assert.deepEqual(told(), ["", false]);
});
