/** One key brought to the secondary, while what was sent for it before takes effect at the worst moment. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it, type TestContext } from "node:test";
import { RemoteUpload } from "../../../client/remote-upload.ts";
import { connectMember } from "../../../drivers/composed/connect.ts";
import { KeyLocks } from "../../../drivers/composed/locks.ts";
import { MirrorBlobs } from "../../../drivers/mirror/blobs.ts";
import { Copies } from "../../../drivers/mirror/copies.ts";
import { Journal } from "../../../drivers/mirror/journal.ts";
import { systemClock } from "../../../proto/clock.ts";
import { hasReason } from "../../../proto/errors.ts";
import { until } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { contentOf, digestOf, push } from "../composed/faults.ts";
import { host, openContext, Watched } from "../composed/hosted.ts";

const KEY = "docker/a";
const OLD = Buffer.from("old");
const NEW = Buffer.from("new");

async function world(t: TestContext) {
  const scope = new Scope();
  t.after(scope.close);
  let aheadMs = 0;
  const clock = { ...systemClock, now: () => Date.now() + aheadMs };
  const side = async (name: string) => {
    const watched = await Watched.memory();
    const { address } = await host(scope, watched.open);
    const member = connectMember("mirror", { name, title: name, target: { address } }, openContext);
    scope.defer(async () => member.close());
    await member.connection.channel.described();
    return { watched, member };
  };
  const [primary, secondary] = [await side("primary"), await side("secondary")];
  const members = { primary: primary.member, secondary: secondary.member };
  const journal = new Journal({ ...members, clock, prefix: "own/", maxPending: 10 });
  const copies = new Copies({ ...members, journal, locks: new KeyLocks(), clock });
  const ahead = (ms: number) => {
    aheadMs += ms;
  };
  return { primary, secondary, journal, copies, clock, ahead };
}

/** An upload of the primary whose commit may take effect at any moment. */
async function uncommitted({ primary }: Awaited<ReturnType<typeof world>>) {
  const open = { uploadId: "u", sender: "pusher", attempt: 1, create: true, algorithm: "sha256" } as const;
  const upload = await RemoteUpload.open(primary.member.connection.channel, open);
  await upload.write(NEW);
  await upload.flush();
  const notAfterMs = Date.now() + 60_000;
  return () => upload.commit({ key: KEY, sizeBytes: NEW.length, digest: digestOf(NEW), ifAbsent: false, notAfterMs });
}

describe("a copy of the mirror", () => {
  it("has the commit that takes effect while its upload is asked for", async (t) => {
    const all = await world(t);
    const { primary, secondary, journal, copies, clock } = all;
    const commit = await uncommitted(all);
    await journal.arm(KEY, clock.now() + 1_000, { uploadId: "u", commitUntilMs: clock.now() + 60_000 });
    primary.watched.before = async (name) => {
      if (name !== "listUploads") return;
      primary.watched.before = async () => {};
      await commit();
    };
    await copies.settle(KEY);
    assert.equal(await contentOf(secondary.member.connection, KEY), digestOf(NEW));
    assert.equal(journal.size, 0);
  });

  it("is looked at once more where a change might still take effect when it was begun, whatever the clock says after", async (t) => {
    const { primary, secondary, journal, copies, clock, ahead } = await world(t);
    await primary.member.put(KEY, OLD);
    await journal.arm(KEY, clock.now() + 1_000);
    journal.doubt(KEY, clock.now() + 1_000);
    secondary.watched.before = async (name) => {
      if (name !== "put") return;
      secondary.watched.before = async () => {};
      // The change whose answer was lost, and then its time is over.
      await primary.member.put(KEY, NEW);
      ahead(60_000);
    };
    const left = await copies.settle(KEY);
    assert.ok(left !== undefined, "it is looked at again");
    await copies.settle(KEY);
    assert.equal(await contentOf(secondary.member.connection, KEY), digestOf(NEW));
    assert.equal(journal.size, 0);
  });

  it("does not take an upload from a pusher whose Open waits", async (t) => {
    const all = await world(t);
    const { primary, journal, copies, clock, ahead } = all;
    await uncommitted(all);
    await journal.arm(KEY, clock.now() + 1_000, { uploadId: "u", commitUntilMs: clock.now() + 600_000 });
    ahead(60_000);
    let answer = () => {};
    const opening = copies.whileOpening(
      "u",
      new Promise<void>((resolve) => {
        answer = resolve;
      }),
    );
    const opens = () => primary.watched.count("open u");
    assert.ok((await copies.settle(KEY)) !== undefined);
    assert.equal(opens(), 1, "the pusher's alone");
    answer();
    await opening;
    await copies.settle(KEY);
    assert.equal(opens(), 2, "once nobody comes back, it is taken over");
  });

  it("nor from one whose Open waits at the primary", async (t) => {
    const all = await world(t);
    const { primary, secondary, journal, copies, clock, ahead } = all;
    await uncommitted(all);
    await journal.arm(KEY, clock.now() + 1_000, { uploadId: "u", commitUntilMs: clock.now() + 600_000 });
    ahead(60_000);
    let answer = () => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const opens = () => primary.watched.count("open u");
    const before = opens();
    primary.watched.before = async (name) => {
      if (name === "open" && opens() === before + 1) await held;
    };
    const parts = { primary: primary.member, secondary: secondary.member, journal, copies, clock };
    const blobs = new MirrorBlobs(parts as unknown as ConstructorParameters<typeof MirrorBlobs>[0]);
    const call = { ...openContext, notAfterMs: undefined, assertInTime() {} };
    const opening = blobs.open("u", { create: false, sender: "pusher", attempt: 2 }, call);
    await until(
      async () => opens() === before + 1,
      5_000,
      () => "the pusher's Open does not come",
    );
    assert.ok((await copies.settle(KEY)) !== undefined);
    assert.equal(opens(), before + 1, "the pusher's alone");
    answer();
    await (await opening).close();
  });

  for (const [what, sizeBytes] of [
    ["small", 1000],
    ["large", 2_000_000],
  ] as const)
    it(`is made of no other bytes than the primary has verified at the commit (${what})`, async (t) => {
      const { primary, secondary, copies } = await world(t);
      const data = Buffer.alloc(sizeBytes, 1);
      await push(primary.member.connection, KEY, data, true);
      const info = await primary.member.statOne(KEY);
      assert.ok(info !== undefined);
      const here = { ...info, digests: [] };
      for (const algorithm of ["sha256", "sha512"]) {
        const digestBy = (bytes: Buffer) => `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
        await assert.rejects(copies.settle(KEY, { here, digest: digestBy(OLD) }), (error) =>
          hasReason(error, "STORED_CORRUPT"),
        );
        assert.equal(await contentOf(secondary.member.connection, KEY), undefined);
      }
      await copies.settle(KEY, { here, digest: `sha512:${createHash("sha512").update(data).digest("hex")}` });
      assert.equal(await contentOf(secondary.member.connection, KEY), digestOf(data));
    });
});
