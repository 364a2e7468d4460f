/** `outrigger verify` and `outrigger diff` find what was done to a store behind its registry's back. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { connect, type Stores } from "../../client/index.ts";
import * as keys from "../../registry/repository/keys.ts";
import { outrigger } from "../cli/cli.ts";
import { bytesContent, type Image, image, index } from "../helpers/oci.ts";
import { initialiseRoot, startDriver, startRegistry, until } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { begin } from "./copying.ts";

const MIB = 1024 * 1024;

describe("verify and diff", () => {
  const scope = new Scope();
  const images = [0, 1, 2].map((at) => image({ seed: `verify/${at}`, layerBytes: [100_000 + at, 3 * MIB], raw: true }));
  const [first, second, third] = images as [Image, Image, Image];
  const both = index([first, second], ["amd64", "arm64"]);
  let root = "";
  let address = "";
  let copied = "";
  let stores: Stores;

  before(async () => {
    root = tempFolder(scope, "root");
    await initialiseRoot(root);
    address = (await startDriver(scope, { root })).address;
    const other = tempFolder(scope, "copy");
    await initialiseRoot(other);
    copied = (await startDriver(scope, { root: other })).address;
    const { client } = await startRegistry(scope, { blobs: address });
    for (const [at, one] of images.entries()) await client.pushImage("team/app", one, `v${at}`);
    await client.putManifest("team/app", "both", both);
    await client.pushBlob("team/app", bytesContent(Buffer.from("a layer of no manifest")));
    stores = connect({ blobs: { address } });
    scope.defer(() => stores.close());
    await stores.ready();
    assert.equal((await outrigger(["copy", address, copied])).code, 0);
  });
  after(scope.close);

  /** Runs verify beside what `spoil` has done, which is undone before the next. */
  async function withSpoiled(spoil: () => Promise<() => Promise<unknown>>, look: () => Promise<void>): Promise<void> {
    const undo = await spoil();
    try {
      await look();
    } finally {
      await undo();
    }
    const verified = await outrigger(["verify", "--blobs", address]);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  }

  const fileOf = (digest: string) => join(root, keys.blobKey(digest));

  /** Without a key of the meta store. */
  const without = (key: string) => async () => {
    const [item] = await stores.meta.get([key]);
    assert.ok(item !== undefined, key);
    await stores.meta.write([{ kind: "delete", key, condition: { ifEtag: item.etag } }]);
    return () => stores.meta.write([{ kind: "put", key, value: item.value, condition: { ifAbsent: true } }]);
  };

  it("finds nothing where nothing is wrong, and tells what it looked at", async () => {
    const file = join(tempFolder(scope), "report.json");
    const verified = await outrigger(["verify", "--blobs", address, "--json", file]);
    assert.equal(verified.code, 0, verified.stderr);
    assert.match(
      verified.stdout,
      /^blobs read +14 \(9\.3 MiB\)\ndamaged +0\n(?:.*\n)*everything is there and right\n$/,
    );
    const report = JSON.parse(readFileSync(file, "utf8"));
    assert.deepEqual(
      [report.bytes.blobs, report.manifests.manifests, report.orphans.blobs, report.problems.count],
      [14, 4, 0, 0],
    );
  });

  it("finds a changed byte, on either side", async () => {
    const digest = third.blobs[1]?.digest ?? "";
    const file = fileOf(digest);
    const bytes = readFileSync(file);
    await withSpoiled(
      async () => {
        writeFileSync(file, Buffer.from(bytes.map((byte, at) => (at === 50_000 ? byte ^ 1 : byte))));
        return async () => writeFileSync(file, bytes);
      },
      async () => {
        const verified = await outrigger(["verify", "--blobs", address]);
        assert.equal(verified.code, 1);
        assert.match(verified.stderr, new RegExp(`^${digest}: `, "m"));
        assert.match(verified.stdout, /^damaged +1$/m);
        // Size and key are the same: only the bytes say it.
        assert.equal((await outrigger(["diff", address, copied])).code, 0);
        const compared = await outrigger(["diff", address, copied, "--digest"]);
        assert.equal(compared.code, 1);
        assert.match(compared.stdout, new RegExp(`^! blob ${digest}: at FROM it is `, "m"));
        const other = await outrigger(["diff", copied, address, "--digest", "--json"]);
        const { equal, items } = JSON.parse(other.stdout);
        assert.deepEqual([equal, items.length, items[0].what, items[0].name], [false, 1, "differs", digest]);
      },
    );
  });

  it("finds bytes that are gone: links without them, and the blob in diff", async () => {
    const digest = third.blobs[1]?.digest ?? "";
    const bytes = readFileSync(fileOf(digest));
    await withSpoiled(
      async () => {
        await stores.blobs.delete([keys.blobKey(digest)]);
        return () => stores.blobs.put(keys.blobKey(digest), bytes, { digest });
      },
      async () => {
        assert.ok(!existsSync(fileOf(digest)));
        const verified = await outrigger(["verify", "--blobs", address]);
        assert.equal(verified.code, 1);
        assert.match(verified.stderr, new RegExp(`${digest.replace(":", "/")}/link: its bytes are absent$`, "m"));
        assert.match(verified.stdout, /^layers without bytes +1$/m);
        const compared = await outrigger(["diff", copied, address]);
        assert.equal(compared.code, 1);
        assert.match(compared.stdout, new RegExp(`^< blob ${digest}$`, "m"));
      },
    );
  });

  it("finds a manifest without a layer, and an index without a manifest as a note", async () => {
    const digest = third.blobs[1]?.digest ?? "";
    await withSpoiled(without(keys.layerLink("team/app", digest)), async () => {
      const verified = await outrigger(["verify", "--blobs", address, "--links"]);
      assert.equal(verified.code, 1);
      const manifest = third.manifest.digest;
      assert.match(
        verified.stderr,
        new RegExp(`^team/app@${manifest}: its layer ${digest} is not in the repository$`, "m"),
      );
      assert.match(verified.stdout, /^incomplete manifests +1$/m);
      assert.doesNotMatch(verified.stdout, /^blobs read/m);
      const compared = await outrigger(["diff", copied, address, "--only", "meta"]);
      assert.match(compared.stdout, new RegExp(`^< layer team/app@${digest}$`, "m"));
    });
    await withSpoiled(without(keys.revisionLink("team/app", second.manifest.digest)), async () => {
      const verified = await outrigger(["verify", "--blobs", address, "--links"]);
      const { digest: parent } = both;
      assert.match(
        verified.stdout,
        new RegExp(`^note: team/app@${parent}: its manifest ${second.manifest.digest} is not`, "m"),
      );
      // The tag names it too.
      assert.equal(verified.code, 1);
    });
  });

  it("finds a derived key that is missing, and a tag that points elsewhere in diff", async () => {
    await withSpoiled(without(keys.tagKey("team/app", "v1")), async () => {
      const verified = await outrigger(["verify", "--blobs", address, "--links"]);
      assert.equal(verified.code, 1);
      assert.match(verified.stderr, /^the index: 1 derived keys are missing: outrigger index rebuild puts it right$/m);
      // Each has its own.
      assert.equal((await outrigger(["diff", address, copied])).code, 0);
    });
    const compared = connect({ blobs: { address: copied } });
    scope.defer(() => compared.close());
    await compared.ready();
    const key = keys.tagLink("team/app", "v2");
    const [tag] = await compared.meta.get([key]);
    assert.ok(tag !== undefined);
    const put = (value: Buffer, etag: string) =>
      compared.meta.write([{ kind: "put", key, value, condition: { ifEtag: etag } }]);
    const [etag = ""] = await put(Buffer.from(first.manifest.digest), tag.etag);
    const told = await outrigger(["diff", address, copied]);
    assert.equal(told.code, 1);
    assert.match(
      told.stdout,
      new RegExp(`^! tag team/app:v2: ${third.manifest.digest} at FROM, ${first.manifest.digest} at TO$`, "m"),
    );
    await put(tag.value, etag);
  });

  it("counts bytes of no repository and uploads, which are no damage", async () => {
    const lonely = bytesContent(Buffer.from("lonely"));
    await stores.blobs.put(keys.blobKey(lonely.digest), Buffer.from("lonely"), { digest: lonely.digest });
    async function* some() {
      yield Buffer.alloc(1000);
    }
    await stores.blobs.append({ uploadId: "begun", create: true, algorithm: "sha256", offsetBytes: 0, body: some() });
    const verified = await outrigger(["verify", "--blobs", address]);
    assert.equal(verified.code, 0, verified.stderr);
    assert.match(verified.stdout, /^blobs of no repository +1 \(6 B\)$/m);
    assert.match(verified.stdout, /^uploads under way +1 \(1000 B\)$/m);
    await stores.blobs.abortUpload("begun");
    await stores.blobs.delete([keys.blobKey(lonely.digest)]);
  });

  it("goes on where it was stopped, and still tells what it had found", async () => {
    const [damaged = ""] = images.map(({ blobs: [, layer] }) => layer?.digest ?? "").sort();
    const file = fileOf(damaged);
    const bytes = readFileSync(file);
    const state = join(tempFolder(scope), "state.json");
    await withSpoiled(
      async () => {
        writeFileSync(file, Buffer.from(bytes.map((byte, at) => (at === 7 ? byte ^ 1 : byte))));
        return async () => writeFileSync(file, bytes);
      },
      async () => {
        const args = ["verify", "--blobs", address, "--state", state, "--rate", "1MiB", "--jobs", "1"];
        const stopped = begin(scope, args);
        const read = () => (existsSync(state) ? JSON.parse(readFileSync(state, "utf8")) : undefined);
        await until(
          () => (read()?.damaged ?? 0) > 0,
          60_000,
          () => stopped.tail(),
        );
        stopped.signal("SIGINT");
        assert.deepEqual(await stopped.exited, { code: 2, signal: null });
        assert.match(stopped.lines.at(-1) ?? "", /^outrigger: stopped: run it again to go on$/);
        const { after, blobs } = read();
        assert.ok(blobs < 14 && after !== "", `${blobs} of 14`);
        // What was read is not read again: put right meanwhile, it is still told.
        writeFileSync(file, bytes);
        const again = await outrigger(["verify", "--blobs", address, "--state", state]);
        assert.equal(again.code, 1);
        assert.match(again.stderr, new RegExp(`^${damaged}: `, "m"));
        assert.match(again.stdout, /^damaged +1$/m);
        assert.deepEqual([read().done, read().blobs >= 14], [true, true]);
      },
    );
    rmSync(state);
    writeFileSync(state, "not a state");
    const wrong = await outrigger(["verify", "--blobs", address, "--state", state]);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /holds no state of outrigger verify/);
  });
});
