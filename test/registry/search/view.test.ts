import assert from "node:assert/strict";
import { test } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import { rebuildIndex } from "../../../registry/index/index.ts";
import * as keys from "../../../registry/repository/keys.ts";
import { mediaTypes } from "../../../registry/repository/manifest.ts";
import type { RepositoryOrder, SearchView } from "../../../registry/search/contract.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { context, digestOf, imageOf, pushImage, putImage, startCore, testClock } from "../repository/world.ts";

const namesOf = (view: SearchView, order: RepositoryOrder = "name", offset = 0) =>
  [...view.repositories(order, offset)].map(({ name }) => name);

const tagsOf = (view: SearchView, name: string) => [...(view.repository(name)?.tags() ?? [])].map(({ tag }) => tag);

/** A core whose time is the test's; its timers are real. */
async function timed(backend = new FakeBackend()) {
  const clock = { ...testClock, now: () => clock.nowMs, monotonic: () => clock.nowMs, nowMs: 1_700_000_000_000 };
  backend.now = clock.now;
  return { clock, backend, ...(await startCore({ backend, clock })) };
}

test("what any core has acknowledged is in the next answer", async () => {
  const { repositories: core, stores } = await startCore();
  const { repositories: other } = await startCore({ backend: stores.backend });
  const first = await other.search.view(context());
  assert.deepEqual([first.repositoryCount, first.tagCount, namesOf(first)], [0, 0, []]);
  const image = await pushImage(core, "team/app", ["v1", "v2"], { layers: ["one"] });
  const view = await other.search.view(context());
  assert.deepEqual([view.repositoryCount, view.tagCount, namesOf(view)], [1, 2, ["team/app"]]);
  assert.deepEqual(tagsOf(view, "team/app"), ["v1", "v2"]);
  assert.equal(view.repository("team/app")?.tag("v2")?.digest, image);
  assert.equal(view.repository("team/app")?.tag("v3"), undefined);
  assert.deepEqual(view.repositoriesWith(image), ["team/app"]);
  await other.deleteTag("team/app", "v1", context());
  assert.deepEqual(tagsOf(await core.search.view(context()), "team/app"), ["v2"]);
  await core.deleteManifest("team/app", image, context());
  const emptied = await other.search.view(context());
  assert.deepEqual([emptied.repositoryCount, emptied.tagCount, namesOf(emptied)], [0, 0, []]);
  assert.equal(emptied.repository("team/app")?.image(image), undefined);
  assert.deepEqual(emptied.repositoriesWith(image), []);
});

test("orders: by name, by the newest push and by pulls, equals by name, from any offset on", async () => {
  const { clock, backend, repositories: core } = await timed();
  for (const name of ["c", "a", "b/x", "b"]) {
    await pushImage(core, name, ["v1"], { annotations: { of: name } });
    if (name !== "a") clock.nowMs += 1000;
  }
  await pushImage(core, "unseen", [], {});
  for (const name of ["b", "b", "c"]) await core.getManifest(name, { tag: "v1" }, context());
  // A HEAD is no pull.
  await core.statManifest("a", { tag: "v1" }, context());
  await core.close();
  const { repositories: reader } = await startCore({ backend, clock });
  const view = await reader.search.view(context());
  assert.deepEqual(namesOf(view), ["a", "b", "b/x", "c"]);
  assert.deepEqual(namesOf(view, "name-desc"), ["c", "b/x", "b", "a"]);
  assert.deepEqual(namesOf(view, "updated"), ["b", "a", "b/x", "c"]);
  assert.deepEqual(namesOf(view, "downloads"), ["b", "c", "a", "b/x"]);
  assert.deepEqual(namesOf(view, "downloads", 1), ["c", "a", "b/x"]);
  assert.deepEqual(namesOf(view, "name-desc", 3), ["a"]);
  assert.deepEqual(namesOf(view, "name", 9), []);
  assert.deepEqual([view.repository("b")?.downloads, view.repository("b")?.updatedMs], [2, 1_700_000_002_000]);
  await pushImage(reader, "a", ["v2"], {});
  assert.equal(namesOf(await reader.search.view(context()), "updated")[0], "a");
});

