/** What oras and cosign do over HTTP: artifacts with a subject, referrers, sha512, several tags at once. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { artifact, bytesContent, image, mediaTypes, seededContent } from "../helpers/oci.ts";
import { startPair } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { errorCodes, locationOf, type RegistryClient, withDigest } from "../helpers/registry-client.ts";

interface Referrers {
  readonly mediaType: string;
  readonly manifests: { digest: string; artifactType: string; size: number; annotations?: Record<string, string> }[];
}

describe("artifacts over HTTP", () => {
  const scope = new Scope();
  let client: RegistryClient;
  before(async () => {
    client = (await startPair(scope)).registry.client;
  });
  after(scope.close);

  const referrers = async (repository: string, digest: string, query = ""): Promise<Referrers> => {
    const reply = await client.expect(200, "GET", `/v2/${repository}/referrers/${digest}${query}`);
    assert.equal(reply.headers["content-type"], mediaTypes.ociIndex);
    return JSON.parse(reply.body.toString());
  };

  it("lists what refers to an image, filtered by type, and forgets what is deleted [end-12]", async () => {
    const subject = image({ seed: "subject", layerBytes: [100] });
    assert.deepEqual((await referrers("art/image", subject.manifest.digest)).manifests, []);
    await client.pushImage("art/image", subject, "v1");
    const types = ["application/vnd.example.sbom", "application/vnd.example.signature"];
    const artifacts = types.map((type) =>
      artifact(subject.manifest, type, bytesContent(Buffer.from(`payload ${type}`))),
    );
    for (const one of artifacts) {
      for (const blob of one.blobs) await client.pushBlob("art/image", blob);
      const reply = await client.putManifest("art/image", one.manifest.digest, one.manifest);
      assert.equal(reply.headers["oci-subject"], subject.manifest.digest);
    }
    const all = await referrers("art/image", subject.manifest.digest);
    assert.equal(all.mediaType, mediaTypes.ociIndex);
    assert.deepEqual(
      all.manifests.map(({ digest }) => digest).sort(),
      artifacts.map(({ manifest }) => manifest.digest).sort(),
    );
    for (const { annotations } of all.manifests) assert.equal(annotations?.["org.example.made-by"], "test");
    const type = encodeURIComponent(types[0] ?? "");
    const filtered = await referrers("art/image", subject.manifest.digest, `?artifactType=${type}`);
    assert.deepEqual(
      filtered.manifests.map(({ artifactType }) => artifactType),
      [types[0]],
    );

    await client.expect(202, "DELETE", `/v2/art/image/manifests/${artifacts[0]?.manifest.digest}`);
    const left = await referrers("art/image", subject.manifest.digest);
    assert.deepEqual(
      left.manifests.map(({ digest }) => digest),
      [artifacts[1]?.manifest.digest],
    );
  });

  it("keeps a blob under sha512 and serves it [digest-algorithm]", async () => {
    const content = seededContent("sha512", 3_000_000, "sha512");
    await client.pushBlob("art/sha512", content);
    await client.pullBlob("art/sha512", content);
    assert.equal(await client.hasBlob("art/sha512", content.digest), true);
  });

  it("takes a chunked upload, refuses chunks out of order, says where it stands [end-5, end-6, end-13]", async () => {
    const content = seededContent("chunked", 2_500_000);
    let location = await client.startUpload("art/chunked");
    const send = async (from: number, to: number, status: number) => {
      const reply = await client.expect(status, "PATCH", location, {
        headers: {
          "content-range": `${from}-${to - 1}`,
          "content-length": String(to - from),
          "content-type": "application/octet-stream",
        },
        body: content.read(from, to),
      });
      if (status === 202) location = locationOf(reply);
      return reply;
    };
    assert.equal((await send(0, 1_000_000, 202)).headers["range"], "0-999999");
    await send(1_500_000, 2_000_000, 416);
    await send(500_000, 900_000, 416);
    const state = await client.expect(204, "GET", location);
    assert.equal(state.headers["range"], "0-999999");
    location = locationOf(state);
    await send(1_000_000, 2_000_000, 202);
    await client.expect(201, "PUT", withDigest(location, content.digest), {
      headers: {
        "content-range": "2000000-2499999",
        "content-length": "500000",
        "content-type": "application/octet-stream",
      },
      body: content.read(2_000_000),
    });
    await client.pullBlob("art/chunked", content);
  });

  it("refuses bytes of another digest, and forgets a cancelled upload", async () => {
    const content = seededContent("wrong", 1000);
    const other = seededContent("right", 1000);
    const reply = await client.request("PUT", withDigest(await client.startUpload("art/wrong"), other.digest), {
      headers: { "content-length": "1000", "content-type": "application/octet-stream" },
      body: content.read(),
    });
    assert.equal(reply.status, 400);
    assert.deepEqual(errorCodes(reply), ["DIGEST_INVALID"]);
    assert.equal(await client.hasBlob("art/wrong", other.digest), false);
    assert.equal(await client.hasBlob("art/wrong", content.digest), false);

    let location = await client.startUpload("art/wrong");
    location = locationOf(
      await client.expect(202, "PATCH", location, {
        headers: { "content-length": "1000", "content-type": "application/octet-stream" },
        body: content.read(),
      }),
    );
    await client.expect(204, "DELETE", location);
    const gone = await client.request("GET", location);
    assert.equal(gone.status, 404);
    assert.deepEqual(errorCodes(gone), ["BLOB_UPLOAD_UNKNOWN"]);
  });
});
