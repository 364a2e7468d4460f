/** Pages of all members' names, each member asked for no more of them than it is likely to have. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../../../proto/clock.ts";
import type { OwnerConfig } from "../../../registry/config/cluster.ts";
import { mergedCatalog } from "../../../registry/members/catalog.ts";
import type { MemberClient } from "../../../registry/members/client.ts";
import { MemberDown } from "../../../registry/members/errors.ts";
import { memberList } from "../../../registry/members/owners.ts";
import type { View } from "../../../registry/members/view.ts";
import type { Listing, Repositories } from "../../../registry/repository/contract.ts";

const ids = ["a", "b", "c"];
const rendezvous: OwnerConfig = { by: "rendezvous", key: "", rules: [] };
const many = Array.from({ length: 1000 }, (_, index) => `team/r${String(index).padStart(4, "0")}`);

function world(owner: OwnerConfig, all: readonly string[], down?: string) {
  const list = memberList(ids, owner);
  const asked: { id: string; limit: number }[] = [];
  const missing: string[][] = [];
  const listing = (id: string, last: string, limit: number): Listing => {
    asked.push({ id, limit });
    const rest = all.filter((name) => name > last && list.ownerOf(name) === id);
    return { names: rest.slice(0, limit), more: rest.length > limit };
  };
  const client = {
    async ask(id: string, { path }: { readonly path: string }) {
      if (id === down) throw new MemberDown(id, "is down");
      const query = new URL(path, "http://b").searchParams;
      const { names, more } = listing(id, query.get("last") ?? "", Number(query.get("n")));
      const body = Buffer.from(JSON.stringify({ repositories: names }));
      return { member: id, status: 200, headers: more ? { link: "<next>" } : {}, body };
    },
  } as unknown as MemberClient;
  const local = {
    listRepositories: async ({ last, limit }: { last: string; limit: number }) => listing("a", last, limit),
  } as unknown as Repositories;
  const view = { self: "a", list, previous: undefined, partial: "allow" } as unknown as View;
  const options = { view: () => view, client, clock: systemClock, local, account: "" };
  const page = async (last: string, limit: number) => {
    asked.length = 0;
    const context = { requestId: "x", signal: new AbortController().signal };
    return mergedCatalog({ ...options, missing: (one) => missing.push([...one]) }, { last, limit }, context);
  };
  const read = async (limit: number): Promise<string[]> => {
    const names: string[] = [];
    for (let more = true; more; ) {
      const found = await page(names.at(-1) ?? "", limit);
      assert.ok(!found.more || found.names.length === limit, "a page that goes on is full");
      names.push(...found.names);
      more = found.more;
    }
    return names;
  };
  return { page, read, asked, missing };
}

describe("a page of the catalog", () => {
  it("asks each member for its part of it, and somewhat more", async () => {
    const { page, asked } = world(rendezvous, many);
    const found = await page("", 100);
    assert.deepEqual(found, { names: many.slice(0, 100), more: true });
    assert.deepEqual(asked.map(({ id }) => id).sort(), ids);
    for (const { limit } of asked) assert.ok(limit >= 34 && limit <= 60, `asked for ${limit}`);
  });

  for (const limit of [1, 2, 7, 50, 300, 1000])
    it(`of ${limit} follows another one: every name once, in order`, async () => {
      const { read } = world(rendezvous, many);
      assert.deepEqual(await read(limit), many);
    });

  it("is full also where one member has most of the names", async () => {
    const { ownerOf } = memberList(ids, rendezvous);
    for (const id of ids) {
      const names = many.filter((name, index) => ownerOf(name) === id || index % 40 === 0);
      const { page, read, asked } = world(rendezvous, names);
      assert.equal((await page("", 100)).names.length, 100);
      assert.equal(asked.length, 6, "each member once more");
      assert.deepEqual(await read(100), names);
    }
  });

  it("is asked for whole where names lie together", async () => {
    const names = ids.flatMap((id) => many.slice(0, 200).map((name) => `${id}/${name}`));
    const { page, read, asked } = world({ by: "prefix", key: "", rules: [] }, names);
    assert.deepEqual(await page("", 100), { names: names.slice(0, 100), more: true });
    assert.deepEqual(
      asked.map(({ limit }) => limit),
      [100, 100, 100],
    );
    assert.deepEqual(await read(70), names);
  });

  it("names a member that is down once, and does not ask it again", async () => {
    const { ownerOf } = memberList(ids, rendezvous);
    const names = many.filter((name) => ownerOf(name) !== "c");
    const { page, missing } = world(rendezvous, many, "c");
    assert.deepEqual(await page("", 100), { names: names.slice(0, 100), more: true });
    assert.deepEqual(missing, [["c"]]);
  });
});
