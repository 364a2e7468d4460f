/**
 * Blobs are moved while cores serve: in each pair of phases that may be beside each other, what one core was told is there
 * the other one has, whatever began where.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { OutriggerError } from "../../../proto/errors.ts";
import type { UploadSession } from "../../../registry/repository/contract.ts";
import { blobKey } from "../../../registry/repository/keys.ts";
import { randomOf, seedOf } from "../../helpers/random.ts";
import { body, context, digestOf, pushBlob, pushImage, readAll } from "../repository/world.ts";
import { copyBlobs, type Data, type MovingCore, newData, OLD, type Phase, startCore } from "./world.ts";

/** Before the pair begins: the phases that the whole rollout went through. */
async function rolledOut(data: Data, before: readonly Phase[]): Promise<void> {
  const core = await startCore(data, before[0] ?? "none");
  for (const phase of before.slice(1)) await core.go(phase);
}

const adjacent: readonly { readonly phases: readonly [Phase, Phase]; readonly before: readonly Phase[] }[] = [
  { phases: ["none", "read"], before: ["none"] },
  { phases: ["read", "write"], before: ["none", "read"] },
  { phases: ["write", "done"], before: ["none", "read", "write"] },
];

describe("cores in phases beside each other never say 404 for what is there", () => {
  for (const { phases, before } of adjacent) {
    for (const [first, second] of [phases, [...phases].reverse() as [Phase, Phase]]) {
      test(`what is pushed in ${first} is pulled in ${second}`, async (t) => {
        const random = randomOf(seedOf(t));
        const data = newData();
        await rolledOut(data, before);
        const pushing = await startCore(data, first);
        const pulling = await startCore(data, second);
        for (let round = 0; round < 30; round += 1) {
          const content = `${round} ${random.next()} ${"x".repeat(random.between(0, 300_000))}`;
          const name = `repository/${random.between(0, 3)}`;
          const digest = await push(pushing, random.pick([pushing, pulling]), name, content, random.between(0, 2));
          const found = await pulling.repositories.statBlob(name, digest, context());
          assert.equal(found?.sizeBytes, content.length, `round ${round}`);
          const read = await pulling.repositories.readBlob(name, digest, undefined, context());
          assert.equal(await readAll(read), content);
          const image = await pushImage(pushing.repositories, name, [`t${round}`], { config: `{"n":${round}}` });
          const manifest = await pulling.repositories.getManifest(name, { tag: `t${round}` }, context());
          assert.equal(manifest?.digest, image);
          // Also a mount, which looks for the bytes itself.
          const mounted = await pulling.repositories.mountBlob(
            "mounted",
            digest,
            { from: name, mayRead: () => true },
            context(),
          );
          assert.equal(mounted?.digest, digest);
        }
      });
    }
  }
});

/** In `requests` + 1 requests; the last one at the core `finishing`. */
async function push(
  starting: MovingCore,
  finishing: MovingCore,
  name: string,
  content: string,
  requests: number,
): Promise<string> {
  let session: UploadSession = starting.repositories.startUpload(name, "sha256");
  const bytes = Buffer.from(content);
  for (let request = 0; request < requests; request += 1) {
    const piece = bytes.subarray(session.offsetBytes, Math.floor((bytes.length * (request + 1)) / (requests + 1)));
    session = await starting.repositories.appendUpload(
      session,
      { offsetBytes: session.offsetBytes, bytes: body(piece) },
      context(),
    );
  }
  const rest = bytes.subarray(session.offsetBytes);
  const digest = digestOf(content);
  await finishing.repositories.finishUpload(
    session,
    digest,
    { offsetBytes: session.offsetBytes, sizeBytes: rest.length, bytes: body(rest) },
    context(),
  );
  return digest;
}

test("a whole move, two cores through all phases: everything is in the new store at its end", async (t) => {
  const random = randomOf(seedOf(t));
  const data = newData();
  const cores = [await startCore(data, "none"), await startCore(data, "none")];
  const pushed = new Map<string, string>();
  let open: { session: UploadSession; content: string }[] = [];
  let count = 0;
  const work = async () => {
    for (let n = 0; n < 12; n += 1) {
      const content = `${count++} ${"y".repeat(random.between(0, 5_000))}`;
      if (random.next() < 0.4) {
        const session = random.pick(cores).repositories.startUpload("a", "sha256");
        const half = Buffer.from(content).subarray(0, content.length / 2);
        open.push({
          content,
          session: await random
            .pick(cores)
            .repositories.appendUpload(session, { offsetBytes: 0, bytes: body(half) }, context()),
        });
      } else {
        pushed.set(await push(random.pick(cores), random.pick(cores), "a", content, random.between(0, 2)), content);
      }
    }
    const ending = open.filter(() => random.next() < 0.5);
    open = open.filter((one) => !ending.includes(one));
    for (const one of ending) await end(one, random.pick(cores));
    for (const [digest, content] of pushed) {
      const read = await random.pick(cores).repositories.readBlob("a", digest, undefined, context());
      assert.equal(await readAll(read), content);
    }
  };
  const end = async ({ session, content }: (typeof open)[number], core: MovingCore) => {
    const rest = Buffer.from(content).subarray(session.offsetBytes);
    const digest = digestOf(content);
    await core.repositories.finishUpload(
      session,
      digest,
      { offsetBytes: session.offsetBytes, bytes: body(rest) },
      context(),
    );
    pushed.set(digest, content);
  };
  await work();
  for (const phase of ["read", "write"] as const) {
    for (const core of cores) {
      await core.go(phase);
      await work();
    }
  }
  await copyBlobs(data, { read: () => (random.next() < 0.1 ? work() : undefined) });
  for (const core of cores) {
    await core.go("done");
    await work();
  }
  // Uploads that began anywhere still end, on the cores that have gone through it all.
  for (const one of open) await end(one, random.pick(cores));
  const late = await startCore(data, "done");
  data.old.blobs.clear();
  for (const [digest, content] of pushed) {
    assert.equal(await readAll(await late.repositories.readBlob("a", digest, undefined, context())), content);
  }
});

