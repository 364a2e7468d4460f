/** Stars and bookmarks of a repository that goes over to another member of a cluster. */
import type { MetaOperation } from "../../client/contract.ts";
import { limits } from "../../proto/limits.ts";
import type { RequestContext } from "./contract.ts";
import type { Core } from "./core.ts";
import { keyOfPreference, type Preferred, parsePreferenceKey, preferencesPrefix, starOfPreference } from "./keys.ts";
import { WRITE_OPERATIONS } from "./ledger.ts";
import { untilNotRaced } from "./races.ts";

export type UsersPreference = Pick<Preferred, "user" | "what">;

export interface PreferencePage {
  /** Few or none: they lie by user, and all of a List's are looked at. */
  readonly items: readonly UsersPreference[];
  /** Where the next page begins; absent: this is the last one. */
  readonly next?: string;
}

const SET = Buffer.alloc(0);
/** Two keys each, a star's preference and the star. */
const AT_ONCE = Math.floor(WRITE_OPERATIONS / 2);

export async function preferencesFor(
  core: Core,
  name: string,
  after: string,
  context: RequestContext,
): Promise<PreferencePage> {
  const start = after === "" ? {} : { startAfter: preferencesPrefix + after };
  const page = await core.ledger.list({ prefix: preferencesPrefix, limit: limits.listItems, ...start }, context);
  const items = page.items.flatMap(({ key }) => {
    const found = parsePreferenceKey(key);
    return found?.name === name ? [{ user: found.user, what: found.what }] : [];
  });
  const last = page.items.at(-1)?.key;
  return { items, ...(page.more && last !== undefined ? { next: last.slice(preferencesPrefix.length) } : {}) };
}

/** Those that are set already stay. */
export async function addPreferences(
  core: Core,
  name: string,
  items: readonly UsersPreference[],
  context: RequestContext,
): Promise<void> {
  for (let at = 0; at < items.length; at += AT_ONCE) {
    const keys = items.slice(at, at + AT_ONCE).flatMap((item) => keysOf({ ...item, name }));
    await untilNotRaced(core, context.signal, async () => {
      const basis = core.ledger.basis();
      const found = await core.ledger.get(keys, context);
      const operations = keys.flatMap((key, index): MetaOperation[] =>
        found[index] === undefined ? [{ kind: "put", key, value: SET, condition: { ifAbsent: true } }] : [],
      );
      if (operations.length > 0) await core.ledger.write(operations, context, basis);
    });
  }
}

export async function removePreferences(core: Core, name: string, context: RequestContext): Promise<void> {
  for (let after: string | undefined = ""; after !== undefined; ) {
    const page: PreferencePage = await preferencesFor(core, name, after, context);
    for (let at = 0; at < page.items.length; at += AT_ONCE) {
      const keys = page.items.slice(at, at + AT_ONCE).flatMap((item) => keysOf({ ...item, name }));
      const operations = keys.map((key): MetaOperation => ({ kind: "delete", key }));
      await core.ledger.write(operations, context);
    }
    after = page.next;
  }
}

function keysOf(preferred: Preferred): string[] {
  const key = keyOfPreference(preferred);
  const star = starOfPreference(key);
  return star === undefined ? [key] : [key, star];
}
