/** One root, served in turn by distribution's registry over Outrigger and by Outrigger's own: each sees what the other did. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { launchBridge, startBridge } from "../helpers/bridge.ts";
import { type Image, image, seededContent } from "../helpers/oci.ts";
import { initialiseRoot, startDriver, startRegistry } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import type { RegistryClient } from "../helpers/registry-client.ts";
import { tempFolder } from "../helpers/temp.ts";
import { missing } from "../helpers/tools.ts";

describe("distribution's registry and Outrigger's own, in turn", { skip: missing("bridge-registry") }, () => {
  const scope = new Scope();
  let root: string;
  let blobs: string;
  before(async () => {
    root = tempFolder(scope, "root");
    await initialiseRoot(root);
    ({ address: blobs } = await startDriver(scope, { root }));
  });
  after(scope.close);

  const made = (name: string) => image({ seed: `both/${name}`, layerBytes: [300_000, 5_000] });
  const first = made("first");
  const second = made("second");
  const third = made("third");

  async function throughBridge(work: (client: RegistryClient) => Promise<void>): Promise<void> {
    const { process, client } = await startBridge(scope, { blobs });
    await work(client);
    await process.stop();
  }

  async function throughOutrigger(
    work: (client: RegistryClient) => Promise<void>,
    cores: "one" | "many" = "many",
  ): Promise<void> {
    const { process, client } = await startRegistry(scope, { blobs, cores });
    await work(client);
    await process.stop();
  }

  async function sees(client: RegistryClient, wanted: Record<string, Record<string, Image>>): Promise<void> {
    // distribution orders by component, Outrigger by byte.
    assert.deepEqual((await client.catalog()).sort(), Object.keys(wanted).sort());
    for (const [repository, tags] of Object.entries(wanted)) {
      assert.deepEqual((await client.tags(repository)).sort(), Object.keys(tags).sort(), repository);
      for (const [tag, pushed] of Object.entries(tags)) await client.pullImage(repository, tag, pushed);
    }
  }

  it("Outrigger serves what came through the bridge", async () => {
    await throughBridge(async (client) => {
      await client.pushImage("a/one", first, "v1", "latest");
      await client.pushImage("a-b/two", second, "1.0");
      // distribution keeps it under its sha256 digest, linked from the other one: nothing that Outrigger would stumble over.
      await client.pushBlob("a/one", seededContent("both/sha512", 100_000, "sha512"));
      await sees(client, { "a/one": { v1: first, latest: first }, "a-b/two": { "1.0": second } });
    });
    // Where distribution keeps it, too.
    const [, hex = ""] = first.manifest.digest.split(":");
    assert.ok(existsSync(join(root, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data")));
    assert.ok(existsSync(join(root, "docker/registry/v2/repositories/a/one/_manifests/tags/v1/current/link")));
    await throughOutrigger((client) =>
      sees(client, { "a/one": { v1: first, latest: first }, "a-b/two": { "1.0": second } }),
    );
  });

  it("the bridge serves what came through Outrigger, what it moved and what it deleted", async () => {
    await throughOutrigger(async (client) => {
      await client.pushImage("c/three", third, "v3");
      await client.pushImage("a/one", second, "latest");
      await client.expect(202, "DELETE", "/v2/a-b/two/manifests/1.0");
    }, "one");
    await throughBridge(async (client) => {
      assert.deepEqual((await client.tags("a/one")).sort(), ["latest", "v1"]);
      await client.pullImage("a/one", "latest", second);
      await client.pullImage("a/one", "v1", first);
      await client.pullImage("c/three", "v3", third);
      await client.expect(404, "GET", "/v2/a-b/two/manifests/1.0");
    });
  });

  it("Outrigger notices that the bridge has been there: what it knew is derived anew", async () => {
    await throughBridge(async (client) => {
      await client.pushImage("d/four", first, "new");
      await client.pushImage("c/three", second, "v3");
      await client.expect(202, "DELETE", `/v2/a/one/manifests/${first.manifest.digest}`);
    });
    await throughOutrigger(async (client) => {
      assert.deepEqual(await client.tags("a/one"), ["latest"]);
      assert.deepEqual(await client.tags("d/four"), ["new"]);
      await client.pullImage("d/four", "new", first);
      await client.pullImage("c/three", "v3", second);
      const catalog = await client.catalog();
      assert.ok(catalog.includes("d/four"), catalog.join());
    }, "one");
  });

  it("never both at once, where Outrigger's core has the store alone", async () => {
    const { process } = await startRegistry(scope, { blobs, cores: "one" });
    const refusedBridge = await launchBridge(scope, { blobs });
    assert.equal((await refusedBridge.process.exited).code, 1);
    assert.match(
      refusedBridge.process.tail(),
      /an Outrigger registry with cores: one holds the meta store .* stop it first/,
    );
    // It dies without giving its lease back.
    await process.kill();
    await throughBridge((client) => client.pullImage("d/four", "new", first));
  });
});
