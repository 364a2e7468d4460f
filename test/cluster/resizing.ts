/** What tests of members that come and go have in common. */
import { memberList } from "../../registry/members/owners.ts";
import type { ClusterStatus } from "../../registry/members/status.ts";
import { until } from "../helpers/outrigger.ts";
import type { RegistryClient } from "../helpers/registry-client.ts";
import { Load } from "./load.ts";
import { type ClusterSection, type Core, type Member, namesOf, type World } from "./world.ts";

/** Another key for two members: about half of what each owns goes to the other. */
export function exchange(world: World): ClusterSection {
  const members = world.listOf("a", "b");
  return { members, owner: { key: "another" }, previous: { members } };
}

/** A name that `exchange` leaves or moves so, as in "a to b". */
export function nameThatGoes(where: string): string {
  const [older, newer] = ["", "another"].map((key) => memberList(["a", "b"], { by: "rendezvous", key, rules: [] }));
  const [name = ""] = namesOf((one) => `${older?.ownerOf(one)} to ${newer?.ownerOf(one)}`, where, 1);
  return name;
}

export function takenOver(member: Member, name: string): Promise<void> {
  const isTaken = (line: string) => line.includes("a repository was taken over") && line.includes(name);
  return until(
    () => member.cores.some(({ process }) => process.lines.some(isTaken)),
    30_000,
    () => `${member.id} has not taken ${name} over: ${member.process.tail()}`,
  );
}

/** At work, with something in every repository. @param random 0 to 1 */
export async function startLoad(random: () => number, clients: () => readonly RegistryClient[]): Promise<Load> {
  const load = new Load({ workers: 3, repositoriesEach: 4, random, clients });
  await load.fill();
  load.start();
  return load;
}

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
