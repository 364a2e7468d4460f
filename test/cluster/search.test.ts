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
import { bytesContent, digestOf, image } from "../helpers/oci.ts";
import { until } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import type { RegistryClient } from "../helpers/registry-client.ts";
import { tempFolder } from "../helpers/temp.ts";
import { fixture, WORLD } from "../registry/search/world.ts";
import { countRequests, ids, type MemberId, namesOf, startWorld, type World } from "./world.ts";

const SEARCH = "/v2/_zot/ext/search";
const BLOBS = fixture<Readonly<Record<string, string>>>("world-blobs.json");
const ANSWERS =
  fixture<readonly { readonly name: string; readonly query: string; readonly status: number }[]>("zot-answers.json");
const owners = (of: readonly MemberId[]) => memberList(of, { by: "rendezvous", key: "", rules: [] });

interface Answer {
  readonly errors?: readonly { readonly message: string; readonly path: unknown }[];
  readonly data: {
    readonly RepoListWithNewestImage: { readonly Page: { TotalCount: number }; readonly Results: { Name: string }[] };
  };
}

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
      // The default, which a page would wait for too long.
      cluster: { answerSeconds: 10 },
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
      const smaller = new Scope();
      t.after(smaller.close);
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

  it("a member that hangs costs its part and is named, on the page too, before anybody gives up; pulls are not cut off", async (t) => {
    const [hung, asked] = ["c", "a"] as const;
    const { client } = world.members[asked];
    const names = [...new Set(WORLD.manifests.map(({ name }) => name))];
    const theirs = names.find((name) => owners(ids).ownerOf(name) === hung) ?? "";
    const others = names.find((name) => owners(ids).ownerOf(name) === "b") ?? "";
    const process = world.members[hung].process;
    process.signal("SIGSTOP");
    t.after(() => process.signal("SIGCONT"));
    const headers = { ...ann };
    const said = /member c of the cluster does not answer: no answer came within 4 s/i;
    // As many as would be asked of a member that is down before it is left alone.
    const pages = await Promise.all(
      ["/", "/?q=a", "/?q=:1", `/r/${theirs}`, `/r/${others}`, "/"].map((path) =>
        client.request("GET", path, { headers }),
      ),
    );
    assert.deepEqual(
      pages.map(({ status }) => status),
      [200, 200, 200, 503, 200, 200],
    );
    for (const [index, { body }] of pages.entries()) {
      if (index === 4) continue;
      assert.match(body.toString(), said);
    }
    assert.match(pages[0]?.body.toString() ?? "", new RegExp(`href="/r/${others}"`));
    // A document asks it once.
    const aliases = Array.from({ length: 24 }, (_, n) => `q${n}:RepoListWithNewestImage{Results{Name}}`).join(" ");
    const { data, errors } = JSON.parse((await ask(asked, `{${aliases}}`)).text);
    assert.equal(errors.length, 24);
    for (const { message, extensions } of errors) {
      assert.match(message, said);
      assert.equal(extensions.member, hung);
    }
    assert.ok(data.q23.Results.some(({ Name }: { Name: string }) => Name === others));
    process.signal("SIGCONT");
    // Nobody was kept from it meanwhile: slowness of a search is none of a pull's.
    await client.expect(200, "GET", `/v2/${theirs}/tags/list`, { headers });
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

describe("a search while names move", () => {
  const scope = new Scope();
  after(scope.close);

  it("says that some repositories may be missing, on the page too, until the list before is taken out", async () => {
    const world = await startWorld(scope, { first: ["a"], running: ["a", "b"], config: { cores: "one" } });
    const { a, b } = world.members;
    const name = namesOf(owners(["a", "b"]).ownerOf, "b", 1)[0] ?? "";
    await a.client.pushImage(name, image({ seed: name, layerBytes: [100] }), "v1");
    const query = encodeURIComponent("{RepoListWithNewestImage{Page{TotalCount} Results{Name}}}");
    const search = async (): Promise<Answer> =>
      JSON.parse((await a.client.expect(200, "GET", `${SEARCH}?query=${query}`)).body.toString());
    const page = async () => (await a.client.expect(200, "GET", "/")).body.toString();
    const words = /some repositories are on their way between the members of the cluster/;
    assert.equal((await search()).errors, undefined);
    const members = world.listOf("a", "b");
    for (const member of [b, a]) await member.reload({ members, previous: { members: world.listOf("a") } });
    const { errors, data } = await search();
    assert.equal(errors?.length, 1);
    assert.match(errors[0]?.message ?? "", words);
    assert.deepEqual(errors[0]?.path, ["RepoListWithNewestImage"]);
    assert.ok(data.RepoListWithNewestImage);
    assert.match(await page(), words);
    await until(
      async () => (await search()).data.RepoListWithNewestImage.Results.some(({ Name }) => Name === name),
      30_000,
      () => `${name} never came to b`,
    );
    for (const member of [b, a]) await member.reload({ members });
    const whole = await search();
    assert.equal(whole.errors, undefined);
    assert.equal(whole.data.RepoListWithNewestImage.Page.TotalCount, 1);
    assert.doesNotMatch(await page(), words);
  });
});
