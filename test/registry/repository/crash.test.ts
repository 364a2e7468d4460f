/** A core dies before, or right after, any of its calls: nothing dangles, and another core can do the same work. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import { verifyIndex } from "../../../registry/index/index.ts";
import type { Repositories } from "../../../registry/repository/contract.ts";
import { FakeBackend } from "../../helpers/fake-stores.ts";
import { brokenRules } from "./integrity.ts";
import { context, digestOf, imageOf, pushBlob, pushImage, putImage, startCore, testClock } from "./world.ts";

type Work = (core: Repositories) => Promise<unknown>;

const parts = { layers: ["one", "two"] };
const index = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [] }),
);
const putIndex: Work = (core) =>
  core.putManifest(
    "app",
    { bytes: index, contentType: "application/vnd.oci.image.index.v1+json", tags: ["x"] },
    context(),
  );

const works: Record<string, { readonly prepare?: Work; readonly work: Work; readonly done: Work }> = {
  "a push of a blob": {
    work: (core) => pushBlob(core, "app", "one"),
    done: (core) => core.statBlob("app", digestOf("one"), context()),
  },
  "a push of an image with a subject and many tags": {
    work: (core) =>
      pushImage(
        core,
        "app",
        Array.from({ length: 60 }, (_, at) => `v${at}`),
        { ...parts, subject: digestOf("x") },
      ),
    done: async (core) => {
      const page = await core.listTags("app", { last: "", limit: 100 }, context());
      return page?.names.length === 60 && (await core.getManifest("app", { tag: "v59" }, context()));
    },
  },
  "a mount": {
    prepare: (core) => pushBlob(core, "from", "one"),
    work: (core) => core.mountBlob("app", digestOf("one"), { mayRead: () => true }, context()),
    done: (core) => core.statBlob("app", digestOf("one"), context()),
  },
  "a moved tag": {
    prepare: async (core) => {
      await pushImage(core, "app", ["v1"], parts);
      await pushBlob(core, "app", "three");
    },
    work: (core) => putImage(core, "app", ["v1"], imageOf({ layers: ["three"] })),
    done: async (core) =>
      (await core.getManifest("app", { tag: "v1" }, context()))?.digest === digestOf(imageOf({ layers: ["three"] })),
  },
  "a tag's delete, with a long history": {
    prepare: async (core) => {
      await pushBlob(core, "app", "{}");
      for (let at = 0; at < 230; at += 1) {
        await putImage(core, "app", ["v1"], imageOf({ annotations: { at: String(at) } }));
      }
    },
    work: (core) => core.deleteTag("app", "v1", context()),
    done: async (core) => (await core.getManifest("app", { tag: "v1" }, context())) === undefined,
  },
  "a manifest's delete": {
    prepare: async (core) => {
      await pushImage(core, "app", ["v1", "v2", "v3"], { ...parts, subject: digestOf("x") });
      await pushImage(core, "app", ["other"], { layers: ["three"] });
    },
    work: (core) => core.deleteManifest("app", digestOf(imageOf({ ...parts, subject: digestOf("x") })), context()),
    done: async (core) => (await core.listTags("app", { last: "", limit: 9 }, context()))?.names.join() === "other",
  },
  "the delete of all there is": {
    prepare: putIndex,
    work: (core) => core.deleteManifest("app", digestOf(index), context()),
    done: async (core) => (await core.listRepositories({ last: "", limit: 9 }, context())).names.length === 0,
  },
  "a blob's delete": {
    prepare: async (core) => {
      await pushImage(core, "app", ["v1"], parts);
      await pushBlob(core, "app", "three");
    },
    work: (core) => core.deleteBlob("app", digestOf("three"), context()),
    done: async (core) => (await core.statBlob("app", digestOf("three"), context())) === undefined,
  },
};

for (const [name, { prepare, work, done }] of Object.entries(works)) {
  test(`a crash within ${name}`, { timeout: 60_000 }, async () => {
    let places = 0;
    for (let place = 0; ; place += 1) {
      let reached = false;
      for (const when of ["before", "after"] as const) {
        const backend = new FakeBackend();
        const { repositories: survivor } = await startCore({ backend });
        await prepare?.(survivor);
        const { repositories: core, stores } = await startCore({ backend });
        let calls = 0;
        let dead = false;
        const die = () => {
          if (dead) throw new OutriggerError("UNREACHABLE", "this core is dead");
        };
        stores.hooks.before = () => {
          calls += 1;
          dead ||= when === "before" && calls > place;
          die();
        };
        stores.hooks.after = () => {
          dead ||= when === "after" && calls > place;
          die();
        };
        const outcome = await work(core).then(
          () => "done",
          () => "failed",
        );
        assert.equal(outcome, dead ? "failed" : "done");
        if (!dead) continue;
        reached = true;
        const at = `${when} call ${place}`;
        assert.deepEqual(brokenRules(backend, { emptyRepositories: true }), [], at);
        const { problems, ...counts } = await verifyIndex(backend.connect(), { clock: testClock });
        assert.deepEqual(problems, [], at);
        // An empty repository in the catalog is the one thing that a crash may leave.
        assert.deepEqual([counts.missing, counts.wrong, counts.withoutBytes], [0, 0, 0], at);
        assert.ok(counts.stale <= 1, at);
        await work(survivor).catch((error) => assert.ok(error.status < 500, `${at}: ${error}`));
        assert.ok(await done(survivor), `${at}: the same work again`);
        assert.deepEqual(brokenRules(backend), [], at);
      }
      if (!reached) break;
      places += 1;
    }
    assert.ok(places >= 3, `${places} calls`);
  });
}
