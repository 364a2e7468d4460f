/** From two members to three and back, under load: nothing lost, nothing deleted comes back, no tag steps back. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { ClusterStatus } from "../../registry/members/status.ts";
import { runOutrigger, until } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { newSeed, randomOf } from "../helpers/random.ts";
import { Load } from "./load.ts";
import { type ClusterSection, type MemberId, startWorld, type World } from "./world.ts";

describe("members that come and go", () => {
  const scope = new Scope();
  let world: World;
  let entries: MemberId[] = ["a", "b"];
  const seed = newSeed();
  const random = randomOf(seed);
  before(async () => {
    world = await startWorld(scope, { first: ["a", "b"], config: { cores: "one" } });
  });
  after(scope.close);

  /** One after the other, as an operator does it. */
  async function reload(members: readonly MemberId[], section: ClusterSection): Promise<void> {
    for (const id of members) await world.members[id].reload(section);
  }

  async function statusOf(id: MemberId): Promise<ClusterStatus> {
    const reply = await world.members[id].client.expect(200, "GET", "/v2/_outrigger/members");
    return JSON.parse(reply.body.toString()) as ClusterStatus;
  }

  async function nothingLeft(id: MemberId): Promise<void> {
    let last = "";
    await until(
      async () => {
        const status = await statusOf(id);
        last = JSON.stringify(status);
        return status.members.every((member) => member.reachable && member.agrees && member.toMove === 0);
      },
      60_000,
      () => `repositories have still to move: ${last}`,
    );
  }

  it(`2 -> 3 -> 2 (seed ${seed})`, async () => {
    const { a, b, c } = world.members;
    const clients = () => entries.map((id) => world.members[id].client);
    const load = new Load({ workers: 3, repositoriesEach: 4, random: () => random.next(), clients });
    await load.fill();
    load.start();
    const steps = async () => {
      const two = world.listOf("a", "b");
      const three = world.listOf("a", "b", "c");
      await reload(["c", "a", "b"], { members: three, previous: { members: two } });
      entries = ["a", "b", "c"];
      // In the middle of what it takes over, and of what it is asked.
      await c.process.kill();
      await c.restart();
      await nothingLeft("a");
      // Which did not ask c for a while: it had failed too often.
      await nothingLeft("b");
      assert.match((await runOutrigger(["cluster", "status", "--config", b.file])).stdout, /nothing is left to move/);
      const held = (await statusOf("b")).members.map((member) => (member.reachable ? member.repositories : 0));
      assert.ok((held[2] ?? 0) > 0, `c holds nothing: ${held}`);
      await reload(["a", "b", "c"], { members: three });
      await reload(["a", "b", "c"], { members: two, previous: { members: three } });
      await b.process.kill();
      await b.restart();
      await nothingLeft("a");
      entries = ["a", "b"];
      await nothingLeft("b");
      await reload(["a", "b"], { members: two });
    };
    await Promise.race([steps(), load.failed]);
    await load.stop();
    await c.process.stop();
    assert.ok(load.operations > 50, `${load.operations} operations`);
    for (const { client } of [a, b]) await load.check(client);
  });
});
