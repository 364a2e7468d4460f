/** A registry whose blobs lie in a folder and whose metadata lies in a bbolt file. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { image, writeLayout } from "../../helpers/oci.ts";
import { initialiseRoot, type RegistryProcess, ready, startDriver, startRegistry } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { command, missing, tool } from "../../helpers/tools.ts";
import { type Bolt, newFile, startBolt } from "./bolt.ts";

describe("a registry with blobs in a folder and metadata in bolt", {
  skip: missing("outrigger-driver-bolt", "skopeo", "crane"),
}, () => {
  const scope = new Scope();
  let registry: RegistryProcess;
  let file: string;
  let bolt: Bolt;
  let folder: string;

  before(async () => {
    const root = tempFolder(scope, "root");
    await initialiseRoot(root);
    file = await newFile(scope);
    bolt = await startBolt(scope, file);
    const blobs = await startDriver(scope, { root });
    registry = await startRegistry(scope, { blobs: blobs.address, meta: bolt.address });
    folder = tempFolder(scope);
  });
  after(scope.close);

  const skopeo = async (...args: string[]) =>
    (await command(tool("skopeo"), ["--insecure-policy", ...args], { timeoutMs: 60_000 })).stdout;
  const at = (name: string) => `docker://${registry.host}/${name}`;

  it("takes an image from skopeo and gives it to crane, byte for byte", async () => {
    const pushed = image({ seed: "bolt/skopeo", layerBytes: [1_500_000, 10] });
    const layout = join(folder, "layout");
    writeLayout(layout, pushed.manifest, [pushed]);
    await skopeo("copy", "--dest-tls-verify=false", `oci:${layout}`, at("bolt/image:v1"));
    const { stdout } = await command(tool("crane"), ["manifest", "--insecure", `${registry.host}/bolt/image:v1`]);
    assert.equal(stdout.trim(), pushed.manifest.bytes.toString().trim());
    const back = join(folder, "back");
    await skopeo("copy", "--src-tls-verify=false", at("bolt/image:v1"), `dir:${back}`);
    for (const blob of pushed.blobs) {
      assert.deepEqual(readFileSync(join(back, blob.digest.slice("sha256:".length))), Buffer.concat([...blob.read()]));
    }
  });

  it("lists, retags and deletes", async () => {
    await skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", at("bolt/image:v1"), at("bolt/image:v2"));
    assert.deepEqual(await registry.client.tags("bolt/image"), ["v1", "v2"]);
    await registry.client.expect(202, "DELETE", "/v2/bolt/image/manifests/v1");
    assert.deepEqual(await registry.client.tags("bolt/image"), ["v2"]);
    assert.deepEqual(await registry.client.catalog(), ["bolt/image"]);
  });

  it("knows every tag that was acknowledged after kill -9 of the driver between pushes", async () => {
    const tags: string[] = [];
    for (let round = 0; round < 5; round++) {
      const pushed = image({ seed: `bolt/killed/${round}`, layerBytes: [1000] });
      await registry.client.pushImage("bolt/killed", pushed, `r${round}`);
      tags.push(`r${round}`);
      await bolt.process.kill();
      bolt = await startBolt(scope, file);
      await ready(registry);
      await registry.client.pullImage("bolt/killed", `r${round}`, pushed);
    }
    assert.deepEqual(await registry.client.tags("bolt/killed"), tags);
  });
});
