/**
 * A cluster of real processes: each member a registry with a driver of its own, on 127.0.0.11, .22 and .33; or several
 * registries over that driver, its cores, behind a balancer.
 */
import { randomBytes } from "node:crypto";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { type Authority, createAuthority, type IssuedPair } from "../helpers/authority.ts";
import { initialiseRoot, launchOutrigger, listening, ready, startDriver } from "../helpers/outrigger.ts";
import type { Running, Scope } from "../helpers/processes.ts";
import { RegistryClient } from "../helpers/registry-client.ts";
import { tempFolder } from "../helpers/temp.ts";
import { balance } from "./balancer.ts";

export const hosts = { a: "127.0.0.11", b: "127.0.0.22", c: "127.0.0.33" } as const;
export type MemberId = keyof typeof hosts;
export const ids = ["a", "b", "c"] as const;

/** What a configuration says of the cluster besides `self` and `peers`. */
export interface ClusterSection {
  readonly members: Readonly<Record<string, { readonly url: string }>>;
  readonly [key: string]: unknown;
}

/** One registry process. */
export interface Core {
  /** Asks this core itself. */
  readonly client: RegistryClient;
  /** host:port */
  readonly host: string;
  readonly file: string;
  readonly process: Running;
  /** Writes the file anew, sends SIGHUP. @throws Error unless it is taken */
  reload(cluster: ClusterSection): Promise<void>;
  /** A process that is gone, begun again with the file as it is. @param wanted what its /readyz comes to say */
  restart(wanted?: 200 | 503): Promise<void>;
}

/** Of several cores it is their balancer that `client`, `host` and `url` are of; `file` and `process` are the first core's. */
export interface Member extends Core {
  readonly id: MemberId;
  readonly url: string;
  readonly driver: { readonly address: string };
  /** Files of `cluster.peers.tls`, in a world with certificates. */
  readonly peerTls?: IssuedPair & { readonly ca: string };
  /** The member itself, where it is one. `reload` and `restart` of several go through them one after the other. */
  readonly cores: readonly [Core, ...Core[]];
}

export interface World {
  readonly scope: Scope;
  readonly keyFile: string;
  /** In a world with certificates: of its listeners, and at first of what members show each other. */
  readonly authority?: Authority;
  readonly members: Readonly<Record<MemberId, Member>>;
  /** The section `members` of these. */
  listOf(...members: readonly MemberId[]): Record<string, { readonly url: string }>;
}

export interface WorldOptions {
  /** Beside `members`; may name the addresses. */
  readonly cluster?: Readonly<Record<string, unknown>>;
  readonly driver?: "memory" | "filesystem";
  /** Who is in the list at the beginning. Default: all three. */
  readonly first?: readonly MemberId[];
  /** Addresses of members that are no processes of this world. */
  readonly urls?: Readonly<Partial<Record<MemberId, string>>>;
  readonly config?: Readonly<Record<string, unknown>>;
  /** Registry processes of each member, over one driver. Default: 1. */
  readonly cores?: number;
  /** They begin as registries that are no members of a cluster. */
  readonly alone?: boolean;
  /** Members talk TLS, and prove by certificates who they are. */
  readonly certificates?: boolean;
  /** Which members are processes. Default: all. */
  readonly running?: readonly MemberId[];
}

/** One member alone, of a cluster whose others are no processes. */
export async function startMember(scope: Scope, id: MemberId, options: WorldOptions = {}): Promise<World> {
  return startSome(scope, { first: [id], ...options }, [id]);
}

/** All three members run, also those that are not yet in the list: they are then a cluster of one. */
export async function startWorld(scope: Scope, options: WorldOptions = {}): Promise<World> {
  return startSome(scope, options, options.running ?? ids);
}

