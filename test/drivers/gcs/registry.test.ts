/** A registry with its blobs on fake-gcs-server, over kills of the driver, and over a server that stands still or dies. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { paced } from "../../helpers/load.ts";
import { image, seededContent, writeLayout } from "../../helpers/oci.ts";
import {
  type DriverProcess,
  initialiseRoot,
  type RegistryProcess,
  runOutrigger,
  startDriver,
  startRegistry,
} from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { randomOf, seedOf } from "../../helpers/random.ts";
import { freePort, tempFolder } from "../../helpers/temp.ts";
import { command, missing, tool } from "../../helpers/tools.ts";
import { startConditions } from "./conditions.ts";
import { flagsFor, initialise, makeBucket, namesIn, type Server, startGcs, startServer } from "./gcs.ts";

const MIB = 1024 * 1024;
const KILLS = 4;

describe("a registry with its blobs in Cloud Storage", {
  skip: missing("fake-gcs-server", "gcs-sdk", "skopeo", "crane"),
}, () => {
  const scope = new Scope();
  let server: Server;
  let flags: readonly string[];
  let blobs: DriverProcess;
  let registry: RegistryProcess;

  before(async () => {
    server = await startServer(scope, "filesystem");
    flags = flagsFor((await startConditions(scope, server.address)).address);
    await initialise(flags);
    blobs = await startGcs(scope, flags);
    const root = tempFolder(scope, "root");
    await initialiseRoot(root);
    const meta = await startDriver(scope, { root });
    registry = await startRegistry(scope, { blobs: blobs.address, meta: meta.address });
  });
  after(scope.close);

  /** Everything of the driver's own that is still there. */
  const left = async () => (await namesIn(server.address, "!outrigger/")).filter((name) => !name.endsWith("/store"));

  it("takes an image from skopeo, gives it to crane byte for byte, and leaves nothing of the uploads", async () => {
    const folder = tempFolder(scope);
    const pushed = image({ seed: "gcs/skopeo", layerBytes: [34 * MIB + 7, 1_500_000, 10] });
    const layout = join(folder, "layout");
    writeLayout(layout, pushed.manifest, [pushed]);
    const skopeo = (...args: string[]) =>
      command(tool("skopeo"), ["--insecure-policy", ...args], { timeoutMs: 60_000 });
    const place = `docker://${registry.host}/gcs/image:v1`;
    await skopeo("copy", "--dest-tls-verify=false", `oci:${layout}`, place);
    const { stdout } = await command(tool("crane"), ["manifest", "--insecure", `${registry.host}/gcs/image:v1`]);
    assert.equal(stdout.trim(), pushed.manifest.bytes.toString().trim());
    const back = join(folder, "back");
    await skopeo("copy", "--src-tls-verify=false", place, `dir:${back}`);
    for (const { digest } of pushed.blobs) {
      const hex = digest.slice("sha256:".length);
      assert.ok(readFileSync(join(back, hex)).equals(readFileSync(join(layout, "blobs/sha256", hex))), digest);
    }
    assert.deepEqual(await left(), []);
  });

  it("deletes what it is told to", async () => {
    const pushed = image({ seed: "gcs/deleted", layerBytes: [200_000] });
    await registry.client.pushImage("gcs/deleted", pushed, "v1");
    await command(tool("crane"), ["delete", "--insecure", `${registry.host}/gcs/deleted@${pushed.manifest.digest}`]);
    assert.deepEqual(await registry.client.tags("gcs/deleted"), []);
    const [layer] = pushed.blobs;
    assert.ok(layer);
    await registry.client.expect(202, "DELETE", `/v2/gcs/deleted/blobs/${layer.digest}`);
    assert.equal(await registry.client.hasBlob("gcs/deleted", layer.digest), false);
  });

  it(`gives a push back whole that saw ${KILLS} kills of the driver`, { timeout: 120_000 }, async (t) => {
    const seed = seedOf(t);
    const random = randomOf(seed);
    const content = seededContent(`gcs/${seed}`, 40 * MIB + random.between(0, 999));
    const pushing = registry.client.pushBlob("gcs/killed", content, { body: paced(content.read(), 3 * MIB) });
    for (let kill = 0; kill < KILLS; kill++) {
      // Long enough for the core to be there again: it waits up to 2 s between two tries.
      await sleep(random.between(1500, 2500));
      await blobs.process.kill();
      blobs = await startGcs(scope, flags, { address: blobs.address });
    }
    await pushing;
    await registry.client.pullBlob("gcs/killed", content);
    assert.deepEqual(await left(), []);
  });

  it("does not notice that the server stands still, or dies by kill -9 and comes back", {
    timeout: 120_000,
  }, async () => {
    const content = seededContent("gcs/stopped", 30 * MIB + 5);
    const pushing = registry.client.pushBlob("gcs/stopped", content, { body: paced(content.read(), 4 * MIB) });
    await sleep(1500);
    server.process.signal("SIGSTOP");
    await sleep(2500);
    server.process.signal("SIGCONT");
    await sleep(1000);
    await server.process.kill();
    server = await server.restart();
    await pushing;
    await registry.client.pullBlob("gcs/stopped", content);
  });
});

describe("the gcs driver that cannot start", { skip: missing("fake-gcs-server", "gcs-sdk") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("says in a sentence what to change", { timeout: 120_000 }, async () => {
    const server = await startServer(scope);
    const proxy = await startConditions(scope, server.address);
    const start = (...flags: string[]) =>
      runOutrigger(["driver", "gcs", "--listen", `unix://${join(tempFolder(scope), "d.sock")}`, ...flags]);
    await assert.rejects(start(...flagsFor(proxy.address)), /is empty.*--init/);
    await initialise(flagsFor(proxy.address));
    await makeBucket(server.address, "other");
    const nobody = `127.0.0.1:${await freePort()}`;
    for (const [flags, sentence] of [
      [
        ["--bucket", "absent", "--api-endpoint", `http://${proxy.address}`, "--anonymous"],
        /there is no bucket absent at/,
      ],
      [["--bucket", "gs://blobs", "--anonymous"], /bucket: must be a bucket's name alone/],
      [["--bucket", "blobs", "--api-endpoint", `http://${nobody}`, "--anonymous"], /cannot be reached/],
      [["--bucket", "blobs", "--key-file", "/nonexistent.json"], /--key-file names a file that cannot be read/],
      [["--bucket", "blobs", "--key-file", "/nonexistent.json", "--anonymous"], /anonymous: and keyFile exclude/],
      [flagsFor(proxy.address, "--upload-ttl", "1h"), /uploadTtl: must be at least 24h/],
    ] as const) {
      await assert.rejects(start(...flags), sentence, flags.join(" "));
    }
    proxy.bucket = { retentionPolicy: { retentionPeriod: "86400" } };
    await assert.rejects(start(...flagsFor(proxy.address)), /has a retention policy.*--clear-retention-period/);
    proxy.bucket = { defaultEventBasedHold: true };
    await assert.rejects(start(...flagsFor(proxy.address)), /--no-default-event-based-hold/);
    proxy.bucket = {};
    proxy.authorization = /^Bearer right$/;
    await assert.rejects(start(...flagsFor(proxy.address)), /is not open to everybody.*--key-file/);
  });
});