test("an index has its children's platforms and the newest of their times", async () => {
  const { repositories: core } = await startCore();
  const configs = [
    { os: "linux", architecture: "amd64", created: "2024-01-01T00:00:00Z" },
    { os: "linux", architecture: "arm64", variant: "v8", created: "2025-01-01T00:00:00Z" },
  ].map((config) => JSON.stringify(config));
  const children: string[] = [];
  for (const config of configs) children.push(await pushImage(core, "app", [], { config }));
  const entry = (digest: string, platform: object) => ({
    mediaType: mediaTypes.ociManifest,
    digest,
    size: 1,
    platform,
  });
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [
      entry(children[0] ?? "", { os: "linux", architecture: "amd64" }),
      entry(children[1] ?? "", { os: "linux", architecture: "arm64" }),
      entry(digestOf("elsewhere"), { os: "windows", architecture: "amd64" }),
      entry(digestOf("nobody knows"), {}),
    ],
  };
  const bytes = Buffer.from(JSON.stringify(index));
  await core.putManifest("app", { bytes, contentType: mediaTypes.ociIndex, tags: ["all"] }, context());
  const image = (await core.search.view(context())).repository("app")?.image(digestOf(bytes));
  assert.deepEqual(image?.platforms, [
    { os: "linux", arch: "amd64" },
    { os: "linux", arch: "arm64", variant: "v8" },
    { os: "windows", arch: "amd64" },
  ]);
  assert.equal(image?.createdMs, Date.parse("2025-01-01T00:00:00Z"));
  assert.deepEqual(image?.children.slice(0, 2), children);
});

test("signed: by cosign's tag, or by a referrer that is a signature and no other; such tags are not among the tags", async () => {
  const { repositories: core } = await startCore();
  const images: string[] = [];
  for (const of of ["tagged", "referred", "bundled", "attested", "plain"]) {
    images.push(await pushImage(core, "app", [of], { annotations: { of } }));
  }
  const [tagged = "", referred = "", bundled = "", attested = ""] = images;
  const beside = [".sig", ".att", ".sbom", ""].map((end) => `${tagged.replace(":", "-")}${end}`);
  await putImage(core, "app", beside, imageOf({ annotations: { a: "signature" } }));
  const refer = (subject: string, artifactType: string, annotations = {}) =>
    putImage(core, "app", [], imageOf({ subject, artifactType, annotations }));
  const signature = await refer(referred, "application/vnd.cncf.notary.signature");
  const bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
  await refer(bundled, bundle, { "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1" });
  await refer(attested, bundle, { "dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1" });
  const view = await core.search.view(context());
  assert.deepEqual(tagsOf(view, "app"), ["attested", "bundled", "plain", "referred", "tagged"]);
  assert.equal(view.tagCount, 5);
  const signed = () => images.map((digest) => view.repository("app")?.image(digest)?.isSigned);
  assert.deepEqual(signed(), [true, true, true, false, false]);
  assert.deepEqual(view.repository("app")?.referrers(referred), [signature]);
  await core.deleteManifest("app", signature, context());
  await core.deleteTag("app", beside[0] ?? "", context());
  await core.search.view(context());
  assert.deepEqual(signed(), [false, false, true, false, false]);
  assert.deepEqual(view.repository("app")?.referrers(referred), []);
});

test("records come whole, also what was too large for them, with who pushed and when", async () => {
  const { clock, repositories: core } = await timed();
  const config = JSON.stringify({ os: "linux", architecture: "amd64", author: "somebody" });
  const annotations = { long: "x".repeat(100 * 1024) };
  const small = await pushImage(core, "app", ["small"], { config });
  const bytes = imageOf({ config, annotations });
  await core.putManifest(
    "app",
    { bytes, contentType: mediaTypes.ociManifest, tags: ["large"] },
    { ...context(), user: "me" },
  );
  const large = digestOf(bytes);
  const view = await core.search.view(context());
  const records = await view.records("app", [small, large, digestOf("absent"), small], context());
  assert.deepEqual([...records.keys()], [small, large]);
  assert.deepEqual(records.get(small)?.image, { os: "linux", arch: "amd64", author: "somebody" });
  const record = records.get(large);
  assert.deepEqual([record?.annotations, record?.cut], [annotations, undefined]);
  assert.deepEqual([record?.pushedBy, record?.pushedMs], ["me", clock.nowMs]);
  const many = Array.from({ length: 250 }, (_, at) => digestOf(String(at)));
  assert.equal((await view.records("app", [...many, small], context())).size, 1);
});

