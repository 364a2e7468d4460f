/** The cache while its stores and itself are killed: right bytes, nothing lost, nothing stale, nothing deleted given out. */
import { describe, it } from "node:test";
import { Scope } from "../../helpers/processes.ts";
import { randomOf, seedOf } from "../../helpers/random.ts";
import { changeUnderFaults, checkAll, connectTo } from "../composed/faults.ts";
import { filesystemMember, memoryMember } from "../composed/members.ts";
import { ComposedProcess, killAndStart } from "../composed/process.ts";

const KILLS = 6;

describe("a cache under kills", () => {
  for (const [kind, makeFast] of [
    ["a folder", filesystemMember],
    ["a memory", memoryMember],
  ] as const) {
    it(`gives what is acknowledged and nothing else, with ${kind} as the fast store`, {
      timeout: 240_000,
    }, async (t) => {
      const scope = new Scope();
      t.after(scope.close);
      const random = randomOf(seedOf(t));
      const [slow, fast] = [await filesystemMember(scope), await makeFast(scope)];
      const flags = ["--slow", slow.address, "--fast", fast.address, "--max", "6MiB"];
      const cache = await new ComposedProcess(scope, "cache", flags).initialise();
      await cache.start();
      const connection = connectTo(scope, cache.address);
      await connection.channel.described();

      const slots = await changeUnderFaults({
        random,
        connection,
        keys: 5,
        faults: () => killAndStart(random, [cache, slow, fast, fast], KILLS),
      });
      // Twice: from the slow store, then from the copies.
      await checkAll(slots, connection, "at first");
      await checkAll(slots, connection, "the second time");
      // Stopped: its reads cost time, and are right.
      fast.process.signal("SIGSTOP");
      await checkAll(slots, connection, "with the fast store stopped");
      fast.process.signal("SIGCONT");
      await fast.kill();
      await checkAll(slots, connection, "without the fast store");
    });
  }
});
