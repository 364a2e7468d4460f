/** Basic credentials against an htpasswd file, with what was found out kept for some minutes. */
import { createHmac, randomBytes } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Clock } from "../../proto/clock.ts";
import type { BcryptPool } from "./bcrypt-pool.ts";
import type { Account, Authenticator, Outcome } from "./contract.ts";

export interface Credentials {
  readonly name: string;
  readonly password: string;
}

export interface BasicOptions {
  readonly accounts: ReadonlyMap<string, string>;
  /** May pull, never push. */
  readonly readOnly: ReadonlySet<string>;
  readonly anonymous: Anonymous;
  readonly pool: BcryptPool;
  readonly clock: Clock;
}

/** What whoever gives no credentials may do. */
export type Anonymous = "none" | "pull" | "push";

const CHALLENGE = 'Basic realm="Outrigger", charset="UTF-8"';
const GOOD_MS = 5 * 60_000;
/** Short: a password that was just set must work soon. */
const BAD_MS = 10_000;
const REMEMBERED = 10_000;
/** Compared with for names that do not exist, so that time does not tell them from wrong passwords. Matches nothing. */
const NOBODY = "$2b$10$abcdefghijklmnopqrstuuLJ9fUK3tHMFbOwrKnUsVFoeKQSIGAxW";

const all = () => true;
const none = () => false;

export function createBasicAuthenticator(options: BasicOptions): Authenticator {
  const { accounts, readOnly, anonymous, pool, clock } = options;
  // Keyed, so that memory holds no password and no hash that could be tried elsewhere.
  const key = randomBytes(32);
  const known = new LRUCache<string, { readonly outcome: Outcome; readonly untilMs: number }>({ max: REMEMBERED });
  const asking = new Map<string, Promise<Outcome>>();
  const refused: Outcome = { challenge: CHALLENGE };
  const nobody: Outcome =
    anonymous === "none"
      ? refused
      : {
          account: {
            name: "",
            mayRead: all,
            readsAll: true,
            mayWrite: anonymous === "push" ? all : none,
            challenge: CHALLENGE,
          },
        };

  const check = async ({ name, password }: Credentials): Promise<Outcome> => {
    const equal = await pool.compare(password, accounts.get(name) ?? NOBODY);
    if (!equal || !accounts.has(name)) return refused;
    const account: Account = { name, mayRead: all, readsAll: true, mayWrite: readOnly.has(name) ? none : all };
    return { account };
  };

  return {
    asksAtBase: true,
    authenticate(authorization) {
      if (authorization === undefined) return nobody;
      const cacheKey = createHmac("sha256", key).update(authorization).digest("base64");
      const nowMs = clock.monotonic();
      const kept = known.get(cacheKey);
      if (kept && kept.untilMs > nowMs) return kept.outcome;
      const credentials = parseBasic(authorization);
      if (credentials === undefined) return refused;
      // Some tools send an empty name and password when they have none.
      if (credentials.name === "" && credentials.password === "") return nobody;
      const already = asking.get(cacheKey);
      if (already) return already;
      const answer = check(credentials)
        .then((outcome) => {
          known.set(cacheKey, { outcome, untilMs: clock.monotonic() + ("account" in outcome ? GOOD_MS : BAD_MS) });
          return outcome;
        })
        .finally(() => asking.delete(cacheKey));
      asking.set(cacheKey, answer);
      return answer;
    },
  };
}

/** RFC 7617. */
export function parseBasic(authorization: string): Credentials | undefined {
  const match = /^basic\s+([A-Za-z0-9+/=_-]+)\s*$/i.exec(authorization);
  if (!match?.[1]) return undefined;
  const text = Buffer.from(match[1], "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon < 0) return undefined;
  return { name: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** No accounts at all: everybody is the same nobody. */
export function createOpenAuthenticator(anonymous: "pull" | "push"): Authenticator {
  const account: Account = { name: "", mayRead: all, readsAll: true, mayWrite: anonymous === "push" ? all : none };
  const outcome: Outcome = { account };
  return { asksAtBase: false, authenticate: () => outcome };
}
