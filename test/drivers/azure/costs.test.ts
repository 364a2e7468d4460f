/** Which requests pushes and pulls make: docs/reference/drivers/azure.md tells the same. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { HttpFaults, type SeenRequest } from "../../helpers/http-faults.ts";
import { image, seededContent } from "../../helpers/oci.ts";
import { initialiseRoot, type RegistryProcess, startDriver, startRegistry } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { missing } from "../../helpers/tools.ts";
import { azureStore, startAzure } from "./azure.ts";
import { account, startAzurite } from "./azurite.ts";

const MIB = 1024 * 1024;

/** By the names that Azure's price list goes by. */
function kindOf({ method, path, headers }: SeenRequest): string {
  const query = new URL(path, "http://x").searchParams;
  const where = path.includes("!outrigger/uploads/") ? " of the state" : "";
  const comp = query.get("comp");
  if (comp === "list") return "List Blobs";
  if (comp === "blocklist") return `${method === "GET" ? "Get" : "Put"} Block List`;
  if (comp === "block") return "Put Block";
  if (method === "HEAD") return `Get Blob Properties${where}`;
  if (method === "GET") return `Get Blob${where}`;
  if (method === "DELETE") return `Delete Blob${where}`;
  return headers["x-ms-copy-source"] === undefined ? `Put Blob${where}` : "Copy Blob From URL";
}

describe("what a registry with its blobs in Azure asks of the account", {
  skip: missing("azurite", "azure-sdk"),
}, () => {
  const scope = new Scope();
  let faults: HttpFaults;
  let registry: RegistryProcess;
  before(async () => {
    const azurite = await startAzurite(scope);
    faults = await HttpFaults.start(scope, azurite.address);
    const blobs = await startAzure(scope, await azureStore(azurite, `http://${faults.address}/${account}`));
    const root = tempFolder(scope, "root");
    await initialiseRoot(root);
    const meta = await startDriver(scope, { root });
    registry = await startRegistry(scope, { blobs: blobs.address, meta: meta.address });
  });
  after(scope.close);

  async function asked(work: () => Promise<unknown>): Promise<Record<string, number>> {
    const before = faults.seen.length;
    await work();
    const counts: Record<string, number> = {};
    // The health's own look is nobody's push.
    for (const seen of faults.seen.slice(before)) {
      const kind = kindOf(seen);
      if (kind !== "List Blobs") counts[kind] = (counts[kind] ?? 0) + 1;
    }
    return counts;
  }
  const small = seededContent("azure/costs/small", 300_000);
  const large = seededContent("azure/costs/large", 34 * MIB);

  /** Costs only fall: what the page tells is the most. */
  function assertWithin(counts: Readonly<Record<string, number>>, told: Readonly<Record<string, number>>): void {
    assert.deepEqual(
      Object.entries(counts).filter(([kind, count]) => count > (told[kind] ?? 0)),
      [],
      `${JSON.stringify(counts)} were made`,
    );
  }

  it("for a manifest", async () => {
    const pushed = image({ seed: "azure/costs", layerBytes: [10] });
    for (const blob of pushed.blobs) await registry.client.pushBlob("costs/a", blob);
    const counts = await asked(() => registry.client.putManifest("costs/a", "v1", pushed.manifest));
    assertWithin(counts, { "Put Blob": 1, "Get Blob Properties": 2 });
  });

  it("for a layer that is smaller than a part", async () => {
    const counts = await asked(() => registry.client.pushBlob("costs/a", small));
    assertWithin(counts, {
      "Put Blob": 2,
      "Put Blob of the state": 2,
      "Get Blob Properties": 1,
      "Delete Blob": 1,
      "Delete Blob of the state": 1,
    });
  });

  it("for a layer of several parts: each is sent once, and the bytes are copied once at the account", async () => {
    const counts = await asked(() => registry.client.pushBlob("costs/a", large));
    assertWithin(counts, {
      "Put Block": 5,
      "Put Block List": 1,
      "Copy Blob From URL": 1,
      "Put Blob of the state": 5,
      "Get Blob Properties": 1,
      "Delete Blob": 1,
      "Delete Blob of the state": 1,
    });
    assert.equal(counts["Put Block"], 5);
  });

  it("for a pull", async () => {
    for (const content of [small, large]) {
      assertWithin(await asked(() => registry.client.pullBlob("costs/a", content)), { "Get Blob": 1 });
    }
  });
});
