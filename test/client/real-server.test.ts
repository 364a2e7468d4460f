/** The client against the real host and the memory driver, over a unix socket. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { pino } from "pino";
import type { Stores } from "../../client/contract.ts";
import { connect } from "../../client/index.ts";
import { openMemoryDriver } from "../../drivers/memory/index.ts";
import { hasReason } from "../../proto/errors.ts";
import { type Host, hostDriver } from "../../server/host.ts";

const log = pino({ level: "silent" });

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

async function* split(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function collect(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const piece of body) parts.push(piece);
  return Buffer.concat(parts);
}

describe("client and server over a unix socket", () => {
  const folder = mkdtempSync(join(tmpdir(), "cl-"));
  let host: Host;
  let stores: Stores;
  before(async () => {
    host = await hostDriver({
      open: () => openMemoryDriver({ persistStepBytes: 1024 * 1024 }),
      listen: `unix://${folder}/d.sock`,
      log,
    });
    stores = connect({ blobs: { address: host.address } }, { log });
    await stores.ready();
  });
  after(async () => {
    await stores.close();
    await host.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("pushes a large blob in one append and reads it back, whole and in ranges", async () => {
    const bytes = randomBytes(5 * 1024 * 1024 + 123);
    const digest = sha256(bytes);
    const key = "blobs/large";
    const result = await stores.blobs.append({
      uploadId: "u-1",
      create: true,
      algorithm: "sha256",
      offsetBytes: 0,
      body: split(bytes, 70_001),
      commit: { key, digest, sizeBytes: bytes.length },
    });
    assert.equal(result.committed?.digest, digest);
    assert.equal(result.committed?.info.sizeBytes, bytes.length);
    const read = await stores.blobs.read(key);
    assert.equal(read.lengthBytes, bytes.length);
    assert.ok((await collect(read.body)).equals(bytes));
    const part = await stores.blobs.read(key, { offsetBytes: 1_000_001, limitBytes: 2_000_000 });
    assert.ok((await collect(part.body)).equals(bytes.subarray(1_000_001, 3_000_001)));
    const end = await stores.blobs.read(key, { offsetBytes: bytes.length });
    assert.equal((await collect(end.body)).length, 0);
    await assert.rejects(stores.blobs.read(key, { offsetBytes: bytes.length + 1 }), (e) =>
      hasReason(e, "OFFSET_MISMATCH"),
    );
    await assert.rejects(stores.blobs.read("blobs/none"), (e) => hasReason(e, "KEY_NOT_FOUND"));
  });

  it("uploads in parts, tells where it stands, and commits without a body", async () => {
    const bytes = randomBytes(300_000);
    const append = { uploadId: "u-2", algorithm: "sha256" } as const;
    const first = await stores.blobs.append({
      ...append,
      create: true,
      offsetBytes: 0,
      body: split(bytes.subarray(0, 100_000), 9_999),
    });
    assert.deepEqual(first, { persistedBytes: 100_000 });
    assert.equal((await stores.blobs.getUpload("u-2"))?.persistedBytes, 100_000);
    await assert.rejects(
      stores.blobs.append({
        ...append,
        create: false,
        offsetBytes: 200_000,
        body: split(bytes.subarray(200_000), 50_000),
      }),
      (e) => hasReason(e, "OFFSET_MISMATCH") && e.metadata["persisted"] === "100000",
    );
    // Bytes that the driver has are skipped.
    await stores.blobs.append({
      ...append,
      create: false,
      offsetBytes: 50_000,
      body: split(bytes.subarray(50_000), 33_333),
    });
    const done = await stores.blobs.append({
      ...append,
      create: false,
      offsetBytes: 300_000,
      body: split(Buffer.alloc(0), 1),
      commit: { key: "blobs/parts" },
    });
    assert.equal(done.committed?.digest, sha256(bytes));
    assert.equal(await stores.blobs.getUpload("u-2"), undefined);
    await assert.rejects(
      stores.blobs.append({ ...append, create: false, offsetBytes: 0, body: split(bytes, 9_999) }),
      (e) => hasReason(e, "UPLOAD_NOT_FOUND"),
    );
  });

  it("keeps an upload whose digest is wrong, and lets it be aborted", async () => {
    const append = { uploadId: "u-3", create: true, algorithm: "sha256", offsetBytes: 0 } as const;
    const body = split(Buffer.from("hello"), 2);
    const commit = { key: "blobs/wrong", digest: sha256(Buffer.from("other")) };
    await assert.rejects(stores.blobs.append({ ...append, body, commit }), (e) => hasReason(e, "DIGEST_MISMATCH"));
    assert.deepEqual(await stores.blobs.stat(["blobs/wrong"]), [undefined]);
    assert.equal(
      (await stores.blobs.listUploads({})).items.some((one) => one.uploadId === "u-3"),
      true,
    );
    await stores.blobs.abortUpload("u-3");
    assert.equal(await stores.blobs.getUpload("u-3"), undefined);
  });

  it("persists what a failing source gave, and rethrows its error", async () => {
    const broken = new Error("the client went away");
    async function* body() {
      yield Buffer.alloc(150_000, 1);
      throw broken;
    }
    const append = { uploadId: "u-4", create: true, algorithm: "sha256", offsetBytes: 0 } as const;
    await assert.rejects(stores.blobs.append({ ...append, body: body() }), (e) => e === broken);
    assert.equal((await stores.blobs.getUpload("u-4"))?.persistedBytes, 150_000);
  });

  it("puts, moves, lists, counts and deletes small blobs", async () => {
    const { blobs } = stores;
    const info = await blobs.put("s/one", Buffer.from("1"), { digest: sha256(Buffer.from("1")) });
    await assert.rejects(blobs.put("s/one", Buffer.from("2"), { condition: { ifAbsent: true } }), (e) =>
      hasReason(e, "KEY_EXISTS"),
    );
    const second = await blobs.put("s/one", Buffer.from("2"), { condition: { ifEtag: info.etag } });
    await assert.rejects(blobs.put("s/one", Buffer.from("3"), { condition: { ifEtag: info.etag } }), (e) =>
      hasReason(e, "ETAG_MISMATCH"),
    );
    await assert.rejects(blobs.read("s/one", { ifEtag: info.etag }), (e) => hasReason(e, "ETAG_MISMATCH"));
    assert.equal((await blobs.move("s/one", "s/two")).sizeBytes, second.sizeBytes);
    await blobs.put("s/three", Buffer.from("33"));
    assert.deepEqual(
      (await blobs.list({ prefix: "s/" })).items.map((item) => item.key),
      ["s/three", "s/two"],
    );
    assert.deepEqual((await blobs.list({ prefix: "s/", limit: 1 })).more, true);
    assert.equal((await blobs.count("s/")).count, 2);
    await blobs.delete(["s/two", "s/three", "s/absent"]);
    assert.deepEqual(await blobs.stat(["s/two", "s/three"]), [undefined, undefined]);
  });

  it("writes all or none, and reads as of one moment", async () => {
    const { meta } = stores;
    const etags = await meta.write([
      { kind: "put", key: "m/a", value: Buffer.from("a"), condition: { ifAbsent: true } },
      { kind: "put", key: "m/b", value: Buffer.from("b") },
    ]);
    assert.deepEqual(
      (await meta.get(["m/b", "m/none", "m/a"])).map((item) => item?.value.toString()),
      ["b", undefined, "a"],
    );
    await assert.rejects(
      meta.write([
        { kind: "put", key: "m/c", value: Buffer.from("c") },
        { kind: "check", key: "m/a", condition: { ifEtag: "another" } },
      ]),
      (e) => hasReason(e, "CONDITION_FAILED") && e.metadata["index"] === "1",
    );
    assert.deepEqual(await meta.get(["m/c"]), [undefined]);
    await meta.write([{ kind: "delete", key: "m/a", condition: { ifEtag: etags[0] as string } }]);
    assert.deepEqual(
      (await meta.list({ prefix: "m/" })).items.map((item) => item.key),
      ["m/b"],
    );
    assert.equal((await meta.count("m/")).count, 1);
  });

  it("keeps the pair's record and tells health", async () => {
    assert.equal((await stores.meta.get(["outrigger/pair"]))[0]?.value.toString(), stores.blobs.facts.id);
    assert.deepEqual(
      stores.health().map((store) => store.ready),
      [true, true],
    );
    assert.equal(stores.blobsById(stores.blobs.facts.id) !== undefined, true);
    assert.equal(stores.blobsById("00000000-0000-0000-0000-000000000000"), undefined);
  });
});
