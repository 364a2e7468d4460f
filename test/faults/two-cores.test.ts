/** Two cores on one driver push, retag, delete and read the same names: never a wrong byte, never a stale tag. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startLoad } from "../helpers/load.ts";
import { type Image, image } from "../helpers/oci.ts";
import { initialiseRoot, startDriver, startRegistry } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { randomOf, seedOf } from "../helpers/random.ts";
import { errorCodes, type RegistryClient, type Reply } from "../helpers/registry-client.ts";
import { tempFolder } from "../helpers/temp.ts";

const HAMMER_MS = 15_000;

describe("two cores on one driver", () => {
  const scope = new Scope();
  const cores: RegistryClient[] = [];
  before(async () => {
    const root = tempFolder(scope, "root");
    await initialiseRoot(root);
    const driver = await startDriver(scope, { root });
    for (let core = 0; core < 2; core++) {
      cores.push((await startRegistry(scope, { blobs: driver.address, cores: "many" })).client);
    }
  });
  after(scope.close);

  it("never answers a stale tag: what one core acknowledged, the other one sees", async (t) => {
    const seed = seedOf(t);
    const random = randomOf(seed);
    const repository = "hammer/tags";
    const counts = { moved: 0, deleted: 0, read: 0, listed: 0 };
    // Each tag has one writer, so that there is one right answer at any moment.
    const tags = Array.from({ length: 6 }, (_, n) => `t${n}`);
    const now = new Map<string, Image | undefined>();
    let made = 0;
    const load = startLoad(tags.length, async (_, worker) => {
      const tag = tags[worker] ?? "";
      const [writer, reader] = random.next() < 0.5 ? [cores[0], cores[1]] : [cores[1], cores[0]];
      assert.ok(writer && reader);
      const current = now.get(tag);
      if (current !== undefined && random.next() < 0.25) {
        await writer.expect(202, "DELETE", `/v2/${repository}/manifests/${tag}`);
        now.set(tag, undefined);
        counts.deleted++;
      } else {
        const next = image({ seed: `${seed}/${made++}`, layerBytes: [random.between(1, 2000)] });
        await writer.pushImage(repository, next, tag);
        now.set(tag, next);
        counts.moved++;
      }
      for (const core of [reader, writer]) {
        const wanted = now.get(tag);
        if (wanted === undefined) {
          const reply = await core.expect(404, "GET", `/v2/${repository}/manifests/${tag}`);
          assert.deepEqual(errorCodes(reply), ["MANIFEST_UNKNOWN"]);
        } else await core.pullImage(repository, tag, wanted);
        counts.read++;
      }
      const listed: string[] = await reader.tags(repository).catch(() => []);
      assert.equal(listed.includes(tag), now.get(tag) !== undefined, `${tag} in ${listed}`);
      counts.listed++;
    });
    await new Promise((resolve) => setTimeout(resolve, HAMMER_MS));
    await load.finish();
    t.diagnostic(JSON.stringify(counts));
    assert.ok(counts.moved > 30 && counts.deleted > 5, JSON.stringify(counts));
  });

  it("never answers a wrong byte where both write one tag at once, and agrees in the end", async (t) => {
    const seed = seedOf(t);
    const random = randomOf(seed);
    const repository = "hammer/race";
    const images = Array.from({ length: 8 }, (_, n) => image({ seed: `${seed}/race/${n}`, layerBytes: [500 + n] }));
    for (const one of images) await cores[0]?.pushImage(repository, one);
    const digests = new Set(images.map(({ manifest }) => manifest.digest));
    const tags = ["a", "b"];
    const load = startLoad(8, async () => {
      const core = random.pick(cores);
      const tag = random.pick(tags);
      const choice = random.next();
      if (choice < 0.4) await core.putManifest(repository, tag, random.pick(images).manifest);
      else if (choice < 0.5) await core.expect([202, 404], "DELETE", `/v2/${repository}/manifests/${tag}`);
      else {
        // getManifest checks the bytes against the digest that the answer names.
        const found = await core.request("GET", `/v2/${repository}/manifests/${tag}`);
        assert.ok([200, 404].includes(found.status), `${found.status} ${found.body}`);
        if (found.status === 200)
          assert.ok(
            digests.has((await core.getManifest(repository, String(found.headers["docker-content-digest"]))).digest),
          );
      }
    });
    await new Promise((resolve) => setTimeout(resolve, HAMMER_MS / 2));
    await load.finish();
    for (const tag of tags) {
      const [one, other] = await Promise.all(
        cores.map((core) => core.request("GET", `/v2/${repository}/manifests/${tag}`)),
      );
      assert.equal(one?.status, other?.status);
      assert.equal(one?.headers["docker-content-digest"], other?.headers["docker-content-digest"]);
    }
    assert.deepEqual(await cores[0]?.tags(repository), await cores[1]?.tags(repository));
    t.diagnostic(`${load.done} requests`);
  });

  it("never accepts a manifest whose blob another core deletes at that moment", async (t) => {
    const seed = seedOf(t);
    const random = randomOf(seed);
    const repository = "hammer/blobs";
    const outcomes = { kept: 0, refused: 0 };
    const [one, other] = cores;
    assert.ok(one && other);
    for (let round = 0; round < 60; round++) {
      const pushed = image({ seed: `${seed}/blobs/${round}`, layerBytes: [300] });
      for (const blob of pushed.blobs) await one.pushBlob(repository, blob);
      const layer = pushed.blobs[1]?.digest;
      const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
      const putting: Promise<Reply> = pause(random.between(0, 3)).then(() =>
        one.request("PUT", `/v2/${repository}/manifests/r${round}`, {
          headers: { "content-type": pushed.manifest.mediaType },
          body: pushed.manifest.bytes,
        }),
      );
      const deleting: Promise<Reply> = pause(random.between(0, 3)).then(() =>
        other.request("DELETE", `/v2/${repository}/blobs/${layer}`),
      );
      const put = await putting;
      const deletion = await deleting;
      if (put.status === 201) {
        assert.equal(deletion.status, 405, `manifest accepted, and its layer's delete answered ${deletion.status}`);
        await other.pullImage(repository, `r${round}`, pushed);
        outcomes.kept++;
      } else {
        assert.equal(put.status, 404, put.body.toString());
        assert.deepEqual(errorCodes(put), ["MANIFEST_BLOB_UNKNOWN"]);
        assert.equal(deletion.status, 202);
        outcomes.refused++;
      }
    }
    t.diagnostic(JSON.stringify(outcomes));
  });
});
