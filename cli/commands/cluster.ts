/** `outrigger cluster status`: members, versions, whether they agree, what each holds, what has still to move. */
import type { Command } from "commander";
import type { ClusterStatus, MemberStatus } from "../../registry/members/status.ts";
import { Failure, Reported, UsageFailure } from "../failure.ts";
import { formatMs, print, printJson, table, warn } from "../terminal.ts";

interface StatusOptions {
  readonly config?: string;
  readonly url?: string;
  readonly json?: boolean;
}

const TIMEOUT_MS = 90_000;
/** Beyond this a member refuses what another one has signed. */
const MAX_OFFSET_MS = 30_000;

export function define(command: Command): void {
  command
    .command("status")
    .description(
      "Show each member: whether it answers, its version, its list of members, its repositories and those that have still to move. Exit code 1 where a member does not answer or does not agree.",
    )
    .option("--config <file>", "a member's configuration: each member is asked, as that member asks")
    .option("--url <url>", "a member's http(s)://[name:password@]host:port: it asks the others")
    .option("--json", "the outcome as JSON")
    .action(status);
}

async function status(options: StatusOptions): Promise<void> {
  const { config, url } = options;
  if ((config === undefined) === (url === undefined)) throw new UsageFailure("give --config or --url");
  const found = url === undefined ? await askAll(config ?? "") : await askOne(url);
  if (options.json) printJson(found);
  else tell(found);
  if (found.members.some((member) => !member.reachable || !member.agrees)) throw new Reported();
}

async function askAll(file: string): Promise<ClusterStatus> {
  const [{ loadConfig }, { openView, closeUnused }, { MemberClient }, { clusterStatus }, { STATUS }, { systemClock }] =
    await Promise.all([
      import("../../registry/config.ts"),
      import("../../registry/members/view.ts"),
      import("../../registry/members/client.ts"),
      import("../../registry/members/status.ts"),
      import("../../registry/members/peers.ts"),
      import("../../proto/clock.ts"),
    ]);
  const config = await loadConfig({ file, env: process.env });
  if (!config.cluster) throw new Failure(`${file} has no section cluster: docs/guides/cluster.md`);
  const view = await openView(config.cluster, systemClock);
  try {
    // Also the member whose configuration this is has to be asked.
    const asking = { ...view, self: STATUS };
    const client = new MemberClient(() => asking, systemClock);
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    return { ...(await clusterStatus(asking, client, systemClock, signal)), self: view.self };
  } finally {
    closeUnused(view, undefined);
  }
}

async function askOne(given: string): Promise<ClusterStatus> {
  if (!URL.canParse(given) || !/^https?:/.test(given))
    throw new UsageFailure(`--url ${given} is not http(s)://host:port`);
  const url = new URL("/v2/_outrigger/members", given);
  const { username, password } = new URL(given);
  url.username = "";
  url.password = "";
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const headers = username === "" ? {} : { authorization: `Basic ${Buffer.from(login).toString("base64")}` };
  let answer: Response;
  try {
    answer = await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS), redirect: "error" });
  } catch (error) {
    const why = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new Failure(`${url.origin} does not answer: ${why}`, { cause: error });
  }
  const text = await answer.text();
  if (answer.status === 401) throw new Failure(`${url.origin} asks for a login: --url http://name:password@host:port`);
  if (!answer.ok) throw new Failure(`${url.origin} answers ${answer.status}: ${text.slice(0, 300)}`);
  return JSON.parse(text) as ClusterStatus;
}

function tell({ self, list, moving, members }: ClusterStatus): void {
  print(`list ${list}, as ${self} has it`, "");
  print(
    ...table([["member", "state", "version", "list", "repositories", "to move", "answers in"], ...members.map(row)]),
  );
  for (const member of members) {
    if (!member.reachable) warn(`${member.id}: ${member.problem}`);
    else if (!member.agrees)
      warn(`${member.id}: has another list of members (${member.list}): give all the same cluster.members, owner`);
    if (member.reachable && Math.abs(member.clockOffsetMs) > MAX_OFFSET_MS)
      warn(`${member.id}: its clock is ${formatMs(Math.abs(member.clockOffsetMs))} away: set the clocks`);
  }
  const left = members.reduce((total, member) => total + (member.reachable ? member.toMove : 0), 0);
  const known = members.every((member) => member.reachable && member.agrees);
  print("", outcome(moving, left, known));
}

function outcome(moving: boolean, left: number, known: boolean): string {
  if (!known) return "not all members could be asked, or agree: what has still to move is not known";
  if (left > 0) {
    return moving
      ? `${left} repositories have still to move: leave cluster.previous where it is`
      : `${left} repositories lie with members that do not own them: name the list before under cluster.previous, and they move`;
  }
  return moving ? "nothing is left to move: cluster.previous can go" : "nothing has to move";
}

function row(member: MemberStatus): string[] {
  if (!member.reachable) return [member.id, "not reached", "", "", "", "", ""];
  const { id, agrees, version, list, repositories, toMove, lagMs } = member;
  return [id, agrees ? "agrees" : "disagrees", version, list, String(repositories), String(toMove), formatMs(lagMs)];
}
