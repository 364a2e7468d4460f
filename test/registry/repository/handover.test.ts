/** What the index tells and no facts do goes over with them: when, by whom, how often pulled. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Content, ContentKind, Handover } from "../../../registry/repository/handover.ts";
import * as keys from "../../../registry/repository/keys.ts";
import { mediaTypes } from "../../../registry/repository/manifest.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { context, imageOf, type Member, pushBlob, pushImage, startCore } from "./world.ts";

const NAME = "team/app";
const bytes = imageOf({ layers: ["one"] });

function handoverOf({ repositories: { handover } }: Member): Handover {
  assert.ok(handover);
  return handover;
}

async function push(member: Member, user: string, tags: readonly string[]): Promise<string> {
  for (const content of ["{}", "one"]) await pushBlob(member.repositories, NAME, content);
  const manifest = { bytes, contentType: mediaTypes.ociManifest, tags };
  return (await member.repositories.putManifest(NAME, manifest, { ...context(), user })).digest;
}

/** Pulled as often, and counted. */
async function pull(backend: FakeBackend, digest: string, count: number): Promise<void> {
  const { repositories } = await startCore({ backend });
  for (let at = 0; at < count; at += 1) await repositories.getManifest(NAME, { digest }, context());
  await repositories.close();
}

async function contents(member: Member, kind: ContentKind): Promise<readonly Content[]> {
  return (await handoverOf(member).contents(NAME, kind, "", context())).items;
}

/** As registry/members/mover.ts does it. */
async function take(member: Member, revisions: readonly Content[], tags: readonly Content[]): Promise<void> {
  const manifest = { bytes, contentType: mediaTypes.ociManifest };
  for (const { pushedMs = 0, pushedBy = "", pulls } of revisions) {
    const handedOver = { pushed: { pushedMs, pushedBy }, pulls };
    await handoverOf(member).putManifest(NAME, { ...manifest, tags: [], handedOver }, context());
  }
  const taggedMs = new Map(tags.map((item) => [item.tag ?? "", item.taggedMs ?? 0]));
  await handoverOf(member).putManifest(
    NAME,
    { ...manifest, tags: [...taggedMs.keys()], handedOver: { taggedMs } },
    context(),
  );
}

async function before() {
  const backend = new FakeBackend();
  const old = await startCore({ backend });
  const digest = await push(old, "ann", ["v1"]);
  await sleep(5);
  await old.repositories.putManifest(
    NAME,
    { bytes, contentType: mediaTypes.ociManifest, tags: ["v2"] },
    { ...context(), user: "bob" },
  );
  await pull(backend, digest, 3);
  await sleep(5);
  const index = [keys.imageKey(NAME, digest), keys.pullsKey(NAME, digest), keys.searchTagKey(NAME, "v1")];
  index.push(keys.searchTagKey(NAME, "v2"));
  const revisions = await contents(old, "revisions");
  assert.equal(revisions[0]?.pushedBy, "ann");
  assert.equal(revisions[0]?.pulls?.count, 3);
  return { backend, digest, index, revisions, tags: await contents(old, "tags") };
}

test("what the new owner's index tells is what the old one's told, however often it is taken", async () => {
  const { backend, index, revisions, tags } = await before();
  const other = new FakeBackend();
  const next = await startCore({ backend: other });
  for (const content of ["{}", "one"]) await pushBlob(next.repositories, NAME, content);
  await take(next, revisions, tags);
  const told = (of: FakeBackend) => index.map((key) => of.metaText().get(key));
  assert.ok(told(backend).every((text) => text !== undefined));
  assert.deepEqual(told(other), told(backend));
  next.stores.takeCalls();
  await take(next, revisions, tags);
  assert.deepEqual(
    next.stores.takeCalls().filter((call) => JSON.stringify(call).includes("write")),
    [],
  );
  assert.deepEqual(told(other), told(backend));
});

test("what the new owner knows better stays: its tags, and more pulls than were told", async () => {
  const { digest, revisions, tags } = await before();
  const other = new FakeBackend();
  const next = await startCore({ backend: other });
  await push(next, "cid", ["v1"]);
  const own = JSON.parse(other.metaText().get(keys.searchTagKey(NAME, "v1")) ?? "");
  await pull(other, digest, 5);
  await take(next, revisions, tags);
  const told = (key: string) => JSON.parse(other.metaText().get(key) ?? "");
  assert.deepEqual(told(keys.searchTagKey(NAME, "v1")), own);
  assert.equal(told(keys.searchTagKey(NAME, "v2")).taggedMs, tags.find(({ tag }) => tag === "v2")?.taggedMs);
  assert.equal(told(keys.pullsKey(NAME, digest)).count, 5);
  // It was pushed before: pushed again, it stays what it was.
  const { pushedMs, pushedBy } = told(keys.imageKey(NAME, digest));
  assert.deepEqual({ pushedMs, pushedBy }, { pushedMs: revisions[0]?.pushedMs, pushedBy: "ann" });
});

