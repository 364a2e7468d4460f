/**
 * Searches over real members: the world of images that zot's answers were recorded over, spread over one, two and three of
 * them, gives the same answers whoever is asked; and what it is to whoever asks when a member is away.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { hashSync } from "bcryptjs";
import { memberList } from "../../registry/members/owners.ts";
import { FixtureScanner } from "../helpers/fixture-scanner.ts";
import { bytesContent, digestOf } from "../helpers/oci.ts";
import { Scope } from "../helpers/processes.ts";
import type { RegistryClient } from "../helpers/registry-client.ts";
import { tempFolder } from "../helpers/temp.ts";
import { fixture, WORLD } from "../registry/search/world.ts";
import { countRequests, ids, type MemberId, startWorld, type World } from "./world.ts";

const SEARCH = "/v2/_zot/ext/search";
const BLOBS = fixture<Readonly<Record<string, string>>>("world-blobs.json");
const ANSWERS =
  fixture<readonly { readonly name: string; readonly query: string; readonly status: number }[]>("zot-answers.json");
const owners = (of: readonly MemberId[]) => memberList(of, { by: "rendezvous", key: "", rules: [] });

interface Ann {
  readonly authorization: string;
}

async function pushWorld(client: RegistryClient, headers: Ann): Promise<void> {
  for (const { name, reference, mediaType, text } of WORLD.manifests) {
    const manifest = JSON.parse(text) as { config?: { digest: string }; layers?: { digest: string }[] };
    for (const blob of new Set([manifest.config, ...(manifest.layers ?? [])].flatMap((each) => each?.digest ?? []))) {
      const bytes = WORLD.configs[blob] ?? Buffer.from(BLOBS[blob] ?? "", "base64");
      const content = bytesContent(Buffer.from(bytes));
      assert.equal(content.digest, blob);
      const path = `/v2/${name}/blobs/uploads/?digest=${blob}`;
      await client.expect(201, "POST", path, { headers: { ...headers }, body: Buffer.from(bytes) });
    }
    const path = `/v2/${name}/manifests/${reference}`;
    await client.expect(201, "PUT", path, {
      headers: { ...headers, "content-type": mediaType },
      body: Buffer.from(text),
    });
    // Their order by time is the same however many answer.
    await sleep(5);
  }
}

/** Times that the registry sets itself. */
function withoutTimes(text: string): string {
  return text.replaceAll(/"2[0-9]{3}-[0-9-]+T[0-9:.]+Z"/g, (time) => (time < '"2026-11' ? time : '"now"'));
}