test("one look serves all who ask before it begins, and an answer costs one List when nothing was changed", async () => {
  const { repositories: core, stores } = await startCore();
  await pushImage(core, "app", ["v1"], {});
  await core.search.view(context());
  stores.takeCalls();
  await core.search.view(context());
  assert.deepEqual(stores.takeCalls(), ["meta.list"]);
  await Promise.all(Array.from({ length: 20 }, () => core.search.view(context())));
  assert.deepEqual(stores.takeCalls(), ["meta.list"]);
  await putImage(core, "app", ["v2"], imageOf({ annotations: { a: "b" } }));
  stores.takeCalls();
  await core.search.view(context());
  assert.deepEqual(stores.takeCalls(), ["meta.list", "meta.get"]);
});

test("who asks while a look is under way waits for the next one", async () => {
  const { repositories: core, stores } = await startCore();
  const { repositories: other } = await startCore({ backend: stores.backend });
  await core.search.view(context());
  let release: () => void = () => undefined;
  const answered = new Promise<void>((resolve) => {
    // The first look's answer is from before the push, and comes after it.
    stores.hooks.after = ({ method }) => {
      if (method !== "meta.list") return undefined;
      stores.hooks.after = undefined;
      resolve();
      return new Promise<void>((done) => {
        release = done;
      });
    };
  });
  const before = core.search.view(context());
  await answered;
  await pushImage(other, "app", ["v1"], {});
  const after = core.search.view(context());
  release();
  await before;
  assert.deepEqual(namesOf(await after), ["app"]);
});

test("a store that is away makes answers fail, and nothing is missing once it is back", async () => {
  const { repositories: core, stores } = await startCore();
  const { repositories: other } = await startCore({ backend: stores.backend });
  const away = new OutriggerError("UNREACHABLE", "the driver is away");
  const down = ({ method }: { readonly method: string }) => {
    if (method.startsWith("meta.")) throw away;
  };
  stores.hooks.before = down;
  await assert.rejects(core.search.view(context()), away);
  stores.hooks.before = undefined;
  await pushImage(other, "app", ["v1"], {});
  assert.deepEqual(namesOf(await core.search.view(context())), ["app"]);
  // Away in the middle of a look: the entry is read again.
  await pushImage(other, "next", ["v1"], {});
  stores.hooks.before = ({ method }) => {
    if (method === "meta.get") throw away;
  };
  await assert.rejects(core.search.view(context()), away);
  stores.hooks.before = undefined;
  assert.deepEqual(namesOf(await core.search.view(context())), ["app", "next"]);
});

test("who gives up waiting is told so at once, and takes nothing from the others", async () => {
  const { repositories: core, stores } = await startCore();
  const giveUp = new AbortController();
  const held: (() => void)[] = [];
  stores.hooks.before = () => new Promise<void>((resolve) => held.push(resolve));
  const impatient = core.search.view(context(giveUp.signal));
  const patient = core.search.view(context());
  await new Promise(setImmediate);
  giveUp.abort(new Error("no longer wanted"));
  await assert.rejects(impatient, /no longer wanted/);
  stores.hooks.before = undefined;
  for (const release of held) release();
  assert.equal((await patient).repositoryCount, 0);
});

test("after ten minutes without a look, and when the clock was set back, it is loaded anew", async () => {
  const { clock, repositories: core, stores } = await timed();
  await pushImage(core, "app", ["v1"], {});
  const isLoaded = async () => {
    stores.takeCalls();
    const view = await core.search.view(context());
    assert.deepEqual(namesOf(view), ["app"]);
    return stores.takeCalls().length > 1;
  };
  assert.ok(await isLoaded());
  clock.nowMs += 9 * 60_000;
  assert.ok(!(await isLoaded()));
  clock.nowMs += 11 * 60_000;
  // What was changed meanwhile, and whose entry is gone.
  for (const key of stores.backend.metaText(keys.changesPrefix).keys()) stores.backend.meta.delete(key);
  assert.ok(await isLoaded());
  clock.nowMs -= 3_000;
  assert.ok(await isLoaded());
});

