/** The cluster as one member sees it: who answers, which list each has, what each holds (`outrigger cluster status`). */
import type { Clock } from "../../proto/clock.ts";
import { answerJson, type Exchange } from "../http/exchange.ts";
import type { Repositories, RequestContext } from "../repository/contract.ts";
import { heldHere } from "./catalog.ts";
import type { MemberClient } from "./client.ts";
import { isMemberError, MemberWrong } from "./errors.ts";
import { membersPath } from "./paths.ts";
import { parseJson } from "./verify.ts";
import type { View } from "./view.ts";

/** What a member says of itself. */
export interface MemberSelf {
  readonly id: string;
  readonly version: string;
  /** Hash of its list of members, and of the one before while names move. */
  readonly list: string;
  /** Repositories that it holds and owns. */
  readonly repositories: number;
  /** Repositories that it holds and another member owns: they have still to move there. */
  readonly toMove: number;
  /** Its clock, Unix ms. */
  readonly timeMs: number;
}

export type MemberStatus =
  | (MemberSelf & {
      readonly reachable: true;
      readonly agrees: boolean;
      readonly lagMs: number;
      readonly clockOffsetMs: number;
    })
  | { readonly id: string; readonly reachable: false; readonly problem: string };

export interface ClusterStatus {
  /** Who says so. */
  readonly self: string;
  readonly list: string;
  readonly moving: boolean;
  readonly members: readonly MemberStatus[];
}

interface Knowing {
  readonly clock: Clock;
  readonly coreVersion: string | undefined;
}

/** A member counts its repositories, page by page. */
const DEADLINE_MS = 60_000;

export async function answerAboutSelf(exchange: Exchange, view: View, knowing: Knowing): Promise<void> {
  answerJson(exchange, 200, await aboutSelf(exchange.shared.repositories, view, knowing, exchange.context));
}

export async function answerStatus(
  exchange: Exchange,
  view: View,
  client: MemberClient,
  knowing: Knowing,
): Promise<void> {
  const self = () => aboutSelf(exchange.shared.repositories, view, knowing, exchange.context);
  answerJson(exchange, 200, await clusterStatus(view, client, knowing.clock, exchange.context.signal, self));
}

/** @param self absent: this member is asked as the others are */
export async function clusterStatus(
  view: View,
  client: MemberClient,
  clock: Clock,
  signal: AbortSignal,
  self?: () => Promise<MemberSelf>,
): Promise<ClusterStatus> {
  const look = async (id: string): Promise<MemberStatus> => {
    const [startedMs, askedMs] = [clock.monotonic(), clock.now()];
    try {
      const said = id === view.self && self ? await self() : await askAboutItself(client, id, signal);
      const lagMs = Math.round(clock.monotonic() - startedMs);
      const clockOffsetMs = Math.round(said.timeMs - (askedMs + lagMs / 2));
      return { ...said, reachable: true, agrees: said.list === view.hash, lagMs, clockOffsetMs };
    } catch (error) {
      if (!isMemberError(error)) throw error;
      return { id, reachable: false, problem: error.message };
    }
  };
  const members = await Promise.all([...view.origins.keys()].sort().map(look));
  return { self: view.self, list: view.hash, moving: view.previous !== undefined, members };
}

async function askAboutItself(client: MemberClient, id: string, signal: AbortSignal): Promise<MemberSelf> {
  const request = {
    method: "GET",
    path: membersPath("self"),
    role: "itself",
    deadlineMs: DEADLINE_MS,
    signal,
  } as const;
  const answer = await client.ask(id, request);
  if (answer.status !== 200) throw new MemberWrong(id, `answers ${answer.status} when asked how it is`);
  const said = parseJson(id, answer.body) as Partial<MemberSelf> | null;
  const { version, list, repositories, toMove, timeMs } = said ?? {};
  const isWhole =
    typeof version === "string" &&
    typeof list === "string" &&
    typeof repositories === "number" &&
    typeof toMove === "number" &&
    typeof timeMs === "number";
  if (!isWhole || said?.id !== id) throw new MemberWrong(id, "says of itself what this member does not understand");
  return { id, version, list, repositories, toMove, timeMs };
}

async function aboutSelf(
  local: Repositories,
  { self, list, hash }: View,
  { clock, coreVersion = "unknown" }: Knowing,
  context: RequestContext,
): Promise<MemberSelf> {
  let [repositories, toMove] = [0, 0];
  for await (const name of heldHere(local, context)) {
    if (list.ownerOf(name) === self) repositories += 1;
    else toMove += 1;
  }
  const timeMs = clock.now();
  return { id: self, version: coreVersion, list: hash, repositories, toMove, timeMs };
}
