/** What one document may cost the members that are asked: as much as it may cost one registry, however it is written. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MAX_COST } from "../../../../registry/search/asking.ts";
import { QueryError } from "../../../../registry/search/errors.ts";
import { Account, MAX_ANSWER_BYTES } from "../../../../registry/search/fan-out/account.ts";
import { clusterOf } from "./cluster.ts";

/** So many repositories of one image over three members. */
const large = (repositories: number) =>
  clusterOf(3, (source, _, owns) => {
    const record = { mediaType: "application/vnd.oci.image.manifest.v1+json", sizeBytes: 1, layers: [] };
    for (let n = 0; n < repositories; n += 1) {
      const name = `r/${String(n).padStart(6, "0")}`;
      if (owns(name)) source.put(name, `sha256:${String(n).padStart(64, "0")}`, record, ["t"], 1000 + n);
    }
  });

/** 255 values of an item, as they are counted: few of them are there. */
const FIELDS = `Manifests{${Array.from({ length: 14 }, (_, n) => `l${n}:Layers{Digest}`).join(" ")}}`;
const aliases = (query: string) => `{${Array.from({ length: 30 }, (_, n) => `q${n}:${query}`).join(" ")}}`;

describe("a document of many aliases", () => {
  it("costs each member no more than one registry, and is refused in the same words", async () => {
    const cluster = large(900);
    const { data, errors } = await cluster.ask(
      aliases(`ImageList(repo:"" requestedPage:{limit:1000}){Results{${FIELDS}}}`),
    );
    assert.equal(data, null);
    assert.match(errors?.[0]?.message ?? "", /would have about \d+ values, and 1000000 are allowed: ask for fewer/);
    // About 300 items of 255 values of each: fourteen are more than a million, and few are under way beside that one.
    assert.ok(cluster.asked.length <= 2 * 18, `${cluster.asked.length} questions`);
  });

  it("likewise where all are about one member's repository", async () => {
    const cluster = clusterOf(3, (source, _, owns) => {
      const record = { mediaType: "application/vnd.oci.image.manifest.v1+json", sizeBytes: 1, layers: [] };
      if (!owns("many/tags")) return;
      for (let n = 0; n < 500; n += 1)
        source.put("many/tags", `sha256:${String(n).padStart(64, "0")}`, record, [`t${n}`], 1000);
    });
    const name = "many/tags";
    if (cluster.ownerOf(name) === "a") assert.fail("another member must own it");
    const { data, errors } = await cluster.ask(aliases(`ImageList(repo:"${name}"){Results{${FIELDS}}}`));
    assert.equal(data, null);
    assert.match(errors?.[0]?.message ?? "", /values, and 1000000 are allowed/);
    assert.ok(cluster.asked.length <= 10, `${cluster.asked.length} questions`);
  });

  it("costs this member no more, whether it is asked alone or with all", async () => {
    let filled = "";
    const names = Array.from({ length: 20 }, (_, n) => `many/tags-${n}`);
    const cluster = clusterOf(3, (source, _, owns) => {
      const record = { mediaType: "application/vnd.oci.image.manifest.v1+json", sizeBytes: 1, layers: [] };
      const name = names.find(owns);
      // The first that is filled is the one that is asked.
      if (name === undefined || filled !== "") return;
      filled = name;
      for (let n = 0; n < 500; n += 1) {
        source.put(name, `sha256:${String(n).padStart(64, "0")}`, record, [`t${n}`], 1000);
      }
    });
    const own = Array.from({ length: 4 }, (_, n) => `a${n}:ImageList(repo:"${filled}"){Results{${FIELDS}}}`);
    const all = Array.from({ length: 4 }, (_, n) => `b${n}:ImageList(repo:""){Results{${FIELDS}}}`);
    const both = await cluster.ask(`{${[...own, ...all].join(" ")}}`);
    assert.match(both.errors?.[0]?.message ?? "", /values, and 1000000 are allowed/);
    for (const some of [own, all.slice(0, 3)])
      assert.equal((await cluster.ask(`{${some.join(" ")}}`)).errors, undefined);
  });

  it("is answered where there is little to answer, also where all that there is was asked for", async () => {
    const cluster = large(50);
    const { errors } = await cluster.ask(aliases(`ImageList(repo:""){Results{${FIELDS}}}`));
    assert.equal(errors, undefined);
    assert.equal(cluster.asked.length, 60);
  });
});

describe("an account", () => {
  it("lets what fits begin at once, and what does not when it is alone", async () => {
    const account = new Account();
    const begun: number[] = [];
    const hold = async (number: number, items: number) => {
      const settle = await account.hold(items, 100);
      begun.push(number);
      return settle;
    };
    const [first, second] = await Promise.all([hold(1, 4_000), hold(2, 4_000)]);
    const third = hold(3, 10_000);
    await new Promise(setImmediate);
    assert.deepEqual(begun, [1, 2]);
    first(10);
    await new Promise(setImmediate);
    assert.deepEqual(begun, [1, 2], "too large to be beside another");
    second(10);
    (await third)(9_980);
    account.assertLeft();
    (await hold(4, 1))(1);
    assert.throws(() => account.assertLeft(), QueryError);
    await assert.rejects(hold(5, 1), QueryError);
    assert.equal(MAX_COST, 1_000_000);
  });

  it("lets some begin at once, whatever they cost", async () => {
    const account = new Account();
    let begun = 0;
    const settles: ((items: number) => void)[] = [];
    for (let number = 0; number < 20; number += 1) {
      void account.hold(1, 0).then((settle) => {
        begun += 1;
        settles.push(settle);
      });
    }
    await new Promise(setImmediate);
    assert.equal(begun, 8);
    settles.pop()?.(0);
    await new Promise(setImmediate);
    assert.equal(begun, 9);
  });

  it("takes so many bytes of all answers together", () => {
    const account = new Account();
    account.took(MAX_ANSWER_BYTES);
    assert.throws(
      () => account.took(1),
      /the members' answers to this document have more than 67108864 bytes: ask for/,
    );
  });
});
