/**
 * A root that distribution wrote is served by Outrigger, and the other way round, byte for byte, tags and catalog
 * included: in turn, never both at once.
 */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { type DistributionProgram, startDistribution } from "../helpers/distribution.ts";
import { type Image, image, index, type Manifest } from "../helpers/oci.ts";
import { initialiseRoot, startPair } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import type { RegistryClient } from "../helpers/registry-client.ts";
import { tempFolder } from "../helpers/temp.ts";
import { missing } from "../helpers/tools.ts";

/** What one of the two wrote, as the other must show it. */
class World {
  readonly #images: { repository: string; tag: string; image: Image }[] = [];
  readonly #indexes: { repository: string; tag: string; manifest: Manifest; images: Image[] }[] = [];

  get tags(): Map<string, string[]> {
    const tags = new Map<string, string[]>();
    for (const { repository, tag } of [...this.#images, ...this.#indexes]) {
      tags.set(repository, [...(tags.get(repository) ?? []), tag].sort());
    }
    return tags;
  }

  async push(client: RegistryClient, repository: string, tag: string, pushed: Image): Promise<void> {
    await client.pushImage(repository, pushed, tag);
    this.forget(repository, tag);
    this.#images.push({ repository, tag, image: pushed });
  }

  async pushIndex(client: RegistryClient, repository: string, tag: string, images: Image[]): Promise<void> {
    const manifest = index(images, ["amd64", "arm64"]);
    for (const one of images) await client.pushImage(repository, one);
    await client.putManifest(repository, tag, manifest);
    this.#indexes.push({ repository, tag, manifest, images });
  }

  forget(repository: string, tag: string): void {
    const at = this.#images.findIndex((one) => one.repository === repository && one.tag === tag);
    if (at >= 0) this.#images.splice(at, 1);
  }

  async check(client: RegistryClient): Promise<void> {
    for (const { repository, tag, image } of this.#images) {
      await client.pullImage(repository, tag, image);
      await client.pullImage(repository, image.manifest.digest, image);
    }
    for (const { repository, tag, manifest, images } of this.#indexes) {
      const found = await client.getManifest(repository, tag);
      assert.deepEqual(found.bytes, manifest.bytes);
      assert.equal(found.mediaType, manifest.mediaType);
      for (const one of images) await client.pullImage(repository, one.manifest.digest, one);
    }
    for (const [repository, tags] of this.tags) {
      // docker-registry 2.8 lists them in no order; ours is looked at in the registry's own tests.
      assert.deepEqual((await client.tags(repository)).sort(), tags, repository);
    }
    assert.deepEqual((await client.catalog()).sort(), [...this.tags.keys()].sort());
  }
}

async function fill(client: RegistryClient, name: string): Promise<World> {
  const world = new World();
  const shared = image({ seed: `${name}/shared`, layerBytes: [70_000, 3000] });
  await world.push(client, `${name}/alpine`, "3.20", shared);
  await world.push(client, `${name}/alpine`, "latest", shared);
  await world.push(client, `${name}/alpine`, "3.19", image({ seed: `${name}/old`, layerBytes: [1000] }));
  await world.push(
    client,
    `${name}-deep/a/b_c`,
    "v1.0-rc.1",
    image({ seed: `${name}/deep`, layerBytes: [10, 20, 30] }),
  );
  await world.push(
    client,
    `${name}/docker`,
    "v2s2",
    image({ seed: `${name}/s2`, layerBytes: [5000], format: "docker" }),
  );
  // A tag that moved: its history lies beside it.
  await world.push(client, `${name}/moved`, "tag", image({ seed: `${name}/before`, layerBytes: [11] }));
  await world.push(client, `${name}/moved`, "tag", image({ seed: `${name}/after`, layerBytes: [12] }));
  for (const format of ["oci", "docker"] as const) {
    await world.pushIndex(
      client,
      `${name}/multi`,
      format,
      ["amd64", "arm64"].map((architecture) =>
        image({ seed: `${name}/${format}/${architecture}`, layerBytes: [2000, 1], format, architecture }),
      ),
    );
  }
  return world;
}

for (const program of ["distribution", "docker-registry"] satisfies DistributionProgram[]) {
  describe(`one root, ${program} and Outrigger in turn`, { skip: missing(program) }, () => {
    const scope = new Scope();
    after(scope.close);

    it("serves what the other wrote, adds to it, and is served back", async () => {
      const root = tempFolder(scope, "root");
      const first = await startDistribution(scope, program, root);
      const world = await fill(first.client, "theirs");
      await world.check(first.client);
      await first.process.stop();

      const ours = await startPair(scope, { root });
      await world.check(ours.registry.client);
      // On top of theirs: a tag moved, one deleted, new repositories.
      const { client } = ours.registry;
      await world.push(client, "theirs/moved", "tag", image({ seed: "third", layerBytes: [77] }));
      await client.expect(202, "DELETE", "/v2/theirs/alpine/manifests/3.19");
      world.forget("theirs/alpine", "3.19");
      await world.push(client, "theirs/alpine", "3.21", image({ seed: "3.21", layerBytes: [123, 456] }));
      await world.check(client);
      await ours.registry.process.stop();
      await ours.driver.process.stop();

      const second = await startDistribution(scope, program, root);
      await world.check(second.client);
      // And once more the other way: what they write while we are away is noticed.
      await world.push(second.client, "theirs/late", "v1", image({ seed: "late", layerBytes: [999] }));
      await world.push(second.client, "theirs/moved", "tag", image({ seed: "fourth", layerBytes: [78] }));
      await second.process.stop();

      const again = await startPair(scope, { root });
      await world.check(again.registry.client);
    });

    it("is served what Outrigger wrote into a new root", async () => {
      const root = tempFolder(scope, "root");
      await initialiseRoot(root);
      const ours = await startPair(scope, { root });
      const world = await fill(ours.registry.client, "ours");
      await world.check(ours.registry.client);
      await ours.registry.process.stop();
      await ours.driver.process.stop();

      const theirs = await startDistribution(scope, program, root);
      await world.check(theirs.client);
    });
  });
}
