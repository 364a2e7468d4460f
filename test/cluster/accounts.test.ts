/** Who may what is settled where a client logs in; what nobody owns; what a digest names is looked for with everybody. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { hashSync } from "bcryptjs";
import { digestOf, image } from "../helpers/oci.ts";
import { Scope } from "../helpers/processes.ts";
import { errorCodes, type Reply, type RequestOptions } from "../helpers/registry-client.ts";
import { tempFolder } from "../helpers/temp.ts";
import { countRequests, ids, type MemberId, startWorld, type World } from "./world.ts";

describe("accounts, names and digests", () => {
  const scope = new Scope();
  let world: World;
  const login = (name: string, password = name) => ({
    authorization: `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`,
  });
  const pushed = image({ seed: "digests", layerBytes: [1000], raw: true });
  const byDigest = `/v2/a/app/manifests/${pushed.manifest.digest}`;

  const ask = (id: MemberId, method: string, path: string, options: RequestOptions = {}): Promise<Reply> =>
    world.members[id].client.request(method, path, { ...options, headers: { ...login("ann"), ...options.headers } });

  async function expect(status: number, id: MemberId, method: string, path: string, options?: RequestOptions) {
    const reply = await ask(id, method, path, options);
    assert.equal(reply.status, status, `${method} ${path} at ${id}: ${reply.body}`);
    return reply;
  }

  before(async () => {
    const file = join(tempFolder(scope), "htpasswd");
    writeFileSync(file, `ann:${hashSync("ann", 4)}\nreader:${hashSync("reader", 4)}\n`);
    world = await startWorld(scope, {
      config: { auth: { htpasswd: { file }, readOnly: ["reader"] } },
      cluster: { owner: { by: "prefix" }, digests: "all" },
    });
    for (const blob of pushed.blobs) {
      const body = Buffer.concat([...blob.read()]);
      await expect(201, "b", "POST", `/v2/a/app/blobs/uploads/?digest=${blob.digest}`, { body });
    }
    const headers = { "content-type": pushed.manifest.mediaType };
    await expect(201, "c", "PUT", "/v2/a/app/manifests/v1", { headers, body: pushed.manifest.bytes });
  });
  after(scope.close);

  it("whoever may not is refused by the member that was asked: the owner does not hear of it", async () => {
    const asked = await countRequests(world, ["manifest"], async () => {
      await expect(401, "b", "GET", "/v2/a/app/manifests/v1", { headers: login("ann", "wrong") });
      await expect(401, "b", "GET", "/v2/a/app/manifests/v1", { headers: { authorization: "" } });
      await expect(403, "b", "DELETE", "/v2/a/app/manifests/v1", { headers: login("reader") });
    });
    assert.deepEqual(asked, { a: 0, b: 3, c: 0 });
    await expect(200, "b", "GET", "/v2/a/app/manifests/v1", { headers: login("reader") });
    await expect(401, "b", "GET", "/v2/_outrigger/members", { headers: { authorization: "" } });
  });

  it("a name that belongs to nobody is an error that says so", async () => {
    for (const [method, path] of [
      ["GET", "/v2/x/app/tags/list"],
      ["POST", "/v2/x/app/blobs/uploads/"],
    ] as const) {
      const reply = await expect(404, "a", method, path);
      assert.deepEqual(errorCodes(reply), ["NAME_UNKNOWN"]);
      assert.match(reply.body.toString(), /belongs to no member .*"members":\["a","b","c"\]/);
    }
  });

  it("what a digest names is looked for here, with the owner, then with all; a tag with the owner alone", async () => {
    const counted = (id: MemberId, status: number, path: string) =>
      countRequests(world, ["manifest"], () => expect(status, id, "GET", path));
    assert.deepEqual(await counted("a", 200, byDigest), { a: 1, b: 0, c: 0 });
    assert.deepEqual(await counted("c", 200, byDigest), { a: 1, b: 0, c: 1 });
    // The list is changed without the one before: what a holds of it is b's by now, and b has it not.
    const rules = [{ repositories: "**", member: "b" }];
    for (const id of ids)
      await world.members[id].reload({ members: world.listOf(...ids), owner: { by: "rules", rules } });
    assert.deepEqual(await counted("a", 200, byDigest), { a: 1, b: 0, c: 0 });
    // a: asked whether it has it, then for it.
    assert.deepEqual(await counted("c", 200, byDigest), { a: 2, b: 1, c: 1 });
    assert.deepEqual(await counted("c", 404, "/v2/a/app/manifests/v1"), { a: 0, b: 1, c: 1 });
    // a and c are asked at once: c may be told in time that it need not answer, or count it later. So nothing is after this.
    const { a, b, c = 0 } = await counted("b", 200, byDigest);
    assert.deepEqual({ a, b }, { a: 2, b: 1 });
    assert.ok(c <= 1, `c was asked ${c} times`);
    for (const blob of pushed.blobs) {
      const reply = await expect(200, "c", "GET", `/v2/a/app/blobs/${blob.digest}`);
      assert.equal(digestOf(reply.body), blob.digest);
    }
    const nowhere = `/v2/a/app/manifests/${digestOf(Buffer.from("nowhere"))}`;
    assert.deepEqual(errorCodes(await expect(404, "c", "GET", nowhere)), ["MANIFEST_UNKNOWN"]);
    await world.members.b.process.kill();
    await expect(200, "c", "GET", byDigest);
    const reply = await expect(502, "c", "GET", nowhere);
    assert.match(reply.body.toString(), /member b of the cluster .*"members":\["b"\]/);
    await expect(503, "c", "GET", "/v2/a/app/manifests/v1");
  });
});
