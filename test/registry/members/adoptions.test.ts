/** What the owner lacks and another member has, kept by the owner: as if it had been pushed there, or not at all. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { systemClock } from "../../../proto/clock.ts";
import { Adoptions } from "../../../registry/members/adoptions.ts";
import { MemberClient } from "../../../registry/members/client.ts";
import type { ByDigest } from "../../../registry/members/digests.ts";
import { openOrigin } from "../../../registry/members/origin.ts";
import { memberList } from "../../../registry/members/owners.ts";
import type { View } from "../../../registry/members/view.ts";
import * as keys from "../../../registry/repository/keys.ts";
import { mediaTypes } from "../../../registry/repository/manifest.ts";
import { decodeRecord } from "../../../registry/search/record.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { until } from "../../helpers/outrigger.ts";
import { brokenRules } from "../repository/integrity.ts";
import { context, digestOf, imageOf, pushBlob, startCore } from "../repository/world.ts";
import { fakeMember } from "./fake-member.ts";
import { Has } from "./has.ts";

const NAME = "team/app";
const WAIT_MS = 30_000;

/** This member, a, which owns everything, and two others. */
async function world(t: TestContext) {
  const [b, c] = [new Has("b"), new Has("c")];
  const origins = new Map();
  for (const has of [b, c]) {
    const member = await fakeMember();
    t.after(member.close);
    member.answer = has.answer;
    const origin = await openOrigin(has.id, { url: member.url }, systemClock);
    t.after(() => origin.close());
    origins.set(has.id, origin);
  }
  const list = memberList(["a", "b", "c"], { by: "rules", key: "", rules: [{ repositories: "**", member: "a" }] });
  const view: View = {
    self: "a",
    list,
    hash: list.hash,
    previous: undefined,
    origins,
    keys: [Buffer.alloc(32, "k")],
    partial: "refuse",
    digests: "adopt",
    answerMs: 20_000,
  };
  const backend = new FakeBackend();
  const { repositories: local } = await startCore({ backend });
  const state = { mayAdopt: true, underWay: 0 };
  const logged: Record<string, unknown>[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void logged.push(JSON.parse(line)) });
  const adoptions = new Adoptions({
    view,
    client: new MemberClient(() => view, systemClock),
    clock: systemClock,
    log,
    local,
    mayAdopt: () => state.mayAdopt,
    beginChange() {
      state.underWay += 1;
      return () => {
        state.underWay -= 1;
      };
    },
  });
  t.after(() => adoptions.stop());
  /** Until all that was begun has ended. */
  const settled = () =>
    until(
      () => state.underWay === 0,
      WAIT_MS,
      () => `${state.underWay} adoptions are under way`,
    );
  const adopt = async (kind: ByDigest["kind"], digest: string, holder?: string) => {
    adoptions.adopt({ kind, name: NAME, digest }, holder);
    await settled();
  };
  const hasBlob = async (digest: string) => (await local.statBlob(NAME, digest, context())) !== undefined;
  const hasManifest = async (digest: string) => (await local.statManifest(NAME, { digest }, context())) !== undefined;
  return { b, c, backend, local, state, logged, adoptions, settled, adopt, hasBlob, hasManifest };
}

const wrongBytes = (digest: string) => `member b of the cluster answers bytes that are not those of ${digest}`;

function linksOf(backend: FakeBackend): string[] {
  return [...backend.metaText().keys()].filter((key) => key.includes("/_layers/") || key.includes("/_manifests/"));
}

test("a blob is in the repository as if it had been pushed: asked of who has it, or of whoever says so", async (t) => {
  const { b, c, backend, adopt, hasBlob } = await world(t);
  const [known, sought, elsewhere] = [b.blob("known"), c.blob("x".repeat(600_000)), c.blob("elsewhere")];
  await adopt("blob", known, "b");
  assert.deepEqual([b.asked, c.asked], [[`GET ${known}`], []]);
  await adopt("blob", sought);
  await adopt("blob", elsewhere, "b");
  for (const digest of [known, sought, elsewhere]) assert.ok(await hasBlob(digest), digest);
  assert.deepEqual(brokenRules(backend), []);
});

