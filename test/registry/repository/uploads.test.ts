import assert from "node:assert/strict";
import { test } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import { invalidField } from "../../../proto/keys.ts";
import * as keys from "../../../registry/repository/keys.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { brokenRules } from "./integrity.ts";
import { VirtualClock } from "./virtual-clock.ts";
import { body, context, digestOf, pushBlob, readAll, startCore } from "./world.ts";

const chunk = (offsetBytes: number, ...bytes: string[]) => ({ offsetBytes, bytes: body(...bytes) });

test("chunks out of order are 416, and the upload goes on", async () => {
  const { repositories: core } = await startCore();
  const start = core.startUpload("app", "sha256");
  const ahead = { code: "RANGE_INVALID", status: 416 };
  await assert.rejects(core.appendUpload(start, chunk(3, "def"), context()), ahead);
  const one = await core.appendUpload(start, chunk(0, "abc"), context());
  await assert.rejects(core.appendUpload(one, chunk(0, "abc"), context()), ahead);
  await assert.rejects(core.appendUpload(one, chunk(4, "ef"), context()), ahead);
  await assert.rejects(core.finishUpload(one, digestOf("abcdef"), chunk(5, "f"), context()), ahead);
  const two = await core.appendUpload(one, chunk(3, "def"), context());
  await core.finishUpload(two, digestOf("abcdef"), chunk(6), context());
  assert.equal(await readAll(await core.readBlob("app", digestOf("abcdef"), undefined, context())), "abcdef");
});

test("a client that lost an answer asks for the progress, and goes on there with the Location it has", async () => {
  const { repositories: core } = await startCore();
  const start = core.startUpload("app", "sha256");
  const broken = (async function* () {
    yield Buffer.from("abc");
    throw new Error("the client is gone");
  })();
  await assert.rejects(core.appendUpload(start, { offsetBytes: 0, bytes: broken }, context()), /the client is gone/);
  assert.equal((await core.uploadProgress(start, context())).offsetBytes, 3);
  const session = await core.appendUpload(start, chunk(3, "def"), context());
  assert.equal(session.offsetBytes, 6);
});

test("any core takes any request of an upload", async () => {
  const backend = new FakeBackend();
  const { repositories: one } = await startCore({ backend });
  const { repositories: two } = await startCore({ backend });
  const session = await two.appendUpload(one.startUpload("app", "sha256"), chunk(0, "abc"), context());
  await one.finishUpload(session, digestOf("abc"), chunk(3), context());
  assert.ok(await two.statBlob("app", digestOf("abc"), context()));
});

test("wrong bytes are DIGEST_INVALID, nothing is linked and nothing stays behind", async () => {
  const { repositories: core, stores } = await startCore();
  const session = await core.appendUpload(core.startUpload("app", "sha256"), chunk(0, "abc"), context());
  await assert.rejects(core.finishUpload(session, digestOf("other"), chunk(3), context()), {
    code: "DIGEST_INVALID",
    status: 400,
  });
  assert.equal(stores.backend.uploads.size, 0);
  assert.deepEqual([...stores.backend.metaText("docker/")], []);
  await assert.rejects(core.finishUpload(session, "sha256:short", chunk(3), context()), { code: "DIGEST_INVALID" });
});

test("a size that is not the bytes' is SIZE_INVALID", async () => {
  const { repositories: core } = await startCore();
  const session = core.startUpload("app", "sha256");
  const short = { offsetBytes: 0, sizeBytes: 4, bytes: body("abc") };
  await assert.rejects(core.finishUpload(session, digestOf("abc"), short, context()), {
    code: "SIZE_INVALID",
    status: 400,
  });
});

test("more bytes than the storage takes are 413, whether their length is told, and nothing that was acknowledged is lost", async () => {
  const backend = new FakeBackend();
  backend.blobFacts = { ...backend.blobFacts, limits: { ...backend.blobFacts.limits, maxBlobBytes: 5 } };
  const { repositories: core, stores } = await startCore({ backend });
  const tooLarge = { code: "SIZE_INVALID", status: 413, detail: { limit: 5 } };
  const one = await core.appendUpload(core.startUpload("app", "sha256"), chunk(0, "abc"), context());
  stores.takeCalls();
  await assert.rejects(core.appendUpload(one, { ...chunk(3, "def"), sizeBytes: 3 }, context()), tooLarge);
  assert.deepEqual(stores.takeCalls(), [], "what is known beforehand is not begun");
  await assert.rejects(core.appendUpload(one, chunk(3, "de", "f"), context()), tooLarge);
  await assert.rejects(core.finishUpload(one, digestOf("abcdef"), chunk(3, "def"), context()), tooLarge);
  const { offsetBytes } = await core.uploadProgress(one, context());
  assert.ok(offsetBytes === 3 || offsetBytes === 5, `${offsetBytes}`);
  await core.finishUpload(one, digestOf("abcde"), chunk(offsetBytes, "abcde".slice(offsetBytes)), context());
  assert.equal(await readAll(await core.readBlob("app", digestOf("abcde"), undefined, context())), "abcde");
});

