/** Repositories that lie in stores of their own, by prefix: one registry to whoever uses it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { routedRepositories } from "../../../registry/pairs/repositories.ts";
import { normalPrefix, Routes } from "../../../registry/pairs/routes.ts";
import { blobKey, tagLink } from "../../../registry/repository/keys.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { randomOf, seedOf } from "../../helpers/random.ts";
import { context, pushBlob, pushImage, startCore } from "../repository/world.ts";

const anybody = () => true;

async function registry(...prefixes: readonly string[]) {
  const known = new Routes(
    { prefix: "" },
    prefixes.map((prefix) => ({ prefix })),
  );
  const open = async (prefix: string) => {
    const backend = new FakeBackend();
    const owns = (name: string) => known.of(name).prefix === prefix;
    return { prefix, backend, isServing: true, repositories: (await startCore({ backend, owns })).repositories };
  };
  const main = await open("");
  const others = await Promise.all(prefixes.map(open));
  return { main, others, all: [main, ...others], repositories: routedRepositories(new Routes(main, others)) };
}

test("the longest prefix counts, on component boundaries", () => {
  const pair = (prefix: string) => ({ prefix: normalPrefix(prefix) });
  const routes = new Routes(pair(""), [pair("team-a/"), pair("team-a/images"), pair("b")]);
  const of = (name: string) => routes.of(name).prefix;
  assert.deepEqual(["team-a", "team-a/x", "team-a/x/y", "team-a/imagesx"].map(of), Array(4).fill("team-a"));
  assert.deepEqual(["team-a/images", "team-a/images/x"].map(of), Array(2).fill("team-a/images"));
  assert.deepEqual(["team-ab", "team", "x/team-a", "x/b", "bb"].map(of), Array(5).fill(""));
  assert.deepEqual(["b", "b/b"].map(of), ["b", "b"]);
});

test("everything of a repository lies in its pair, and nowhere else", async () => {
  const { main, others, repositories } = await registry("a");
  await pushImage(repositories, "a/x", ["t"], { layers: ["in a"] });
  await pushImage(repositories, "x", ["t"], { layers: ["in main"] });
  assert.ok(others[0]?.backend.metaText().has(tagLink("a/x", "t")));
  assert.ok(main.backend.metaText().has(tagLink("x", "t")));
  assert.equal(main.backend.metaText("docker/registry/v2/repositories/a/").size, 0);
  assert.equal(others[0]?.backend.metaText("docker/registry/v2/repositories/x/").size, 0);
  for (const name of ["a/x", "x"]) {
    assert.deepEqual((await repositories.listTags(name, { last: "", limit: 10 }, context()))?.names, ["t"]);
    assert.equal(await repositories.deleteTag(name, "t", context()), true);
    assert.equal(await repositories.getManifest(name, { tag: "t" }, context()), undefined);
  }
});

test("the catalog is one list in order, in pages of any size", async (t) => {
  const random = randomOf(seedOf(t));
  const { main, all, repositories } = await registry("team-a", "team-a/deep", "zz");
  const names = new Set<string>();
  for (let n = 0; n < 40; n += 1) {
    const first = random.pick(["team-a", "team-a/deep", "zz", "team", "other", "team-a-b"]);
    const name = random.next() < 0.2 ? first : `${first}/r${random.between(0, 99)}`;
    await pushImage(repositories, name, ["t"], {});
    names.add(name);
  }
  // Left in a store from before it had the prefix: not to be seen.
  await pushImage(main.repositories, "team-a/hidden", ["t"], {});
  await pushImage(main.repositories, "zz/hidden", ["t"], {});
  for (const { backend } of all) backend.pageLimit = 3;
  const wanted = [...names].sort();
  for (const limit of [1, 2, 5, 7, wanted.length, 1000]) {
    const found: string[] = [];
    for (let last = ""; ; ) {
      const page = await repositories.listRepositories({ last, limit }, context());
      assert.ok(page.names.length <= limit);
      found.push(...page.names);
      assert.equal(page.more, found.length < wanted.length, `limit ${limit}, ${found.length}`);
      if (!page.more) break;
      assert.equal(page.names.length, limit);
      last = found.at(-1) ?? "";
    }
    assert.deepEqual(found, wanted, `limit ${limit}`);
  }
});

test("a mount across pairs is an upload; within a pair it is a mount", async () => {
  const { main, repositories } = await registry("a");
  const digest = await pushBlob(repositories, "a/x", "layer");
  const mount = (name: string, from?: string) =>
    repositories.mountBlob(name, digest, { mayRead: anybody, ...(from === undefined ? {} : { from }) }, context());
  assert.equal(await mount("main", "a/x"), undefined);
  assert.equal(await mount("main"), undefined);
  assert.equal(main.backend.blobs.has(blobKey(digest)), false);
  assert.equal((await mount("a/y", "a/x"))?.digest, digest);
  assert.equal((await mount("a/z"))?.digest, digest);
  // Bytes of a name that is another pair's by now are not found by chance.
  const hidden = await pushBlob(main.repositories, "a/hidden", "hidden");
  assert.equal(await repositories.mountBlob("main", hidden, { mayRead: anybody }, context()), undefined);
});

test("a pair that is not reached yet answers 503 for its own repositories, and for the catalog", async () => {
  const { others, repositories } = await registry("a");
  const [apart] = others;
  if (apart !== undefined) apart.isServing = false;
  await pushImage(repositories, "x", ["t"], {});
  const unavailable = { code: "UNAVAILABLE", status: 503 };
  await assert.rejects(async () => repositories.statBlob("a/x", "sha256:0", context()), unavailable);
  await assert.rejects(async () => repositories.startUpload("a/x", "sha256"), unavailable);
  await assert.rejects(repositories.listRepositories({ last: "", limit: 10 }, context()), unavailable);
  assert.equal((await repositories.getManifest("x", { tag: "t" }, context())) !== undefined, true);
});

test("search tells of all pairs as of one, in every order, and of no repository in the wrong pair", async () => {
  const { main, others, repositories } = await registry("team-a", "zz");
  const names = ["app", "team-a/x", "team-a-b", "team-a", "zz/1", "b"];
  for (const [index, name] of names.entries()) {
    await pushImage(repositories, name, ["t"], { annotations: { of: name } });
    for (let at = 0; at < index; at += 1) await repositories.getManifest(name, { tag: "t" }, context());
  }
  const shared = await pushImage(repositories, "app", ["shared"], {});
  await pushImage(repositories, "zz/1", ["shared"], {});
  // Left in a store from before it had the prefix: not to be seen.
  await pushImage(main.repositories, "zz/hidden", ["t"], {});
  const view = await repositories.search.view(context());
  const namesOf = (order: "name" | "name-desc" | "updated" | "downloads", offset?: number) =>
    [...view.repositories(order, offset)].map(({ name }) => name);
  const sorted = [...names].sort();
  assert.deepEqual(namesOf("name"), sorted);
  assert.deepEqual(namesOf("name-desc"), sorted.toReversed());
  for (let offset = 0; offset <= 7; offset += 1) assert.deepEqual(namesOf("name", offset), sorted.slice(offset));
  const updated = [...view.repositories("updated")].map(({ updatedMs }) => updatedMs);
  assert.deepEqual(
    updated,
    [...updated].sort((a, b) => b - a),
  );
  assert.deepEqual([view.repositoryCount, view.tagCount], [6, 8]);
  assert.deepEqual(view.repositoriesWith(shared), ["app", "zz/1"]);
  assert.equal(view.repository("zz/hidden"), undefined);
  assert.equal(view.repository("zz/1")?.tagCount, 2);
  assert.deepEqual([...(await view.records("zz/1", [shared], context())).keys()], [shared]);
  for (const { repositories: of } of [main, ...others]) await of.close();
});

test("search fails, as the catalog does, while a pair is not reached yet", async () => {
  const { others, repositories } = await registry("team-a");
  Object.assign(others[0] ?? {}, { isServing: false });
  await assert.rejects(repositories.search.view(context()), { code: "UNAVAILABLE", status: 503 });
});
