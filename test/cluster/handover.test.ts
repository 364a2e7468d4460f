/** One repository on its way from its previous owner: each moment of it, with the other side in the test's hands. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import { PassThrough } from "node:stream";
import { after, before, beforeEach, describe, it } from "node:test";
import { signUpload } from "../../registry/http/upload-state.ts";
import { memberList } from "../../registry/members/owners.ts";
import { type Role, signRequest } from "../../registry/members/peers.ts";
import { hashOf } from "../../registry/members/view.ts";
import { Gates } from "../helpers/gates.ts";
import { bytesContent, type Content, descriptorOf, type Manifest, manifestOf, mediaTypes } from "../helpers/oci.ts";
import { until } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { errorCodes, locationOf, type Reply } from "../helpers/registry-client.ts";
import { type FakeMember, fakeMember, say } from "../registry/members/fake-member.ts";
import { type ClusterSection, hosts, type Member, startMember, type World } from "./world.ts";

const owner = { by: "rendezvous", key: "", rules: [] } as const;

function imageOf(text: string): { readonly manifest: Manifest; readonly blobs: readonly Content[] } {
  const blobs = [bytesContent(Buffer.from(`layer ${text}`)), bytesContent(Buffer.from(`{"config":"${text}"}`))];
  const [layer, config] = blobs as [Content, Content];
  const manifest = manifestOf({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptorOf(config, mediaTypes.ociConfig),
    layers: [descriptorOf(layer, mediaTypes.ociLayer)],
  });
  return { manifest, blobs };
}

/** What the previous owner holds of one repository, as it answers it. */
class Held {
  readonly name: string;
  readonly tags = new Map<string, Manifest>();
  readonly manifests = new Map<string, Manifest>();
  readonly blobs = new Map<string, Content>();
  /** By the last part of a request's path, or its kind. */
  readonly gates = new Gates();
  readonly asked: string[] = [];
  /** What its index tells of a tag, of a digest. */
  readonly told = new Map<string, object>();
  readonly preferred: object[] = [];
  isSettled = true;
  /** Whether it still has the blob of an upload that it has acknowledged. */
  keepsUploads = true;

  constructor(name: string) {
    this.name = name;
  }

  add(tag: string, pushed: ReturnType<typeof imageOf>): void {
    this.tags.set(tag, pushed.manifest);
    this.manifests.set(pushed.manifest.digest, pushed.manifest);
    for (const blob of pushed.blobs) this.blobs.set(blob.digest, blob);
  }

