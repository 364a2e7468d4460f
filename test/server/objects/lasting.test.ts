/** Uploads that are ending, or cannot end, as those see them who list, look at, expire and sweep. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Clock } from "../../../proto/clock.ts";
import { OutriggerError } from "../../../proto/errors.ts";
import { Uploads } from "../../../server/uploads.ts";
import type { FakeRequest } from "../../helpers/fake-objects.ts";
import { bytes, gate as closed, failsWith, silent } from "../kit.ts";
import { call, commit, goOn, ObjectsRig, PART, type Replica, writeAll } from "./rig.ts";

const HOUR_MS = 60 * 60 * 1000;
const TTL_MS = 24 * HOUR_MS;
const DATA = bytes(3 * PART + 7);

const isState = ({ operation, name }: FakeRequest, id: string) =>
  operation === "put" && name === `!outrigger/uploads/${id}`;

async function list({ driver }: Replica) {
  return (await driver.listUploads({ startAfter: "", limit: 10 }, call)).items;
}

async function look({ driver }: Replica, uploadId: string) {
  return (await driver.listUploads({ uploadId, startAfter: "", limit: 1 }, call)).items[0];
}

/** The host's uploads over a replica: who expires them. */
function hostOf(rig: ObjectsRig, { driver }: Replica): Uploads {
  return new Uploads({
    driver,
    clock: rig.clock,
    log: silent,
    limits: {
      persistStepBytes: PART,
      uploadTtlMs: TTL_MS,
      maxBlobBytes: Number.POSITIVE_INFINITY,
      streamIdleMs: 60_000,
    },
    createHasher: () => assert.fail("hashes by itself"),
  });
}

/** An upload in phase `committing`, whose process is gone or still about it. */
async function committing(rig: ObjectsRig, uploadId: string, key: string, held: Promise<void> | "death" = "death") {
  let begun: () => void = () => {};
  const reached = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const replica: Replica = rig.replica({
    fault: ({ operation, name }) => {
      if (operation !== "complete" || name !== key) return "pass";
      begun();
      if (held !== "death") return held;
      replica.store.kill();
      return "pass";
    },
  });
  const upload = await replica.driver.open(uploadId, { create: true, sender: uploadId, attempt: 1, key }, call);
  await writeAll(upload, DATA);
  const done = commit(upload, key, DATA);
  done.catch(() => {});
  await reached;
  return { done };
}

describe("an upload that cannot be ended", () => {
  it("is listed beside the others, expires, and leaves nothing", async () => {
    const rig = new ObjectsRig();
    await committing(rig, "b", "k");
    rig.backend.objects.set("!outrigger/uploads/a", {
      data: Buffer.from("{}"),
      etag: "x",
      modifiedMs: rig.clock.now(),
      digests: [],
    });
    await rig.replica().driver.open("c", { create: true }, call);
    const refusing = rig.replica({
      fault: ({ operation }) => (operation === "complete" ? new OutriggerError("NOT_ALLOWED", "a hold") : "pass"),
    });
    const host = hostOf(rig, refusing);
    for (let hour = 0; hour < 24; hour++) {
      rig.clock.pass(HOUR_MS - 10_000);
      assert.equal(await host.expire(), 0);
      assert.deepEqual(
        (await list(refusing)).map(({ uploadId, persistedBytes }) => [uploadId, persistedBytes]),
        [
          ["a", 0],
          ["b", 3 * PART],
          ["c", 0],
        ],
      );
    }
    rig.clock.pass(HOUR_MS);
    assert.equal(await host.expire(), 3);
    assert.deepEqual(await list(refusing), []);
    await refusing.driver.sweep();
    assert.deepEqual(rig.left(), []);
  });

  it("does not keep the sweep from what others left", async () => {
    const rig = new ObjectsRig();
    // Somebody else's: where it lies is told by its state alone, which cannot be read.
    await rig.replica().store.parts.begin("k", { signal: call.signal, assertInTime() {} });
    for (const id of ["a", "b"]) {
      const upload = await rig.replica().driver.open(id, { create: true }, call);
      await writeAll(upload, bytes(PART + 50));
      await upload.flush();
      await upload.close();
    }
    const good = rig.backend.objects.get("!outrigger/uploads/a");
    assert.ok(good);
    rig.backend.objects.set("!outrigger/uploads/a", { ...good, data: Buffer.from("{}") });
    rig.backend.objects.delete("!outrigger/uploads/b");
    const before = rig.left();
    rig.clock.pass(2 * TTL_MS);
    await rig.replica().driver.sweep();
    assert.deepEqual(
      rig.left(),
      before.filter((name) => !name.includes("/b/") && !name.includes("/b.")),
    );
    await rig.replica().driver.abort("a", call);
    await rig.replica().driver.sweep();
    assert.deepEqual(rig.left(), []);
  });
});

