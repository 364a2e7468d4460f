/**
 * The driver is told to end, or exchanged for another process, under load: every request succeeds. Switched to a store
 * with other data, accepted by id: no 5xx and no wrong byte.
 */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Load, startLoad } from "../helpers/load.ts";
import { digestOf, image, seededContent } from "../helpers/oci.ts";
import {
  type DriverProcess,
  initialiseRoot,
  launchConfigured,
  launchDriver,
  listening,
  ready,
  startDriver,
  startPair,
  until,
} from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { randomOf, seedOf } from "../helpers/random.ts";
import { RawClient } from "../helpers/raw-client.ts";
import type { RegistryClient } from "../helpers/registry-client.ts";
import { tempFolder } from "../helpers/temp.ts";

const WORKERS = 50;
const ROUNDS = 6;

/** Pushes and pulls of every kind; each must succeed. */
function pushAndPull(client: RegistryClient, repository: string, seed: number): Load {
  const random = randomOf(seed);
  return startLoad(WORKERS, async (number) => {
    if (random.next() < 0.5) {
      const pushed = image({ seed: `${seed}/${number}`, layerBytes: [random.between(1, 200_000)] });
      await client.pushImage(repository, pushed, `n${number}`);
      await client.pullImage(repository, `n${number}`, pushed);
    } else {
      const content = seededContent(`${seed}/${number}`, random.between(1, 3_000_000));
      await client.pushBlob(repository, content);
      await client.pullBlob(repository, content);
    }
  });
}

async function moreThan(load: Load, count: number): Promise<void> {
  const wanted = load.done + count;
  await until(
    () => load.done >= wanted,
    60_000,
    () => `only ${load.done} of ${wanted} are done`,
  );
}

/** The id of the one store of this kind. */
async function storeId(address: string): Promise<string> {
  const raw = new RawClient(address);
  try {
    const { response } = await raw.call("handshake.Describe", { coreName: "test", coreVersion: "0", apis: {} });
    const stores = response?.["stores"] as { kind: string; id: string }[];
    return stores.find(({ kind }) => kind === "STORE_KIND_BLOB")?.id ?? "";
  } finally {
    raw.close();
  }
}

describe("a driver exchanged under load", () => {
  const scope = new Scope();
  after(scope.close);

  it(`is ended by SIGTERM and started again ${ROUNDS} times, and drops nothing`, async (t) => {
    const seed = seedOf(t);
    const { driver: first, registry, root } = await startPair(scope);
    const load = pushAndPull(registry.client, "exchanged/again", seed);
    let driver: DriverProcess = first;
    for (let round = 0; round < ROUNDS; round++) {
      await moreThan(load, WORKERS);
      // A request bears one restart: it is tried again for 10 s, which two of them may take on a slow machine.
      await load.turnover();
      const started = performance.now();
      driver.process.signal("SIGTERM");
      assert.deepEqual(await driver.process.exited, { code: 0, signal: null }, driver.process.tail());
      const tookMs = performance.now() - started;
      assert.ok(tookMs < 5000, `it took ${Math.round(tookMs)} ms to end`);
      driver = await startDriver(scope, { root, address: driver.address });
    }
    await moreThan(load, WORKERS);
    await load.finish();
    t.diagnostic(`${load.done} pushes and pulls`);
  });

  it(`hands one root over to a second process ${ROUNDS} times at other addresses`, async (t) => {
    const seed = seedOf(t);
    const root = tempFolder(scope, "root");
    await initialiseRoot(root);
    let driver = await startDriver(scope, { root });
    const registry = await launchConfigured(scope, { blobs: { address: driver.address } });
    await ready(registry);
    const load = pushAndPull(registry.client, "exchanged/address", seed);
    for (let round = 0; round < ROUNDS; round++) {
      await moreThan(load, WORKERS);
      // The next one waits for the lock while the last one still serves.
      const next = launchDriver(scope, { root, flags: ["--lock-wait", "60s"] });
      await sleep(300);
      driver.process.signal("SIGTERM");
      assert.deepEqual(await driver.process.exited, { code: 0, signal: null }, driver.process.tail());
      await listening(next.process, next.address);
      await registry.reload({ blobs: { address: next.address } });
      driver = next;
    }
    await moreThan(load, WORKERS);
    await load.finish();
    t.diagnostic(`${load.done} pushes and pulls`);
  });

  it("is switched to a store with other data, accepted by id: no 5xx, no wrong byte", async (t) => {
    const seed = seedOf(t);
    const random = randomOf(seed);
    const stores = await Promise.all(
      [0, 1].map(async (n) => {
        const { driver, registry } = await startPair(scope);
        const tagged = image({ seed: `${seed}/store/${n}`, layerBytes: [50_000] });
        const own = image({ seed: `${seed}/own/${n}`, layerBytes: [100_000] });
        await registry.client.pushImage("switched/image", tagged, "tag");
        await registry.client.pushImage("switched/image", own, `only-${n}`);
        await registry.process.stop();
        return { address: driver.address, id: await storeId(driver.address), tagged, own };
      }),
    );
    const [here, there] = stores;
    assert.ok(here && there && here.id !== there.id);
    const registry = await launchConfigured(scope, { blobs: { address: here.address } });
    await ready(registry);
    const { client } = registry;
    const known = new Set(stores.map(({ tagged }) => tagged.manifest.digest));
    const seen = new Set<string>();
    let between = 0;
    const load = startLoad(16, async (number) => {
      if (random.next() < 0.3) {
        const content = seededContent(`${seed}/${number}`, random.between(1, 2_000_000));
        const location = await client.startUpload("switched/image");
        // Ends on the store it began on; whether the other one has it is not the question.
        const reply = await client.request(
          "PUT",
          `${location}${location.includes("?") ? "&" : "?"}digest=${content.digest}`,
          {
            headers: { "content-length": String(content.sizeBytes), "content-type": "application/octet-stream" },
            body: content.read(),
          },
        );
        assert.ok(reply.status === 201 || reply.status === 404, `${reply.status} ${reply.body}`);
        return;
      }
      const tagged = await client.request("GET", "/v2/switched/image/manifests/tag");
      if (tagged.status === 200) {
        const digest = digestOf(tagged.body);
        assert.ok(known.has(digest) && tagged.headers["docker-content-digest"] === digest, digest);
        seen.add(digest);
      } else {
        // A request that begins on one store and ends on the other may find nothing; that is all it may find.
        assert.equal(tagged.status, 404, tagged.body.toString());
        between++;
      }
      for (const { own } of stores) {
        for (const blob of own.blobs) {
          const reply = await client.request("GET", `/v2/switched/image/blobs/${blob.digest}`);
          assert.ok(reply.status === 200 || reply.status === 404, `${reply.status} ${reply.body}`);
          if (reply.status === 200) assert.deepEqual(reply.body, Buffer.concat([...blob.read()]));
        }
      }
    });
    for (let round = 0; round < ROUNDS; round++) {
      await moreThan(load, 16);
      const target = round % 2 === 0 ? there : here;
      // Without its id it is refused, and the old one stays in use.
      const refused = await registry.reloadRefused({ blobs: { address: target.address } });
      assert.match(refused, /store/);
      await registry.reload({ blobs: { address: target.address, acceptStoreId: target.id } });
    }
    await moreThan(load, 16);
    await load.finish();
    assert.equal(seen.size, 2, "both stores were seen");
    t.diagnostic(`${load.done} requests over two stores, ${between} of them between the two`);
    assert.ok(between < load.done / 10, `${between} of ${load.done} requests fell between the two`);
  });
});
