/** A registry with its blobs in Azurite, over kills of the driver, and over an account that stops, restarts and throttles. */
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "../../../drivers/azure/client.ts";
import { HttpFaults } from "../../helpers/http-faults.ts";
import { paced } from "../../helpers/load.ts";
import { type Content, image, seededContent, writeLayout } from "../../helpers/oci.ts";
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
import { tempFolder } from "../../helpers/temp.ts";
import { command, missing, tool } from "../../helpers/tools.ts";
import { type AzureStore, azureStore, startAzure } from "./azure.ts";
import { type Azurite, account, accountKey, clientOf, databaseOf, startAzurite } from "./azurite.ts";

const MIB = 1024 * 1024;
const KILLS = 4;
const skip = missing("azurite", "azure-sdk", "skopeo", "crane");

describe("a registry with its blobs in Azure", { skip }, () => {
  const scope = new Scope();
  let azurite: Azurite;
  let faults: HttpFaults;
  let store: AzureStore;
  let container: Client["container"];
  let blobs: DriverProcess;
  let registry: RegistryProcess;

  before(async () => {
    azurite = await startAzurite(scope);
    faults = await HttpFaults.start(scope, azurite.address);
    store = await azureStore(azurite, `http://${faults.address}/${account}`);
    container = (await clientOf(azurite.endpoint, store.container)).container;
    blobs = await startAzure(scope, store);
    const root = tempFolder(scope, "root");
    await initialiseRoot(root);
    const meta = await startDriver(scope, { root });
    registry = await startRegistry(scope, { blobs: blobs.address, meta: meta.address });
  });
  afterEach(() => faults.clear());
  after(scope.close);

  /** Everything of the driver's own that is still there, blocks that wait among it. */
  async function left(): Promise<string[]> {
    const names: string[] = [];
    for await (const { name } of container.listBlobsFlat({ prefix: "!", includeUncommitedBlobs: true }))
      names.push(name);
    return names.filter((name) => name !== "!outrigger/store");
  }

  async function isThere(name: string, content: Content): Promise<void> {
    await registry.client.pullBlob(name, content);
  }

  it("takes an image from skopeo, gives it to crane byte for byte, and leaves nothing of the uploads", async () => {
    const folder = tempFolder(scope);
    const pushed = image({ seed: "azure/skopeo", layerBytes: [34 * MIB + 7, 1_500_000, 10] });
    const layout = join(folder, "layout");
    writeLayout(layout, pushed.manifest, [pushed]);
    const skopeo = (...args: string[]) =>
      command(tool("skopeo"), ["--insecure-policy", ...args], { timeoutMs: 60_000 });
    const place = `docker://${registry.host}/azure/image:v1`;
    await skopeo("copy", "--dest-tls-verify=false", `oci:${layout}`, place);
    const { stdout } = await command(tool("crane"), ["manifest", "--insecure", `${registry.host}/azure/image:v1`]);
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
    const pushed = image({ seed: "azure/deleted", layerBytes: [200_000] });
    await registry.client.pushImage("azure/deleted", pushed, "v1");
    await command(tool("crane"), ["delete", "--insecure", `${registry.host}/azure/deleted@${pushed.manifest.digest}`]);
    assert.deepEqual(await registry.client.tags("azure/deleted"), []);
    const [layer] = pushed.blobs;
    assert.ok(layer);
    await registry.client.expect(202, "DELETE", `/v2/azure/deleted/blobs/${layer.digest}`);
    assert.equal(await registry.client.hasBlob("azure/deleted", layer.digest), false);
  });

  it(`gives a push back whole that saw ${KILLS} kills of the driver`, { timeout: 120_000 }, async (t) => {
    const seed = seedOf(t);
    const random = randomOf(seed);
    const content = seededContent(`azure/${seed}`, 40 * MIB + random.between(0, 999));
    // Thirteen seconds and more, in which the driver dies again and again.
    const pushing = registry.client.pushBlob("azure/killed", content, { body: paced(content.read(), 3 * MIB) });
    for (let kill = 0; kill < KILLS; kill++) {
      // Long enough for the core to be there again: it waits up to 2 s between two tries.
      await sleep(random.between(1500, 2500));
      await blobs.process.kill();
      blobs = await startAzure(scope, store, { address: blobs.address });
    }
    await pushing;
    await isThere("azure/killed", content);
    assert.deepEqual(await left(), []);
  });

  it("does not notice that the account stands still for a while, and then begins anew", {
    timeout: 120_000,
  }, async () => {
    const content = seededContent("azure/stopped", 30 * MIB + 5);
    const pushing = registry.client.pushBlob("azure/stopped", content, { body: paced(content.read(), 4 * MIB) });
    await sleep(1500);
    azurite.process.signal("SIGSTOP");
    await sleep(2500);
    azurite.process.signal("SIGCONT");
    await sleep(1000);
    // It writes down what it knows when it is told to end, and only then.
    await azurite.process.stop();
    azurite = await startAzurite(scope, { location: azurite.location, port: Number(azurite.address.split(":")[1]) });
    await pushing;
    await isThere("azure/stopped", content);
    assert.deepEqual(await left(), []);
  });

  it("is whole after the account was killed -9, also in the middle of a push", { timeout: 120_000 }, async (t) => {
    const whole = seededContent("azure/crashed/whole", 10 * MIB + 1);
    await registry.client.pushBlob("azure/crashed", whole);
    const done = Date.now();
    // Azurite acknowledges from memory, and writes what it knows every five seconds: not what Azure does.
    while (statSync(databaseOf(azurite)).mtimeMs <= done) await sleep(200);
    const cut = seededContent("azure/crashed/cut", 20 * MIB + 1);
    const pushing = registry.client
      .pushBlob("azure/crashed", cut, { body: paced(cut.read(), 5 * MIB) })
      .catch((error: unknown) => error);
    await sleep(2000);
    await azurite.process.kill();
    azurite = await startAzurite(scope, { location: azurite.location, port: Number(azurite.address.split(":")[1]) });
    // It has forgotten the push's beginning, or not: then it fails in words, and once more is well.
    t.diagnostic(`the push that was cut: ${await pushing}`);
    await registry.client.pushBlob("azure/crashed", cut);
    for (const content of [whole, cut]) await isThere("azure/crashed", content);
  });

  it("is slower, not wrong, where the account throttles and loses answers", { timeout: 120_000 }, async () => {
    // Of an upload that the account forgot: the sweep's business, days later.
    const before = await left();
    const busy = {
      status: 503,
      headers: { "content-type": "application/xml", "x-ms-error-code": "ServerBusy", "x-ms-request-id": "of-the-test" },
    };
    const rules = [
      faults.add({ method: "PUT", path: /comp=block&/, times: 2 }, { answer: busy }),
      faults.add({ method: "PUT", path: /comp=block&/, skip: 3, times: 2 }, "cut-after"),
      faults.add({ method: "PUT", path: /comp=blocklist/, times: 1 }, "cut-after"),
      // Of an upload's state, which is put three times at least: the second time, and then again.
      faults.add({ method: "PUT", path: /uploads/, skip: 1, times: 1 }, "cut-after"),
      faults.add({ method: "PUT", path: /uploads/, skip: 1, times: 1 }, { answer: busy }),
      faults.add({ method: "PUT", headers: { "x-ms-copy-source": /./ }, times: 1 }, "cut-after"),
      faults.add({ method: "GET", skip: 2, times: 1 }, { cutAnswerAtBytes: 10 }),
    ];
    const pushed = image({ seed: "azure/throttled", layerBytes: [60 * MIB + 3] });
    await registry.client.pushImage("azure/throttled", pushed, "v1");
    await registry.client.pullImage("azure/throttled", "v1", pushed);
    assert.ok(
      rules.every(({ struck }) => struck > 0),
      `struck ${rules.map(({ struck }) => struck)}`,
    );
    assert.deepEqual(await left(), before);
  });

  it("keeps secrets out of what it says", async () => {
    const sasOf = encodeURIComponent(accountKey);
    for (const line of [...blobs.process.lines, ...registry.process.lines]) {
      assert.ok(!line.includes(accountKey) && !line.includes(sasOf) && !/[?&]sig=[^R]/.test(line), line);
    }
  });
});

