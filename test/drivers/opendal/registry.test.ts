/** A registry whose blobs lie behind OpenDAL and whose metadata lies beside them in the filesystem driver. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { paced } from "../../helpers/load.ts";
import { image, seededContent, writeLayout } from "../../helpers/oci.ts";
import {
  type DriverProcess,
  initialiseRoot,
  type RegistryProcess,
  startDriver,
  startRegistry,
} from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { randomOf, seedOf } from "../../helpers/random.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { command, missing, tool } from "../../helpers/tools.ts";
import { bucketStore, folderStore, type OpendalStore, startOpendal } from "./opendal.ts";

const MIB = 1024 * 1024;
const KILLS = 4;

for (const [service, makeStore, needed] of [
  ["fs", folderStore, []],
  ["s3", bucketStore, ["versitygw"]],
] as const) {
  describe(`a registry with its blobs on OpenDAL's ${service}`, {
    skip: missing("opendal-python", "skopeo", "crane", ...needed),
  }, () => {
    const scope = new Scope();
    let store: OpendalStore;
    let blobs: DriverProcess;
    let registry: RegistryProcess;

    before(async () => {
      store = await makeStore(scope);
      blobs = await startOpendal(scope, store);
      const root = tempFolder(scope, "root");
      await initialiseRoot(root);
      const meta = await startDriver(scope, { root });
      registry = await startRegistry(scope, { blobs: blobs.address, meta: meta.address });
    });
    after(scope.close);

    it("takes an image from skopeo and gives it to crane, byte for byte", async () => {
      const folder = tempFolder(scope);
      // The larger one is of several parts, and put together from them.
      const pushed = image({ seed: `opendal/${service}`, layerBytes: [18 * MIB + 7, 10] });
      const layout = join(folder, "layout");
      writeLayout(layout, pushed.manifest, [pushed]);
      const skopeo = (...args: string[]) =>
        command(tool("skopeo"), ["--insecure-policy", ...args], { timeoutMs: 60_000 });
      const place = `docker://${registry.host}/opendal/image:v1`;
      await skopeo("copy", "--dest-tls-verify=false", `oci:${layout}`, place);
      const { stdout } = await command(tool("crane"), ["manifest", "--insecure", `${registry.host}/opendal/image:v1`]);
      assert.equal(stdout.trim(), pushed.manifest.bytes.toString().trim());
      const back = join(folder, "back");
      await skopeo("copy", "--src-tls-verify=false", place, `dir:${back}`);
      for (const { digest, read } of pushed.blobs) {
        const came = readFileSync(join(back, digest.slice("sha256:".length)));
        assert.ok(came.equals(Buffer.concat([...read()])), digest);
      }
    });

    it(`gives a push back whole that saw ${KILLS} kills of the driver`, async (t) => {
      const seed = seedOf(t);
      const random = randomOf(seed);
      const content = seededContent(`opendal/${seed}`, 24 * MIB + random.between(0, 999));
      // 4 MiB/s: six seconds, in which the driver dies again and again.
      const pushing = registry.client.pushBlob("opendal/killed", content, { body: paced(content.read(), 4 * MIB) });
      for (let kill = 0; kill < KILLS; kill++) {
        await sleep(random.between(300, 900));
        await blobs.process.kill();
        blobs = await startOpendal(scope, store, { address: blobs.address });
      }
      await pushing;
      const reply = await registry.client.request("HEAD", `/v2/opendal/killed/blobs/${content.digest}`);
      assert.equal(reply.status, 200);
      const small = image({ seed: `opendal/${seed}/small`, layerBytes: [1000] });
      await registry.client.pushImage("opendal/killed", small, "v1");
      await registry.client.pullImage("opendal/killed", "v1", small);
      if ("root" in store) assert.deepEqual(uploadsLeft(String(store.root)), []);
    });
  });
}

function uploadsLeft(root: string): string[] {
  try {
    return readdirSync(join(root, "!outrigger/uploads"));
  } catch {
    return [];
  }
}
