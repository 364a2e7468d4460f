/** A pair copied to another, over stores in memory: what comes along, what does not, and in which order. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { OutriggerError } from "../../proto/errors.ts";
import { verifyIndex } from "../../registry/index/index.ts";
import * as keys from "../../registry/repository/keys.ts";
import { copyBlobs, copyPair } from "../../transfer/index.ts";
import type { FakeBackend } from "../helpers/fake-stores.ts";
import { brokenRules } from "../registry/repository/integrity.ts";
import { context, digestOf, imageOf, pushImage, putImage, startCore, testClock } from "../registry/repository/world.ts";
import { backendOf, blobsOf, factsOf } from "./worlds.ts";

async function filled(t: TestContext) {
  const source = backendOf(1);
  const { repositories: core } = await startCore({ backend: source });
  t.after(() => core.close());
  const one = await pushImage(core, "app", ["v1", "latest"], { layers: ["one", "two"] });
  await pushImage(core, "app", ["v2"], { layers: ["two", "three"] });
  await pushImage(core, "team/app", ["v1"], { layers: ["one"] });
  await putImage(core, "app", [], imageOf({ subject: one, artifactType: "application/x" }));
  return { source, core, one };
}

describe("a pair copied to another", () => {
  it("has the same facts and bytes, its own derived keys, and nothing of the source's own", async (t) => {
    const { source } = await filled(t);
    const target = backendOf(2);
    const tally = await copyPair(source.connect(), target.connect(), { clock: testClock });
    assert.deepEqual(tally.problems.kept, []);
    assert.deepEqual(factsOf(target), factsOf(source));
    assert.deepEqual(blobsOf(target), blobsOf(source));
    assert.deepEqual(brokenRules(target), []);
    const apart = /^outrigger\/(?:index|secrets|copy|search\/changes)\//;
    const own = (backend: FakeBackend) => [...backend.metaText("outrigger/").keys()].filter((key) => !apart.test(key));
    assert.deepEqual(own(target), own(source));
    const [secret, other] = [source, target].map((backend) => backend.metaText().get(keys.locationSecretKey));
    assert.ok(other !== undefined && other !== secret);
    assert.match(target.metaText(keys.indexMarkerKey).get(keys.indexMarkerKey) ?? "", /22222222-/);
    assert.equal(target.metaText(keys.copyHolderKey).size, 0);
    assert.equal(target.metaText().get(keys.copySourceKey), source.metaFacts.id);
  });

  it("brings along when images were pushed, how often they were pulled, and what people have chosen", async (t) => {
    const { source, core, one } = await filled(t);
    for (let pulls = 0; pulls < 3; pulls += 1) await core.getManifest("app", { digest: one }, context());
    await core.close();
    source.putMeta(keys.preferenceKey("me", "star", "app"), "");
    source.putMeta(keys.preferenceKey("me", "bookmark", "app"), "");
    source.putMeta(keys.starKey("app", "me"), "");
    const target = backendOf(2);
    const copy = () => copyPair(source.connect(), target.connect(), { clock: testClock, delete: true });
    await copy();
    const searched = (backend: FakeBackend) =>
      [...backend.metaText("outrigger/search/"), ...backend.metaText("outrigger/prefs/")].filter(
        ([key]) => !key.startsWith(keys.changesPrefix),
      );
    const brought = searched(source);
    assert.ok(brought.some(([key, value]) => key === keys.pullsKey("app", one) && JSON.parse(value).count === 3));
    assert.ok(brought.filter(([, value]) => /"(?:pushed|tagged)Ms":\d+/.test(value)).length >= 2);
    assert.deepEqual(searched(target), brought);
    const { links: _, ...report } = await verifyIndex(target.connect(), { clock: testClock });
    assert.deepEqual(report, { missing: 0, wrong: 0, stale: 0, withoutBytes: 0, problems: [] });
    // Taken away at the source: gone at the target with the next copy that deletes.
    await core.deleteManifest("app", one, context());
    source.meta.delete(keys.preferenceKey("me", "star", "app"));
    source.meta.delete(keys.starKey("app", "me"));
    await copy();
    assert.deepEqual(searched(target), searched(source));
    assert.deepEqual(brokenRules(target), []);
  });

  it("copies nothing again, and only what is new", async (t) => {
    const { source, core } = await filled(t);
    const target = backendOf(2);
    await copyPair(source.connect(), target.connect(), { clock: testClock });
    const stores = target.connect();
    const again = await copyPair(source.connect(), stores, { clock: testClock });
    assert.equal(again.blobs.copied, 0);
    assert.equal(again.blobs.same, source.blobs.size);
    assert.deepEqual(
      stores.takeCalls().filter((method) => /put|append/.test(method)),
      [],
    );
    await pushImage(core, "app", ["v1"], { layers: ["four"] });
    const third = await copyPair(source.connect(), target.connect(), { clock: testClock });
    assert.equal(third.blobs.copied, 2);
    assert.equal(third.links.tags.copied, 1);
    assert.deepEqual(factsOf(target), factsOf(source));
    assert.deepEqual(brokenRules(target), []);
  });

  it("writes bytes before links and links before tags", async (t) => {
    const { source } = await filled(t);
    const target = backendOf(2);
    const order: string[] = [];
    const to = target.connect({
      before({ method, operations = [] }) {
        if (method === "blob.put") order.push("blob");
        for (const { kind, key } of operations) {
          const link = keys.parseLink(key);
          if (kind === "put" && link !== undefined && link.kind !== "history") order.push(`${link.name} ${link.kind}`);
        }
      },
    });
    await copyPair(source.connect(), to, { clock: testClock });
    assert.equal(order.lastIndexOf("blob") < order.findIndex((what) => what !== "blob"), true, order.join());
    for (const name of ["app", "team/app"]) {
      const own = order.filter((what) => what.startsWith(`${name} `)).map((what) => what.slice(name.length + 1));
      assert.deepEqual(
        own,
        [...own].sort((a, b) => RANK.indexOf(a) - RANK.indexOf(b)),
      );
    }
  });

  it("takes away what the source no longer has, if asked; else tells it", async (t) => {
    const { source, core, one } = await filled(t);
    const target = backendOf(2);
    await copyPair(source.connect(), target.connect(), { clock: testClock });
    await core.deleteManifest("app", one, context());
    await core.deleteTag("app", "v2", context());
    await core.deleteBlob("team/app", digestOf("never"), context());
    source.blobs.delete(keys.blobKey(one));
    const before = factsOf(target);
    const told = await copyPair(source.connect(), target.connect(), { clock: testClock });
    assert.deepEqual(factsOf(target), before);
    assert.equal(told.links.tags.extra, 3);
    assert.equal(told.links.manifests.extra, 1);
    assert.equal(told.blobs.extra, 1);
    assert.deepEqual(
      told.extras.kept.map(({ what }) => what),
      [one, `app@${one}`, "app:latest", `app:latest@${one}`, "app:v1", `app:v1@${one}`, "app:v2", ...historyOf(before)],
    );
    const done = await copyPair(source.connect(), target.connect(), { clock: testClock, delete: true });
    assert.deepEqual(factsOf(target), factsOf(source));
    assert.deepEqual(blobsOf(target), blobsOf(source));
    assert.deepEqual(brokenRules(target), []);
    assert.deepEqual([done.links.tags.deleted, done.links.manifests.deleted, done.blobs.deleted], [3, 1, 1]);
    // Pushed again, the bytes come back: their marker does not stand in the way.
    await pushImage(core, "app", ["v1"], { layers: ["one", "two"] });
    const back = await copyPair(source.connect(), target.connect(), { clock: testClock });
    assert.deepEqual(back.problems.kept, []);
    assert.deepEqual(brokenRules(target), []);
  });

  it("deletes nothing in a target that is no copy of the source, nor after a source that looks unmounted", async (t) => {
    const { source } = await filled(t);
    const other = backendOf(3);
    const { repositories: core } = await startCore({ backend: other });
    t.after(() => core.close());
    await pushImage(core, "other", ["v1"]);
    const before = factsOf(other);
    const mirror = (from: FakeBackend, to: FakeBackend, acceptTarget?: string) =>
      copyPair(from.connect(), to.connect(), {
        clock: testClock,
        delete: true,
        ...(acceptTarget === undefined ? {} : { acceptTarget }),
      });
    await assert.rejects(mirror(source, other), /was not made by copies of FROM.*--accept-target 33333333-/);
    const target = backendOf(2);
    await mirror(source, target);
    await assert.rejects(mirror(other, target), /is a copy of 11111111-.*not of FROM/);
    source.meta.clear();
    await assert.rejects(mirror(source, target), /FROM has no repository at all/);
    assert.deepEqual(factsOf(other), before);
    await mirror(target, other, other.metaFacts.id);
    assert.deepEqual(factsOf(other), factsOf(target));
    assert.deepEqual(brokenRules(other), []);
  });

  it("refuses to copy a store to itself", async (t) => {
    const { source } = await filled(t);
    await assert.rejects(copyPair(source.connect(), source.connect()), /have the same meta store, 11111111-/);
  });

  it("changes nothing in a dry run, and counts what would be copied", async (t) => {
    const { source } = await filled(t);
    const target = backendOf(2);
    const stores = target.connect();
    const tally = await copyPair(source.connect(), stores, { clock: testClock, dryRun: true });
    assert.equal(target.meta.size + target.blobs.size, 0);
    assert.deepEqual(
      stores.takeCalls().filter((method) => !/list|stat|get/.test(method)),
      [],
    );
    const real = await copyPair(source.connect(), target.connect(), { clock: testClock });
    assert.deepEqual([tally.blobs.copied, tally.blobs.copiedBytes], [real.blobs.copied, real.blobs.copiedBytes]);
    for (const kind of ["layers", "manifests", "tags"] as const)
      assert.equal(tally.links[kind].copied, real.links[kind].copied, kind);
  });

  it("with only meta links nothing whose bytes are not there, and copies none", async (t) => {
    const { source } = await filled(t);
    const target = backendOf(2);
    const first = await copyPair(source.connect(), target.connect(), { clock: testClock, only: "meta" });
    assert.equal(target.blobs.size, 0);
    assert.equal(factsOf(target).size, 0);
    assert.match(first.problems.kept[0]?.why ?? "", /absent at the target, and only meta is copied/);
    await copyBlobs(source.connect().blobs, target.connect().blobs);
    const second = await copyPair(source.connect(), target.connect(), { clock: testClock, only: "meta" });
    assert.deepEqual(second.problems.kept, []);
    assert.deepEqual(factsOf(target), factsOf(source));
  });

  it("to a meta store of the same blob store brings what belongs to the bytes", async (t) => {
    const { source } = await filled(t);
    source.putMeta(keys.cancelledKey("an-upload"), "1");
    source.putMeta(keys.locationSecretKey, "s".repeat(32));
    const target = backendOf(2);
    target.blobFacts = source.blobFacts;
    for (const [key, { bytes }] of source.blobs.entries()) target.putBlob(key, bytes);
    const tally = await copyPair(source.connect(), target.connect(), { clock: testClock });
    assert.equal(tally.blobs.same + tally.blobs.copied, 0);
    assert.deepEqual(factsOf(target), factsOf(source));
    assert.equal(target.metaText().get(keys.cancelledKey("an-upload")), "1");
    assert.equal(target.metaText().get(keys.locationSecretKey), "s".repeat(32));
  });

  it("names a blob that is damaged, copies the rest, and no image that needs it", async (t) => {
    const { source } = await filled(t);
    const damaged = digestOf("three");
    source.putBlob(keys.blobKey(damaged), "THREE");
    const target = backendOf(2);
    const tally = await copyPair(source.connect(), target.connect(), { clock: testClock });
    assert.equal(tally.problems.kept[0]?.what, damaged);
    assert.match(tally.problems.kept[0]?.why ?? "", /damaged at the source: they have the digest sha256:/);
    assert.ok(tally.problems.kept.some(({ what, why }) => what === "app:v2" && why.includes(damaged)));
    assert.equal(target.blobs.has(keys.blobKey(damaged)), false);
    assert.equal(factsOf(target).has(keys.tagLink("app", "v2")), false);
    assert.ok(factsOf(target).has(keys.tagLink("app", "v1")));
    assert.deepEqual(brokenRules(target), []);
    source.putBlob(keys.blobKey(damaged), "three");
    assert.deepEqual((await copyPair(source.connect(), target.connect(), { clock: testClock })).problems.kept, []);
    assert.deepEqual(factsOf(target), factsOf(source));
  });

  it("repairs a blob of another size, and a key that is no digest's by its bytes", async (t) => {
    const { source } = await filled(t);
    source.putBlob("other/thing", "right");
    const target = backendOf(2);
    target.putBlob(keys.blobKey(digestOf("one")), "cut off");
    target.putBlob("other/thing", "wrong");
    const tally = await copyPair(source.connect(), target.connect(), { clock: testClock });
    assert.deepEqual(tally.problems.kept, []);
    assert.deepEqual(blobsOf(target), blobsOf(source));
  });

  it("leaves out a layer link whose bytes distribution's collector took, and says how many", async (t) => {
    const { source } = await filled(t);
    source.putMeta(keys.layerLink("app", digestOf("lost")), digestOf("lost"));
    const target = backendOf(2);
    const tally = await copyPair(source.connect(), target.connect(), { clock: testClock });
    assert.deepEqual([tally.dangling, tally.problems.count], [1, 0]);
    assert.deepEqual(brokenRules(target), []);
  });

  it("ends with a sentence where the target is full, and goes on from there", async (t) => {
    const { source } = await filled(t);
    const target = backendOf(2);
    let room = 3;
    const full = target.connect({
      before({ method }) {
        if (method === "blob.put" && room-- <= 0) throw new OutriggerError("QUOTA", "no space left");
      },
    });
    await assert.rejects(
      copyPair(source.connect(), full, { clock: testClock }),
      /^TargetFull: the target is full \(no space left\): make room there and run this again/,
    );
    assert.equal(target.blobs.size, 3);
    assert.equal(target.metaText(keys.copyHolderKey).size, 0);
    const tally = await copyPair(source.connect(), target.connect(), { clock: testClock });
    assert.equal(tally.blobs.same, 3);
    assert.deepEqual(factsOf(target), factsOf(source));
  });

  it("two at once: the second is refused, and who died is succeeded", async (t) => {
    const { source } = await filled(t);
    const target = backendOf(2);
    let second: Promise<unknown> | undefined;
    const from = source.connect({
      async before({ method }) {
        if (method !== "blob.list" || second !== undefined) return;
        second = copyPair(source.connect(), target.connect(), { clock: testClock });
        await assert.rejects(second, /^TurnTaken: another copy into this target is at work since 20\d\d-/);
      },
    });
    await copyPair(from, target.connect(), { clock: testClock });
    assert.ok(second !== undefined);
    // A dead one: its keys stay, and nobody beats.
    target.putMeta(keys.copyHolderKey, "dead");
    target.putMeta(keys.copyBeatKey, "dead");
    await copyPair(source.connect(), target.connect(), { clock: testClock });
    assert.equal(target.metaText(keys.copyHolderKey).size, 0);
  });

  it("one that slept while another took over writes no more", async (t) => {
    const { source } = await filled(t);
    const target = backendOf(2);
    const to = target.connect({
      before({ method, operations = [] }) {
        const links = operations.some(({ key }) => keys.parseLink(key) !== undefined);
        if (method === "meta.write" && links) target.putMeta(keys.copyHolderKey, "another");
      },
    });
    await assert.rejects(copyPair(source.connect(), to, { clock: testClock }), /has begun while this one slept/);
    assert.equal(factsOf(target).size, 0);
  });

  it("is refused beside a core that holds the target alone", async (t) => {
    const { source } = await filled(t);
    const target = backendOf(2);
    const { repositories } = await startCore({ backend: target, mode: "one" });
    t.after(() => repositories.close());
    await assert.rejects(copyPair(source.connect(), target.connect(), { clock: testClock }), /cores: one/);
  });
});

const RANK = ["layer", "revision", "tag"];

function historyOf(facts: ReadonlyMap<string, string>): string[] {
  return [...facts].flatMap(([key, digest]) => {
    const link = keys.parseLink(key);
    return link?.kind === "history" && link.name === "app" && link.tag === "v2" ? [`app:v2@${digest}`] : [];
  });
}
