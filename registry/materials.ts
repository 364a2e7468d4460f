/** What a registry reads from files besides its configuration; read again when they change. */
import { type Clock, systemClock } from "../proto/clock.ts";
import { createBasicAuthenticator, createOpenAuthenticator } from "./auth/basic.ts";
import type { BcryptPool } from "./auth/bcrypt-pool.ts";
import type { Authenticator } from "./auth/contract.ts";
import { readHtpasswd } from "./auth/htpasswd-file.ts";
import { anonymousOf, type Config } from "./config.ts";
import type { TlsMaterial } from "./http/listener.ts";
import { readAuthorities } from "./members/certificates.ts";
import { closeUnused, openView } from "./members/view.ts";
import { readSecretFile } from "./secret-file.ts";
import { readKeyPair } from "./setting-files.ts";

type Accounts = Awaited<ReturnType<typeof readHtpasswd>>;

/** @throws Error that names the setting */
export async function loadAuthenticator(config: Config, pool: BcryptPool, clock: Clock): Promise<Authenticator> {
  const anonymous = anonymousOf(config);
  const accounts = await loadAccounts(config);
  if (!accounts) return createOpenAuthenticator(anonymous === "none" ? "pull" : anonymous);
  return createBasicAuthenticator({ accounts, readOnly: new Set(config.auth.readOnly), anonymous, pool, clock });
}

async function loadAccounts({ auth: { htpasswd, readOnly } }: Config): Promise<Accounts | undefined> {
  if (!htpasswd) return undefined;
  const accounts = await readHtpasswd(htpasswd.file);
  const unknown = readOnly.filter((name) => !accounts.has(name));
  if (unknown.length > 0) throw new Error(`auth.readOnly names ${unknown.join(", ")}: not in ${htpasswd.file}`);
  return accounts;
}

/**
 * Reads what a start would read, and keeps nothing of it.
 * @throws Error that names the setting
 */
export async function checkFiles(config: Config): Promise<void> {
  if (config.http.secretFile !== undefined) await readSecretFile(config.http.secretFile);
  await loadAccounts(config);
  await loadTls(config);
  if (config.cluster) closeUnused(await openView(config.cluster, systemClock), undefined);
}

/** @throws Error that names the setting, also when the two do not fit each other */
export async function loadTls(config: Config): Promise<TlsMaterial | undefined> {
  const pair = config.http.tls;
  if (!pair) return undefined;
  const members = config.cluster?.peers.tls;
  return { ...(await readKeyPair("http.tls", pair)), ...(members ? { clientCa: await readAuthorities(members) } : {}) };
}
