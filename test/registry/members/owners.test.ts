import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { OwnerConfig } from "../../../registry/config/cluster.ts";
import { ownerRule } from "../../../registry/members/globs.ts";
import { memberList } from "../../../registry/members/owners.ts";

const rendezvous: OwnerConfig = { by: "rendezvous", key: "", rules: [] };
const name = fc.stringMatching(/^[a-z0-9]{1,12}(\/[a-z0-9]{1,12}){0,3}$/);
const id = fc.stringMatching(/^[a-z0-9]{1,8}$/);
const idsOf = (minLength: number) => fc.uniqueArray(id, { minLength, maxLength: 8 });

test("rendezvous: a member more takes names for itself, and moves none between the others", () => {
  fc.assert(
    fc.property(idsOf(2), fc.string(), fc.array(name, { maxLength: 50 }), ([added = "", ...before], key, names) => {
      const owner = { ...rendezvous, key };
      const [small, large] = [memberList(before, owner), memberList([added, ...before], owner)];
      for (const each of names) {
        const now = large.ownerOf(each);
        assert.ok(now === added || now === small.ownerOf(each), `${each} moved to ${now}`);
      }
    }),
  );
});

test("rendezvous: 1/N of the names move, and each member has its share", () => {
  const names = Array.from({ length: 6_000 }, (_, index) => `team-${index % 97}/app-${index}`);
  for (let count = 1; count <= 4; count += 1) {
    const ids = Array.from({ length: count + 1 }, (_, index) => `store-${index}`);
    const [before, after] = [memberList(ids.slice(0, count), rendezvous), memberList(ids, rendezvous)];
    const moved = names.filter((each) => before.ownerOf(each) !== after.ownerOf(each)).length;
    const fair = names.length / (count + 1);
    assert.ok(Math.abs(moved - fair) < 0.1 * fair, `${moved} of ${names.length} moved from ${count} to ${count + 1}`);
    for (const each of ids) {
      const share = names.filter((one) => after.ownerOf(one) === each).length;
      assert.ok(Math.abs(share - fair) < 0.1 * fair, `${each} of ${count + 1} has ${share}`);
    }
  }
});

test("rendezvous: the order in which members are written does not matter, the key does", () => {
  const names = Array.from({ length: 1000 }, (_, index) => `app-${index}`);
  const lists = [memberList(["a", "b", "c"], rendezvous), memberList(["c", "a", "b"], rendezvous)] as const;
  for (const each of names) assert.equal(lists[0].ownerOf(each), lists[1].ownerOf(each));
  assert.equal(lists[0].hash, lists[1].hash);
  const keyed = memberList(["a", "b", "c"], { ...rendezvous, key: "secret" });
  assert.ok(names.filter((each) => keyed.ownerOf(each) !== lists[0].ownerOf(each)).length > 500);
  assert.notEqual(keyed.hash, lists[0].hash);
});

test("rendezvous: who owns what is written down, so that an upgrade does not move names", () => {
  const { ownerOf, hash } = memberList(["a", "b", "c"], rendezvous);
  const owners = ["library/alpine", "team/app", "x", "a/b/c/d", "app-1", "app-2"].map(ownerOf);
  assert.deepEqual([owners.join(""), hash], ["bccbbc", "c7a10e9c64dd4673"]);
});

test("prefix: the first component is the owner, another one is nobody's", () => {
  const { ownerOf } = memberList(["a", "b"], { by: "prefix", key: "", rules: [] });
  assert.deepEqual(["a/x", "b/x/y", "b", "c/x", "ab/x"].map(ownerOf), ["a", "b", "b", undefined, undefined]);
});

test("rules: the first that fits counts, a name that none fits is nobody's", () => {
  const rules = [
    { repositories: "team-a/secret", member: "c" },
    { repositories: "team-a/**", member: "a" },
    { repositories: "*", member: "b" },
    { repositories: "**/v1.0", member: "c" },
  ];
  const { ownerOf } = memberList(["a", "b", "c"], { by: "rules", key: "", rules });
  const names = ["team-a/secret", "team-a/x/y", "alpine", "x/y", "x/v1.0", "x/v1x0"];
  assert.deepEqual(names.map(ownerOf), ["c", "a", "b", undefined, "c", undefined]);
  const other = memberList(["a", "b", "c"], { by: "rules", key: "", rules: rules.toReversed() });
  assert.notEqual(other.hash, memberList(["a", "b", "c"], { by: "rules", key: "", rules }).hash);
});

test("patterns: what is none is told from what is one", () => {
  for (const wrong of ["", "/a", "a/", "a//b", "A", "a b", "***", "a/***", "[a]", "x".repeat(256), "^a$", "a\nb"])
    assert.equal(ownerRule(wrong), undefined, wrong);
  for (const right of ["a", "*", "**", "a/*", "**/b", "a*b", "a.b", "a/**/b"]) assert.ok(ownerRule(right), right);
  assert.equal(ownerRule("a/*")?.("a/b/c"), false);
  assert.equal(ownerRule("a/**")?.("a/b/c"), true);
  assert.equal(ownerRule("a*")?.("ab"), true);
});
