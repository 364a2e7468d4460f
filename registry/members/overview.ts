/** How all members are, for the page: each tells its release and its stores, without their addresses. */
import { answerJson, type Exchange } from "../http/exchange.ts";
import type { MemberOverview, OwnOverview, RegistryOverview, StoreOverview } from "../page/contract.ts";
import type { MemberClient } from "./client.ts";
import { isMemberError, MemberWrong } from "./errors.ts";
import { membersPath } from "./paths.ts";
import { parseJson } from "./verify.ts";
import { others, type View } from "./view.ts";

/** Somebody waits for the page. */
const DEADLINE_MS = 3_000;

export function answerOverview(exchange: Exchange, own: () => OwnOverview): void {
  answerJson(exchange, 200, own());
}

export async function clusterOverview(
  view: View,
  client: MemberClient,
  own: () => OwnOverview,
  signal: AbortSignal,
): Promise<RegistryOverview> {
  const look = async (id: string): Promise<MemberOverview> => {
    try {
      return { id, isSelf: false, isReachable: true, ...(await ask(client, id, signal)) };
    } catch (error) {
      if (!isMemberError(error)) throw error;
      return { id, isSelf: false, isReachable: false, problem: error.message };
    }
  };
  return {
    members: [
      { id: view.self, isSelf: true, isReachable: true, ...own() },
      ...(await Promise.all(others(view).map(look))),
    ],
  };
}

async function ask(client: MemberClient, id: string, signal: AbortSignal): Promise<OwnOverview> {
  const path = membersPath("health");
  const answer = await client.ask(id, { method: "GET", path, role: "itself", deadlineMs: DEADLINE_MS, signal });
  // An older release does not tell.
  if (answer.status === 404) return { problem: "its release does not tell how its stores are" };
  if (answer.status === 503) return { problem: "it has not reached its stores yet" };
  if (answer.status !== 200) throw new MemberWrong(id, `answers ${answer.status} when asked how its stores are`);
  const said = parseJson(id, answer.body) as Partial<OwnOverview> | null;
  const { version, problem, stores } = said ?? {};
  if (!Array.isArray(stores) || !stores.every(isStore) || !isText(version) || !isText(problem))
    throw new MemberWrong(id, "says of its stores what this member does not understand");
  return {
    ...(version === undefined ? {} : { version }),
    ...(problem === undefined ? {} : { problem }),
    stores,
  };
}

function isText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === "string";
}

function isStore(value: unknown): value is StoreOverview {
  if (typeof value !== "object" || value === null) return false;
  const { kind, ready, prefix, role, id, driver, driverVersion, problem, reason } = value as Record<string, unknown>;
  return (
    (kind === "blob" || kind === "meta") &&
    typeof ready === "boolean" &&
    [prefix, role, id, driver, driverVersion, problem, reason].every(isText)
  );
}