async function startSome(scope: Scope, options: WorldOptions, running: readonly MemberId[]): Promise<World> {
  const folder = tempFolder(scope, "cluster");
  const keyFile = join(folder, "keys");
  writeFileSync(keyFile, `${randomBytes(32).toString("hex")}\n`);
  const ports = { a: await freePort(hosts.a), b: await freePort(hosts.b), c: await freePort(hosts.c) };
  const authority = options.certificates ? await createAuthority(folder, "authority") : undefined;
  const scheme = authority ? "https" : "http";
  const trust = authority ? { tls: { ca: authority.ca } } : {};
  const url = (id: MemberId) => options.urls?.[id] ?? `${scheme}://${hosts[id]}:${ports[id]}`;
  const listOf = (...members: readonly MemberId[]) =>
    Object.fromEntries(members.map((id) => [id, { url: url(id), ...trust }]));
  const first = options.first ?? ids;
  const { cores: count = 1 } = options;
  const isShared = count > 1;
  const start = async (id: MemberId): Promise<Member> => {
    const driver = await startDriverOf(scope, options.driver ?? "memory");
    const host = `${hosts[id]}:${ports[id]}`;
    const served = authority && (await authority.issue(`${id}-served`, `IP:${hosts[id]}`, { usage: "serverAuth" }));
    const peerTls = authority && (await peerTlsOf(folder, authority, id));
    const peers = peerTls ? { tls: peerTls } : { keyFile };
    const clientOf = (at: string) => {
      const client = new RegistryClient(`${scheme}://${at}`, authority && { ca: readFileSync(authority.ca) });
      scope.defer(() => client.close());
      return client;
    };
    const write = (file: string, listen: string, cluster?: ClusterSection) => {
      const section = { self: id, peers, answerSeconds: 3, ...options.cluster, ...cluster };
      const all = {
        http: { listen, ...(served ? { tls: served } : {}) },
        stores: { blobs: { address: driver.address } },
        ...options.config,
        ...(isShared ? { cores: "many" } : {}),
        ...(cluster === undefined ? {} : { cluster: section }),
      };
      writeFileSync(file, JSON.stringify(all));
    };
    const startOne = (name: string, listen: string): Promise<Core> => {
      const own = { name, host: listen, file: join(folder, `${name}.yaml`), client: clientOf(listen) };
      const section = options.alone ? undefined : { members: first.includes(id) ? listOf(...first) : listOf(id) };
      write(own.file, listen, section);
      return startCore(scope, own, (cluster) => write(own.file, listen, cluster));
    };
    const rest = { id, url: url(id), driver, ...(peerTls ? { peerTls } : {}) };
    if (!isShared) {
      const core = await startOne(id, host);
      return Object.assign(core, { ...rest, cores: [core] as const });
    }
    const startNumber = async (number: number) =>
      startOne(`${id}-${number}`, `${hosts[id]}:${await freePort(hosts[id])}`);
    const others = Array.from({ length: count - 1 }, (_, index) => startNumber(index + 2));
    const cores = await Promise.all([startNumber(1), ...others]);
    await balance(
      scope,
      host,
      cores.map((core) => core.host),
    );
    return Object.assign(behindBalancer(cores), { ...rest, host, client: clientOf(host), file: cores[0].file });
  };
  const started = await Promise.all(running.map(start));
  const members = Object.fromEntries(started.map((member) => [member.id, member])) as Record<MemberId, Member>;
  return { scope, keyFile, ...(authority ? { authority } : {}), members, listOf };
}

/** @param write its file anew */
async function startCore(
  scope: Scope,
  { name, ...own }: Pick<Core, "client" | "host" | "file"> & { readonly name: string },
  write: (cluster: ClusterSection) => void,
): Promise<Core> {
  const launch = async () => {
    const running = scope.add(launchOutrigger(`registry ${name}`, ["registry", "--config", own.file]));
    await listening(running, own.host);
    return running;
  };
  const core = {
    ...own,
    process: await launch(),
    async reload(cluster: ClusterSection) {
      const said = core.process.lines.length;
      write(cluster);
      core.process.signal("SIGHUP");
      const line = await core.process.line((text) => /configuration was (?:not )?reloaded/.test(text), 30_000, said);
      if (!/was reloaded/.test(line)) throw new Error(`${name} refused its new configuration: ${line}`);
    },
    async restart(wanted = 200) {
      core.process = await launch();
      await ready(core, wanted);
    },
  };
  await ready(core);
  return core;
}

function behindBalancer(cores: Member["cores"]): Omit<Core, "client" | "host" | "file"> & Pick<Member, "cores"> {
  return {
    cores,
    get process() {
      return cores[0].process;
    },
    async reload(cluster) {
      for (const core of cores) await core.reload(cluster);
    },
    async restart(wanted) {
      for (const core of cores) if (core.process.exit !== undefined) await core.restart(wanted);
    },
  };
}

/** Files of its own, for a test to exchange. */
async function peerTlsOf(folder: string, authority: Authority, id: MemberId): Promise<IssuedPair & { ca: string }> {
  const ca = join(folder, `${id}-authorities.crt`);
  copyFileSync(authority.ca, ca);
  return { ca, ...(await authority.issue(id, memberName(id), { usage: "clientAuth" })) };
}

/** The subject alternative name of a member's certificate. */
export function memberName(id: MemberId): string {
  return `URI:outrigger-member:${id}`;
}

async function startDriverOf(scope: Scope, driver: "memory" | "filesystem"): Promise<{ readonly address: string }> {
  if (driver === "memory") return startDriver(scope, { driver });
  const root = tempFolder(scope, "root");
  await initialiseRoot(root);
  return startDriver(scope, { root });
}

/** A port that was free a moment ago. */
export async function freePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, host, resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("a TCP server has no port");
  return address.port;
}

/** The first names of a series that this member owns. */
export function namesOf(ownerOf: (name: string) => string | undefined, owner: string, count: number): string[] {
  const names: string[] = [];
  for (let number = 0; names.length < count; number += 1) {
    const name = `team/app-${number}`;
    if (ownerOf(name) === owner) names.push(name);
  }
  return names;
}

/** How many requests of these routes a member has answered so far. */
export async function requestsAt(member: Member, ...routes: readonly string[]): Promise<number> {
  const text = (await member.client.expect(200, "GET", "/metrics")).body.toString();
  let total = 0;
  for (const [, labels = "", count] of text.matchAll(
    /^outrigger_http_request_duration_seconds_count\{([^}]*)\} (\d+)$/gm,
  )) {
    if (routes.some((route) => labels.includes(`route="${route}"`))) total += Number(count);
  }
  return total;
}

/** How many requests reached each member while `act` ran. */
export async function countRequests(
  world: World,
  routes: readonly string[],
  act: () => Promise<unknown>,
  among: readonly MemberId[] = ids,
): Promise<Record<string, number>> {
  const count = async () => Promise.all(among.map((id) => requestsAt(world.members[id], ...routes)));
  const before = await count();
  await act();
  const after = await count();
  return Object.fromEntries(among.map((id, index) => [id, (after[index] ?? 0) - (before[index] ?? 0)]));
}