test("a Write that comes to be seen late is found all the same", async () => {
  const { clock, backend, repositories: core, stores } = await timed();
  const { repositories: writer, stores: slow } = await startCore({ backend, clock });
  await core.search.view(context());
  // Its entry's time is when it was sent; it takes effect 19 s later, after others have looked.
  slow.hooks.before = ({ method }) => {
    if (method === "meta.write") clock.nowMs += 19_000;
    return method === "meta.write" ? core.search.view(context()) : undefined;
  };
  await pushImage(writer, "app", ["v1"], {});
  assert.deepEqual(namesOf(await core.search.view(context())), ["app"]);
  assert.ok(stores);
});

test("a Write that would come later than that is refused", async () => {
  const { clock, backend } = await timed();
  const { repositories: writer, stores: slow } = await startCore({ backend, clock });
  await pushImage(writer, "app", ["v1"], {});
  slow.hooks.before = ({ method }) => {
    if (method === "meta.write") clock.nowMs += 21_000;
  };
  await assert.rejects(putImage(writer, "app", ["v2"], imageOf({})), { reason: "TOO_LATE" });
  assert.equal(backend.metaText().has(keys.tagLink("app", "v2")), false);
});

test("other data behind the same address is loaded anew", async () => {
  const { repositories: core, stores } = await startCore();
  await pushImage(core, "app", ["v1"], {});
  assert.deepEqual(namesOf(await core.search.view(context())), ["app"]);
  // Somebody has put back an older copy: nothing says which keys differ.
  for (const key of stores.backend.metaText("outrigger/search/").keys()) stores.backend.meta.delete(key);
  stores.tellChanged({ outsideGrew: true, otherStore: false });
  assert.deepEqual(namesOf(await core.search.view(context())), []);
  await core.close();
});

test("stars and strange keys", async () => {
  const { repositories: core, stores } = await startCore();
  await pushImage(core, "app", ["v1"], {});
  for (const user of ["me", "you"]) stores.backend.putMeta(keys.starKey("app", user), "");
  for (const strange of ["images/UPPER/_/x", "images/app/_/sha256/zz", "later/x", "tags/app/_/-"]) {
    stores.backend.putMeta(`outrigger/search/${strange}`, "?");
  }
  stores.backend.putMeta(`${keys.changesPrefix}${Date.now()}-0`, "not json");
  stores.backend.putMeta(`${keys.changesPrefix}${Date.now()}-1`, '[5,"tags/app/_/v9"]');
  const view = await core.search.view(context());
  assert.deepEqual([namesOf(view), tagsOf(view, "app"), view.repository("app")?.stars], [["app"], ["v1"], 2]);
});

test("entries of changes are taken away after an hour, and not before", async (t) => {
  const { clock, backend, repositories: core } = await timed();
  await pushImage(core, "app", ["v1"], {});
  await core.close();
  const entries = () => backend.metaText(keys.changesPrefix).size;
  const before = entries();
  assert.ok(before > 0);
  const restart = async () => {
    const { repositories } = await startCore({ backend, clock });
    t.after(() => repositories.close());
    for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate);
  };
  clock.nowMs += 59 * 60_000;
  await restart();
  assert.equal(entries(), before);
  clock.nowMs += 2 * 60_000;
  await restart();
  assert.equal(entries(), 0);
});

test("a rebuild beside it is followed: what facts say that came from outside", async () => {
  const { repositories: core, stores } = await startCore();
  const { backend } = stores;
  const image = await pushImage(core, "app", ["v1", "v2"], {});
  const view = await core.search.view(context());
  // As distribution would: facts alone.
  backend.putMeta(keys.tagLink("app", "v3"), image);
  backend.meta.delete(keys.tagLink("app", "v2"));
  for (const [key, value] of backend.metaText("docker/registry/v2/repositories/app/")) {
    backend.putMeta(key.replace("/app/", "/other/"), value);
  }
  await rebuildIndex(backend.connect(), { clock: testClock });
  await core.search.view(context());
  const now = ["v1", "v3"];
  assert.deepEqual([tagsOf(view, "app"), tagsOf(view, "other")], [now, now]);
  assert.deepEqual(view.repositoriesWith(image), ["app", "other"]);
  assert.equal(view.repository("other")?.tag("v1")?.taggedMs, 0);
  assert.ok((view.repository("app")?.tag("v1")?.taggedMs ?? 0) > 0);
});
