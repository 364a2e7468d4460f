/** What tests of members that come and go have in common. */
import type { ClusterStatus } from "../../registry/members/status.ts";
import { until } from "../helpers/outrigger.ts";
import type { RegistryClient } from "../helpers/registry-client.ts";
import type { ClusterSection, Core } from "./world.ts";

/** One after the other, as an operator does it. */
export async function reload(cores: readonly Core[], section: ClusterSection): Promise<void> {
  for (const core of cores) await core.reload(section);
}

/** As whoever is asked sees it. */
export async function statusAt(client: RegistryClient): Promise<ClusterStatus> {
  const reply = await client.expect(200, "GET", "/v2/_outrigger/members");
  return JSON.parse(reply.body.toString()) as ClusterStatus;
}

export async function nothingLeft(client: RegistryClient): Promise<void> {
  let last = "";
  await until(
    async () => {
      const status = await statusAt(client);
      last = JSON.stringify(status);
      return status.members.every((member) => member.reachable && member.agrees && member.toMove === 0);
    },
    60_000,
    () => `repositories have still to move: ${last}`,
  );
}