  readonly answer: RequestListener = async (request, response) => {
    const url = new URL(request.url ?? "", "http://c");
    const what = url.pathname.split("/").at(-1) ?? "";
    const kind = url.searchParams.get("kind") ?? what;
    this.asked.push(`${request.method} ${kind}`);
    await this.gates.passed(kind);
    const json = (status: number, value: unknown) => say("c", status, value)(request, response);
    const bytes = (body: Buffer, type: string, digest: string) => {
      const headers = { "Content-Type": type, "Docker-Content-Digest": digest, "Content-Length": body.length };
      response.writeHead(200, { "Outrigger-Member": "c", ...headers }).end(request.method === "HEAD" ? "" : body);
    };
    if (!this.isSettled) return json(421, { errors: [{ code: "UNAVAILABLE", message: "not yet" }] });
    if (what === "settled") return json(200, {});
    if (what === "_catalog")
      return json(200, { repositories: this.tags.size + this.blobs.size === 0 ? [] : [this.name] });
    const digest = url.searchParams.get("digest");
    if (what === "purge") {
      for (const one of kind === "manifests" ? [this.tags, this.manifests] : []) one.clear();
      for (const one of digest?.split(",") ?? []) this.blobs.delete(one);
      return json(200, {});
    }
    if (what === "contents") return json(200, { items: this.#contents(kind) });
    if (request.method === "PUT" && digest !== null) {
      response.writeContinue();
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      if (this.keepsUploads)
        this.blobs.set(digest, bytesContent(Buffer.concat([Buffer.from("begun there, "), ...chunks])));
      const headers = { "Docker-Content-Digest": digest, Location: `/v2/${this.name}/blobs/${digest}` };
      return response.writeHead(201, { "Outrigger-Member": "c", "Content-Length": 0, ...headers }).end();
    }
    if (!url.pathname.includes(this.name)) return json(404, { errors: [] });
    if (what === "list") return json(200, { name: this.name, tags: [...this.tags.keys()].sort() });
    const manifest = this.tags.get(what) ?? this.manifests.get(what);
    if (manifest) return bytes(manifest.bytes, manifest.mediaType, manifest.digest);
    const blob = this.blobs.get(what);
    if (blob) return bytes(Buffer.concat([...blob.read()]), "application/octet-stream", blob.digest);
    json(404, { errors: [] });
  };

  #contents(kind: string): object[] {
    if (kind === "preferences") return this.preferred;
    if (kind === "layers") return [...this.blobs.keys()].map((digest) => ({ digest }));
    if (kind === "revisions") return [...this.manifests.keys()].map((digest) => ({ digest, ...this.told.get(digest) }));
    return [...this.tags].map(([tag, { digest }]) => ({ tag, digest, ...this.told.get(tag) }));
  }
}

describe("the new owner", () => {
  const scope = new Scope();
  let world: World;
  let a: Member;
  let fake: FakeMember;
  let held: Held;
  let count = 0;
  before(async () => {
    fake = await fakeMember(hosts.c);
    scope.defer(fake.close);
    world = await startMember(scope, "a", { urls: { c: fake.url }, config: { cores: "one" } });
    a = world.members.a;
  });
  beforeEach(() => {
    count += 1;
    held = new Held(`moved/app-${count}`);
    fake.answer = held.answer;
  });
  after(scope.close);

  /** All names were c's, and are a's now. Each time another change of members: its key differs. */
  async function change(): Promise<void> {
    // It ends the one before: c seems to have something to hand over under that, too.
    await a.reload({ members: world.listOf("a") });
    await a.reload(changed());
  }

  function changed(key = `${count}`): ClusterSection {
    return { members: world.listOf("a"), previous: { members: world.listOf("c"), owner: { key } } };
  }

  async function moved(): Promise<void> {
    await a.process.line((line) => /a repository was taken over/.test(line) && line.includes(held.name));
    assert.equal(held.tags.size + held.manifests.size + held.blobs.size, 0);
  }

  /** An upload that c has begun, and its last request, which a gets. */
  async function endUpload(): Promise<{ readonly late: Content; readonly reply: Reply }> {
    const rest = Buffer.from(`ended here, for ${held.name}`);
    const late = bytesContent(Buffer.concat([Buffer.from("begun there, "), rest]));
    const session = { id: randomUUID(), repository: held.name, storeId: randomUUID(), offsetBytes: 13 };
    const state = signUpload(Buffer.alloc(32, "c"), { ...session, algorithm: "sha256", startedMs: Date.now() });
    const path = `/v2/${held.name}/blobs/uploads/${session.id}?_state=${state}&digest=${late.digest}`;
    return { late, reply: await a.client.request("PUT", path, { body: rest }) };
  }

  it("answers from the previous one until all is here, and then alone", async () => {
    const pushed = imageOf("read through");
    held.add("v1", pushed);
    const open = held.gates.hold("layers");
    await change();
    assert.equal((await a.client.getManifest(held.name, "v1")).digest, pushed.manifest.digest);
    assert.deepEqual(await a.client.tags(held.name), ["v1"]);
    for (const blob of pushed.blobs) await a.client.pullBlob(held.name, blob);
    const [layer = bytesContent(Buffer.alloc(0))] = pushed.blobs;
    const head = await a.client.expect(200, "HEAD", `/v2/${held.name}/blobs/${layer.digest}`);
    assert.equal(head.headers["content-length"], String(layer.sizeBytes));
    open();
    await moved();
    held.asked.length = 0;
    assert.equal((await a.client.getManifest(held.name, "v1")).digest, pushed.manifest.digest);
    for (const blob of pushed.blobs) await a.client.pullBlob(held.name, blob);
    assert.deepEqual(await a.client.tags(held.name), ["v1"]);
    assert.deepEqual(
      held.asked.filter((asked) => !/_catalog|settled/.test(asked)),
      [],
    );
  });

  it("keeps a tag that was pushed to it: what comes is older", async () => {
    held.add("v1", imageOf("old"));
    held.add("v2", imageOf("other"));
    const open = held.gates.hold("tags");
    await change();
    const newer = imageOf("new");
    for (const blob of newer.blobs) await a.client.pushBlob(held.name, blob);
    await a.client.putManifest(held.name, "v1", newer.manifest);
    assert.equal((await a.client.getManifest(held.name, "v1")).digest, newer.manifest.digest);
    open();
    await moved();
    assert.equal((await a.client.getManifest(held.name, "v1")).digest, newer.manifest.digest);
    assert.deepEqual(await a.client.tags(held.name), ["v1", "v2"]);
  });

  it("deletes only once all is here: nothing deleted comes back", async () => {
    const [kept, gone] = [imageOf("kept"), imageOf("gone")];
    held.add("kept", kept);
    held.add("gone", gone);
    const open = held.gates.hold("tags");
    await change();
    let isDeleted = false;
    const deleting = a.client.expect(202, "DELETE", `/v2/${held.name}/manifests/${gone.manifest.digest}`).then(() => {
      isDeleted = true;
    });
    await until(
      () => held.asked.includes("GET tags"),
      30_000,
      () => "it is not taken over",
    );
    assert.equal((await a.client.getManifest(held.name, "gone")).digest, gone.manifest.digest);
    assert.equal(isDeleted, false);
    open();
    await deleting;
    assert.equal(held.tags.size, 0);
    await a.client.expect(404, "GET", `/v2/${held.name}/manifests/gone`);
    await a.client.expect(404, "GET", `/v2/${held.name}/manifests/${gone.manifest.digest}`);
    assert.deepEqual(await a.client.tags(held.name), ["kept"]);
  });

  it("brings the layers of a manifest that is pushed while they are still there", async () => {
    const [first, second] = [imageOf("one"), imageOf("two")];
    held.add("v1", first);
    for (const blob of second.blobs) held.blobs.set(blob.digest, blob);
    const open = held.gates.hold("layers");
    await change();
    await a.client.putManifest(held.name, "v2", second.manifest);
    const nowhere = imageOf("three");
    const reply = await a.client.request("PUT", `/v2/${held.name}/manifests/v3`, {
      headers: { "content-type": nowhere.manifest.mediaType },
      body: nowhere.manifest.bytes,
    });
    assert.deepEqual([reply.status, errorCodes(reply)], [404, ["MANIFEST_BLOB_UNKNOWN"]]);
    open();
    await moved();
    for (const blob of second.blobs) await a.client.pullBlob(held.name, blob);
    assert.deepEqual(await a.client.tags(held.name), ["v1", "v2"]);
  });

  it("lets an upload that began there end there, and has its blob then", async () => {
    held.add("v1", imageOf("beside it"));
    const open = held.gates.hold("layers");
    await change();
    const { late, reply } = await endUpload();
    assert.equal(reply.status, 201, reply.body.toString());
    held.blobs.delete(late.digest);
    await a.client.pullBlob(held.name, late);
    open();
    await moved();
    await a.client.pullBlob(held.name, late);
  });

  it("does not acknowledge an upload whose blob is nowhere", async () => {
    held.add("v1", imageOf("beside it, too"));
    held.keepsUploads = false;
    const open = held.gates.hold("layers");
    await change();
    const { late, reply } = await endUpload();
    assert.equal(reply.status, 503, reply.body.toString());
    assert.match(reply.body.toString(), /ended at c, where its blob is not found: push the blob again/);
    await a.client.expect(404, "HEAD", `/v2/${held.name}/blobs/${late.digest}`);
    open();
    await moved();
  });

  it("takes what an upload has brought there since the copy before it is given up", async () => {
    held.add("v1", imageOf("copied"));
    const late = bytesContent(Buffer.from("between the copy and the end"));
    const open = held.gates.hold("manifests");
    await change();
    await until(
      () => held.asked.includes("POST manifests"),
      30_000,
      () => `it is not taken over: ${held.asked.join(", ")}`,
    );
    held.blobs.set(late.digest, late);
    open();
    const purges = () => held.asked.filter((asked) => asked.startsWith("POST")).join(", ");
    await until(
      () => held.blobs.size === 0,
      30_000,
      () => `it stays behind: ${purges()}`,
    );
    await a.client.pullBlob(held.name, late);
    // The second look takes layers alone.
    assert.equal(purges(), "POST manifests, POST layers, POST layers");
  });

  it("tells of an image what was told of it before: since when it is there, how often it was pulled", async () => {
    const pushed = imageOf("with a past");
    held.add("v1", pushed);
    const [pushedMs, taggedMs, lastMs] = ["2024-01-02", "2024-03-04", "2025-05-06"].map((day) => Date.parse(day));
    held.told.set(pushed.manifest.digest, { pushedMs, pushedBy: "ann", pulls: { count: 41, lastMs } });
    held.told.set("v1", { taggedMs });
    const [ann, bob] = ["ann", "bob"].map((user) => Buffer.from(user).toString("hex"));
    held.preferred.push({ user: ann, what: "star" }, { user: bob, what: "star" }, { user: bob, what: "bookmark" });
    await change();
    await moved();
    const query = `{ExpandedRepoInfo(repo:"${held.name}"){Summary{StarCount}} Image(image:"${held.name}:v1"){DownloadCount LastPullTimestamp PushTimestamp TaggedTimestamp}}`;
    const path = `/v2/_zot/ext/search?${new URLSearchParams({ query })}`;
    const { Image, ExpandedRepoInfo } = JSON.parse((await a.client.expect(200, "GET", path)).body.toString()).data;
    assert.equal(Image.DownloadCount, 41);
    assert.equal(ExpandedRepoInfo.Summary.StarCount, 2);
    const days = [Image.PushTimestamp, Image.TaggedTimestamp, Image.LastPullTimestamp].map((time) => Date.parse(time));
    assert.deepEqual(days, [pushedMs, taggedMs, lastMs]);
  });

  it("refuses what an index cannot tell", async () => {
    const pushed = imageOf("with a false past");
    held.add("v1", pushed);
    held.told.set(pushed.manifest.digest, { pulls: { count: -1, lastMs: 0 } });
    await change();
    await a.process.line((line) => line.includes(held.name) && line.includes("holds what cannot be"));
    held.told.clear();
    await moved();
  });

  it("takes over a manifest whose layers were lost where it was", async () => {
    const [whole, damaged] = [imageOf("whole"), imageOf("damaged")];
    held.add("v1", whole);
    held.add("v2", damaged);
    for (const { digest } of damaged.blobs) held.blobs.delete(digest);
    await change();
    await moved();
    assert.deepEqual(await a.client.tags(held.name), ["v1", "v2"]);
    assert.equal((await a.client.getManifest(held.name, "v2")).digest, damaged.manifest.digest);
    await a.client.expect(202, "DELETE", `/v2/${held.name}/manifests/${damaged.manifest.digest}`);
    const said = a.process.lines.find((line) => line.includes("without blobs that it names")) ?? "";
    for (const { digest } of damaged.blobs) assert.ok(said.includes(digest), said);
    // Whoever pushes it has to push its layers.
    const push = { headers: { "content-type": damaged.manifest.mediaType }, body: damaged.manifest.bytes };
    const reply = await a.client.request("PUT", `/v2/${held.name}/manifests/v2`, push);
    assert.deepEqual([reply.status, errorCodes(reply)], [404, ["MANIFEST_BLOB_UNKNOWN"]]);
  });

  it("goes to no other list before all is here", async () => {
    held.add("v1", imageOf("on its way"));
    const open = held.gates.hold("tags");
    await change();
    const back = { members: world.listOf("c"), previous: { members: world.listOf("a") } };
    for (const next of [back, changed("other"), { members: world.listOf("a", "c") }])
      await assert.rejects(a.reload(next), (error: Error) => {
        const left = `${held.name} has still to move from c to a: keep cluster.members, `;
        assert.ok(error.message.includes(left), error.message);
        return /until `outrigger cluster status` says that nothing is left to move/.test(error.message);
      });
    fake.answer = say("c", 500, { errors: [] });
    await assert.rejects(a.reload(back), /cannot be told what has still to move \(member c of the cluster answers 500/);
    fake.answer = held.answer;
    // The same list is none other.
    await a.reload(changed());
    assert.equal((await a.client.getManifest(held.name, "v1")).digest, held.tags.get("v1")?.digest);
    open();
    await moved();
    await a.reload(changed("other"));
  });

  it("takes no push and answers nothing before the previous one has given its repositories up", async () => {
    held.isSettled = false;
    await change();
    const pushed = imageOf("early");
    const refused = async (reply: Reply) => {
      assert.equal(reply.status, 503, reply.body.toString());
      assert.match(reply.body.toString(), /member c of the cluster has another list/);
    };
    const path = `/v2/${held.name}/manifests/v1`;
    const put = { headers: { "content-type": pushed.manifest.mediaType }, body: pushed.manifest.bytes };
    const all = [a.client.request("PUT", path, put), a.client.request("GET", path), a.client.request("DELETE", path)];
    // Also what would need nothing of it: the previous one may still take the same.
    const [blob = bytesContent(Buffer.alloc(0))] = pushed.blobs;
    const whole = { body: Buffer.concat([...blob.read()]) };
    all.push(a.client.request("POST", `/v2/${held.name}/blobs/uploads/?digest=${blob.digest}`, whole));
    for (const reply of await Promise.all(all)) await refused(reply);
    held.isSettled = true;
    await a.client.expect(404, "GET", path);
  });
});

for (const alone of [false, true])
  describe(`the previous owner${alone ? ", which was no member" : ""}`, () => {
    const scope = new Scope();
    let world: World;
    let a: Member;
    before(async () => {
      const fake = await fakeMember(hosts.c);
      scope.defer(fake.close);
      fake.answer = say("c", 404, { errors: [] });
      world = await startMember(scope, "a", { urls: { c: fake.url }, config: { cores: "one" }, alone });
      a = world.members.a;
    });
    after(scope.close);

    /** As c, the only member of the new list, or as somebody else. */
    function ask(method: string, path: string, from = "c", role: Role = "previous"): Promise<Reply> {
      const key = Buffer.from(readFileSync(world.keyFile, "latin1").trim());
      const [now, then] = [["c"], ["a"]].map((ids) => memberList(ids, { ...owner, rules: [] }));
      assert.ok(now);
      const hash = hashOf(now, then);
      const headers = signRequest(key, { method, path, account: "", from, to: "a", listHash: hash, role }, Date.now());
      return a.client.request(method, path, { headers });
    }

    async function received(): Promise<number> {
      const text = (await a.client.expect(200, "GET", "/metrics")).body.toString();
      return Number(/^outrigger_http_body_received_bytes_total (\d+)$/m.exec(text)?.[1]);
    }

    it("gives nothing up while a push is under way that began before, and all of it then", async () => {
      const pushed = imageOf("under way");
      const name = "given/app";
      for (const blob of pushed.blobs) await a.client.pushBlob(name, blob);
      const begun = locationOf(await a.client.expect(202, "POST", `/v2/${name}/blobs/uploads/`));
      const late = bytesContent(Buffer.from("an upload that ends where it began"));
      const before = await received();
      const body = new PassThrough();
      const headers = {
        "content-type": pushed.manifest.mediaType,
        "content-length": String(pushed.manifest.bytes.length),
      };
      const pushing = a.client.expect(201, "PUT", `/v2/${name}/manifests/v1`, { headers, body });
      body.write(pushed.manifest.bytes.subarray(0, 10));
      // Its head and what there is of its body have come.
      await until(
        async () => (await received()) === before + 10,
        30_000,
        () => "the push does not begin",
      );
      await a.reload({ members: world.listOf("c"), previous: { members: world.listOf("a") } });
      assert.equal((await ask("GET", "/v2/_outrigger/members/settled")).status, 421);
      assert.equal((await ask("GET", `/v2/${name}/tags/list`)).status, 421);
      body.end(pushed.manifest.bytes.subarray(10));
      await pushing;
      await until(
        async () => (await ask("GET", "/v2/_outrigger/members/settled")).status === 200,
        30_000,
        () => "it is not settled",
      );
      const found = await ask("GET", `/v2/${name}/manifests/v1`);
      assert.deepEqual([found.status, found.body], [200, pushed.manifest.bytes]);
      const contents = async (kind: string) =>
        JSON.parse(
          (await ask("GET", `/v2/_outrigger/members/contents?name=${name}&kind=${kind}&after=`)).body.toString(),
        );
      const [tag, revision] = [(await contents("tags")).items, (await contents("revisions")).items];
      const since: number = tag[0]?.taggedMs;
      assert.deepEqual(tag, [{ tag: "v1", digest: pushed.manifest.digest, taggedMs: since }]);
      assert.deepEqual(revision, [{ digest: pushed.manifest.digest, pushedMs: since }]);
      assert.ok(since > 0);
      assert.equal((await contents("layers")).items.length, 2);
      const ended = `${begun}&digest=${late.digest}`;
      assert.equal((await ask("PUT", ended)).status, 400);
      for (const [method, path, from, role] of [
        ["POST", `/v2/_outrigger/members/purge?name=${name}`, "b", "previous"],
        ["POST", `/v2/_outrigger/members/purge?name=${name}`, "c", "owner"],
        ["DELETE", `/v2/${name}/manifests/v1`, "c", "previous"],
        ["PUT", `/v2/${name}/manifests/v1`, "c", "previous"],
        ["GET", `/v2/${name}/manifests/v1`, "b", "previous"],
      ] as const) {
        const { status } = await ask(method, path, from, role);
        assert.ok(status >= 400 && status < 500, `${method} ${path} of ${from}: ${status}`);
      }
      const back = { members: world.listOf("a"), previous: { members: world.listOf("c") } };
      for (const next of [back, { members: world.listOf("a") }])
        await assert.rejects(a.reload(next), /given\/app has still to move from a to c: keep cluster\.members/);
      const purge = async (what: string, status = 200) => {
        const reply = await ask("POST", `/v2/_outrigger/members/purge?name=${name}&${what}`);
        assert.equal(reply.status, status, reply.body.toString());
      };
      await purge("kind=all", 405);
      await purge("kind=layers", 400);
      await purge(`kind=layers&digest=${late.digest},sha256:0`, 400);
      await purge("kind=manifests");
      assert.deepEqual(await contents("tags"), { items: [] });
      assert.deepEqual(await contents("revisions"), { items: [] });
      // Layers that are not named may have come since they were copied.
      assert.equal((await contents("layers")).items.length, 2);
      const [first, second] = pushed.blobs;
      await purge(`kind=layers&digest=${first?.digest}`);
      assert.deepEqual(await contents("layers"), { items: [{ digest: second?.digest }] });
      await purge(`kind=layers&digest=${second?.digest},${late.digest}`);
      assert.deepEqual(await contents("layers"), { items: [] });
      assert.equal((await ask("GET", `/v2/${name}/tags/list`)).status, 404);
      assert.equal((await ask("GET", "/v2/_catalog", "c", "itself")).body.toString(), '{"repositories":[]}');
      await a.reload(back);
    });
  });
