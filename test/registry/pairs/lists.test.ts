import assert from "node:assert/strict";
import { test } from "node:test";
import { listInPairs, type PairWithList } from "../../../registry/pairs/lists.ts";
import { Routes } from "../../../registry/pairs/routes.ts";
import { type DeclaredList, ListOutdated, type MemberListOfCores } from "../../../registry/repository/member-list.ts";

const next: DeclaredList = { hash: "next", isMember: true };

class FakeList {
  readonly told: string[] = [];
  isSettled = true;
  outdated: string | undefined;

  declare({ hash }: DeclaredList): void {
    this.told.push(`declare ${hash}`);
  }

  async assertMayDeclare({ hash }: DeclaredList): Promise<void> {
    this.told.push(`may ${hash}`);
    if (this.outdated !== undefined) throw new Error(this.outdated);
  }

  async assertCurrent(): Promise<void> {
    this.told.push("current");
    if (this.outdated !== undefined) throw new ListOutdated(this.outdated);
  }
}

function world() {
  const [main, team] = [new FakeList(), new FakeList()];
  const pair = (prefix: string, list: FakeList) => ({
    ...{ prefix, isServing: true },
    repositories: { list: list as unknown as MemberListOfCores },
  });
  const pairs = { main: pair("", main), team: pair("team", team) };
  const routes = new Routes<PairWithList>(pairs.main, [pairs.team]);
  return { main, team, pairs, lists: listInPairs(() => routes, true) };
}

test("a list holds in all pairs, and is settled when it is in all", () => {
  const { main, team, lists } = world();
  lists.declare(next);
  assert.deepEqual([main.told, team.told], [["declare next"], ["declare next"]]);
  assert.equal(lists.isSettled, true);
  team.isSettled = false;
  assert.equal(lists.isSettled, false);
});

test("of a repository its pair is asked alone, of all there is each", async () => {
  const { main, team, lists } = world();
  team.outdated = "it was exchanged";
  await lists.assertCurrent("app");
  assert.deepEqual([main.told, team.told], [["current"], []]);
  await assert.rejects(lists.assertCurrent("team/app"), { name: "ListOutdated" });
  await assert.rejects(lists.assertCurrent(), { name: "ListOutdated" });
  assert.equal(lists.outdated, "it was exchanged");
  await assert.rejects(lists.assertMayDeclare(next), /it was exchanged/);
});

test("a pair that is not served yet is asked nothing, and nothing is settled before it is", async () => {
  const { team, pairs, lists } = world();
  Object.assign(team, { isSettled: false, outdated: "not reached" });
  pairs.team.isServing = false;
  await lists.assertMayDeclare(next);
  await lists.assertCurrent();
  await lists.assertCurrent("team/app");
  assert.deepEqual([lists.outdated, lists.isSettled], [undefined, false]);
});
