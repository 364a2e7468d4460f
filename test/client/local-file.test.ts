/** LOCAL_FILE reads: only what lies under the core's own root, by no link, with the size that was told. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, readSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { openWithin } from "../../client/local-file.ts";
import { hasReason } from "../../proto/errors.ts";
import { type Bench, bench, type FakeTransport } from "./fakes.ts";

const bytes = Buffer.from(Uint8Array.from({ length: 700_000 }, (_, i) => i % 253));

describe("local files", () => {
  let outer: string;
  let root: string;
  before(() => {
    outer = mkdtempSync(join(tmpdir(), "lf-"));
    root = join(outer, "root");
    mkdirSync(join(root, "d"), { recursive: true });
    writeFileSync(join(root, "d", "data"), bytes);
    writeFileSync(join(outer, "secret"), bytes);
    symlinkSync(join(outer, "secret"), join(root, "d", "link"));
    symlinkSync(outer, join(root, "up"));
    symlinkSync("d", join(root, "inner"));
  });
  after(() => rmSync(outer, { recursive: true, force: true }));

  /** A driver that answers `path`, proves its nonce by `prove`, and gives "over gRPC" by Read. */
  async function located(path: string, told: object = {}, prove?: (nonce: string) => string): Promise<Bench> {
    const b = await bench({
      target: { localRoot: root },
      prepare: (t: FakeTransport) => {
        t.describes = { capabilities: ["LOCAL_FILE"] };
      },
    });
    b.transport.answers["blob.LocateFile"] = ({ key, nonce }) => {
      if (key) return { path, size: bytes.length, etag: "e", ...told };
      if (prove) return { path: prove(nonce as string), size: 32, etag: "" };
      writeFileSync(join(root, "nonce"), nonce as string);
      return { path: "nonce", size: 32, etag: "" };
    };
    b.transport.reads = [
      (s) => {
        s.send({
          part: "start",
          start: { info: { key: "k", size: 4, etag: "e", modifiedMs: 0, digests: [] }, start: 0, length: 4 },
        });
        s.send({ part: "chunk", chunk: { offset: 0, data: Buffer.from("grpc") } });
        s.finish();
      },
    ];
    return b;
  }

  async function text(b: Bench, range = {}): Promise<Buffer> {
    const read = await b.blobs.read("k", range);
    const parts: Buffer[] = [];
    for await (const piece of read.body) parts.push(piece);
    return Buffer.concat(parts);
  }

  it("gives the bytes and a descriptor, and proves the folder once", async () => {
    const b = await located("d/data");
    assert.ok((await text(b)).equals(bytes));
    assert.ok((await text(b, { offsetBytes: 300_000, limitBytes: 100_001 })).equals(bytes.subarray(300_000, 400_001)));
    assert.equal((await text(b, { offsetBytes: bytes.length })).length, 0);
    const read = await b.blobs.read("k");
    assert.ok(read.file);
    const some = Buffer.alloc(10);
    readSync(read.file.fd, some, 0, 10, 5);
    assert.ok(some.equals(bytes.subarray(5, 15)));
    await read.file.close();
    await read.cancel();
    const asked = b.transport.calls.filter((call) => call.method === "blob.LocateFile");
    assert.equal(asked.filter((call) => (call.request as { nonce?: string }).nonce).length, 1);
    assert.equal(b.transport.count("blob.Read"), 0);
    assert.match(readFileSync(join(root, "nonce"), "utf8"), /^[0-9a-f]{32}$/);
  });

  it("answers as a Read would: ETAG_MISMATCH, OFFSET_MISMATCH", async () => {
    const b = await located("d/data");
    await assert.rejects(b.blobs.read("k", { ifEtag: "x" }), (e) => hasReason(e, "ETAG_MISMATCH"));
    await assert.rejects(b.blobs.read("k", { offsetBytes: bytes.length + 1 }), (e) => hasReason(e, "OFFSET_MISMATCH"));
  });

  for (const path of [
    "d/link",
    "up/secret",
    "inner/data",
    "../secret",
    "d/../../secret",
    "/etc/passwd",
    "d",
    "",
    "d//data",
    "./d/data",
    "absent",
    "d/data\0",
  ]) {
    it(`falls back to gRPC, with a warning, where the driver names ${JSON.stringify(path)}`, async () => {
      const b = await located(path);
      assert.equal((await text(b)).toString(), "grpc");
      assert.ok(b.lines.some((line) => line.level === 40 && /is not used/.test(line.msg)));
    });
  }

  it("falls back where the size differs", async () => {
    const b = await located("d/data", { size: bytes.length - 1 });
    assert.equal((await text(b)).toString(), "grpc");
  });

  for (const [what, prove] of Object.entries<(nonce: string) => string>({
    "is not there": () => "absent",
    "holds something else": () => "d/data",
    "lies behind a link": (nonce) => {
      writeFileSync(join(outer, "nonce"), nonce);
      return "up/nonce";
    },
  })) {
    it(`uses gRPC for good where the nonce ${what}`, async () => {
      const b = await located("d/data", {}, prove);
      assert.equal((await text(b)).toString(), "grpc");
      assert.equal((await text(b)).toString(), "grpc");
      assert.equal(b.transport.count("blob.LocateFile"), 1);
    });
  }

  it("is not asked of a driver that does not claim it", async () => {
    const b = await located("d/data");
    b.transport.describes = { capabilities: [] };
    b.transport.contract = "c2";
    b.transport.answers["blob.Count"] = () => ({ count: 0, exact: true });
    await b.blobs.count("");
    await b.clock.advance(2_000);
    assert.equal((await text(b)).toString(), "grpc");
    assert.equal(b.transport.count("blob.LocateFile"), 0);
  });

  it("never opens a link, wherever in the path it is", async () => {
    for (const path of ["d/link", "up/secret", "inner/data"]) await assert.rejects(openWithin(root, path));
    const handle = await openWithin(root, "d/data");
    await handle.close();
  });
});
