/** Members of two cores each: a reload goes through cores one by one, and what moves between members stays whole. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { image } from "../helpers/oci.ts";
import { ready, runOutrigger, until } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { newSeed, randomOf } from "../helpers/random.ts";
import { exchange, nameThatGoes, nothingLeft, reload, startLoad, statusAt, takenOver } from "./resizing.ts";
import { type ClusterSection, type Core, type MemberId, startWorld, type World } from "./world.ts";

function coreOf(world: World, id: MemberId, number: 1 | 2): Core {
  const core = world.members[id].cores[number - 1];
  if (core === undefined) throw new Error(`${id} has no core ${number}`);
  return core;
}

describe("members of two cores that come and go", () => {
  const scope = new Scope();
  let world: World;
  /** Whom clients ask, each by itself. */
  let entries: Core[] = [];
  const seed = newSeed();
  const random = randomOf(seed);
  before(async () => {
    world = await startWorld(scope, { first: ["a", "b"], cores: 2 });
  });
  after(scope.close);

  function coresOf(...members: readonly MemberId[]): Core[] {
    return members.flatMap((id) => [...world.members[id].cores]);
  }

  /** For a while one core of each member has the new list, and the other one the old. Repositories move meanwhile. */
  async function reloadInTurn(
    members: readonly MemberId[],
    section: ClusterSection,
    taken: (core: Core) => void = () => {},
  ): Promise<void> {
    const isTaken = (line: string) => line.includes("a repository was taken over");
    const firsts = members.map((id) => coreOf(world, id, 1));
    const begun = firsts.map(({ process }) => process.lines.length);
    const moved = () => firsts.some(({ process }, at) => process.lines.slice(begun[at]).some(isTaken));
    const take = async (number: 1 | 2) => {
      for (const id of members) {
        const core = coreOf(world, id, number);
        await core.reload(section);
        taken(core);
      }
    };
    await take(1);
    await until(moved, 30_000, () => "nothing moves while cores have the old list");
    // Those are asked for what has gone meanwhile.
    await sleep(1_500);
    await take(2);
  }

  it(`2 -> 3 -> 2 (seed ${seed})`, async () => {
    const { a, b, c } = world.members;
    entries = coresOf("a", "b");
    const clients = () => entries.map(({ client }) => client);
    const load = await startLoad(() => random.next(), clients);
    const steps = async () => {
      const two = world.listOf("a", "b");
      const three = world.listOf("a", "b", "c");
      // Before that, c is a cluster of its own, and rightly has nothing.
      const enters = (core: Core) => {
        if (!entries.includes(core)) entries = [...entries, core];
      };
      await reloadInTurn(["c", "a", "b"], { members: three, previous: { members: two } }, enters);
      // In the middle of what it takes over, and of what it is asked.
      const ofC = coreOf(world, "c", 1);
      await ofC.process.kill();
      await ofC.restart();
      for (const { client } of coresOf("a", "b", "c")) await nothingLeft(client);
      assert.match((await runOutrigger(["cluster", "status", "--config", b.file])).stdout, /nothing is left to move/);
      const held = (await statusAt(b.client)).members.map((member) => (member.reachable ? member.repositories : 0));
      assert.ok((held[2] ?? 0) > 0, `c holds nothing: ${held}`);
      await reload([a, b, c], { members: three });
      await reloadInTurn(["a", "b", "c"], { members: two, previous: { members: three } });
      const ofB = coreOf(world, "b", 2);
      await ofB.process.kill();
      await ofB.restart();
      await nothingLeft(a.client);
      entries = coresOf("a", "b");
      for (const { client } of entries) await nothingLeft(client);
      assert.match((await runOutrigger(["cluster", "status", "--config", a.file])).stdout, /nothing is left to move/);
      await reload([a, b], { members: two });
    };
    await Promise.race([steps(), load.failed]);
    await load.stop();
    for (const { process } of coresOf("c")) await process.stop();
    assert.ok(load.operations > 50, `${load.operations} operations`);
    for (const { client } of coresOf("a", "b")) await load.check(client);
  });
});

describe("a core that was left behind", () => {
  const scope = new Scope();
  let world: World;
  before(async () => {
    world = await startWorld(scope, { first: ["a", "b"], running: ["a", "b"], cores: 2 });
  });
  after(scope.close);

  it("neither writes nor answers, nor when it begins again, until it has the list too", async () => {
    const { a, b } = world.members;
    const left = coreOf(world, "a", 2);
    const moved = nameThatGoes("a to b");
    const pushed = image({ seed: "left behind", layerBytes: [1000], raw: true });
    const holds = async () => {
      assert.equal((await left.client.getManifest(moved, "v1")).digest, pushed.manifest.digest);
      assert.deepEqual(await left.client.tags(moved), ["v1"]);
      assert.deepEqual(await left.client.catalog(), [moved]);
    };
    const refuses = async () => {
      let said = "";
      await until(
        async () => {
          const reply = await left.client.request("GET", "/readyz");
          said = `${reply.status} ${reply.body}`;
          return reply.status === 503 && said.includes("list of members");
        },
        10_000,
        () => `/readyz says ${said}`,
      );
      const { mediaType, bytes } = pushed.manifest;
      const put = { headers: { "content-type": mediaType }, body: bytes };
      const asked = [
        ["GET", `/v2/${moved}/manifests/v1`],
        ["PUT", `/v2/${moved}/manifests/v2`, put],
        ["DELETE", `/v2/${moved}/manifests/v1`],
        ["GET", "/v2/_outrigger/search?query={RepoListWithNewestImage{Results{Name}}}"],
        ["GET", "/v2/_catalog"],
      ] as const;
      const answers = asked.map(async ([method, path, options]) => {
        const { status, body } = await left.client.request(method, path, options);
        return status === 503 ? [] : [`${method} ${path}: ${status} ${body}`];
      });
      assert.deepEqual((await Promise.all(answers)).flat(), []);
    };

    await a.client.pushImage(moved, pushed, "v1");
    await holds();
    const next = exchange(world);
    await reload([coreOf(world, "a", 1), ...b.cores], next);
    await takenOver(b, moved);
    await refuses();
    await left.process.kill();
    await left.restart(503);
    await refuses();
    await left.reload(next);
    await ready(left);
    await holds();
  });
});
