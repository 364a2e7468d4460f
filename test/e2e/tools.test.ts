/** What people use: skopeo and crane push, pull, copy, list, inspect and delete, in both modes of `cores`. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Image, image, index, type Manifest, writeLayout } from "../helpers/oci.ts";
import { type RegistryProcess, startPair } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { command, missing, tool } from "../helpers/tools.ts";

const insecure = "--tls-verify=false";
const architectures = ["amd64", "arm64"] as const;

function platforms(seed: string, format: "oci" | "docker"): Image[] {
  return architectures.map((architecture) =>
    image({ seed: `${seed}/${architecture}`, layerBytes: [300_000, 10], format, architecture }),
  );
}

for (const cores of ["many", "one"] as const) {
  describe(`cores: ${cores}`, () => {
    const scope = new Scope();
    let registry: RegistryProcess;
    let folder: string;
    before(async () => {
      ({ registry } = await startPair(scope, { cores }));
      folder = tempFolder(scope);
    });
    after(scope.close);

    /** A layout in a folder of its own. */
    function layout(name: string, entry: Manifest, images: readonly Image[]): string {
      const path = join(folder, name);
      writeLayout(path, entry, images);
      return path;
    }

    describe("skopeo", { skip: missing("skopeo") }, () => {
      const skopeo = async (...args: string[]) =>
        (await command(tool("skopeo"), ["--insecure-policy", ...args])).stdout;
      const at = (name: string) => `docker://${registry.host}/${name}`;

      for (const format of ["oci", "docker"] as const) {
        it(`pushes and pulls an image in ${format} format, the manifest byte for byte`, async () => {
          const pushed = image({ seed: `skopeo/${format}`, layerBytes: [400_000, 5000, 1], format });
          // skopeo reads OCI layouts as OCI alone; `dir:` would do for Docker. Our own client brings the first copy.
          await registry.client.pushImage(`sk/${format}`, pushed, "first");
          await skopeo(
            "copy",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            at(`sk/${format}:first`),
            at(`sk/${format}-copy:v1`),
          );
          await registry.client.pullImage(`sk/${format}-copy`, "v1", pushed);
          await skopeo(
            "copy",
            "--src-tls-verify=false",
            at(`sk/${format}-copy:v1`),
            `dir:${join(folder, `sk-${format}`)}`,
          );
          assert.deepEqual(readFileSync(join(folder, `sk-${format}`, "manifest.json")), pushed.manifest.bytes);
          for (const blob of pushed.blobs) {
            const bytes = readFileSync(join(folder, `sk-${format}`, blob.digest.slice(7)));
            assert.deepEqual(bytes, Buffer.concat([...blob.read()]));
          }
          const inspected = JSON.parse(await skopeo("inspect", insecure, at(`sk/${format}-copy:v1`)));
          assert.equal(inspected.Digest, pushed.manifest.digest);
          assert.equal(inspected.Labels.seed, `skopeo/${format}`);
        });
      }

      it("pushes from a layout, lists tags, deletes", async () => {
        const pushed = image({ seed: "skopeo/layout", layerBytes: [1_200_000] });
        const source = `oci:${layout("layout", pushed.manifest, [pushed])}`;
        for (const tag of ["b", "a", "1.0"])
          await skopeo("copy", "--dest-tls-verify=false", source, at(`sk/layout:${tag}`));
        const listed = JSON.parse(await skopeo("list-tags", insecure, at("sk/layout")));
        assert.deepEqual(listed.Tags, ["1.0", "a", "b"]);
        await registry.client.pullImage("sk/layout", "a", pushed);
        // skopeo asks for the tag's digest and deletes the manifest, and with it all three tags.
        await skopeo("delete", insecure, at("sk/layout:a"));
        await registry.client.expect(404, "GET", "/v2/sk/layout/manifests/a");
        await registry.client.expect(404, "GET", `/v2/sk/layout/manifests/${pushed.manifest.digest}`);
        assert.deepEqual(await registry.client.tags("sk/layout").catch(() => []), []);
      });

      it("copies a multi-architecture image whole", async () => {
        const images = platforms("skopeo/multi", "oci");
        const entry = index(images, architectures);
        const source = `oci:${layout("multi", entry, images)}`;
        await skopeo("copy", "--all", "--dest-tls-verify=false", source, at("sk/multi:all"));
        assert.deepEqual((await registry.client.getManifest("sk/multi", "all")).bytes, entry.bytes);
        for (const one of images) await registry.client.pullImage("sk/multi", one.manifest.digest, one);
        const raw = await skopeo("inspect", "--raw", insecure, at("sk/multi:all"));
        assert.equal(raw, entry.bytes.toString());
      });
    });

    describe("crane", { skip: missing("crane") }, () => {
      const crane = async (...args: string[]) =>
        (await command(tool("crane"), args, { env: { DOCKER_CONFIG: folder } })).stdout.trim();
      const at = (name: string) => `${registry.host}/${name}`;

      it("pushes, validates, pulls and digests", async () => {
        const pushed = image({ seed: "crane/push", layerBytes: [2_000_000, 40_000] });
        await crane("push", layout("crane", pushed.manifest, [pushed]), at("cr/push:v1"));
        assert.equal(await crane("digest", at("cr/push:v1")), pushed.manifest.digest);
        assert.equal(await crane("manifest", at("cr/push:v1")), pushed.manifest.bytes.toString());
        await crane("validate", "--remote", at("cr/push:v1"));
        const pulled = join(folder, "crane-pulled");
        await crane("pull", "--format", "oci", at("cr/push:v1"), pulled);
        for (const { digest, read } of pushed.blobs) {
          assert.deepEqual(readFileSync(join(pulled, "blobs/sha256", digest.slice(7))), Buffer.concat([...read()]));
        }
      });

      it("copies between repositories, Docker's format and a list too, tags, lists and deletes", async () => {
        const images = platforms("crane/list", "docker");
        const list = index(images, architectures);
        for (const one of images) await registry.client.pushImage("cr/list", one);
        await registry.client.putManifest("cr/list", "all", list);
        await crane("copy", at("cr/list:all"), at("cr/list-copy:all"));
        assert.deepEqual((await registry.client.getManifest("cr/list-copy", "all")).bytes, list.bytes);
        for (const one of images) await registry.client.pullImage("cr/list-copy", one.manifest.digest, one);
        await crane("validate", "--remote", at("cr/list-copy:all"));

        await crane("tag", at("cr/list-copy:all"), "another");
        assert.deepEqual((await crane("ls", at("cr/list-copy"))).split("\n"), ["all", "another"]);
        const catalog = (await crane("catalog", registry.host)).split("\n");
        assert.ok(catalog.includes("cr/list-copy") && catalog.includes("cr/list"), catalog.join());

        await crane("delete", at("cr/list-copy:another"));
        assert.deepEqual((await crane("ls", at("cr/list-copy"))).split("\n"), ["all"]);
      });

      it("copies an image with another architecture chosen", async () => {
        const images = platforms("crane/platform", "oci");
        for (const one of images) await registry.client.pushImage("cr/platform", one);
        await registry.client.putManifest("cr/platform", "all", index(images, architectures));
        assert.equal(
          await crane("digest", "--platform", "linux/arm64", at("cr/platform:all")),
          images[1]?.manifest.digest,
        );
      });
    });
  });
}
