/** The shards while they and their driver are killed: nothing acknowledged is lost, nothing deleted comes back. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { placeOf } from "../../../drivers/shard/place.ts";
import { Scope } from "../../helpers/processes.ts";
import { randomOf, seedOf } from "../../helpers/random.ts";
import { changeUnderFaults, checkAll, connectTo, contentOf, keysOf } from "../composed/faults.ts";
import { filesystemMember } from "../composed/members.ts";
import { ComposedProcess, killAndStart } from "../composed/process.ts";

const KILLS = 7;
const NAMES = ["a", "b", "c"];

describe("shards under kills", () => {
  it("keep what is acknowledged, each on its own, and take nothing back", { timeout: 240_000 }, async (t) => {
    const scope = new Scope();
    t.after(scope.close);
    const random = randomOf(seedOf(t));
    const members = [await filesystemMember(scope), await filesystemMember(scope), await filesystemMember(scope)];
    const shards = members.map(({ address }, index) => `${NAMES[index]}=${address}`).join(",");
    const composed = await new ComposedProcess(scope, "shard", ["--shards", shards]).initialise();
    await composed.start();
    const connection = connectTo(scope, composed.address);
    await connection.channel.described();

    const slots = await changeUnderFaults({
      random,
      connection,
      keys: 6,
      faults: () => killAndStart(random, [composed, composed, ...members], KILLS),
    });

    await composed.kill();
    await composed.start();
    await checkAll(slots, connection, "by the shards");
    const listed: string[] = [];
    for (const [index, member] of members.entries()) {
      const direct = connectTo(scope, member.address);
      await direct.channel.described();
      for (const key of await keysOf(direct, "docker/")) {
        assert.equal(placeOf(NAMES, key), NAMES[index], key);
        listed.push(key);
      }
    }
    assert.deepEqual(await keysOf(connection), listed.sort());

    // Stopped, not gone: its keys are refused in time, and the others are served meanwhile.
    const [first] = members;
    first?.process.signal("SIGSTOP");
    for (const { key } of slots) {
      if (placeOf(NAMES, key) !== "a") await contentOf(connection, key);
      else await assert.rejects(contentOf(connection, key), /shard a at .* is not usable/);
    }
    first?.process.signal("SIGCONT");
    await checkAll(slots, connection, "after the stop");
  });
});