test("what does not hash right is not adopted, and the member that lied is named", async (t) => {
  const { b, backend, logged, adopt } = await world(t);
  const right = digestOf("right");
  for (const wrong of ["wrong", "wrong".repeat(200_000)]) {
    b.blob(wrong, right);
    await adopt("blob", right, "b");
  }
  const manifest = digestOf(imageOf({ layers: ["one"] }));
  b.manifest(imageOf({ layers: ["two"] }), mediaTypes.ociManifest, manifest);
  for (const text of ["{}", "one", "two"]) b.blob(text);
  await adopt("manifest", manifest, "b");
  assert.deepEqual(linksOf(backend), []);
  assert.equal(backend.blobs.size, 0);
  const warned = logged.map(({ level, member, digest }) => [level, member, digest]);
  const why = logged.map(({ err }) => (err as Error).message);
  assert.deepEqual(why, [right, right, manifest].map(wrongBytes));
  assert.deepEqual(warned, [
    [40, "b", right],
    [40, "b", right],
    [40, "b", manifest],
  ]);
});

test("an image comes with all that it needs, each from where it is, and is what a push would have made of it", async (t) => {
  const { b, c, backend, local, adopt, hasManifest } = await world(t);
  const digest = b.image(["one", "two"]);
  b.content.delete(digestOf("two"));
  c.blob("two");
  await pushBlob(local, "team/other", "one");
  await adopt("manifest", digest, "b");
  assert.ok(await hasManifest(digest));
  assert.deepEqual(brokenRules(backend), []);
  // The bytes were here.
  assert.equal(b.count(`GET ${digestOf("one")}`), 0);
  const record = decodeRecord(Buffer.from(backend.metaText().get(keys.imageKey(NAME, digest)) ?? ""));
  assert.equal(record?.layers.length, 2);
  assert.deepEqual([record?.pushedMs, record?.pushedBy], [undefined, undefined]);
  await adopt("manifest", digest, "b");
  assert.equal(b.count(`GET ${digest}`), 1);
});

test("an image of which no member has a layer is not adopted, nor any part of it", async (t) => {
  const { b, backend, logged, adopt } = await world(t);
  const digest = b.image(["one", "two"]);
  b.content.delete(digestOf("two"));
  await adopt("manifest", digest, "b");
  assert.deepEqual(linksOf(backend), []);
  assert.equal(backend.blobs.size, 0);
  const [warning] = logged;
  assert.deepEqual([warning?.["digest"], warning?.["member"], warning?.["lacks"]], [digest, "b", digestOf("two")]);
});

test("that a member cannot say whether it has a layer is no proof that there is none: said, and tried again", async (t) => {
  const { b, c, logged, adopt, hasManifest } = await world(t);
  const digest = b.image(["one"]);
  b.content.delete(digestOf("one"));
  c.isLost = true;
  await adopt("manifest", digest, "b");
  assert.equal(await hasManifest(digest), false);
  assert.deepEqual([logged.length, logged[0]?.["digest"], logged[0]?.["member"]], [1, digest, "c"]);
  c.isLost = false;
  c.blob("one");
  await adopt("manifest", digest, "b");
  assert.ok(await hasManifest(digest));
});

test("an index comes with those of its manifests that there are, and not without what one of them needs", async (t) => {
  const { b, backend, adopt, hasManifest } = await world(t);
  const index = (digests: readonly string[]) => {
    const manifests = digests.map((digest) => ({ mediaType: mediaTypes.ociManifest, digest, size: 1 }));
    const json = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
    return b.manifest(Buffer.from(JSON.stringify(json)), mediaTypes.ociIndex);
  };
  const children = [b.image(["amd64"]), digestOf("never pushed"), b.image(["arm64"])];
  const outer = index([index(children)]);
  await adopt("manifest", outer, "b");
  for (const digest of [outer, children[0], children[2]]) assert.ok(await hasManifest(digest ?? ""), digest);
  const broken = b.image(["lost"]);
  b.content.delete(digestOf("lost"));
  const above = index([broken]);
  await adopt("manifest", above, "b");
  for (const digest of [broken, above]) assert.equal(await hasManifest(digest), false, digest);
  assert.deepEqual(brokenRules(backend), []);
});

