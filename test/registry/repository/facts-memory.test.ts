import assert from "node:assert/strict";
import { test } from "node:test";
import type { MetaItem, MetaOperation, Page } from "../../../client/contract.ts";
import { FactsMemory } from "../../../registry/repository/facts-memory.ts";
import * as keys from "../../../registry/repository/keys.ts";
import { deferred } from "../../helpers/gates.ts";
import { VirtualClock } from "./virtual-clock.ts";

const key = keys.tagKey("app", "v1");
const prefix = keys.tagsPrefix("app");
const item = (value: string): MetaItem => ({ key, value: Buffer.from(value), etag: value });
const put = (value: string): MetaOperation => ({ kind: "put", key, value: Buffer.from(value) });
const pageOf = (...items: MetaItem[]): Page<MetaItem> => ({ items, more: false });

function memory(): { facts: FactsMemory; clock: VirtualClock; value: () => string | undefined } {
  const clock = new VirtualClock();
  const facts = new FactsMemory(1024 * 1024, clock);
  return { facts, clock, value: () => facts.items([key])?.[0]?.value.toString() };
}

test("what the store says is kept, also that there is nothing; a Write replaces it", async () => {
  const { facts, value } = memory();
  await facts.fillItems([key], async () => [undefined]);
  assert.deepEqual(facts.items([key]), [undefined]);
  facts.beginWrite([put("one")])("written", ["e1"]);
  assert.equal(value(), "one");
  facts.beginWrite([{ kind: "delete", key }])("written", [""]);
  assert.deepEqual(facts.items([key]), [undefined]);
  facts.beginWrite([put("two")])("refused", []);
  assert.equal(facts.items([key]), undefined);
});

test("an answer that may be older than a Write is not kept", async () => {
  const { facts, value } = memory();
  const answer = deferred<(MetaItem | undefined)[]>();
  const asking = facts.fillItems([key], () => answer.promise);
  const page = deferred<Page<MetaItem>>();
  const listing = facts.fillPage({ prefix }, () => page.promise);
  facts.beginWrite([put("new")])("written", ["e1"]);
  answer.resolve([item("old")]);
  page.resolve(pageOf(item("old")));
  assert.equal((await asking)[0]?.value.toString(), "old");
  await listing;
  assert.equal(value(), "new");
  assert.equal(facts.page({ prefix }), undefined);
});

test("an answer given while a Write is under way does not outlive it", async () => {
  const { facts } = memory();
  const end = facts.beginWrite([put("new")]);
  await facts.fillItems([key], async () => [item("old")]);
  await facts.fillPage({ prefix }, async () => pageOf(item("old")));
  end("refused", []);
  assert.equal(facts.items([key]), undefined);
  assert.equal(facts.page({ prefix }), undefined);
});

test("of two Writes at once nobody knows which came last", () => {
  const { facts } = memory();
  const first = facts.beginWrite([put("one")]);
  const second = facts.beginWrite([put("two")]);
  second("written", ["e2"]);
  first("written", ["e1"]);
  assert.equal(facts.items([key]), undefined);
});

test("after a Write of unknown outcome nothing is kept until it can no longer take effect", async () => {
  const { facts, clock, value } = memory();
  facts.beginWrite([put("new")])("unknown", []);
  await facts.fillItems([key], async () => [item("old")]);
  await facts.fillPage({ prefix }, async () => pageOf(item("old")));
  assert.equal(value(), undefined);
  assert.equal(facts.page({ prefix }), undefined);
  await clock.advance(60_000);
  await facts.fillItems([key], async () => [item("new")]);
  assert.equal(value(), "new");
});

test("cleared: answers and Writes that began before leave nothing", async () => {
  const { facts } = memory();
  const answer = deferred<(MetaItem | undefined)[]>();
  const asking = facts.fillItems([key], () => answer.promise);
  const end = facts.beginWrite([{ ...put("new"), key: keys.tagKey("app", "v2") }]);
  facts.clear();
  answer.resolve([item("old")]);
  await asking;
  end("written", ["e1"]);
  assert.equal(facts.items([key]), undefined);
  assert.equal(facts.items([keys.tagKey("app", "v2")]), undefined);
});

test("it stays within its bytes", async () => {
  const facts = new FactsMemory(64 * 1024, new VirtualClock());
  const names = Array.from({ length: 2000 }, (_, at) => keys.tagKey("app", `v${at}`));
  for (const name of names)
    await facts.fillItems([name], async () => [{ key: name, value: Buffer.alloc(64), etag: "" }]);
  assert.ok(names.filter((name) => facts.items([name]) !== undefined).length < 200);
  const long = Array.from({ length: 1000 }, (_, at) => item(`v${at}`));
  await facts.fillPage({ prefix }, async () => pageOf(...long));
  assert.equal(facts.page({ prefix }), undefined);
});
