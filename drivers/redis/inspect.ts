/** A new connection, from its first word to a server that may be used. */

import type { Clock } from "../../proto/clock.ts";
import { OutriggerError } from "../../proto/errors.ts";
import { limits } from "../../proto/limits.ts";
import { UnfitError } from "./errors.ts";
import { RefusedError, type Reply, type Send } from "./link.ts";
import type { Settings } from "./options.ts";
import { judge, readInfo, type Seen, type ServerSettings, type Verdict } from "./requirements.ts";

const CONFIG_NAMES = ["appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy"] as const;

/** AUTH and SELECT, told in sentences that name the option. */
export async function authenticate(send: Send, settings: Settings): Promise<void> {
  const { username, password } = settings.credentials();
  const { database, shown } = settings.address;
  // Together, so that no round trip is spent; answers come in order.
  const [auth, select] = await Promise.allSettled([
    password === undefined
      ? undefined
      : username === undefined
        ? send("AUTH", password)
        : send("AUTH", username, password),
    database === 0 ? undefined : send("SELECT", String(database)),
  ]);
  // A default user without a password is content with any: the server then says that none is set.
  if (auth.status === "rejected" && !/without any password configured|no password is set/.test(String(auth.reason)))
    throw auth.reason;
  if (select.status === "rejected") {
    if (!(select.reason instanceof RefusedError)) throw select.reason;
    throw new OutriggerError(
      "BACKEND_DOWN",
      `the server at ${shown} has no database ${database} (${select.reason.message}): change the number that --url ends with`,
      { cause: select.reason },
    );
  }
}

/** @throws UnfitError unless the server is one that this driver may use */
export async function inspect(send: Send, settings: Settings, clock: Clock, seen?: Seen): Promise<Verdict> {
  const [info, config] = await Promise.all([readInfoOf(send, settings), configOf(send)]);
  const verdict = judge(info, config, settings, seen);
  await assertClock(send, settings, clock);
  return verdict;
}

async function readInfoOf(send: Send, settings: Settings): Promise<ReadonlyMap<string, string>> {
  try {
    return readInfo(textOf(await send("INFO")));
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    throw new OutriggerError(
      "BACKEND_DOWN",
      `what answers at ${settings.address.shown} refuses INFO (${error.message}): is it Redis or Valkey?`,
      { cause: error },
    );
  }
}

/** `undefined` where the service forbids CONFIG. */
async function configOf(send: Send): Promise<ServerSettings | undefined> {
  const found: Record<string, string> = {};
  try {
    const answers = await Promise.all(CONFIG_NAMES.map((name) => send("CONFIG", "GET", name)));
    for (const [index, answer] of answers.entries()) {
      const name = CONFIG_NAMES[index];
      if (name !== undefined && Array.isArray(answer) && answer[1] !== undefined) found[name] = textOf(answer[1]);
    }
  } catch (error) {
    const refused = error instanceof RefusedError || (error as Error).cause instanceof RefusedError;
    if (!refused || /LOADING/.test((error as Error).message)) throw error;
    return undefined;
  }
  return found;
}

/** Not-after is compared with the server's clock: it must be as near as a driver's own must. */
async function assertClock(send: Send, { address }: Settings, clock: Clock): Promise<void> {
  const beforeMs = clock.now();
  const answer = await send("TIME");
  const afterMs = clock.now();
  const [seconds, micros] = Array.isArray(answer) ? answer : [];
  const serverMs = Number(textOf(seconds ?? null)) * 1000 + Number(textOf(micros ?? null)) / 1000;
  const offMs = serverMs < beforeMs ? serverMs - beforeMs : Math.max(0, serverMs - afterMs);
  if (Math.abs(offMs) <= limits.clockSkewMs) return;
  throw new UnfitError(
    "BACKEND_DOWN",
    `the clock of the server at ${address.shown} is ${Math.round(Math.abs(offMs))} ms ${offMs < 0 ? "behind" : "ahead of"} this machine's: set both by NTP`,
  );
}

export function textOf(reply: Reply): string {
  return Buffer.isBuffer(reply) ? reply.toString("latin1") : reply === null ? "" : String(reply);
}