test("fewer pulls of its own are raised to those that were told", async () => {
  const { digest, revisions, tags } = await before();
  const other = new FakeBackend();
  const next = await startCore({ backend: other });
  await pushImage(next.repositories, NAME, [], { layers: ["one"] });
  await pull(other, digest, 1);
  await take(next, revisions, tags);
  assert.equal(JSON.parse(other.metaText().get(keys.pullsKey(NAME, digest)) ?? "").count, 3);
});

test("stars and bookmarks are added where they are not yet, and taken away, those of the repository alone", async () => {
  const all = (name: string) => [
    keys.preferenceKey("ann", "star", name),
    keys.starKey(name, "ann"),
    keys.preferenceKey("b".repeat(300), "star", name),
    keys.starKey(name, "b".repeat(300)),
    keys.preferenceKey("cid", "bookmark", name),
  ];
  const backends = [new FakeBackend(), new FakeBackend()] as const;
  const [old, next] = await Promise.all(backends.map((backend) => startCore({ backend })));
  assert.ok(old && next);
  const set = (member: Member, names: readonly string[]) =>
    member.repositories.ledger.write(
      names.map((key) => ({ kind: "put", key, value: Buffer.alloc(0) }) as const),
      context(),
    );
  await set(old, [...all(NAME), ...all("team/other")]);
  await set(next, all(NAME).slice(0, 2));
  const { items } = await handoverOf(old).preferences(NAME, "", context());
  assert.equal(items.length, 3);
  await handoverOf(next).addPreferences(NAME, items, context());
  const kept = (backend: FakeBackend) =>
    [...backend.metaText().keys()].filter((key) => /^outrigger\/(prefs|search\/stars)\//.test(key)).sort();
  assert.deepEqual(kept(backends[1]), all(NAME).sort());
  await handoverOf(old).removePreferences(NAME, context());
  assert.deepEqual(kept(backends[0]), all("team/other").sort());
});

test("what is to be whole is refused where it lacks a blob; who pushed it, and when, may be unknown", async () => {
  const member = await startCore({ backend: new FakeBackend() });
  const push = { bytes, contentType: mediaTypes.ociManifest, tags: [] };
  const whole = { ...push, handedOver: { pushed: {}, isWhole: true } } as const;
  await pushBlob(member.repositories, NAME, "{}");
  await assert.rejects(handoverOf(member).putManifest(NAME, whole, context()), { code: "MANIFEST_BLOB_UNKNOWN" });
  assert.deepEqual(await contents(member, "revisions"), []);
  await pushBlob(member.repositories, NAME, "one");
  await handoverOf(member).putManifest(NAME, whole, context());
  const [revision] = await contents(member, "revisions");
  assert.deepEqual([revision?.pushedMs, revision?.pushedBy], [undefined, undefined]);
});

test("two cores take the same over: once one has it all, the other writes none of it any more", async () => {
  const backend = new FakeBackend();
  const [first, second] = [await startCore({ backend }), await startCore({ backend })];
  const change = "0123456789abcdef";
  const mark = await handoverOf(second).state(NAME, change, context());
  assert.equal(mark.state, undefined);
  const copying = { ...context(), alsoCheck: () => mark.unchanged };
  const copy = { bytes, contentType: mediaTypes.ociManifest, tags: ["v1"], handedOver: {} };
  for (const member of [first, second]) await handoverOf(member).putManifest(NAME, copy, copying);
  await handoverOf(first).mark(NAME, change, "taken", context());
  await handoverOf(first).mark(NAME, change, "done", context());
  assert.equal((await handoverOf(second).state(NAME, change, context())).state, "done");
  assert.equal(await first.repositories.deleteTag(NAME, "v1", context()), true);
  await assert.rejects(handoverOf(second).putManifest(NAME, copy, copying), { code: "UNAVAILABLE" });
  const preferred = [{ user: "616e6e", what: "star" }] as const;
  await assert.rejects(handoverOf(second).addPreferences(NAME, preferred, copying), { code: "UNAVAILABLE" });
  assert.deepEqual(await contents(first, "tags"), []);
  assert.deepEqual((await handoverOf(first).preferences(NAME, "", context())).items, []);
  await assert.rejects(handoverOf(second).mark(NAME, change, "taken", context()), { reason: "CONDITION_FAILED" });
  assert.equal((await handoverOf(second).state(NAME, change, context())).state, "done");
});
