/** `cluster.digests: adopt`: the owner keeps what it lacked and another member has; nobody waits for that, nobody else does. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, beforeEach, describe, it } from "node:test";
import { memberList } from "../../registry/members/owners.ts";
import { signRequest } from "../../registry/members/peers.ts";
import { hashOf } from "../../registry/members/view.ts";
import { image, seededContent } from "../helpers/oci.ts";
import { runOutrigger, until } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { type FakeMember, fakeMember } from "../registry/members/fake-member.ts";
import { Has } from "../registry/members/has.ts";
import { digestOf } from "../registry/repository/world.ts";
import { countRequests, hosts, ids, type Member, type MemberId, startMember, startWorld, type World } from "./world.ts";

const WAIT_MS = 30_000;
const NAME = "a/app";
const allOf = (member: MemberId) => ({ by: "rules", rules: [{ repositories: "**", member }] }) as const;

/** Of a and c, where one of them owns everything. */
function listOf(owner: MemberId) {
  return memberList(["a", "c"], { key: "", by: "rules", rules: [{ repositories: "**", member: owner }] });
}

function says({ process }: Member, what: RegExp, digest: string): Promise<string> {
  return process.line((line) => what.test(line) && line.includes(digest), WAIT_MS);
}

describe("members that are processes", () => {
  const scope = new Scope();
  let world: World;
  const pushed = image({ seed: "adopted", layerBytes: [1000, 700_000], raw: true });
  const alone = seededContent("a blob alone", 3_000_000);
  const blobPath = `/v2/${NAME}/blobs/${alone.digest}`;
  const manifestPath = `/v2/${NAME}/manifests/${pushed.manifest.digest}`;
  const ask = (id: MemberId, status: number, path: string, method = "GET") =>
    world.members[id].client.expect(status, method, path);

  before(async () => {
    world = await startWorld(scope, { cluster: { owner: { by: "prefix" }, digests: "adopt" } });
    await world.members.a.client.pushImage(NAME, pushed, "v1");
    await world.members.a.client.pushBlob(NAME, alone);
    // The list is changed without the one before: what a holds of it is b's by now, and b has it not.
    for (const id of ids) await world.members[id].reload({ members: world.listOf(...ids), owner: allOf("b") });
  });
  after(scope.close);

  it("a HEAD has nothing adopted; a GET of a blob has, while the client gets it from where it is", async () => {
    for (let round = 0; round < 2; round += 1) {
      // c is asked at the same time as a, and may be told in time that it need not answer.
      const { a, b } = await countRequests(world, ["blob"], () => ask("b", 200, blobPath, "HEAD"));
      assert.deepEqual({ a, b }, { a: 2, b: 1 });
    }
    const { a, b } = await countRequests(world, ["blob"], async () => {
      await world.members.b.client.pullBlob(NAME, alone);
      await says(world.members.b, /a blob was adopted/, alone.digest);
    });
    // a: whether it has it, for the client, for b itself.
    assert.deepEqual({ a, b }, { a: 3, b: 1 });
    const then = await countRequests(world, ["blob"], () => world.members.b.client.pullBlob(NAME, alone), ["a", "b"]);
    assert.deepEqual(then, { a: 0, b: 1 });
  });

  it("asked by another member, the owner answers that it has not, and adopts: the one that asks keeps nothing", async () => {
    const asked = await countRequests(world, ["manifest"], async () => {
      await ask("c", 200, manifestPath);
      await says(world.members.b, /a manifest was adopted/, pushed.manifest.digest);
    });
    // a: whether it has it, and for it, by each of the two.
    assert.deepEqual({ a: asked["a"], b: asked["b"] }, { a: 4, b: 1 });
    const then = await countRequests(world, ["manifest"], () => ask("c", 200, manifestPath), ["a", "b"]);
    assert.deepEqual(then, { a: 0, b: 1 });
    const { stdout } = await runOutrigger(["cluster", "status", "--url", world.members.b.url, "--json"]);
    const { members } = JSON.parse(stdout) as { members: { id: string; repositories: number; toMove: number }[] };
    assert.deepEqual(
      members.map(({ id, repositories, toMove }) => [id, repositories, toMove]),
      [
        ["a", 0, 1],
        ["b", 1, 0],
        ["c", 0, 0],
      ],
    );
  });

  it("it is in the owner's index as what is pushed is, but for when and by whom", async () => {
    const { b } = world.members;
    const { links, ...report } = JSON.parse(
      (await runOutrigger(["index", "verify", "--blobs", b.driver.address, "--json"])).stdout,
    );
    assert.deepEqual(report, { missing: 0, wrong: 0, stale: 0, withoutBytes: 0, problems: [] });
    assert.ok(links > 0);
    await b.client.putManifest(NAME, "v2", pushed.manifest);
    const query = encodeURIComponent(`{ImageList(repo:"${NAME}"){Results{Tag Digest Size PushTimestamp}}}`);
    const found = await ask("b", 200, `/v2/_zot/ext/search?query=${query}`);
    const size = pushed.manifest.bytes.length + pushed.blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    assert.deepEqual(JSON.parse(found.body.toString()).data.ImageList.Results, [
      { Tag: "v2", Digest: pushed.manifest.digest, Size: String(size), PushTimestamp: null },
    ]);
  });

  it("the member that had it may be lost: the owner has all of it", async () => {
    await world.members.a.process.kill();
    for (const id of ["b", "c"] as const) {
      await ask(id, 200, manifestPath);
      for (const blob of [alone, ...pushed.blobs]) await world.members[id].client.pullBlob(NAME, blob);
    }
  });
});

