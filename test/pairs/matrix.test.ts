/**
 * Any blob store with any meta store: the same registry, told two addresses, does the same over each pair. skopeo and
 * crane push, pull, copy, list and delete; pages are whole; kill -9 of either driver is not noticed.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { paced, startLoad } from "../helpers/load.ts";
import { type Content, image, seededContent, writeLayout } from "../helpers/oci.ts";
import { type RegistryProcess, ready, startRegistry } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { randomOf, seedOf } from "../helpers/random.ts";
import { tempFolder } from "../helpers/temp.ts";
import { command, missing, tool } from "../helpers/tools.ts";
import { type StoreKind, type StoreName, type StoreProcess, storeKinds } from "./stores.ts";

const MIB = 1024 * 1024;
const KILLS = 4;

const pairs: readonly { readonly blobs: StoreName; readonly meta: StoreName }[] = [
  { blobs: "filesystem", meta: "filesystem" },
  { blobs: "s3", meta: "redis" },
  { blobs: "azure", meta: "dynamodb" },
  { blobs: "gcs", meta: "lmdb" },
  { blobs: "opendal", meta: "bolt" },
  { blobs: "memory", meta: "memory" },
];

for (const pair of pairs) {
  const kinds: readonly StoreKind[] = [storeKinds[pair.blobs], storeKinds[pair.meta]];
  const needs = kinds.flatMap((kind) => kind.needs);
  describe(`a registry on ${pair.blobs} and ${pair.meta}`, { skip: missing("skopeo", "crane", ...needs) }, () => {
    const scope = new Scope();
    let registry: RegistryProcess;
    let stores: readonly StoreProcess[];
    let folder = "";

    before(async () => {
      const blobs = await storeKinds[pair.blobs].start(scope);
      const meta = await storeKinds[pair.meta].start(scope);
      stores = [blobs, meta];
      registry = await startRegistry(scope, { blobs: blobs.address, meta: meta.address });
      folder = tempFolder(scope);
    });
    after(scope.close);

    const skopeo = async (...args: string[]) =>
      (await command(tool("skopeo"), ["--insecure-policy", ...args], { timeoutMs: 120_000 })).stdout;
    const crane = async (...args: string[]) =>
      (await command(tool("crane"), [...args, "--insecure"], { env: { DOCKER_CONFIG: folder } })).stdout.trim();
    const at = (name: string) => `${registry.host}/${name}`;

    it("takes an image from skopeo and gives it back byte for byte", async () => {
      // More than one part of an object store, and less than one.
      const pushed = image({ seed: `${pair.blobs}/skopeo`, layerBytes: [34 * MIB + 11, 1_500_000, 10] });
      const layout = join(folder, "layout");
      writeLayout(layout, pushed.manifest, [pushed]);
      await skopeo("copy", "--dest-tls-verify=false", `oci:${layout}`, `docker://${at("matrix/image:v1")}`);
      const back = join(folder, "back");
      await skopeo("copy", "--src-tls-verify=false", `docker://${at("matrix/image:v1")}`, `dir:${back}`);
      for (const { digest } of pushed.blobs) {
        const hex = digest.slice("sha256:".length);
        assert.ok(readFileSync(join(back, hex)).equals(readFileSync(join(layout, "blobs/sha256", hex))), digest);
      }
      assert.equal(await crane("manifest", at("matrix/image:v1")), pushed.manifest.bytes.toString().trim());
    });

    it("takes an image from crane, copies it to another repository, lists and deletes", async () => {
      const pushed = image({ seed: `${pair.blobs}/crane`, layerBytes: [200_000, 9 * MIB], raw: true });
      const layout = join(folder, "crane");
      writeLayout(layout, pushed.manifest, [pushed]);
      await crane("push", layout, at("matrix/crane:v1"));
      await crane("copy", at("matrix/crane:v1"), at("matrix/other:v1"));
      await crane("tag", at("matrix/other:v1"), "v2");
      await registry.client.pullImage("matrix/other", "v2", pushed);
      assert.deepEqual((await crane("ls", at("matrix/other"))).split("\n"), ["v1", "v2"]);
      assert.deepEqual((await crane("catalog", registry.host)).split("\n"), [
        "matrix/crane",
        "matrix/image",
        "matrix/other",
      ]);
      await crane("delete", `${at("matrix/other")}@${pushed.manifest.digest}`);
      assert.deepEqual(await registry.client.tags("matrix/other"), []);
      await registry.client.pullImage("matrix/crane", "v1", pushed);
      const [layer] = pushed.blobs;
      assert.ok(layer);
      await registry.client.expect(202, "DELETE", `/v2/matrix/other/blobs/${layer.digest}`);
      assert.equal(await registry.client.hasBlob("matrix/other", layer.digest), false);
      assert.equal(await registry.client.hasBlob("matrix/crane", layer.digest), true);
    });

    it("gives tags and repositories in order, in pages that miss and repeat nothing", async () => {
      const pushed = image({ seed: `${pair.blobs}/pages`, layerBytes: [100] });
      const tags = ["1.0", "1.0-alpine", "1.0.1", "2", "A", "_", "a", "a-b", "a.b", "a_b"];
      await registry.client.pushImage("matrix/pages", pushed, ...tags);
      const names = ["pages-a", "pages/a", "pages.a", "pages_a"].map((name) => `matrix/${name}`);
      for (const name of names) await registry.client.pushImage(name, pushed, "t");
      const walk = async (path: string, field: string) => {
        const all: string[] = [];
        for (let next: string | undefined = `${path}?n=3`; next !== undefined; ) {
          const reply = await registry.client.expect(200, "GET", next);
          all.push(...JSON.parse(reply.body.toString())[field]);
          next = /<([^>]+)>;\s*rel="next"/.exec(String(reply.headers["link"] ?? ""))?.[1];
        }
        return all;
      };
      assert.deepEqual(await walk("/v2/matrix/pages/tags/list", "tags"), [...tags].sort());
      const repositories = await walk("/v2/_catalog", "repositories");
      assert.deepEqual(repositories, [...repositories].sort());
      assert.deepEqual(new Set(repositories).size, repositories.length);
      for (const name of ["matrix/pages", ...names]) assert.ok(repositories.includes(name), name);
    });

    if (kinds.every(({ lasting }) => lasting)) {
      it(`loses nothing over ${KILLS} kills -9 of both drivers in the middle of pushes and pulls`, async (t) => {
        const seed = seedOf(t);
        const random = randomOf(seed);
        const { client } = registry;
        const pulled = seededContent(`${seed}/pulled`, 20 * MIB + 3);
        await client.pushBlob("kills/pull", pulled);
        const pushed: Content[] = [];
        const tags: string[] = [];
        let kills = 0;
        let cut = 0;
        const load = startLoad(3, async (number, worker) => {
          const began = kills;
          if (worker === 0) await client.pullBlob("kills/pull", pulled, { bytesPerSecond: 8 * MIB });
          else {
            const content = seededContent(`${seed}/${number}`, random.between(3, 20) * MIB + random.between(0, 999));
            await client.pushBlob("kills/push", content, { body: paced(content.read(), 4 * MIB) });
            pushed.push(content);
            await client.pushImage(
              "kills/push",
              image({ seed: `${seed}/i${number}`, layerBytes: [1000] }),
              `n${number}`,
            );
            tags.push(`n${number}`);
          }
          if (kills > began) cut++;
        });
        while (kills < KILLS) {
          await sleep(random.between(300, 1500));
          await stores[kills % stores.length]?.kill();
          kills++;
        }
        await load.finish();
        t.diagnostic(`${kills} kills, ${load.done} pushes and pulls, ${cut} of them saw a kill`);
        assert.ok(cut >= 2, `only ${cut} pushes and pulls saw a kill`);
        for (const content of pushed) await client.pullBlob("kills/push", content);
        assert.deepEqual(await client.tags("kills/push"), tags.sort());
      });
    } else {
      it("is refused when its driver comes back as a new, empty store: never served as an empty registry", async () => {
        for (const store of stores) await store.kill();
        const { status } = await registry.client.request("GET", "/v2/matrix/image/tags/list");
        assert.equal(status, 503);
        await ready(registry, 503);
      });
    }
  });
}
