/** docs/guides/backup.md, run as it stands there by one shell; what it restores serves every tag byte for byte. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, it } from "node:test";
import { blobKey } from "../../registry/repository/keys.ts";
import { outrigger } from "../cli/cli.ts";
import { missingLine, type Step, stepsOf } from "../guides/guide.ts";
import { compiledCommand } from "../helpers/compiled.ts";
import { artifact, bytesContent, type Image, image, index, type Manifest } from "../helpers/oci.ts";
import { initialiseRoot, startDriver, startRegistry } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { RegistryClient } from "../helpers/registry-client.ts";
import { freePort, tempFolder } from "../helpers/temp.ts";
import { command, missing, repository, tool } from "../helpers/tools.ts";
import { Shell } from "./move-guide.ts";

const GUIDE = "docs/guides/backup.md";
const BLOCK_MS = 120_000;

const scope = new Scope();
after(scope.close);

it(`${GUIDE} ends with a registry that has everything`, {
  timeout: 600_000,
  skip: missing("skopeo", "crane"),
}, async (t) => {
  const folder = tempFolder(scope, "bk");
  const [run, srv] = [join(folder, "r"), join(folder, "s")];
  for (const name of [run, join(srv, "own")]) mkdirSync(name, { recursive: true });
  const ports = [await freePort(), await freePort()] as const;
  const rewrite = (text: string) =>
    text
      .replaceAll("/run/outrigger", run)
      .replaceAll("/srv/", `${srv}/`)
      .replaceAll("127.0.0.1:5000", `127.0.0.1:${ports[0]}`)
      .replaceAll("127.0.0.1:5001", `127.0.0.1:${ports[1]}`);

  await initialiseRoot(join(srv, "own"));
  const address = `unix://${join(run, "driver.sock")}`;
  const driver = await startDriver(scope, { root: join(srv, "own"), address });
  const registry = await startRegistry(scope, { blobs: address, port: ports[0] });
  const { client } = registry;
  const pushed = await fill(client);

  const shell = new Shell(scope, join(folder, "e"), {}, await compiledCommand(scope));
  scope.defer(() => {
    for (const name of ["backup", "backup-registry", "restored", "registry"]) end(join(run, `${name}.pid`));
  });
  const follow = async (steps: readonly Step[]) => {
    for (const step of steps) {
      if (step.kind === "left") t.diagnostic(`${GUIDE}:${step.line} is left out: ${step.why}`);
      if (step.kind !== "run") continue;
      const begun = performance.now();
      const output = await shell.run(rewrite(step.script), BLOCK_MS);
      const absent = missingLine(output, step.prints);
      assert.equal(absent, undefined, `${GUIDE}:${step.line} does not print it but\n${output}`);
      t.diagnostic(`${GUIDE}:${step.line} took ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    }
  };
  const page = readFileSync(join(repository, GUIDE), "utf8");
  const disaster = page.split("\n").indexOf("## 5. All of it back") + 1;
  assert.ok(disaster > 0);
  const steps = stepsOf(page);
  await follow(steps.filter(({ line }) => line < disaster));
  // One image came back under another tag.
  assert.deepEqual((await client.getManifest("team/app", "restored")).digest, pushed.index.digest);
  await repairedAsTold(join(srv, "own"), address, `unix://${join(run, "backup.sock")}`, pushed.images[0] as Image);
  await client.expect(202, "DELETE", "/v2/team/app/manifests/restored");

  await registry.process.kill();
  await driver.process.kill();
  rmSync(join(srv, "own"), { recursive: true });
  rmSync(join(run, "driver.sock"), { force: true });
  const after = steps.filter(({ line }) => line > disaster);
  const copy = after.findIndex((step) => step.kind === "run" && step.script.startsWith("outrigger copy"));
  assert.ok(copy > 0);
  await follow(after.slice(0, copy));
  const restored = new RegistryClient(`http://127.0.0.1:${ports[0]}`);
  scope.defer(() => restored.close());
  // A push beside the copy would be set back by it.
  await restored.expect(405, "POST", "/v2/team/app/blobs/uploads/");
  await follow(after.slice(copy));
  await restored.expect(202, "POST", "/v2/team/app/blobs/uploads/");
  await assertFilled(restored, pushed);
  const crane = async (...args: string[]) =>
    (await command(tool("crane"), [...args, "--insecure"], { env: { DOCKER_CONFIG: folder } })).stdout;
  const at = `127.0.0.1:${ports[0]}/team/app`;
  assert.equal(await crane("manifest", `${at}:v1`), pushed.index.bytes.toString());
  await crane("validate", "--remote", `${at}:alone`);
  const back = join(folder, "back");
  const skopeo = ["--insecure-policy", "copy", "--all", "--src-tls-verify=false", `docker://${at}:v1`, `dir:${back}`];
  await command(tool("skopeo"), skopeo, { timeoutMs: BLOCK_MS });
  for (const { blobs } of pushed.images.slice(0, 2)) {
    for (const blob of blobs) {
      const file = readFileSync(join(back, blob.digest.slice("sha256:".length)));
      assert.ok(file.equals(Buffer.concat([...blob.read()])), blob.digest);
    }
  }
});

interface Filled {
  readonly images: readonly Image[];
  readonly index: Manifest;
  readonly tags: ReadonlyMap<string, Manifest>;
  readonly referrer: Manifest;
}

async function fill(client: RegistryClient): Promise<Filled> {
  const images = ["amd64", "arm64", "s390x"].map((architecture, at) =>
    image({
      seed: `backup/${at}`,
      layerBytes: [300_000, 2_000_000 + at],
      architecture,
      format: at === 2 ? "docker" : "oci",
    }),
  );
  const [one, two, alone] = images as [Image, Image, Image];
  for (const each of [one, two]) await client.pushImage("team/app", each);
  const both = index([one, two], ["amd64", "arm64"]);
  for (const tag of ["v1", "latest"]) await client.putManifest("team/app", tag, both);
  await client.pushImage("team/app", alone, "alone");
  const signature = artifact(one.manifest, "application/vnd.example.signature", bytesContent(Buffer.from("signed")));
  await client.pushImage("team/app", signature);
  const tags = new Map([
    ["alone", alone.manifest],
    ["latest", both],
    ["v1", both],
  ]);
  return { images, index: both, tags, referrer: signature.manifest };
}

async function assertFilled(client: RegistryClient, { images, index: both, tags, referrer }: Filled): Promise<void> {
  assert.deepEqual(await client.catalog(), ["team/app"]);
  assert.deepEqual(await client.tags("team/app"), [...tags.keys()]);
  for (const [tag, manifest] of tags) {
    const found = await client.getManifest("team/app", tag);
    assert.ok(found.bytes.equals(manifest.bytes), tag);
    assert.equal(found.mediaType, manifest.mediaType);
  }
  assert.ok((await client.getManifest("team/app", both.digest)).bytes.equals(both.bytes));
  for (const each of images) await client.pullImage("team/app", each.manifest.digest, each);
  const subject = images[0]?.manifest.digest;
  const listed = await client.expect(200, "GET", `/v2/team/app/referrers/${subject}`);
  assert.deepEqual(
    JSON.parse(listed.body.toString()).manifests.map(({ digest }: { readonly digest: string }) => digest),
    [referrer.digest],
  );
}

/** The block that is not run, with a digest of its own. */
async function repairedAsTold(root: string, driver: string, backup: string, { blobs }: Image): Promise<void> {
  const [, layer] = blobs;
  assert.ok(layer !== undefined);
  const key = blobKey(layer.digest);
  writeFileSync(join(root, key), Buffer.concat([...layer.read()]).fill(0, 100, 200));
  const damaged = await outrigger(["verify", "--blobs", driver]);
  assert.match(damaged.stderr, new RegExp(`^${layer.digest}: `));
  assert.equal((await outrigger(["call", driver, "blob.Delete", JSON.stringify({ keys: [key] })])).code, 0);
  const copied = await outrigger(["copy", "--only", "blobs", backup, driver]);
  assert.equal(copied.code, 0, copied.stderr);
  assert.equal((await outrigger(["verify", "--blobs", driver])).code, 0);
}

function end(pidFile: string): void {
  try {
    process.kill(Number(readFileSync(pidFile, "utf8")), "SIGKILL");
  } catch {
    // It was not started, or has ended.
  }
}
