/** The mirror while its members and itself are killed: nothing acknowledged is lost, nothing deleted comes back. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { until } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { randomOf, seedOf } from "../../helpers/random.ts";
import { changeUnderFaults, checkAll, connectTo, contentOf, keysOf } from "../composed/faults.ts";
import { filesystemMember, type MemberProcess } from "../composed/members.ts";
import { ComposedProcess, killAndStart } from "../composed/process.ts";

const KILLS = 7;
const PREFIX = "docker/";

function scoped(t: TestContext): Scope {
  const scope = new Scope();
  t.after(scope.close);
  return scope;
}

/** What lies in both members, apart from what is the mirror's own. */
async function assertAlike(scope: Scope, primary: MemberProcess, secondary: MemberProcess): Promise<void> {
  const [one, other] = [connectTo(scope, primary.address), connectTo(scope, secondary.address)];
  await Promise.all([one.channel.described(), other.channel.described()]);
  const keys = await keysOf(one, PREFIX);
  assert.deepEqual(await keysOf(other, PREFIX), keys);
  for (const key of keys) assert.equal(await contentOf(other, key), await contentOf(one, key), key);
}

describe("a mirror under kills", () => {
  for (const mode of ["sync", "behind"] as const) {
    it(`keeps what is acknowledged, and takes nothing back (${mode})`, { timeout: 240_000 }, async (t) => {
      const scope = scoped(t);
      const random = randomOf(seedOf(t));
      const [primary, secondary] = [await filesystemMember(scope), await filesystemMember(scope)];
      const flags = ["--primary", primary.address, "--secondary", secondary.address, "--secondary-writes", mode];
      const mirror = await new ComposedProcess(scope, "mirror", flags).initialise();
      await mirror.start();
      const connection = connectTo(scope, mirror.address);
      await connection.channel.described();
      await compared(mirror);

      const slots = await changeUnderFaults({
        random,
        connection,
        keys: 5,
        faults: () => killAndStart(random, [mirror, primary, secondary], KILLS),
      });

      await mirror.kill();
      await mirror.start();
      await compared(mirror);
      await caughtUp(mirror);
      await checkAll(slots, connection, "by the mirror");
      await assertAlike(scope, primary, secondary);
      // Stopped, not gone: the first who asks waits for a time-out, and nobody longer than that.
      primary.process.signal("SIGSTOP");
      await checkAll(slots, connection, "with the primary stopped");
      primary.process.signal("SIGCONT");
      await primary.kill();
      await checkAll(slots, connection, "by the secondary alone");
      // The same from a mirror that never saw the primary: only one that waited for the secondary each time knows enough.
      await mirror.kill();
      await mirror.start();
      if (mode === "sync") await checkAll(slots, connection, "by the secondary alone, from the start");
      else await assert.rejects(contentOf(connection, slots[0]?.key ?? ""), /not usable/);
    });
  }
});

async function compared(mirror: ComposedProcess): Promise<void> {
  await mirror.process.line((line) => line.includes("the two stores were compared"));
}

/** Nothing is pending: what could still take effect late is over. */
async function caughtUp(mirror: ComposedProcess): Promise<void> {
  const { lines } = mirror.process;
  const isPending = () => lines.some((line) => line.includes("keys are pending from before"));
  const isDone = () => lines.some((line) => line.includes("no key is pending any more"));
  await until(
    () => !isPending() || isDone(),
    60_000,
    () => `keys stay pending: ${mirror.process.tail()}`,
  );
}