test("a storage that takes no more bytes of an upload says so by 413", async () => {
  const { repositories: core } = await startCore({
    hooks: {
      before({ method }) {
        if (method === "blob.append") throw invalidField("chunk.data", "the upload has used all of its parts");
      },
    },
  });
  await assert.rejects(core.appendUpload(core.startUpload("app", "sha256"), chunk(0, "abc"), context()), {
    code: "SIZE_INVALID",
    status: 413,
  });
});

test("a small blob survives a driver that answers its Put with a failure, or does not answer", async () => {
  for (const reason of ["STREAM_BROKEN", "UNREACHABLE", "TIMED_OUT", "QUOTA"] as const) {
    for (const written of [false, true]) {
      const { repositories: core, stores } = await startCore();
      let puts = 0;
      const fail = (call: { readonly method: string }) => {
        if (call.method !== "blob.put") return;
        puts += 1;
        throw new OutriggerError(reason, "the answer is lost");
      };
      stores.hooks[written ? "after" : "before"] = fail;
      const digest = await pushBlob(core, "app", "abc");
      assert.equal(puts, 1);
      assert.equal(await readAll(await core.readBlob("app", digest, undefined, context())), "abc");
    }
  }
});

test("a small body that breaks off keeps what came, as any other", async () => {
  const { repositories: core } = await startCore();
  const session = core.startUpload("app", "sha256");
  const gone = new Error("gone");
  async function* broken() {
    yield Buffer.from("ab");
    throw gone;
  }
  const half = { offsetBytes: 0, sizeBytes: 3, bytes: broken() };
  await assert.rejects(core.finishUpload(session, digestOf("abc"), half, context()), gone);
  assert.equal((await core.uploadProgress(session, context())).offsetBytes, 2);
});

test("sha512, by the session or only at the end; an empty blob", async () => {
  const { repositories: core } = await startCore();
  for (const algorithm of ["sha256", "sha512"] as const) {
    const content = `by ${algorithm}`;
    const digest = digestOf(content, "sha512");
    const session = await core.appendUpload(core.startUpload("app", algorithm), chunk(0, content), context());
    await core.finishUpload(session, digest, chunk(content.length), context());
    assert.equal(await readAll(await core.readBlob("app", digest, undefined, context())), content);
  }
  const empty = await pushBlob(core, "app", "");
  assert.equal((await core.statBlob("app", empty, context()))?.sizeBytes, 0);
  assert.equal(await readAll(await core.readBlob("app", empty, undefined, context())), "");
});

test("cancelled: every later request of it is BLOB_UPLOAD_UNKNOWN, also a PUT that has begun", async () => {
  const unknown = { code: "BLOB_UPLOAD_UNKNOWN", status: 404 };
  const { repositories: core, stores } = await startCore();
  const { backend } = stores;
  const start = core.startUpload("app", "sha256");
  const session = await core.appendUpload(start, chunk(0, "abc"), context());
  await core.cancelUpload(session, context());
  assert.equal(backend.uploads.size, 0);
  for (const it of [start, session]) {
    await assert.rejects(core.uploadProgress(it, context()), unknown);
    await assert.rejects(core.cancelUpload(it, context()), unknown);
    await assert.rejects(core.finishUpload(it, digestOf("abc"), chunk(it.offsetBytes, "abc"), context()), unknown);
  }
  await assert.rejects(core.appendUpload(session, chunk(3, "def"), context()), unknown);
  // Never opened: cancelling is fine, and counts.
  const unopened = core.startUpload("app", "sha256");
  await core.cancelUpload(unopened, context());
  await assert.rejects(core.uploadProgress(unopened, context()), unknown);

  const racing = core.startUpload("app", "sha256");
  let cancelled = false;
  stores.hooks.before = async ({ method }) => {
    if (method !== "meta.write" || cancelled) return;
    cancelled = true;
    const { repositories: other } = await startCore({ backend });
    await other.cancelUpload(racing, context());
  };
  await assert.rejects(core.finishUpload(racing, digestOf("abc"), chunk(0, "abc"), context()), unknown);
  assert.equal(backend.meta.has(keys.layerLink("app", digestOf("abc"))), false);
  assert.deepEqual(brokenRules(backend), []);
});

