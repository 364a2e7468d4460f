/** The disk fills up at every possible moment of a push: said so, nothing lost, nothing half-visible, fine again after. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { image, seededContent } from "../helpers/oci.ts";
import { initialiseRoot, startPair } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { randomOf, seedOf } from "../helpers/random.ts";
import { mountProblem, smallDisk } from "../helpers/small-disk.ts";

const MIB = 1024 * 1024;
const DISK_BYTES = 48 * MIB;

describe("a full disk", { skip: mountProblem() }, () => {
  const scope = new Scope();
  after(scope.close);

  it("loses nothing, shows nothing half, says so, and recovers", async (t) => {
    const random = randomOf(seedOf(t));
    const disk = smallDisk(scope, DISK_BYTES);
    const root = join(disk.folder, "root");
    mkdirSync(root);
    await initialiseRoot(root);
    const { driver, registry } = await startPair(scope, { root });
    const { client } = registry;
    const first = image({ seed: "first", layerBytes: [100_000] });
    await client.pushImage("full/kept", first, "tag");

    const outcomes = { accepted: 0, refused: 0 };
    const accepted = [];
    const BLOB_BYTES = 256 * 1024;
    // From far too little to just enough, so that the space ends within the upload, its commit, its link, its tag.
    for (let free = 0; free <= BLOB_BYTES + 256 * 1024; free += random.between(4, 24) * 1024) {
      disk.leave(free);
      const content = seededContent(`full/${free}`, BLOB_BYTES);
      const pushed = image({ seed: `full/${free}`, layerBytes: [100] });
      try {
        await client.pushBlob("full/load", content);
        for (const blob of pushed.blobs) await client.pushBlob("full/load", blob);
        await client.putManifest("full/load", `t${free}`, pushed.manifest);
        outcomes.accepted++;
        accepted.push({ content, pushed, tag: `t${free}` });
      } catch (error) {
        outcomes.refused++;
        const { reply } = error as { reply?: { status: number; body: Buffer } };
        assert.ok(reply, `not an answer but ${error}`);
        assert.equal(reply.status, 507, String(error));
        assert.match(reply.body.toString(), /full|space|quota/i);
        // Nothing half-visible: absent, or whole.
        if (await client.hasBlob("full/load", content.digest)) await client.pullBlob("full/load", content);
        await client.expect(404, "GET", `/v2/full/load/manifests/t${free}`);
      }
      await client.pullImage("full/kept", "tag", first);
    }
    t.diagnostic(JSON.stringify(outcomes));
    assert.ok(outcomes.refused > 5 && outcomes.accepted > 0, JSON.stringify(outcomes));

    // After a restart on the full disk it still serves.
    disk.leave(0);
    await driver.process.kill();
    const again = await startPair(scope, { root });
    await again.registry.client.pullImage("full/kept", "tag", first);
    disk.clear();
    for (const { content, pushed, tag } of accepted) {
      await again.registry.client.pullBlob("full/load", content);
      await again.registry.client.pullImage("full/load", tag, pushed);
    }
    const late = image({ seed: "late", layerBytes: [MIB] });
    await again.registry.client.pushImage("full/load", late, "late");
    await again.registry.client.pullImage("full/load", "late", late);
    await again.registry.process.stop();
    await again.driver.process.stop();
  });
});
