/** Which requests pushes and pulls make: docs/reference/drivers/s3.md tells the same. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { HttpFaults, type SeenRequest } from "../../helpers/http-faults.ts";
import { image, seededContent } from "../../helpers/oci.ts";
import { initialiseRoot, type RegistryProcess, startDriver, startRegistry } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { startS3Server } from "../../helpers/s3-server.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { missing } from "../../helpers/tools.ts";
import { pushByPatch, s3Store, startS3 } from "./s3.ts";

const MIB = 1024 * 1024;

/** By the names that S3's price list goes by. */
function kindOf({ method, path, headers }: SeenRequest): string {
  const query = new URL(path, "http://x").searchParams;
  const where = path.includes("!outrigger/uploads/") || path.includes("%21outrigger/uploads/") ? " of the state" : "";
  if (query.has("list-type")) return "ListObjectsV2";
  if (method === "POST") return query.has("uploads") ? "CreateMultipartUpload" : "CompleteMultipartUpload";
  if (query.has("partNumber")) return headers["x-amz-copy-source"] === undefined ? "UploadPart" : "UploadPartCopy";
  if (query.has("uploadId")) return method === "GET" ? "ListParts" : "AbortMultipartUpload";
  if (method === "PUT") return headers["x-amz-copy-source"] === undefined ? `PutObject${where}` : "CopyObject";
  return `${{ HEAD: "HeadObject", GET: "GetObject", DELETE: "DeleteObject" }[method] ?? method}${where}`;
}

describe("what a registry with its blobs in S3 asks of the bucket", { skip: missing("versitygw", "s3-sdk") }, () => {
  const scope = new Scope();
  let faults: HttpFaults;
  let registry: RegistryProcess;
  before(async () => {
    const server = await startS3Server(scope);
    faults = await HttpFaults.start(scope, server.address);
    const blobs = await startS3(scope, await s3Store(server, `http://${faults.address}`));
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
      if (kind !== "ListObjectsV2") counts[kind] = (counts[kind] ?? 0) + 1;
    }
    return counts;
  }
  const small = seededContent("s3/costs/small", 300_000);
  const large = seededContent("s3/costs/large", 34 * MIB);

  /** Costs only fall: what the page tells is the most. */
  function assertWithin(counts: Readonly<Record<string, number>>, told: Readonly<Record<string, number>>): void {
    assert.deepEqual(
      Object.entries(counts).filter(([kind, count]) => count > (told[kind] ?? 0)),
      [],
      `${JSON.stringify(counts)} were made`,
    );
  }

  it("for a manifest", async () => {
    const pushed = image({ seed: "s3/costs", layerBytes: [10] });
    for (const blob of pushed.blobs) await registry.client.pushBlob("costs/a", blob);
    const counts = await asked(() => registry.client.putManifest("costs/a", "v1", pushed.manifest));
    assertWithin(counts, { PutObject: 1, HeadObject: 2 });
  });

  it("for a layer that is smaller than a part", async () => {
    const counts = await asked(() => registry.client.pushBlob("costs/a", small));
    assertWithin(counts, {
      PutObject: 2,
      "PutObject of the state": 2,
      HeadObject: 1,
      DeleteObject: 1,
      "DeleteObject of the state": 1,
    });
  });

  it("for a layer of several parts that comes with its digest, in one PUT: never copied", async () => {
    const counts = await asked(() => registry.client.pushBlob("costs/a", large));
    assertWithin(counts, {
      CreateMultipartUpload: 1,
      UploadPart: 5,
      CompleteMultipartUpload: 1,
      "PutObject of the state": 5,
      HeadObject: 2,
      "DeleteObject of the state": 1,
    });
    assert.equal(counts["UploadPart"], 5);
  });

  it("for one whose client tells its digest at the end, after a PATCH: copied once at the backend", async () => {
    const patched = seededContent("s3/costs/patched", 34 * MIB + 1);
    const counts = await asked(() => pushByPatch(registry.client, "costs/a", patched));
    assertWithin(counts, {
      CreateMultipartUpload: 1,
      UploadPart: 3,
      CompleteMultipartUpload: 1,
      CopyObject: 1,
      PutObject: 1,
      GetObject: 1,
      "GetObject of the state": 1,
      "PutObject of the state": 9,
      ListParts: 1,
      HeadObject: 3,
      DeleteObject: 2,
      "DeleteObject of the state": 1,
    });
    assert.equal(counts["CopyObject"], 1);
    await registry.client.pullBlob("costs/a", patched);
  });

  it("for a pull", async () => {
    for (const content of [small, large]) {
      assertWithin(await asked(() => registry.client.pullBlob("costs/a", content)), { GetObject: 1 });
    }
  });
});
