/** A core that dies or is told to end leaves nothing half-visible, and its uploads go on through another core. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { paced, startLoad } from "../helpers/load.ts";
import type { Content } from "../helpers/oci.ts";
import { image, seededContent } from "../helpers/oci.ts";
import {
  type DriverProcess,
  initialiseRoot,
  type RegistryProcess,
  startDriver,
  startRegistry,
  until,
} from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { locationOf, type RegistryClient, type Reply, withDigest } from "../helpers/registry-client.ts";
import { tempFolder } from "../helpers/temp.ts";

const MIB = 1024 * 1024;
const octets = { "content-type": "application/octet-stream" };

describe("two cores on one driver", () => {
  const scope = new Scope();
  let driver: DriverProcess;
  let survivor: RegistryProcess;
  before(async () => {
    const root = tempFolder(scope, "root");
    await initialiseRoot(root);
    driver = await startDriver(scope, { root });
    survivor = await startRegistry(scope, { blobs: driver.address });
  });
  after(scope.close);

  /** The offset the other core tells, above `atLeast`. */
  async function resume(
    client: RegistryClient,
    repository: string,
    location: string,
    content: Content,
  ): Promise<number> {
    assert.equal(await client.hasBlob(repository, content.digest), false, "half of a blob is visible");
    let state = await client.expect(204, "GET", location);
    let from = offsetOf(state);
    // The driver persists what it has as soon as it notices that the core has gone.
    await until(
      async () => {
        state = await client.expect(204, "GET", location);
        from = offsetOf(state);
        return from > 0;
      },
      5000,
      () => "nothing of the upload was kept",
    );
    assert.ok(from < content.sizeBytes, `${from} bytes are there of an upload that was cut off`);
    await client.expect(201, "PUT", withDigest(locationOf(state), content.digest), {
      headers: {
        ...octets,
        "content-range": `${from}-${content.sizeBytes - 1}`,
        "content-length": String(content.sizeBytes - from),
      },
      body: content.read(from),
    });
    await client.pullBlob(repository, content);
    return from;
  }

  it("takes over the uploads of a core that was killed", async (t) => {
    const froms: number[] = [];
    for (let round = 0; round < 3; round++) {
      const victim = await startRegistry(scope, { blobs: driver.address });
      const content = seededContent(`killed/${round}`, 24 * MIB);
      const location = await victim.client.startUpload("ended/killed");
      const upload = victim.client.request("PATCH", location, {
        headers: { ...octets, "content-length": String(content.sizeBytes) },
        body: paced(content.read(), 8 * MIB),
      });
      upload.catch(() => {}); // its core is about to die
      await new Promise((resolve) => setTimeout(resolve, 1500 + round * 400));
      await victim.process.kill();
      await assert.rejects(upload);
      froms.push(await resume(survivor.client, "ended/killed", location, content));
    }
    t.diagnostic(`went on from ${froms.join(", ")} bytes`);
  });

  it("ends short requests normally on SIGTERM and leaves longer uploads to another core", async (t) => {
    const leaving = await startRegistry(scope, { blobs: driver.address });
    const pushed = image({ seed: "leaving", layerBytes: [1000] });
    await leaving.client.pushImage("ended/leaving", pushed, "tag");
    const big = seededContent("leaving/big", 16 * MIB);
    await leaving.client.pushBlob("ended/leaving", big);

    // Three things under way: a pull and a push of some seconds, and an upload of minutes.
    const pull = leaving.client.pullBlob("ended/leaving", big, { bytesPerSecond: 4 * MIB });
    const shortPush = seededContent("leaving/short", 8 * MIB);
    const push = leaving.client.pushBlob("ended/leaving", shortPush, { body: paced(shortPush.read(), 2 * MIB) });
    const long = seededContent("leaving/long", 64 * MIB);
    const location = await leaving.client.startUpload("ended/leaving");
    const upload = leaving.client
      .request("PATCH", location, {
        headers: { ...octets, "content-length": String(long.sizeBytes) },
        body: paced(long.read(), MIB),
        timeoutMs: 120_000,
      })
      .then(
        (reply) => `${reply.status}`,
        () => "cut",
      );
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const started = performance.now();
    leaving.process.signal("SIGTERM");

    await pull;
    await push;
    const exit = await leaving.process.exited;
    const tookMs = performance.now() - started;
    assert.deepEqual(exit, { code: 0, signal: null }, leaving.process.tail());
    assert.ok(tookMs < 35_000, `it took ${Math.round(tookMs)} ms to end`);
    const outcome = await upload;
    assert.ok(["503", "cut"].includes(outcome), `the long upload was answered ${outcome}`);
    t.diagnostic(`ended in ${Math.round(tookMs)} ms; the long upload was answered ${outcome}`);
    await survivor.client.pullBlob("ended/leaving", shortPush);
    await resume(survivor.client, "ended/leaving", location, long);
  });

  it("drops no request when one of them is told to end under load", async () => {
    const leaving = await startRegistry(scope, { blobs: driver.address });
    let target = leaving.client;
    const load = startLoad(8, async (number) => {
      const content = seededContent(`load/${number}`, 1_000_000);
      const location = await target.startUpload("ended/load");
      await target.expect(201, "PUT", withDigest(location, content.digest), {
        headers: { ...octets, "content-length": String(content.sizeBytes) },
        body: paced(content.read(), MIB),
      });
      await target.pullBlob("ended/load", content);
    });
    await until(
      () => load.done >= 16,
      30_000,
      () => `only ${load.done} pushes`,
    );
    // What a load balancer does: new requests go elsewhere, then the process is told to end.
    target = survivor.client;
    await new Promise((resolve) => setTimeout(resolve, 100));
    leaving.process.signal("SIGTERM");
    assert.deepEqual(await leaving.process.exited, { code: 0, signal: null });
    await load.finish();
  });
});

/** How much of an upload is there; "0-0" is how registries say that they have nothing. */
function offsetOf({ headers: { range } }: Reply): number {
  return range === "0-0" ? 0 : Number(String(range).split("-")[1]) + 1;
}