test("what a registry would refuse to take from a client is not adopted", async (t) => {
  const { b, backend, logged, adopt } = await world(t);
  const digest = b.manifest(Buffer.from('{"schemaVersion":1,"fsLayers":[]}'), mediaTypes.dockerSchema1);
  await adopt("manifest", digest, "b");
  assert.deepEqual(linksOf(backend), []);
  assert.match(JSON.stringify(logged[0]), /schema 1 manifests are no longer accepted/);
});

test("a digest is adopted once at a time: a second request changes nothing, an image waits for its own layer", async (t) => {
  const { b, state, adoptions, settled, hasManifest } = await world(t);
  const digest = b.image(["one"]);
  const layer = digestOf("one");
  const open = b.gates.hold(`GET ${layer}`);
  adoptions.adopt({ kind: "blob", name: NAME, digest: layer }, "b");
  await until(
    () => b.count(`GET ${layer}`) === 1,
    WAIT_MS,
    () => "the layer is not asked for",
  );
  adoptions.adopt({ kind: "blob", name: NAME, digest: layer }, "b");
  for (let round = 0; round < 2; round += 1) adoptions.adopt({ kind: "manifest", name: NAME, digest }, "b");
  assert.equal(state.underWay, 2);
  await until(
    () => b.count(`GET ${digestOf("{}")}`) === 1,
    WAIT_MS,
    () => "the config is not asked for",
  );
  open();
  await settled();
  assert.ok(await hasManifest(digest));
  assert.deepEqual([b.count(`GET ${layer}`), b.count(`GET ${digest}`)], [1, 1]);
});

test("so many come at once, so many wait; the others are left for another time", async (t) => {
  const { b, state, adoptions, settled, hasBlob } = await world(t);
  const digests = Array.from({ length: 70 }, (_, index) => b.blob(`blob ${index}`));
  const gates = digests.map((digest) => b.gates.hold(`GET ${digest}`));
  for (const digest of digests) adoptions.adopt({ kind: "blob", name: NAME, digest }, "b");
  assert.equal(state.underWay, 64);
  await until(
    () => b.asked.length === 4,
    WAIT_MS,
    () => "nothing is asked for",
  );
  // Whatever else would be asked has been by now.
  for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
  assert.equal(b.asked.length, 4);
  for (const open of gates) open();
  await settled();
  assert.equal((await Promise.all(digests.map(hasBlob))).filter(Boolean).length, 64);
});

test("not wanted any more: a manifest that is under way does not come", async (t) => {
  const { b, backend, state, logged, adoptions, settled } = await world(t);
  const digest = b.image(["one"]);
  const layer = digestOf("one");
  const open = b.gates.hold(`GET ${layer}`);
  adoptions.adopt({ kind: "manifest", name: NAME, digest }, "b");
  await until(
    () => b.count(`GET ${layer}`) === 1,
    WAIT_MS,
    () => "the layer is not asked for",
  );
  state.mayAdopt = false;
  open();
  await settled();
  assert.match(JSON.stringify(logged.at(-1)), /does not have it adopted any more/);
  assert.ok(linksOf(backend).every((key) => key.includes("/_layers/")));
  assert.deepEqual(brokenRules(backend), []);
});

test("stopped: resolves once nothing is under way, and nothing begins any more", async (t) => {
  const { b, backend, state, logged, adoptions, settled } = await world(t);
  const layer = b.blob("one".repeat(200_000));
  b.gates.hold(`GET ${layer}`);
  adoptions.adopt({ kind: "blob", name: NAME, digest: layer }, "b");
  await until(
    () => b.count(`GET ${layer}`) === 1,
    WAIT_MS,
    () => "the layer is not asked for",
  );
  assert.equal(state.underWay, 1);
  await adoptions.stop();
  await settled();
  adoptions.adopt({ kind: "blob", name: NAME, digest: layer }, "b");
  assert.equal(state.underWay, 0);
  assert.deepEqual([linksOf(backend), logged], [[], []]);
});