describe("the azure driver that cannot start", { skip: missing("azurite", "azure-sdk") }, () => {
  const scope = new Scope();
  let azurite: Azurite;
  before(async () => {
    azurite = await startAzurite(scope);
  });
  after(scope.close);

  const start = (env: Readonly<Record<string, string>>) =>
    runOutrigger(["driver", "azure", "--listen", `unix://${join(tempFolder(scope), "d.sock")}`], { env });

  it("says in a sentence what to change", async () => {
    const { container: name } = await azureStore(azurite);
    const right = {
      OUTRIGGER_ACCOUNT: account,
      OUTRIGGER_ACCOUNT_KEY: accountKey,
      OUTRIGGER_ENDPOINT: azurite.endpoint,
      OUTRIGGER_CONTAINER: name,
    };
    const { container: empty } = await clientOf(azurite.endpoint, "empty");
    await empty.create();
    for (const [env, sentence] of [
      [{ OUTRIGGER_CONTAINER: "empty" }, /is empty.*--init/],
      [{ OUTRIGGER_CONTAINER: "absent" }, /there is no container absent/],
      [{ OUTRIGGER_ACCOUNT_KEY: Buffer.alloc(64).toString("base64") }, /--account-key is not a key of that account/],
      [{ OUTRIGGER_ACCOUNT_KEY: "secret!" }, /accountKey: is not an account key/],
      [{ OUTRIGGER_SAS_TOKEN: "?sig=x" }, /sasToken: stands beside --account-key/],
      [{ OUTRIGGER_REQUEST_TIMEOUT: "10ms" }, /requestTimeout: must be at least 1s/],
      [{ OUTRIGGER_PREFIX: "a//b" }, /prefix: must be a path/],
    ] as const) {
      await assert.rejects(start({ ...right, ...env }), (error: Error) => {
        assert.match(error.message, sentence);
        assert.ok(!error.message.includes("secret!") && !error.message.includes(accountKey));
        return true;
      });
    }
  });
});