describe("the owner, beside a member that has content", () => {
  const scope = new Scope();
  let world: World;
  let a: Member;
  let has: Has;
  let fake: FakeMember;
  const settings = (more: object = {}) => ({ members: world.listOf("a", "c"), owner: allOf("a"), ...more });
  before(async () => {
    fake = await fakeMember(hosts.c);
    scope.defer(fake.close);
    world = await startMember(scope, "a", {
      first: ["a", "c"],
      urls: { c: fake.url },
      // What the tests hold back is late only for them.
      cluster: { owner: allOf("a"), digests: "adopt", answerSeconds: 120 },
      config: { cores: "one" },
    });
    a = world.members.a;
  });
  beforeEach(() => {
    has = new Has("c");
    fake.answer = has.answer;
  });
  after(scope.close);

  const key = () => Buffer.from(readFileSync(world.keyFile, "latin1").trim());
  /** Once a has asked the other member so, on its own account. */
  const askedForItself = (what: string) =>
    until(
      () => has.askedForItself.includes(what),
      WAIT_MS,
      () => `a does not ask ${what} for itself`,
    );
  const get = (digest: string, kind = "blobs") => a.client.request("GET", `/v2/${NAME}/${kind}/${digest}`);

  it("a second request meanwhile is answered and begins nothing; the owner answers once it has it", async () => {
    const digest = has.blob("asked for twice");
    const open = has.gates.hold(`GET ${digest}`);
    assert.equal((await get(digest)).status, 200);
    await askedForItself(`GET ${digest}`);
    for (let round = 0; round < 3; round += 1) assert.equal((await get(digest)).status, 200);
    open();
    await says(a, /a blob was adopted/, digest);
    const before = has.asked.length;
    assert.equal((await get(digest)).body.toString(), "asked for twice");
    assert.equal(has.asked.length, before);
    assert.equal(has.askedForItself.filter((what) => what === `GET ${digest}`).length, 1);
  });

  it("a range is answered at once, and all of it adopted", async () => {
    const digest = has.blob("all of it");
    // It answers all: the client may get that for a part (RFC 9110, 14.2).
    const headers = { range: "bytes=0-2" };
    assert.equal((await a.client.request("GET", `/v2/${NAME}/blobs/${digest}`, { headers })).status, 200);
    await says(a, /a blob was adopted/, digest);
    const part = await a.client.expect(206, "GET", `/v2/${NAME}/blobs/${digest}`, { headers });
    assert.equal(part.body.toString(), "all");
  });

  it("what a member lies about is not adopted, and the log names it", async () => {
    const digest = digestOf("what was asked for");
    has.blob("wrong".repeat(200_000), digest);
    await assert.rejects(get(digest), /aborted|socket hang up/);
    const line = await says(a, /was not adopted/, digest);
    assert.match(line, /"member":"c"/);
    assert.match(line, /member c of the cluster answers bytes that are not those of/);
    has.content.clear();
    assert.equal((await get(digest)).status, 404);
  });

  it("an image of which nobody has a layer is passed on, and not adopted", async () => {
    const digest = has.image(["here", "lost"]);
    has.content.delete(digestOf("lost"));
    assert.equal((await get(digest, "manifests")).status, 200);
    assert.match(await says(a, /a manifest was not adopted/, digest), new RegExp(`"lacks":"${digestOf("lost")}"`));
    has.content.clear();
    for (const absent of [digest, digestOf("here")])
      for (const kind of ["manifests", "blobs"]) assert.equal((await get(absent, kind)).status, 404);
  });

  it("nothing is adopted where the setting is taken away, with what is under way", async () => {
    const digest = has.image(["under way"]);
    const open = has.gates.hold(`GET ${digestOf("under way")}`);
    assert.equal((await get(digest, "manifests")).status, 200);
    await askedForItself(`GET ${digestOf("under way")}`);
    await a.reload(settings({ digests: "all" }));
    open();
    await says(a, /does not have it adopted any more/, digest);
    const other = has.blob("not any more");
    for (let round = 0; round < 3; round += 1) assert.equal((await get(other)).status, 200);
    assert.equal(has.askedForItself.includes(`GET ${other}`), false);
    await a.reload(settings());
  });

  it("what moves is not adopted: the handover brings it", async () => {
    const previous = { members: world.listOf("c"), owner: {} };
    await a.reload(settings({ previous }));
    const now = listOf("a");
    const then = memberList(["c"], { by: "rendezvous", key: "", rules: [] });
    const ask = (listHash: string, digest: string) => {
      const path = `/v2/${NAME}/blobs/${digest}`;
      const named = { method: "GET", path, account: "", from: "c", to: "a", listHash, role: "owner" } as const;
      return a.client.expect(404, "GET", path, { headers: signRequest(key(), named, Date.now()) });
    };
    // It has not given its repositories up, and says so to whoever looks for what moves.
    const [moving, still] = [digestOf("is moving"), digestOf("stays")];
    const { answer } = has;
    fake.answer = (request, response) => {
      if (request.url?.includes("/_outrigger/members/settled")) {
        response.writeHead(200, { "Outrigger-Member": "c", "Content-Length": 2 }).end("{}");
      } else void answer(request, response);
    };
    await ask(hashOf(now, then), moving);
    await a.reload(settings());
    await ask(now.hash, still);
    await askedForItself(`HEAD ${still}`);
    assert.equal(has.roles.get(`HEAD ${moving}`)?.has("digest") ?? false, false);
  });

  it("another list of members ends what is under way: whoever owns the repository then need not wait for it", async () => {
    const digest = has.blob("c's by then");
    has.gates.hold(`GET ${digest}`);
    assert.equal((await get(digest)).status, 200);
    await askedForItself(`GET ${digest}`);
    const previous = { members: world.listOf("a", "c"), owner: allOf("a") };
    await a.reload({ members: world.listOf("a", "c"), owner: allOf("c"), previous });
    const [now, then] = [listOf("c"), listOf("a")];
    const settled = async () => {
      const path = "/v2/_outrigger/members/settled";
      const named = { method: "GET", path, account: "", from: "c", to: "a", role: "previous" } as const;
      const headers = signRequest(key(), { ...named, listHash: hashOf(now, then) }, Date.now());
      return (await a.client.request("GET", path, { headers })).status === 200;
    };
    await until(settled, WAIT_MS, () => "a is not done with what it began");
    assert.deepEqual(
      a.process.lines.filter((line) => line.includes(digest)),
      [],
    );
    await a.reload({ members: world.listOf("a", "c"), owner: allOf("c") });
    await a.reload(settings());
  });

  it("the registry stops with one under way", async () => {
    const digest = has.blob("never comes");
    has.gates.hold(`GET ${digest}`);
    assert.equal((await get(digest)).status, 200);
    await askedForItself(`GET ${digest}`);
    assert.equal((await a.process.stop()).code, 0);
    assert.deepEqual(
      a.process.lines.filter((line) => line.includes(digest)),
      [],
    );
  });
});

describe("an owner that may change nothing", () => {
  const scope = new Scope();
  after(scope.close);

  it("passes on, and adopts nothing", async () => {
    const fake = await fakeMember(hosts.c);
    scope.defer(fake.close);
    const has = new Has("c");
    fake.answer = has.answer;
    const world = await startMember(scope, "a", {
      first: ["a", "c"],
      urls: { c: fake.url },
      cluster: { owner: allOf("a"), digests: "adopt" },
      config: { readOnly: true },
    });
    const blob = has.blob("never adopted");
    for (let round = 0; round < 5; round += 1)
      await world.members.a.client.expect(200, "GET", `/v2/${NAME}/blobs/${blob}`);
    assert.equal(has.asked.filter((what) => what === `GET ${blob}`).length, 5);
    assert.deepEqual(
      has.askedForItself.filter((what) => what.startsWith("GET")),
      [],
    );
  });
});
