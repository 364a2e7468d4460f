/** architecture.md, "Taking things away beside pushes": a collector that is at work on a digest while it is pushed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type CondemnedState, encodeCondemned } from "../../../registry/repository/condemned.ts";
import * as keys from "../../../registry/repository/keys.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { brokenRules } from "./integrity.ts";
import { settle, VirtualClock } from "./virtual-clock.ts";
import { context, digestOf, imageOf, pushBlob, pushImage, putImage, readAll, startCore } from "./world.ts";

const one = digestOf("one");

function condemn(backend: FakeBackend, digest: string, state: CondemnedState): void {
  backend.putMeta(keys.condemnedKey(digest), encodeCondemned({ state, sinceMs: 1 }));
}

/** What the collector does with a digest that nobody refers to, from `deleting` on. */
function deleteBytes(backend: FakeBackend, digest: string): void {
  backend.blobs.delete(keys.blobKey(digest));
  condemn(backend, digest, "gone");
}

for (const mode of ["many", "one"] as const) {
  test(`cores: ${mode}: deleting and gone are not there, a candidate is`, async (t) => {
    for (const [state, there] of [
      ["candidate", true],
      ["deleting", false],
      ["gone", false],
    ] as const) {
      const backend = new FakeBackend();
      const { repositories: core } = await startCore({ backend, mode });
      t.after(() => core.close());
      const image = await pushImage(core, "app", ["v1"], { layers: ["one"] });
      condemn(backend, one, state);
      condemn(backend, image, state);
      assert.equal((await core.statBlob("app", one, context())) !== undefined, there, state);
      assert.equal((await readAll(await core.readBlob("app", one, undefined, context()))) === "one", there, state);
      assert.equal((await core.getManifest("app", { digest: image }, context())) !== undefined, there, state);
      await core.close();
    }
  });
}

test("a push clears a candidate in its own Write", async () => {
  const { repositories: core, stores } = await startCore();
  const { backend } = stores;
  backend.putBlob(keys.blobKey(one), "one");
  condemn(backend, one, "candidate");
  await pushBlob(core, "app", "one");
  assert.deepEqual(stores.takeCalls(), ["meta.get", "blob.append", "meta.write"]);
  assert.equal(backend.meta.has(keys.condemnedKey(one)), false);
  assert.deepEqual(brokenRules(backend), []);
});

test("a push of a manifest clears a candidate as well", async () => {
  const { repositories: core, stores } = await startCore();
  const { backend } = stores;
  await pushBlob(core, "app", "{}");
  const image = imageOf();
  backend.putBlob(keys.blobKey(digestOf(image)), image);
  condemn(backend, digestOf(image), "candidate");
  await putImage(core, "app", ["v1"], image);
  assert.equal(backend.meta.has(keys.condemnedKey(digestOf(image))), false);
  assert.deepEqual(brokenRules(backend), []);
});

test("on gone the push writes the bytes, then clears the marker", async () => {
  const { repositories: core, stores } = await startCore();
  const { backend } = stores;
  condemn(backend, one, "gone");
  await pushBlob(core, "app", "one");
  await pushBlob(core, "app", "{}");
  const image = imageOf({ layers: ["one"] });
  condemn(backend, digestOf(image), "gone");
  await putImage(core, "app", ["v1"], image);
  assert.deepEqual([...backend.metaText("outrigger/condemned/")], []);
  assert.deepEqual(brokenRules(backend), []);
});

test("on deleting the push waits for the collector, and then writes the bytes", async () => {
  const backend = new FakeBackend();
  const clock = new VirtualClock();
  const { repositories: core } = await startCore({ backend, clock });
  backend.putBlob(keys.blobKey(one), "one");
  condemn(backend, one, "deleting");
  const pushing = pushBlob(core, "app", "one");
  await clock.advance(3000);
  assert.equal(backend.meta.has(keys.layerLink("app", one)), false);
  deleteBytes(backend, one);
  await clock.advance(1000);
  await pushing;
  assert.deepEqual(brokenRules(backend), []);
});

test("after 10 s of deleting: 503 with Retry-After", async () => {
  const backend = new FakeBackend();
  const clock = new VirtualClock();
  const { repositories: core } = await startCore({ backend, clock });
  condemn(backend, one, "deleting");
  const began = clock.monotonic();
  let ended = 0;
  const pushing = pushBlob(core, "app", "one").catch((error) => {
    ended = clock.monotonic();
    return error;
  });
  await clock.advance(20_000);
  const error = await pushing;
  assert.deepEqual([error.code, error.status], ["UNAVAILABLE", 503]);
  assert.ok(error.retryAfterSeconds > 0);
  assert.ok(ended - began >= 10_000 && ended - began <= 11_000, `${ended - began}`);
});

test("condemned between the look and the Write: the push never links bytes that are gone", async () => {
  const states: CondemnedState[] = ["candidate", "deleting", "gone"];
  for (const method of ["meta.get", "blob.put", "blob.append", "meta.write"]) {
    for (const state of states) {
      const backend = new FakeBackend();
      const { repositories: core, stores } = await startCore({ backend });
      backend.putBlob(keys.blobKey(one), "one");
      let begun = false;
      stores.hooks.before = (call) => {
        if (begun || call.method !== method) return;
        begun = true;
        condemn(backend, one, state);
        if (state === "gone") backend.blobs.delete(keys.blobKey(one));
        // The collector goes on while the push waits.
        if (state === "deleting") void settle().then(() => deleteBytes(backend, one));
      };
      const result = await pushBlob(core, "app", "one").catch((error) => error.code);
      const at = `${state} before ${method}`;
      assert.ok(begun, at);
      assert.deepEqual(brokenRules(backend), [], at);
      const linked = backend.meta.has(keys.layerLink("app", one));
      assert.equal(linked, result === one, at);
      // The upload is used up: the client begins anew.
      if (!linked) assert.equal(result, "BLOB_UPLOAD_UNKNOWN", at);
    }
  }
});

test("a mount relies on no bytes that are going", async () => {
  for (const state of ["candidate", "gone"] as const) {
    const { repositories: core, stores } = await startCore();
    const { backend } = stores;
    await pushBlob(core, "from", "one");
    stores.takeCalls();
    stores.hooks.before = ({ method }) => {
      if (method !== "meta.write" || backend.meta.has(keys.condemnedKey(one))) return;
      condemn(backend, one, state);
    };
    const found = await core.mountBlob("to", one, { from: "from", mayRead: () => true }, context());
    assert.equal(found !== undefined, backend.meta.has(keys.layerLink("to", one)), state);
    assert.equal(found === undefined, state === "gone", state);
  }
});

test("a marker that cannot be read is an alarm, not a guess", async () => {
  const { repositories: core, stores } = await startCore();
  stores.backend.putMeta(keys.condemnedKey(one), "what?");
  await assert.rejects(pushBlob(core, "app", "one"), { reason: "STORED_CORRUPT" });
});
