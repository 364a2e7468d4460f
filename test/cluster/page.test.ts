/** The page's members: each with its stores, one that is down, and one that lies about itself. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { memberList } from "../../registry/members/owners.ts";
import { image } from "../helpers/oci.ts";
import { until } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { type FakeMember, fakeMember, say } from "../registry/members/fake-member.ts";
import { hosts, ids, type MemberId, namesOf, startWorld, type World } from "./world.ts";

/** Text of a page, its member's cards one by one. */
async function cards(world: World): Promise<string[]> {
  const reply = await world.members.a.client.expect(200, "GET", "/members");
  const [, ...sections] = reply.body.toString().split('<section class="member">');
  return sections.map((section) =>
    section
      .replaceAll(/<[^>]+>/g, " ")
      .replaceAll(/\s+/g, " ")
      .trim(),
  );
}

describe("the members' page", () => {
  const scope = new Scope();
  let world: World;
  let fake: FakeMember;
  before(async () => {
    fake = await fakeMember(hosts.c);
    scope.defer(() => fake.close());
    world = await startWorld(scope, { urls: { c: fake.url } });
  });
  after(scope.close);

  it("shows every member with its stores, the one that was asked first", async () => {
    const stores = [{ kind: "blob", ready: true, driver: "com.example.tape", driverVersion: "7", address: "secret:1" }];
    fake.answer = say("c", 200, { id: "c", version: "9.9.9", stores, more: { than: "known" } });
    const [a = "", b = "", c = ""] = await cards(world);
    assert.match(a, /^a well answers you version \S+ .* blobs io\.outrigger\.memory \S+ ready .* metadata .* ready/);
    assert.match(b, /^b well version \S+ .* blobs io\.outrigger\.memory \S+ ready/);
    assert.match(c, /^c well version 9\.9\.9 .* blobs com\.example\.tape 7 ready/);
    assert.doesNotMatch(c, /secret/);
    assert.equal(fake.requests.at(-1)?.path, "/v2/_outrigger/members/health");
  });

  it("is for members to ask: a client is told nothing", async () => {
    const reply = await world.members.a.client.request("GET", "/v2/_outrigger/members/health");
    assert.equal(reply.status, 404);
  });

  it("says of one that is older that it is there, of one that lies or hangs what is wrong, with the rest intact", async () => {
    const third = async () => {
      const all = await cards(world);
      assert.match(all[0] ?? "", /^a well/);
      assert.match(all[1] ?? "", /^b well/);
      return all[2] ?? "";
    };
    fake.answer = say("c", 404, { errors: [{ code: "UNSUPPORTED" }] });
    assert.match(await third(), /^c in trouble version not known Its release does not tell how its stores are\./);
    const lies: [unknown, RegExp][] = [
      [{ id: "c", stores: [{ kind: "tape", ready: true }] }, /says of its stores what this member does not understand/],
      [{ id: "c", stores: "many" }, /says of its stores what this member does not understand/],
      [{ version: 7 }, /says of its stores what this member does not understand/],
    ];
    for (const [lie, words] of lies) {
      fake.answer = say("c", 200, lie);
      const card = await third();
      assert.match(card, /^c does not answer/);
      assert.match(card, words);
    }
    fake.answer = say("c", 500, {});
    assert.match(await third(), /^c does not answer .*answers 500/);
    fake.answer = say("c", 200, { id: "c", version: "v".repeat(2 * 1024 * 1024) });
    assert.match(await third(), /^c does not answer/);
    fake.answer = () => {};
    assert.match(await third(), /^c does not answer/);
  });

  it("says that one is down", async () => {
    const { b } = world.members;
    await b.process.kill();
    assert.match((await cards(world))[1] ?? "", /^b does not answer .*Member b of the cluster does not answer/);
    await b.restart();
    await until(
      async () => /^b well/.test((await cards(world))[1] ?? ""),
      30_000,
      () => "b is never well again",
    );
  });
});

describe("the page of a cluster", () => {
  const scope = new Scope();
  let world: World;
  const { ownerOf } = memberList(ids, { by: "rendezvous", key: "", rules: [] });
  const names = Object.fromEntries(ids.map((id) => [id, namesOf(ownerOf, id, 1)[0] ?? ""])) as Record<MemberId, string>;
  before(async () => {
    world = await startWorld(scope);
    const { client } = world.members.a;
    for (const name of Object.values(names))
      await client.pushImage(name, image({ seed: name, layerBytes: [100] }), "v1");
  });
  after(scope.close);

  const listed = async (id: MemberId) => {
    const body = (await world.members[id].client.expect(200, "GET", "/")).body.toString();
    return ids.filter((owner) => body.includes(`href="/r/${names[owner]}"`)).join();
  };

  it("has the repositories of all, whichever member is asked", async () => {
    for (const id of ids) {
      assert.equal(await listed(id), "a,b,c");
      for (const owner of ids) {
        const reply = await world.members[id].client.expect(200, "GET", `/r/${names[owner]}:v1`);
        // The command that works from where its reader is.
        assert.ok(reply.body.includes(`docker pull ${world.members[id].host}/${names[owner]}:v1`));
      }
    }
  });

  it("says which member is down, with the rest intact, and is whole again when it is back", async () => {
    const { a, c } = world.members;
    await c.process.kill();
    assert.equal(await listed("a"), "a,b");
    const list = (await a.client.expect(200, "GET", "/")).body.toString();
    assert.match(list, /Member c of the cluster does not answer[^<]*What it owns is missing here/);
    const its = await a.client.expect(503, "GET", `/r/${names.c}`);
    assert.match(its.body.toString(), /Member c of the cluster does not answer/);
    await a.client.expect(200, "GET", `/r/${names.b}:v1`);
    await c.restart();
    await until(
      async () => (await listed("a")) === "a,b,c",
      30_000,
      () => "c's repositories are never there again",
    );
  });
});