describe("a search over a cluster", () => {
  const scope = new Scope();
  let world: World;
  let scanner: FixtureScanner;
  const ann: Ann = { authorization: `Basic ${Buffer.from("ann:ann").toString("base64")}` };
  const bob: Ann = { authorization: `Basic ${Buffer.from("bob:bob").toString("base64")}` };

  const ask = (id: MemberId, query: string, headers = ann) => askAt(world, id, query, headers);

  async function askAt(at: World, id: MemberId, query: string, headers = ann) {
    const reply = await at.members[id].client.request("GET", `${SEARCH}?query=${encodeURIComponent(query)}`, {
      headers: { ...headers },
    });
    return { status: reply.status, text: reply.body.toString() };
  }

  const start = (within: Scope, first: readonly MemberId[]): Promise<World> => {
    const file = join(tempFolder(within), "htpasswd");
    writeFileSync(file, `ann:${hashSync("ann", 4)}\nbob:${hashSync("bob", 4)}\n`);
    return startWorld(within, {
      first,
      config: { auth: { htpasswd: { file } }, scanner: { address: scanner.address } },
    });
  };
  const queries = ANSWERS.map(({ query }) => query).concat(
    '{CVEListForImage(image:"team/app:1.0"){Tag CVEList{Id Severity} Page{TotalCount}}}',
    '{ImageListForCVE(id:"CVE-2026-1"){Page{TotalCount} Results{RepoName Tag}}}',
    '{ImageListWithCVEFixed(id:"CVE-2026-1",image:"team/app"){Page{TotalCount} Results{RepoName Tag}}}',
    '{CVEDiffListForImages(minuend:{Repo:"team/app",Tag:"1.0"},subtrahend:{Repo:"zeta",Tag:"v1"}){CVEList{Id} Page{TotalCount}}}',
    "{RepoListWithNewestImage(requestedPage:{limit:5,offset:7,sortBy:ALPHABETIC_DSC}){Page{TotalCount ItemCount} Results{Name}}}",
  );

  /** Every answer of a member, by query. */
  async function answersAt(at: World, id: MemberId): Promise<Map<string, string>> {
    const answers = new Map<string, string>();
    for (const query of queries) {
      const { status, text } = await askAt(at, id, query);
      answers.set(query, `${status} ${withoutTimes(text)}`);
    }
    return answers;
  }

  before(async () => {
    scanner = await FixtureScanner.start(scope);
    for (const { text } of WORLD.manifests)
      scanner.known.set(digestOf(Buffer.from(text)), [{ id: "CVE-2026-1", severity: "SEVERITY_LOW" }]);
    world = await start(scope, ids);
    await pushWorld(world.members.a.client, ann);
  });
  after(scope.close);

  it("every query gives the same, byte for byte, over one, two and three members, whoever is asked", async (t) => {
    const smaller = new Scope();
    t.after(smaller.close);
    const wanted = await answersAt(world, "a");
    for (const { query, status } of ANSWERS.filter(({ name }) => !name.startsWith("POST")))
      assert.ok(wanted.get(query)?.startsWith(String(status)), query);
    const check = async (at: World, members: readonly MemberId[]) => {
      const spread = new Set(WORLD.manifests.map(({ name }) => owners(members).ownerOf(name)));
      assert.equal(spread.size, members.length, "each has something");
      for (const id of members) {
        for (const [query, answer] of await answersAt(at, id))
          assert.ok(answer === wanted.get(query), `${query} at ${id} of ${members}:\n${answer}\n${wanted.get(query)}`);
      }
    };
    await check(world, ids);
    for (const members of [["a"], ["a", "b"]] as const) {
      const other = await start(smaller, members);
      await pushWorld(other.members.a.client, ann);
      await check(other, members);
      await smaller.close();
    }
  });

  it("reaches whom it must: the owner of the one repository it is about, or everybody", async () => {
    const owner = owners(ids).ownerOf("team/app") as MemberId;
    const [other, third] = ids.filter((id) => id !== owner) as [MemberId, MemberId];
    const counted = (id: MemberId, query: string) => countRequests(world, ["search"], () => ask(id, query));
    const ofOne = '{Image(image:"team/app:1.0"){Digest}}';
    assert.deepEqual(await counted(owner, ofOne), { [owner]: 1, [other]: 0, [third]: 0 });
    assert.deepEqual(await counted(other, ofOne), { [owner]: 1, [other]: 1, [third]: 0 });
    const ofAll = "{RepoListWithNewestImage{Page{TotalCount}}}";
    assert.deepEqual(await counted(other, ofAll), { a: 1, b: 1, c: 1 });
  });

  it("a star is set through any member and seen through all, by whoever set it", async () => {
    const starred = async (id: MemberId, who: Ann) =>
      JSON.parse((await ask(id, "{StarredRepos{Results{Name StarCount}}}", who)).text).data.StarredRepos.Results;
    for (const name of ["zeta", "team/app", "base/alpine"]) {
      for (const who of [ann, bob]) {
        const path = `/v2/_zot/ext/userprefs?action=toggleStar&repo=${encodeURIComponent(name)}`;
        await world.members.b.client.expect(200, "PUT", path, { headers: { ...who } });
      }
    }
    const path = "/v2/_zot/ext/userprefs?action=toggleStar&repo=zeta";
    await world.members.c.client.expect(200, "PUT", path, { headers: { ...bob } });
    for (const id of ids) {
      const names = (all: { Name: string }[]) => all.map(({ Name }) => Name).sort();
      assert.deepEqual(names(await starred(id, ann)), ["base/alpine", "team/app", "zeta"]);
      assert.deepEqual(names(await starred(id, bob)), ["base/alpine", "team/app"]);
      const zeta = (await starred(id, ann)).find(({ Name }: { Name: string }) => Name === "zeta");
      assert.equal(zeta.StarCount, 1);
    }
    const unknown = "/v2/_zot/ext/userprefs?action=toggleStar&repo=no/such";
    for (const id of ids) await world.members[id].client.expect(404, "PUT", unknown, { headers: { ...ann } });
  });

  it("what only members may send along means nothing from a client", async () => {
    const body = Buffer.from(
      JSON.stringify({ query: '{BaseImageList(image:"no/such:1"){Page{TotalCount}}}', extensions: { layers: {} } }),
    );
    const headers = { ...ann, "content-type": "application/json" };
    for (const id of ids) {
      const reply = await world.members[id].client.expect(200, "POST", SEARCH, { headers, body });
      assert.match(reply.body.toString(), /repository not found/);
    }
  });

  it("a member that is away costs its part and is named; what is another's is whole", async () => {
    const [gone, asked] = ["c", "a"] as const;
    await world.members[gone].process.kill();
    const { status, text } = await ask(asked, "{RepoListWithNewestImage{Page{TotalCount} Results{Name}}}");
    assert.equal(status, 200);
    const { data, errors } = JSON.parse(text);
    const kept = [...new Set(WORLD.manifests.map(({ name }) => name))].filter(
      (name) => owners(ids).ownerOf(name) !== gone,
    );
    const names = data.RepoListWithNewestImage.Results.map(({ Name }: { Name: string }) => Name).sort();
    assert.deepEqual(names, kept.sort());
    assert.deepEqual(
      errors.map(({ extensions }: { extensions: { member: string } }) => extensions.member),
      [gone],
    );
    const theirs = WORLD.manifests.find(({ name }) => owners(ids).ownerOf(name) === gone)?.name ?? "";
    const one = JSON.parse((await ask(asked, `{ImageList(repo:"${theirs}"){Page{TotalCount}}}`)).text);
    assert.deepEqual(one.data, { ImageList: null });
    assert.equal(one.errors[0].extensions.member, gone);
    await world.members[gone].restart();
    const again = JSON.parse((await ask(asked, "{RepoListWithNewestImage{Page{TotalCount}}}")).text);
    assert.equal(again.errors, undefined);
  });
});