test("an upload that began on the old store ends there, and its bytes are in the new one before it is linked", async () => {
  const data = newData();
  const core = await startCore(data, "none");
  await core.go("read");
  const content = "z".repeat(400_000);
  const half = Buffer.from(content).subarray(0, 200_000);
  const begun = core.repositories.startUpload("a", "sha256");
  assert.equal(begun.storeId, OLD);
  const session = await core.repositories.appendUpload(begun, { offsetBytes: 0, bytes: body(half) }, context());
  await core.go("write");
  const digest = digestOf(content);
  const rest = { offsetBytes: half.length, bytes: body(content.slice(half.length)) };
  await core.repositories.finishUpload(session, digest, rest, context());
  assert.ok(data.next.blobs.has(blobKey(digest)));
  assert.equal(data.next.blobs.get(blobKey(digest))?.bytes.toString(), content);
});

test("a push under way on the old store when the phase becomes write is in the new one before it is answered", async () => {
  const data = newData();
  const hooks: { after?: () => unknown } = {};
  const core = await startCore(data, "none", { hooks: { old: hooks } });
  await core.go("read");
  hooks.after = () => {
    hooks.after = () => undefined;
    return core.go("write");
  };
  const digest = await pushBlob(core.repositories, "a", "under way");
  assert.deepEqual(
    [data.old, data.next].map(({ blobs }) => blobs.has(blobKey(digest))),
    [true, true],
  );
});

test("a store that is away makes an answer fail, never a 404", async () => {
  for (const phase of ["read", "write"] as const) {
    const data = newData();
    const away = new OutriggerError("UNREACHABLE", "nobody there");
    const failing: { before?: (call: { method: string }) => unknown } = {};
    const first = await startCore(data, "none", { onlyCore: true });
    const digest = await pushBlob(first.repositories, "a", "where am I");
    const hooks = phase === "read" ? { old: failing } : { next: failing };
    const core = await startCore(data, "none", { onlyCore: true, hooks });
    await core.go(phase);
    failing.before = () => {
      throw away;
    };
    const stat = core.repositories.statBlob("a", digest, context());
    if (phase === "read") await assert.rejects(stat, away);
    else assert.equal((await stat)?.digest, digest);
    // What neither has said to be absent.
    data.old.blobs.clear();
    await assert.rejects(core.repositories.readBlob("a", digest, undefined, context()), away);
    await assert.rejects(core.stores.blobs.stat([blobKey(digest)]), away);
  }
});

test("listings of both stores are one listing, page by page", async () => {
  const data = newData();
  const core = await startCore(data, "none", { onlyCore: true });
  await core.go("write");
  const all: string[] = [];
  for (let n = 0; n < 50; n += 1) {
    const key = `k${String(n).padStart(2, "0")}`;
    all.push(key);
    if (n % 3 !== 0) data.old.putBlob(key, "x");
    if (n % 3 !== 1) data.next.putBlob(key, "x");
  }
  data.old.pageLimit = 3;
  data.next.pageLimit = 7;
  const found: string[] = [];
  for (let startAfter = ""; ; ) {
    const page = await core.stores.blobs.list({ prefix: "k", startAfter, limit: 5 });
    found.push(...page.items.map(({ key }) => key));
    if (!page.more) break;
    startAfter = found.at(-1) ?? "";
  }
  assert.deepEqual(found, all);
});

test("a move that has begun to write is turned round: both stores stay in sight until it is over", async () => {
  const data = newData();
  const core = await startCore(data, "none");
  await core.go("read");
  const before = await pushBlob(core.repositories, "a", "before");
  await core.go("write");
  const during = await pushBlob(core.repositories, "a", "during");
  await core.go("read");
  // The other way: what was read is now written to, and the other way round, in one step.
  const back = { blobs: { address: "new" }, beside: { address: "old" } };
  await core.stores.moveOn(back, { phase: "write", onlyCore: false });
  const after = await pushBlob(core.repositories, "a", "after");
  assert.ok(data.old.blobs.has(blobKey(after)), "it is not written to the old store");
  for (const digest of [before, during, after])
    assert.equal((await core.stores.blobs.stat([blobKey(digest)]))[0]?.key, blobKey(digest));
  assert.ok(!data.old.blobs.has(blobKey(during)), "it was copied without being asked for");
  await assert.rejects(
    core.stores.moveOn({ blobs: { address: "new" }, beside: "none" }, undefined),
    /some lie only there/,
    "the store that is being left, alone",
  );
});