test("finished, expired, of another store, too old: BLOB_UPLOAD_UNKNOWN", async () => {
  const unknown = { code: "BLOB_UPLOAD_UNKNOWN", status: 404 };
  const clock = new VirtualClock();
  const { repositories: core, stores } = await startCore({ clock });
  const session = await core.appendUpload(core.startUpload("app", "sha256"), chunk(0, "abc"), context());
  await core.finishUpload(session, digestOf("abc"), chunk(3), context());
  await assert.rejects(core.uploadProgress(session, context()), unknown);
  await assert.rejects(core.finishUpload(session, digestOf("abc"), chunk(3), context()), unknown);
  await assert.rejects(core.cancelUpload(session, context()), unknown);
  await assert.rejects(core.appendUpload({ ...session, storeId: "other" }, chunk(3, "x"), context()), unknown);
  const old = await core.appendUpload(core.startUpload("app", "sha256"), chunk(0, "abc"), context());
  stores.backend.uploads.delete(old.id);
  await assert.rejects(core.appendUpload(old, chunk(3, "x"), context()), unknown);
  const late = core.startUpload("app", "sha256");
  await clock.advance(24 * 3600 * 1000 + 1);
  await assert.rejects(core.appendUpload(late, chunk(0, "x"), context()), unknown);
});

test("marks of cancelled uploads go after two days", async () => {
  const clock = new VirtualClock();
  const { repositories: core, stores } = await startCore({ clock });
  await core.cancelUpload(core.startUpload("app", "sha256"), context());
  const marks = () => stores.backend.metaText("outrigger/cancelled/").size;
  await clock.advance(47 * 3600 * 1000);
  assert.equal(marks(), 1);
  await clock.advance(3 * 3600 * 1000);
  assert.equal(marks(), 0);
  await core.close();
});

test("an upload that was taken over is a conflict; other failures of the driver pass as they are", async () => {
  const { repositories: core, stores } = await startCore();
  const session = core.startUpload("app", "sha256");
  stores.hooks.before = () => {
    throw new OutriggerError("UPLOAD_FENCED", "taken over");
  };
  await assert.rejects(core.appendUpload(session, chunk(0, "abc"), context()), {
    code: "BLOB_UPLOAD_INVALID",
    status: 409,
  });
  stores.hooks.before = () => {
    throw new OutriggerError("RESUME_EXHAUSTED", "away");
  };
  await assert.rejects(core.appendUpload(session, chunk(0, "abc"), context()), { reason: "RESUME_EXHAUSTED" });
});

test("a mount is of what the caller may read, and of a layer, not of a manifest", async () => {
  const { repositories: core, stores } = await startCore();
  const one = await pushBlob(core, "secret", "one");
  const refused = { mayRead: (name: string) => name !== "secret" };
  assert.equal(await core.mountBlob("app", one, refused, context()), undefined);
  assert.equal(await core.mountBlob("app", one, { ...refused, from: "secret" }, context()), undefined);
  assert.equal(await core.mountBlob("app", one, { from: "NOT A NAME", mayRead: () => true }, context()), undefined);
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [] }),
  );
  const { digest } = await core.putManifest(
    "secret",
    { bytes: manifest, contentType: "application/vnd.oci.image.index.v1+json", tags: [] },
    context(),
  );
  assert.equal(await core.mountBlob("app", digest, { mayRead: () => true }, context()), undefined);
  assert.deepEqual([...stores.backend.metaText(keys.layersPrefix("app"))], []);
  assert.deepEqual(await core.mountBlob("app", one, { from: "secret", mayRead: () => true }, context()), {
    digest: one,
    sizeBytes: 3,
  });
});

test("the stores are exchanged for others in the middle: nothing is linked without its bytes", async () => {
  for (const place of [0, 1, 2]) {
    const { repositories: core, stores } = await startCore();
    const { backend } = stores;
    const exchange = () => {
      backend.meta.clear();
      backend.blobs.clear();
      backend.uploads.clear();
      backend.blobFacts = { ...backend.blobFacts, id: "44444444-4444-4444-8444-444444444444" };
      backend.metaFacts = { ...backend.metaFacts, id: "55555555-5555-4555-8555-555555555555" };
    };
    let calls = 0;
    stores.hooks.after = () => {
      calls += 1;
      if (calls === place + 1) exchange();
    };
    const outcome = await pushBlob(core, "app", "one").catch((error) => error.code);
    assert.deepEqual(brokenRules(backend), [], `after call ${place}`);
    if (place < 2) assert.equal(outcome, "BLOB_UPLOAD_UNKNOWN", `after call ${place}`);
  }
});
