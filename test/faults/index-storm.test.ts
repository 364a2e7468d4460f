/**
 * Pushes, deletes, moved tags and pulls at once, through two cores, while cores and driver die by kill -9 and start again:
 * the index is right afterwards, to the key, and a core that starts anew tells of exactly what there is.
 */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { openPair } from "../../cli/pair.ts";
import { systemClock } from "../../proto/clock.ts";
import { createRepositories } from "../../registry/repository/index.ts";
import { startLoad } from "../helpers/load.ts";
import { artifact, bytesContent, image, index } from "../helpers/oci.ts";
import {
  initialiseRoot,
  type RegistryProcess,
  runOutrigger,
  startDriver,
  startRegistry,
} from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { randomOf, seedOf } from "../helpers/random.ts";
import { tempFolder } from "../helpers/temp.ts";

const ROUNDS = 4;
const REPOSITORIES = ["storm/a", "storm/b"];

describe("the index after a storm", () => {
  const scope = new Scope();
  after(scope.close);

  it(`is right after ${ROUNDS} rounds of kills`, { timeout: 240_000 }, async (t) => {
    const seed = seedOf(t);
    const random = randomOf(seed);
    const root = tempFolder(scope, "root");
    await initialiseRoot(root);
    let driver = await startDriver(scope, { root });
    const { address } = driver;
    const start = () => startRegistry(scope, { blobs: address, cores: "many" });
    const cores: RegistryProcess[] = [await start(), await start()];
    const images = Array.from({ length: 4 }, (_, at) => image({ seed: `${seed}/${at}`, layerBytes: [500] }));
    const signature = artifact(images[0]?.manifest ?? assert.fail(), "application/x", bytesContent(Buffer.from("s")));
    const list = index(images.slice(0, 2), ["amd64", "arm64"]);
    // Never deleted: an empty repository is the one thing that a crash may leave in the catalog.
    const kept = image({ seed: `${seed}/kept`, layerBytes: [100] });
    for (const name of REPOSITORIES) await cores[0]?.client.pushImage(name, kept, "kept");
    let unlucky = 0;
    const load = startLoad(6, async (number) => {
      const client = (cores[number % 2] ?? assert.fail()).client;
      const name = random.pick(REPOSITORIES);
      const tag = `t${random.between(0, 3)}`;
      const one = random.pick([...images, ...images, signature]);
      try {
        const what = random.next();
        if (what < 0.45) await client.pushImage(name, one, tag);
        else if (what < 0.55) await client.putManifest(name, "list", list);
        else if (what < 0.7) await client.request("GET", `/v2/${name}/manifests/${tag}`);
        else if (what < 0.85) await client.request("DELETE", `/v2/${name}/manifests/${tag}`);
        else await client.request("DELETE", `/v2/${name}/manifests/${one.manifest.digest}`);
      } catch {
        // Its core was killed, or the driver stayed away for too long, or a blob was not there any more.
        unlucky += 1;
        await sleep(20);
      }
    });
    for (let round = 0; round < ROUNDS; round += 1) {
      await sleep(random.between(100, 500));
      const victim = random.between(0, 2);
      const core = cores[victim];
      if (core === undefined) {
        await driver.process.kill();
        driver = await startDriver(scope, { root, address });
      } else {
        await core.process.kill();
        cores[victim] = await start();
      }
    }
    await load.finish();
    t.diagnostic(`${load.done} things done, ${unlucky} of them cut short`);
    assert.ok(load.done - unlucky >= ROUNDS, `only ${load.done - unlucky} of ${load.done} things succeeded`);
    // What they counted is in the store at their end.
    for (const { process } of cores) assert.equal((await process.stop()).code, 0);

    // Fails, with what is wrong, where anything is.
    const { links, ...report } = JSON.parse(
      (await runOutrigger(["index", "verify", "--blobs", address, "--json"])).stdout,
    );
    assert.deepEqual(report, { missing: 0, wrong: 0, stale: 0, withoutBytes: 0, problems: [] });
    assert.ok(links > 0);
    const stores = await openPair({ blobs: { address }, meta: { address } }, "outrigger-test");
    const fresh = createRepositories({ stores, mode: "many", clock: systemClock, log: pino({ level: "silent" }) });
    try {
      await fresh.start();
      const context = { requestId: "test", signal: new AbortController().signal };
      const view = await fresh.search.view(context);
      let downloads = 0;
      for (const repository of view.repositories("name")) {
        const { name } = repository;
        const tags = [...repository.tags()].map(({ tag }) => tag);
        assert.deepEqual(tags, (await fresh.listTags(name, { last: "", limit: 100 }, context))?.names);
        downloads += repository.downloads;
      }
      assert.deepEqual(
        [...view.repositories("name")].map(({ name }) => name),
        REPOSITORIES,
      );
      t.diagnostic(`${downloads} pulls counted`);
    } finally {
      await fresh.close();
      await stores.close();
    }
  });
});
