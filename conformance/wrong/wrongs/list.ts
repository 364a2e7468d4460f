/** Wrong about pages of keys, in both stores. */
import type { Wrong } from "../wrongs.ts";

/** Both stores; a blob takes a call each, so that the tests with a thousand keys are left to the meta store. */
const listing = ["blob.list.01", "blob.list.02", "blob.list.03", "meta.list", "meta.count"];

export const listWrongs: readonly Wrong[] = [
  {
    name: "order-by-words",
    does: "lists keys as words are sorted, not by their bytes",
    caughtBy: ["blob.list.01", "meta.list.01"],
    beside: listing,
    changes: () => ({ list: { order: (one, other) => one.localeCompare(other, "en") } }),
  },
  {
    name: "start-after-inclusive",
    does: "begins a page with the key that the one before ended with",
    caughtBy: ["blob.list.01", "meta.list.01"],
    beside: listing,
    changes: () => ({
      list: { following: (inPrefix, after) => inPrefix.filter((key) => key >= after) },
    }),
  },
  {
    name: "pages-by-position",
    does: "goes on at a position, so that a key is skipped or repeated while others come and go",
    caughtBy: ["blob.list.02", "meta.list.02"],
    beside: listing,
    changes() {
      // A snapshot's positions, used on the keys of now.
      let begun: readonly string[] = [];
      return {
        list: {
          following(inPrefix, after) {
            if (after === "") begun = inPrefix;
            const position = begun.indexOf(after) + 1;
            return position > 0 ? inPrefix.slice(position) : inPrefix.filter((key) => key > after);
          },
        },
      };
    },
  },
  {
    name: "no-more",
    does: "never says that a page is not the last",
    caughtBy: ["blob.list.03", "meta.list.03"],
    beside: listing,
    changes: () => ({ list: { more: () => false } }),
  },
  {
    name: "more-on-empty",
    does: "says that more follows an empty page",
    caughtBy: ["blob.list.03", "meta.list.03"],
    beside: listing,
    changes: () => ({ list: { more: (onPage, following) => onPage === 0 || onPage < following } }),
  },
  {
    name: "any-limit",
    does: "takes any limit for a page",
    caughtBy: ["meta.list.05"],
    beside: listing,
    changes: () => ({ list: { limit: (asked) => (asked === 0 ? 1000 : asked) } }),
  },
  {
    name: "any-bound",
    does: "takes any text for prefix and start_after",
    caughtBy: ["blob.list.04", "meta.list.04"],
    beside: listing,
    changes: () => ({ fields: { bound() {} } }),
  },
  {
    name: "count-cut",
    does: "counts a thousand keys and says that this is exact",
    caughtBy: ["meta.count.01"],
    beside: listing,
    changes: () => ({ list: { count: (exactly) => ({ count: Math.min(1000, exactly), exact: true }) } }),
  },
];
