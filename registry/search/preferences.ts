/** Which repositories someone starred or bookmarked. */
import { createHash } from "node:crypto";
import type { MetaOperation } from "../../client/contract.ts";
import { RegistryError } from "../errors.ts";
import type { RequestContext } from "../repository/contract.ts";
import type { Ledger } from "../repository/ledger.ts";
import { escapeName, unescapeName } from "../repository/names.ts";
import { type Racing, untilNotRaced } from "../repository/races.ts";

export type Preference = "star" | "bookmark";

export interface Preferred {
  readonly starred: ReadonlySet<string>;
  readonly bookmarked: ReadonlySet<string>;
}

export interface Preferences {
  of(user: string, context: RequestContext): Promise<Preferred>;
  /** @returns whether it is set now */
  toggle(user: string, preference: Preference, name: string, context: RequestContext): Promise<boolean>;
}

type PreferenceLedger = Pick<Ledger, "get" | "pages" | "write" | "basis">;

export interface PreferenceStores extends Racing {
  /** Of the pair of stores that a repository lies in. */
  ledgerOf(name: string): PreferenceLedger;
  ledgers(): readonly { readonly ledger: PreferenceLedger; readonly owns: (name: string) => boolean }[];
}

const SET = Buffer.alloc(0);
const MAX_COMPONENT = 255;
/** What a user may star, and bookmark. */
const MAX_PREFERRED = 10_000;

/** Star and star count are one Write, so neither is ever without the other. */
export function createPreferences(stores: PreferenceStores): Preferences {
  return {
    async of(user, context) {
      const [starred, bookmarked] = await Promise.all([names(user, "star"), names(user, "bookmark")]);
      return { starred, bookmarked };

      async function names(user: string, preference: Preference): Promise<Set<string>> {
        const found = new Set<string>();
        const prefix = userPrefix(user, preference);
        for (const { ledger, owns } of stores.ledgers()) {
          for await (const page of ledger.pages(prefix, context)) {
            for (const { key } of page) {
              const name = unescapeName(key.slice(prefix.length));
              if (name !== undefined && owns(name)) found.add(name);
            }
          }
        }
        return found;
      }
    },

    toggle(user, preference, name, context) {
      const ledger = stores.ledgerOf(name);
      const keys = [userKey(user, preference, name)];
      if (preference === "star") keys.push(starKey(user, name));
      return untilNotRaced(stores, context.signal, async () => {
        const basis = ledger.basis();
        const items = await ledger.get(keys, context);
        const isSet = items[0] === undefined;
        if (isSet) await assertRoom(ledger, user, preference, context);
        const operations = keys.flatMap((key, index): MetaOperation[] => {
          const etag = items[index]?.etag;
          const condition = etag === undefined ? ({ ifAbsent: true } as const) : { ifEtag: etag };
          if (isSet) return [{ kind: "put", key, value: SET, condition }];
          return etag === undefined ? [] : [{ kind: "delete", key, condition }];
        });
        await ledger.write(operations, context, basis);
        return isSet;
      });
    },
  };
}

/** @throws DENIED */
async function assertRoom(
  ledger: PreferenceLedger,
  user: string,
  preference: Preference,
  context: RequestContext,
): Promise<void> {
  let count = 0;
  for await (const page of ledger.pages(userPrefix(user, preference), context)) count += page.length;
  if (count < MAX_PREFERRED) return;
  throw new RegistryError(
    "DENIED",
    `you have ${count} ${preference}s, and ${MAX_PREFERRED} are allowed: take some away`,
  );
}

function userPrefix(user: string, preference: Preference): string {
  return `outrigger/prefs/${userPart(user)}/${preference}/`;
}

function userKey(user: string, preference: Preference, name: string): string {
  return `${userPrefix(user, preference)}${escapeName(name)}`;
}

export function starKey(user: string, name: string): string {
  return `outrigger/search/stars/${escapeName(name)}/${userPart(user)}`;
}

/** One component of a key. Of a name too long for that its hash, behind a colon: which no name of a user has (RFC 7617). */
function userPart(user: string): string {
  const hex = Buffer.from(user).toString("hex");
  if (hex.length <= MAX_COMPONENT) return hex;
  return Buffer.from(`sha256:${createHash("sha256").update(user).digest("hex")}`).toString("hex");
}
