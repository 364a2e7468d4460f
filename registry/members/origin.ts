/** Where a member is reached: an address from the configuration, with its connections, its bounds and how it does. */
import { Agent, type ClientRequest, request as httpRequest, type RequestOptions } from "node:http";
import { request as httpsRequest, Agent as TlsAgent } from "node:https";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../proto/clock.ts";
import type { MemberConfig } from "../config/cluster.ts";
import { readSettingFile } from "../setting-files.ts";
import { Breaker } from "./breaker.ts";
import { MemberSlots } from "./slots.ts";

/** Requests to one member at once. A pull or an upload holds its slot to its end, which its client may put off for hours. */
const AT_ONCE = { short: 256, streamed: 1024 };
const IDLE_CONNECTIONS = 32;

/** Headers in a row are written as they are, where each of an object's is looked at first. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly string[];
}

export interface Origin {
  readonly id: string;
  readonly url: string;
  readonly breaker: Breaker;
  readonly slots: MemberSlots;
  /** Whether this configuration, and what its files hold by now, leads to it: else another one is opened. */
  is(config: MemberConfig, material: TlsMaterial): boolean;
  /**
   * @param asked its headers: name, value, name, value, without Host
   * @param fresh on a connection of its own
   */
  request(asked: Asked, fresh: boolean): ClientRequest;
  /** Connections are ended, each after the request that is under way on it. */
  retire(): void;
  /** Connections are ended. */
  close(): void;
}

/** @param held what leads to the same is used on. @throws Error that names the setting */
export async function openOrigin(id: string, config: MemberConfig, clock: Clock, held?: Origin): Promise<Origin> {
  const url = new URL(config.url);
  const isTls = url.protocol === "https:";
  const material = isTls ? await readTls(id, config) : {};
  if (held?.is(config, material)) return held;
  const pool = { keepAlive: true, maxFreeSockets: IDLE_CONNECTIONS, scheduling: "lifo" } as const;
  // In a resumed session no certificate is shown (certificates.ts).
  const sessions = material.cert === undefined ? {} : { maxCachedSessions: 0 };
  const agent = isTls ? new TlsAgent({ ...pool, ...sessions, ...material }) : new Agent(pool);
  const fixed = {
    hostname: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? (isTls ? 443 : 80) : Number(url.port),
  };
  return {
    id,
    url: config.url,
    breaker: new Breaker(clock),
    slots: new MemberSlots(AT_ONCE),
    is: (...other) => isDeepStrictEqual([config, material], other),
    request({ method, path, headers: more }, fresh) {
      const headers = ["Host", url.host, ...more];
      const all: RequestOptions = { method, path, headers, ...fixed, agent: fresh ? false : agent };
      return isTls ? httpsRequest({ ...all, ...material }) : httpRequest(all);
    },
    retire() {
      agent.maxFreeSockets = 0;
      for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
    },
    close: () => agent.destroy(),
  };
}

export interface TlsMaterial {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly servername?: string;
}

async function readTls(id: string, { tls = {} }: MemberConfig): Promise<TlsMaterial> {
  const read = async (key: "ca" | "cert" | "key"): Promise<Partial<Record<typeof key, Buffer>>> => {
    const file = tls[key];
    return file === undefined ? {} : { [key]: await readSettingFile(`cluster.members.${id}.tls.${key}`, file) };
  };
  const [ca, cert, key] = await Promise.all([read("ca"), read("cert"), read("key")]);
  return { ...ca, ...cert, ...key, ...(tls.serverName === undefined ? {} : { servername: tls.serverName }) };
}