describe("a look at an upload that is being committed", () => {
  it("lets its process finish, however many look", async () => {
    const rig = new ObjectsRig();
    const gate = closed();
    const { done } = await committing(rig, "u", "k", gate.passed);
    const other = rig.replica();
    for (let turn = 0; turn < 4; turn++) {
      rig.clock.pass(60_000);
      assert.equal((await look(other, "u"))?.persistedBytes, 3 * PART);
      assert.equal((await list(other)).length, 1);
    }
    assert.ok(!other.store.seen.some((request) => isState(request, "u")), "the looking replica wrote to the state");
    gate.open();
    assert.equal((await done).sizeBytes, DATA.length);
    assert.deepEqual(rig.left(), []);
  });

  it("finishes it once nobody has been about it for minutes", async () => {
    const rig = new ObjectsRig();
    await committing(rig, "u", "k");
    rig.clock.pass(6 * 60_000);
    assert.equal(await look(rig.replica(), "u"), undefined);
    assert.deepEqual(rig.content("k"), DATA);
    assert.deepEqual(rig.left(), []);
  });

  it("changes nothing where the driver is for reading only", async () => {
    const rig = new ObjectsRig();
    await committing(rig, "u", "k");
    rig.clock.pass(2 * TTL_MS);
    const sealed = rig.replica({}, { readOnly: true });
    assert.equal((await look(sealed, "u"))?.persistedBytes, 3 * PART);
    assert.equal((await list(sealed)).length, 1);
    assert.ok(sealed.store.seen.every(({ operation }) => ["read", "list", "head"].includes(operation)));
    await goOn(rig.replica().driver, "u", "k", DATA, { toldBytes: 0, commitSent: true });
  });
});

describe("an abort of an upload that is idle", () => {
  /** The state changes hands after the host has looked, before or after the driver has. */
  for (const index of [2, 3]) {
    it(`lets it live where another replica takes it over meanwhile, at request ${index}`, async () => {
      const rig = new ObjectsRig();
      const first = await rig.replica().driver.open("u", { create: true, key: "k" }, call);
      await writeAll(first, DATA);
      await first.flush();
      await first.close();
      rig.clock.pass(TTL_MS + 1);
      const other = rig.replica().driver;
      let taken: ReturnType<typeof other.open> | undefined;
      const aborting = rig.replica({
        fault: (request) => {
          if (request.index !== index) return "pass";
          taken = other.open("u", { create: false, key: "k" }, call);
          return taken.then(() => undefined);
        },
      });
      await failsWith(hostOf(rig, aborting).abort("u", TTL_MS, call), "UPLOAD_BUSY");
      assert.ok(taken);
      await commit(await taken, "k", DATA);
      assert.deepEqual(rig.content("k"), DATA);
      assert.deepEqual(rig.left(), []);
    });
  }

  it("lets an unreadable one live until its state is as old", async () => {
    const rig = new ObjectsRig();
    const host = hostOf(rig, rig.replica());
    const state = { data: Buffer.from("{}"), etag: "x", modifiedMs: rig.clock.now(), digests: [] };
    rig.backend.objects.set("!outrigger/uploads/a", state);
    rig.clock.pass(TTL_MS - 1);
    await failsWith(host.abort("a", TTL_MS, call), "UPLOAD_BUSY");
    rig.clock.pass(1);
    await host.abort("a", TTL_MS, call);
    assert.deepEqual(rig.left(), []);
  });
});

it("an abort that asks nothing of an upload's age ends it, by a replica whose clock is behind too", async () => {
  const rig = new ObjectsRig();
  const upload = await rig.replica().driver.open("u", { create: true, key: "k" }, call);
  await writeAll(upload, DATA);
  await upload.flush();
  await upload.close();
  const { clock } = rig;
  const behind: Clock = {
    now: () => clock.now() - 2_000,
    monotonic: () => clock.monotonic(),
    after: (ms, run) => clock.after(ms, run),
  };
  await rig.replica({}, { clock: behind }).driver.abort("u", call);
  assert.deepEqual(rig.left(), []);
});

describe("a backend that is full", () => {
  const quota = ({ operation }: FakeRequest) =>
    ["put", "part", "begin", "copy", "complete"].includes(operation) ? new OutriggerError("QUOTA", "full") : undefined;

  async function idle(rig: ObjectsRig): Promise<void> {
    const upload = await rig.replica().driver.open("u", { create: true, key: "k" }, call);
    await writeAll(upload, DATA);
    await upload.flush();
    await upload.close();
    rig.clock.pass(TTL_MS + 1);
  }

  it("gets the room of an upload back, also of one that was being committed", async () => {
    const rig = new ObjectsRig();
    await idle(rig);
    await committing(rig, "v", "w");
    rig.clock.pass(TTL_MS + 1);
    const full = rig.replica({ fault: (request) => quota(request) ?? "pass" });
    assert.equal(await hostOf(rig, full).expire(), 2);
    assert.deepEqual(rig.left(), []);
  });

  it("keeps an upload that another replica takes over meanwhile", async () => {
    const rig = new ObjectsRig();
    await idle(rig);
    const other = rig.replica().driver;
    let taken: ReturnType<typeof other.open> | undefined;
    const full = rig.replica({
      fault: (request) => {
        if (request.operation !== "delete" || taken !== undefined) return quota(request) ?? "pass";
        taken = other.open("u", { create: false, key: "k" }, call);
        return taken.then(() => undefined);
      },
    });
    await failsWith(full.driver.abort("u", call, TTL_MS), "UPLOAD_BUSY");
    assert.ok(taken);
    await commit(await taken, "k", DATA);
    assert.deepEqual(rig.left(), []);
  });
});
