/** What a server must be before a store is trusted to it, judged from what it says of itself. */
import { UnfitError } from "./errors.ts";
import type { Settings } from "./options.ts";

/** What CONFIG GET answered; a name that the server does not know is absent. */
export type ServerSettings = Readonly<Record<string, string>>;

export interface Verdict {
  /** "redis", "valkey", …: as the server calls itself. */
  readonly server: string;
  readonly version: string;
  /** Every acknowledged Write is synced to the server's disk. */
  readonly durable: boolean;
  /** Connected now. */
  readonly replicas: number;
}

/** What earlier looks at the same server found. */
export interface Seen {
  /** No append-only file was written, and none has been completed since. */
  appendOnlyOff: boolean;
}

/** A replica says every second what it has received. */
const MOST_LAG_SECONDS = 4;

/** Effects of scripts are replicated, and scripts may read the clock before they write, since 5; ACL users came with 6. */
const OLDEST = [6, 2] as const;

/** INFO's `name:value` lines. */
export function readInfo(text: string): Map<string, string> {
  const info = new Map<string, string>();
  for (const line of text.split("\r\n")) {
    const at = line.indexOf(":");
    if (at > 0 && !line.startsWith("#")) info.set(line.slice(0, at), line.slice(at + 1));
  }
  return info;
}

/**
 * @param config `undefined` where CONFIG is forbidden
 * @throws UnfitError with one sentence that names the setting
 */
export function judge(
  info: ReadonlyMap<string, string>,
  config: ServerSettings | undefined,
  settings: Pick<Settings, "address" | "allowLoss" | "assumeDurable" | "waitReplicas">,
  seen: Seen = { appendOnlyOff: false },
): Verdict {
  const { shown } = settings.address;
  const refuse = (sentence: string) => new UnfitError("BACKEND_DOWN", `the server at ${shown} ${sentence}`);
  // Valkey says 7.2.4 here and its own version elsewhere.
  const compatible = info.get("redis_version");
  if (compatible === undefined)
    throw refuse("does not say which Redis it is: Redis 6.2 or newer, or Valkey, is needed");
  const [major = 0, minor = 0] = compatible.split(".").map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))
    throw refuse(`is Redis ${compatible}: ${OLDEST.join(".")} or newer, or Valkey, is needed`);
  if ((info.get("loading") ?? "0") !== "0") throw refuse("is loading its data from the disk (LOADING)");
  if ((info.get("role") ?? "master") !== "master")
    throw refuse("is a replica: --url must lead to the primary, whichever node that is");
  assertKeepsKeys(info, config, settings, refuse);
  const { waitReplicas } = settings;
  const near = waitReplicas === 0 ? 0 : nearReplicas(info);
  // A primary that is cut off may have been replaced, and what it holds may be old.
  if (near < waitReplicas)
    throw refuse(
      `has ${near} replicas that are connected and heard of in the last ${MOST_LAG_SECONDS} s, of ${waitReplicas} that --wait-replicas asks for`,
    );
  const version = info.get("valkey_version") ?? compatible;
  return {
    server: info.get("server_name") ?? "redis",
    version,
    durable: assertDurable(info, config, settings, seen, refuse),
    replicas: Number(info.get("connected_slaves") ?? 0),
  };
}

type Refuse = (sentence: string) => UnfitError;

function assertKeepsKeys(
  info: ReadonlyMap<string, string>,
  config: ServerSettings | undefined,
  { assumeDurable, allowLoss }: Pick<Settings, "assumeDurable" | "allowLoss">,
  refuse: Refuse,
): void {
  const policy = config?.["maxmemory-policy"] ?? info.get("maxmemory_policy");
  if (policy === undefined && (assumeDurable || allowLoss)) return;
  if (policy !== "noeviction")
    throw refuse(
      `has maxmemory-policy ${policy ?? "(not told)"}, under which it may throw the store away: set it to noeviction`,
    );
}

/** INFO's `slave0:ip=…,port=…,state=online,offset=…,lag=1`, from 0 on. */
function nearReplicas(info: ReadonlyMap<string, string>): number {
  return [...info].filter(([name, value]) => {
    if (!/^slave\d+$/.test(name)) return false;
    const lag = /(?:^|,)lag=(\d+)/.exec(value)?.[1];
    return /(?:^|,)state=online(?:,|$)/.test(value) && lag !== undefined && Number(lag) <= MOST_LAG_SECONDS;
  }).length;
}

function assertDurable(
  info: ReadonlyMap<string, string>,
  config: ServerSettings | undefined,
  { assumeDurable, allowLoss }: Pick<Settings, "assumeDurable" | "allowLoss">,
  seen: Seen,
  refuse: Refuse,
): boolean {
  if (allowLoss) return false;
  if (config?.["appendonly"] === undefined) {
    if (assumeDurable) return true;
    throw refuse(
      "forbids CONFIG, so that its durability cannot be seen: state it by --assume-durable, or run with --allow-loss",
    );
  }
  const wrong = [
    ["appendonly", "yes"],
    ["appendfsync", "always"],
    // Otherwise nothing is synced while a child rewrites the file.
    ["no-appendfsync-on-rewrite", "no"],
  ].find(([name = "", wanted]) => config[name] !== wanted);
  if (config["appendonly"] !== "yes") seen.appendOnlyOff = true;
  if (wrong !== undefined) {
    const [name = "", wanted] = wrong;
    throw refuse(
      `has ${name} ${config[name] ?? "(not told)"}, so that an acknowledged Write may be lost: set it to ${wanted}, or run with --allow-loss`,
    );
  }
  if ((info.get("aof_last_write_status") ?? "ok") !== "ok")
    throw refuse("could not write to its append-only file: its log has the cause");
  // Just switched on by CONFIG SET: what a crash would leave of the file is not read again before this has ended.
  const rewriting = ["aof_rewrite_in_progress", "aof_rewrite_scheduled"].some((name) => info.get(name) === "1");
  const failed = (info.get("aof_last_bgrewrite_status") ?? "ok") !== "ok";
  if (rewriting && info.get("aof_current_size") === "0") seen.appendOnlyOff = true;
  if (seen.appendOnlyOff && (rewriting || failed))
    throw refuse(
      "is still writing its first append-only file: start when aof_rewrite_in_progress and aof_rewrite_scheduled are 0 and aof_last_bgrewrite_status is ok",
    );
  seen.appendOnlyOff = false;
  return true;
}
