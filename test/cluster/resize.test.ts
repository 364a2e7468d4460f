/** From two members to three and back, under load: nothing lost, nothing deleted comes back, no tag steps back. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { runOutrigger } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { newSeed, randomOf } from "../helpers/random.ts";
import { nothingLeft, reload, startLoad, statusAt } from "./resizing.ts";
import { type MemberId, startWorld, type World } from "./world.ts";

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

  it(`2 -> 3 -> 2 (seed ${seed})`, async () => {
    const { a, b, c } = world.members;
    const clients = () => entries.map((id) => world.members[id].client);
    const load = await startLoad(() => random.next(), clients);
    const steps = async () => {
      const two = world.listOf("a", "b");
      const three = world.listOf("a", "b", "c");
      await reload([c, a, b], { members: three, previous: { members: two } });
      entries = ["a", "b", "c"];
      // In the middle of what it takes over, and of what it is asked.
      await c.process.kill();
      await c.restart();
      await nothingLeft(a.client);
      // Which did not ask c for a while: it had failed too often.
      await nothingLeft(b.client);
      assert.match((await runOutrigger(["cluster", "status", "--config", b.file])).stdout, /nothing is left to move/);
      const held = (await statusAt(b.client)).members.map((member) => (member.reachable ? member.repositories : 0));
      assert.ok((held[2] ?? 0) > 0, `c holds nothing: ${held}`);
      await reload([a, b, c], { members: three });
      await reload([a, b, c], { members: two, previous: { members: three } });
      await b.process.kill();
      await b.restart();
      await nothingLeft(a.client);
      entries = ["a", "b"];
      await nothingLeft(b.client);
      await reload([a, b], { members: two });
    };
    await Promise.race([steps(), load.failed]);
    await load.stop();
    await c.process.stop();
    assert.ok(load.operations > 50, `${load.operations} operations`);
    for (const { client } of [a, b]) await load.check(client);
  });
});
