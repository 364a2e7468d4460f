/** The driver under distribution's registry dies by kill -9 and starts again: its clients do not notice. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { newFile, startBolt } from "../drivers/bolt/bolt.ts";
import { type BridgeRegistry, startBridge } from "../helpers/bridge.ts";
import { paced, startLoad } from "../helpers/load.ts";
import { type Content, image, seededContent, writeLayout } from "../helpers/oci.ts";
import { type DriverProcess, initialiseRoot, startDriver } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { type Random, randomOf, seedOf } from "../helpers/random.ts";
import { tempFolder } from "../helpers/temp.ts";
import { command, missing, tool } from "../helpers/tools.ts";

const KILLS = 6;
const MIB = 1024 * 1024;

interface Victim {
  readonly bridge: BridgeRegistry;
  readonly random: Random;
  readonly seed: number;
  readonly kills: number;
  /** Back once the next process listens. */
  kill(): Promise<void>;
}

async function set(t: TestContext, scope: Scope): Promise<Victim> {
  const seed = seedOf(t);
  const root = tempFolder(scope, "root");
  await initialiseRoot(root);
  let driver: DriverProcess = await startDriver(scope, { root });
  let kills = 0;
  return {
    bridge: await startBridge(scope, { blobs: driver.address }),
    random: randomOf(seed),
    seed,
    get kills() {
      return kills;
    },
    async kill() {
      assert.equal(driver.process.exit, undefined, `the driver ended by itself: ${driver.process.tail()}`);
      await driver.process.kill();
      kills++;
      driver = await startDriver(scope, { root, address: driver.address });
    },
  };
}

describe("distribution's registry while its driver is killed with -9", { skip: missing("bridge-registry") }, () => {
  const scope = new Scope();
  after(scope.close);

  it(`pushes and pulls go on over ${KILLS} kills`, async (t) => {
    const victim = await set(t, scope);
    const { bridge, random, seed } = victim;
    const { client } = bridge;
    const pulled = seededContent(`${seed}/pulled`, 12 * MIB + 3);
    await client.pushBlob("kills/pull", pulled);
    const pushed: Content[] = [];
    const tags: string[] = [];
    let cut = 0;
    const load = startLoad(3, async (number, worker) => {
      const before = victim.kills;
      if (worker === 0) await client.pullBlob("kills/pull", pulled, { bytesPerSecond: 6 * MIB });
      else {
        const content = seededContent(`${seed}/${number}`, random.between(2, 5) * MIB + random.between(0, 999));
        // One request that outlives at least one kill, most of the time.
        await client.pushBlob("kills/push", content, { body: paced(content.read(), 2 * MIB) });
        pushed.push(content);
        const small = image({ seed: `${seed}/image/${number}`, layerBytes: [1000] });
        await client.pushImage("kills/push", small, `n${number}`);
        tags.push(`n${number}`);
      }
      if (victim.kills > before) cut++;
    });
    while (victim.kills < KILLS) {
      await sleep(random.between(50, 500));
      await victim.kill();
    }
    await load.finish();
    t.diagnostic(`${victim.kills} kills, ${load.done} pushes and pulls, ${cut} of them saw a kill`);
    assert.ok(cut >= 2, `only ${cut} pushes and pulls saw a kill`);
    for (const content of pushed) await client.pullBlob("kills/push", content);
    assert.deepEqual((await client.tags("kills/push")).sort(), tags.sort());
  });

  it("survives kills at the end of a push, where it is committed", async (t) => {
    const victim = await set(t, scope);
    const { bridge, random, seed } = victim;
    for (let round = 0; round < 5; round++) {
      const content = seededContent(`${seed}/commit/${round}`, 6 * MIB + round);
      let killing: Promise<void> | undefined;
      function* body() {
        yield* content.read();
        killing = sleep(random.between(0, 60)).then(() => victim.kill());
      }
      await bridge.client.pushBlob("kills/commit", content, { body: body() });
      await killing;
      await bridge.client.pullBlob("kills/commit", content);
    }
    assert.equal(victim.kills, 5);
  });

  it("crane pushes and pulls over a kill each", { skip: missing("crane") }, async (t) => {
    const victim = await set(t, scope);
    const folder = tempFolder(scope);
    const pushed = image({ seed: `${victim.seed}/crane`, layerBytes: [25 * MIB, 9 * MIB, 70_000], raw: true });
    writeLayout(join(folder, "layout"), pushed.manifest, [pushed]);
    const crane = (...args: string[]) => command(tool("crane"), args, { env: { DOCKER_CONFIG: folder } });
    const at = `${victim.bridge.host}/kills/crane:v1`;
    const during = async (work: Promise<unknown>) => {
      const [, ended] = await Promise.allSettled([sleep(victim.random.between(20, 250)).then(victim.kill), work]);
      if (ended.status === "rejected") throw ended.reason;
    };
    await during(crane("push", join(folder, "layout"), at));
    await during(crane("pull", "--format", "oci", at, join(folder, "pulled")));
    assert.equal(victim.kills, 2);
    await victim.bridge.client.pullImage("kills/crane", "v1", pushed);
  });

  it("tags move on over kills of a metadata driver of its own", {
    skip: missing("outrigger-driver-bolt"),
  }, async (t) => {
    const random = randomOf(seedOf(t));
    const file = await newFile(scope);
    let bolt = await startBolt(scope, file);
    const { address: blobs } = await startDriver(scope, { driver: "memory" });
    const { client } = await startBridge(scope, { blobs, meta: bolt.address });
    const images = [0, 1].map((number) => image({ seed: `bolt/${number}`, layerBytes: [1000] }));
    for (const one of images) await client.pushImage("kills/bolt", one);
    const last = new Map<string, string>();
    const load = startLoad(3, async (number, worker) => {
      const { manifest } = images[number % 2] ?? assert.fail();
      await client.putManifest("kills/bolt", `t${worker}`, manifest);
      last.set(`t${worker}`, manifest.digest);
      assert.equal((await client.getManifest("kills/bolt", `t${worker}`)).digest, manifest.digest);
    });
    for (let kills = 0; kills < 4; kills++) {
      await sleep(random.between(50, 400));
      await bolt.process.kill();
      bolt = await startBolt(scope, file);
    }
    await load.finish();
    t.diagnostic(`${load.done} tags were moved`);
    for (const [tag, digest] of last) assert.equal((await client.getManifest("kills/bolt", tag)).digest, digest);
  });
});
