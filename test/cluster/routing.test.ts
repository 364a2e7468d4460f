/** Any member takes any request: Write1Read2, Write2Read1, Write2Read3, and who was asked for what. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { memberList } from "../../registry/members/owners.ts";
import { bytesContent, digestOf, image, mediaTypes, seededContent, writeLayout } from "../helpers/oci.ts";
import { Scope } from "../helpers/processes.ts";
import { errorCodes, locationOf, withDigest } from "../helpers/registry-client.ts";
import { tempFolder } from "../helpers/temp.ts";
import { command, missing, tool } from "../helpers/tools.ts";
import { countRequests, ids, type MemberId, namesOf, startWorld, type World } from "./world.ts";

const { ownerOf } = memberList(ids, { by: "rendezvous", key: "", rules: [] });
const [ofA = "", otherOfA = ""] = namesOf(ownerOf, "a", 2);
const [ofB = "", otherOfB = ""] = namesOf(ownerOf, "b", 2);
const [ofC = ""] = namesOf(ownerOf, "c", 1);

describe("a cluster of three", () => {
  const scope = new Scope();
  let world: World;
  before(async () => {
    world = await startWorld(scope);
  });
  after(scope.close);

  for (const [write, read, name] of [
    ["a", "b", ofA],
    ["b", "a", ofA],
    ["b", "c", ofA],
    ["a", "c", ofB],
    ["c", "a", ofC],
  ] as const) {
    it(`Write ${write}, read ${read}: ${name} of ${ownerOf(name)}`, async () => {
      const pushed = image({ seed: `${write}${read}${name}`, layerBytes: [300, 3_000_000], raw: true });
      await world.members[write].client.pushImage(name, pushed, `from-${write}-${read}`);
      await world.members[read].client.pullImage(name, `from-${write}-${read}`, pushed);
      for (const id of ids) assert.ok((await world.members[id].client.tags(name)).includes(`from-${write}-${read}`));
    });
  }

  it("skopeo: pushed at a, read at b and c, removed at c", { skip: missing("skopeo") }, async () => {
    const pushed = image({ seed: "skopeo", layerBytes: [200_000] });
    const folder = tempFolder(scope);
    writeLayout(join(folder, "in"), pushed.manifest, [pushed]);
    const at = (id: MemberId) => `docker://${world.members[id].host}/${ofB}:skopeo`;
    const skopeo = (...args: string[]) => command(tool("skopeo"), ["--insecure-policy", ...args]);
    await skopeo("copy", "--dest-tls-verify=false", `oci:${join(folder, "in")}`, at("a"));
    for (const id of ["b", "c"] as const) {
      await skopeo("copy", "--src-tls-verify=false", at(id), `dir:${join(folder, id)}`);
      assert.equal(digestOf(readFileSync(join(folder, id, "manifest.json"))), pushed.manifest.digest);
    }
    await skopeo("delete", "--tls-verify=false", at("c"));
    await world.members.a.client.expect(404, "GET", `/v2/${ofB}/manifests/skopeo`);
  });

  it("each member's catalog is the whole one, in order, in pages", async () => {
    const names = [ofA, otherOfA, ofB, otherOfB, ofC].sort();
    for (const name of names) await world.members.b.client.pushBlob(name, bytesContent(Buffer.from(name)));
    for (const id of ids) {
      assert.deepEqual(await world.members[id].client.catalog(), names);
      const paged: string[] = [];
      for (let path: string | undefined = "/v2/_catalog?n=2"; path !== undefined; ) {
        const page = await world.members[id].client.expect(200, "GET", path);
        paged.push(...(JSON.parse(page.body.toString()) as { repositories: string[] }).repositories);
        path = /<([^>]+)>/.exec(String(page.headers["link"] ?? ""))?.[1];
      }
      assert.deepEqual(paged, names);
    }
  });

  it("a chunked upload goes on through another member after each chunk, and its Location stays where the client is", async () => {
    const content = seededContent("chunks", 900_000);
    const chunks = [...content.read()];
    let location = locationOf(await world.members.a.client.expect(202, "POST", `/v2/${ofB}/blobs/uploads/`));
    let sent = 0;
    for (const [index, chunk] of chunks.entries()) {
      const { client } = world.members[ids[index % 3] ?? "a"];
      assert.match(location, /^\/v2\//);
      const reply = await client.expect(202, "PATCH", location, {
        headers: {
          "content-range": `${sent}-${sent + chunk.length - 1}`,
          "content-type": "application/octet-stream",
        },
        body: chunk,
      });
      sent += chunk.length;
      assert.equal(reply.headers["range"], `0-${sent - 1}`);
      location = locationOf(reply);
    }
    const status = await world.members.c.client.expect(204, "GET", location);
    assert.equal(status.headers["range"], `0-${sent - 1}`);
    await world.members.c.client.expect(201, "PUT", withDigest(location, content.digest));
    await world.members.b.client.pullBlob(ofB, content);
  });

  it("a body of unknown length passes, and one of no bytes keeps its Content-Length of 0", async () => {
    const content = seededContent("streamed", 700_000);
    const { client } = world.members.a;
    const begun = locationOf(await client.expect(202, "POST", `/v2/${ofB}/blobs/uploads/`));
    const grown = await client.expect(202, "PATCH", begun, { body: content.read() });
    const reply = await client.expect(201, "PUT", withDigest(locationOf(grown), content.digest), {
      headers: { "content-length": "0" },
    });
    assert.equal(reply.headers["content-length"], "0");
    assert.equal(reply.headers["location"], `/v2/${ofB}/blobs/${content.digest}`);
    const empty = bytesContent(Buffer.alloc(0));
    await client.pushBlob(ofB, empty);
    const head = await client.expect(200, "HEAD", `/v2/${ofB}/blobs/${empty.digest}`);
    assert.equal(head.headers["content-length"], "0");
  });

  it("what the owner refuses at once is refused at once: the rest of the body is nobody's", async () => {
    const { client } = world.members.a;
    const headers = { "content-type": mediaTypes.ociManifest };
    const large = await client.request("PUT", `/v2/${ofB}/manifests/large`, { headers, body: Buffer.alloc(6_000_000) });
    assert.deepEqual([large.status, errorCodes(large)], [413, ["MANIFEST_INVALID"]]);
    const location = locationOf(await client.expect(202, "POST", `/v2/${ofB}/blobs/uploads/`));
    const elsewhere = await client.request("PATCH", location, {
      headers: { "content-range": "10-3000009" },
      body: Buffer.alloc(3_000_000),
    });
    assert.deepEqual([elsewhere.status, errorCodes(elsewhere)], [416, ["RANGE_INVALID"]]);
    assert.match(locationOf(elsewhere), new RegExp(`^/v2/${ofB}/blobs/uploads/`));
    const other = bytesContent(Buffer.from("other bytes"));
    const wrong = await client.request("PUT", withDigest(location, other.digest), { body: Buffer.alloc(3_000_000) });
    assert.deepEqual([wrong.status, errorCodes(wrong)], [400, ["DIGEST_INVALID"]]);
    await client.expect(200, "GET", "/v2/");
  });

  it("ranges, conditions and errors come through as the owner has them", async () => {
    const content = seededContent("ranges", 500_000);
    await world.members.b.client.pushBlob(ofB, content);
    const path = `/v2/${ofB}/blobs/${content.digest}`;
    const { client } = world.members.a;
    const part = await client.expect(206, "GET", path, { headers: { range: "bytes=1000-200999" } });
    assert.deepEqual(part.body, Buffer.concat([...content.read(1000, 201_000)]));
    assert.equal(part.headers["content-range"], "bytes 1000-200999/500000");
    const beyond = await client.expect(416, "GET", path, { headers: { range: "bytes=500000-" } });
    assert.equal(beyond.headers["content-range"], "bytes */500000");
    await client.expect(304, "GET", path, { headers: { "if-none-match": `"${content.digest}"` } });
    const missing = await client.expect(404, "GET", `/v2/${ofB}/manifests/nowhere`);
    assert.deepEqual(errorCodes(missing), ["MANIFEST_UNKNOWN"]);
    const wrong = await client.expect(400, "PUT", `/v2/${ofB}/manifests/t`, {
      headers: { "content-type": mediaTypes.ociManifest },
      body: Buffer.from("{"),
    });
    assert.deepEqual(errorCodes(wrong), ["MANIFEST_INVALID"]);
    const bad = await client.expect(400, "GET", "/v2/Not_A_Name/tags/list");
    assert.deepEqual(errorCodes(bad), ["NAME_INVALID"]);
  });

  it("a mount from a repository of another member brings the bytes to the owner of the target", async () => {
    const content = seededContent("mounted", 2_000_000);
    await world.members.a.client.pushBlob(ofA, content);
    const path = `/v2/${ofB}/blobs/uploads/?mount=${content.digest}&from=${ofA}`;
    const asked = await countRequests(world, ["blob"], () => world.members.c.client.expect(201, "POST", path));
    assert.deepEqual(asked, { a: 1, b: 0, c: 0 });
    await world.members.a.client.pullBlob(ofB, content);
    const absent = bytesContent(Buffer.from("nobody has this"));
    const none = `/v2/${ofB}/blobs/uploads/?mount=${absent.digest}&from=${ofA}`;
    await world.members.c.client.expect(202, "POST", none);
  });

  it("a request reaches the member that it is sent to, and the owner: nobody else", async () => {
    const pushed = image({ seed: "counted", layerBytes: [100], raw: true });
    await world.members.a.client.pushImage(ofA, pushed, "counted");
    const manifest = `/v2/${ofA}/manifests/${pushed.manifest.digest}`;
    const [blob] = pushed.blobs;
    const rows: [string, string, string, string, Record<string, number>][] = [
      ["manifest by tag", "manifest", "GET", `/v2/${ofA}/manifests/counted`, { a: 1, b: 0, c: 1 }],
      ["manifest by digest", "manifest", "GET", manifest, { a: 1, b: 0, c: 1 }],
      ["manifest's head", "manifest", "HEAD", manifest, { a: 1, b: 0, c: 1 }],
      ["blob", "blob", "GET", `/v2/${ofA}/blobs/${blob?.digest}`, { a: 1, b: 0, c: 1 }],
      ["tags", "tags", "GET", `/v2/${ofA}/tags/list`, { a: 1, b: 0, c: 1 }],
      ["referrers", "referrers", "GET", `/v2/${ofA}/referrers/${pushed.manifest.digest}`, { a: 1, b: 0, c: 1 }],
      ["catalog", "catalog", "GET", "/v2/_catalog", { a: 1, b: 1, c: 1 }],
      ["base", "base", "GET", "/v2/", { a: 0, b: 0, c: 1 }],
    ];
    for (const [what, route, method, path, wanted] of rows) {
      const asked = await countRequests(world, [route], () => world.members.c.client.expect(200, method, path));
      assert.deepEqual(asked, wanted, what);
    }
  });

  it("deletes go to the owner", async () => {
    const pushed = image({ seed: "deleted", layerBytes: [10], raw: true });
    await world.members.a.client.pushImage(ofC, pushed, "gone");
    await world.members.b.client.expect(202, "DELETE", `/v2/${ofC}/manifests/gone`);
    await world.members.a.client.expect(404, "GET", `/v2/${ofC}/manifests/gone`);
    await world.members.a.client.expect(202, "DELETE", `/v2/${ofC}/manifests/${pushed.manifest.digest}`);
    await world.members.c.client.expect(404, "GET", `/v2/${ofC}/manifests/${pushed.manifest.digest}`);
  });
});
