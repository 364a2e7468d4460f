/** Ways past gRPC for a blob's bytes: the same bytes, or it is not one. */
import assert from "node:assert/strict";
import { lstat, open, readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import type { Context, Group, Test } from "../contract.ts";
import { expectFault } from "../faults.ts";

const signUrl = { store: "blob", capability: "SIGN_URL" } as const;
const localFile = { store: "blob", capability: "LOCAL_FILE" } as const;
/** Larger than a Put may be. */
const BLOB_BYTES = 1_500_000;

async function upload(ctx: Context, key: string, data: Buffer): Promise<void> {
  const session = ctx.blob.append();
  await session.open({ uploadId: ctx.uploadId() });
  await session.chunks(0, data);
  await session.send({ step: "commit", commit: { key, size: data.length } });
  await session.until("committed");
}

/** Equal, and told by the first byte that is not. */
function assertSameBytes(actual: Uint8Array, due: Buffer, what: string): void {
  assert.equal(actual.length, due.length, `${what} has another size`);
  if (due.equals(actual)) return;
  assert.fail(`${what} differs from the blob at byte ${due.findIndex((byte, at) => byte !== actual[at])}`);
}

async function fetched(ctx: Context, url: string, method: "GET" | "HEAD"): Promise<Response> {
  const signal = AbortSignal.any([ctx.signal, AbortSignal.timeout(ctx.timers.streamMs)]);
  return fetch(url, { method, signal, redirect: "manual" });
}

const signUrlTests: readonly Test[] = [
  {
    id: "blob.signurl.02",
    title: "GET at the URL gives the blob's bytes; HEAD its size, or it is refused",
    requires: signUrl,
    async run(ctx) {
      for (const size of [BLOB_BYTES, 1, 0]) {
        const key = ctx.key(`odd.Key_${size}/a-b..c`);
        const data = ctx.random.bytes(size);
        await upload(ctx, key, data);
        const { url } = await ctx.blob.signUrl({ key, ttlMs: 60_000 });
        const got = await fetched(ctx, url, "GET");
        assert.equal(got.status, 200, `GET of a blob of ${size} bytes`);
        assertSameBytes(new Uint8Array(await got.arrayBuffer()), data, `what GET gives of a blob of ${size} bytes`);
        const head = await fetched(ctx, url, "HEAD");
        // S3 signs the method: a URL for GET is for GET.
        if (head.status === 403) continue;
        assert.equal(head.status, 200, `HEAD of a blob of ${size} bytes`);
        assert.equal(Number(head.headers.get("content-length")), size, "HEAD's content-length");
      }
    },
  },
  {
    id: "blob.signurl.02/expired",
    title: "the URL expires when it says, and no later than was asked",
    requires: signUrl,
    async run(ctx) {
      const key = ctx.key();
      await upload(ctx, key, ctx.random.bytes(1000));
      const { url, expiresMs } = await ctx.blob.signUrl({ key, ttlMs: 2_000 });
      const leftMs = expiresMs - Date.now();
      assert.ok(leftMs > 0 && leftMs <= 6_000, `asked for 2 s, it expires in ${leftMs} ms`);
      await ctx.sleep(leftMs + 2_500);
      const got = await fetched(ctx, url, "GET");
      await got.body?.cancel();
      assert.ok(got.status >= 400, `GET after the URL's time is answered with ${got.status}`);
    },
  },
];

/** The path joined to the root, once it is one that may be. */
async function regularFile(ctx: Context, path: string): Promise<string> {
  assert.ok(path !== "" && !isAbsolute(path), `the path is ${JSON.stringify(path)}, not relative`);
  assert.ok(!path.split("/").includes(".."), `the path has "..": ${path}`);
  const root = ctx.localRoot ?? "";
  let below = root;
  for (const part of path.split("/")) {
    below = join(below, part);
    const found = await lstat(below);
    assert.ok(!found.isSymbolicLink(), `${path} leads over a link`);
  }
  assert.ok((await lstat(below)).isFile(), `${path} is not a regular file`);
  return below;
}

const locateFileTests: readonly Test[] = [
  {
    id: "blob.locatefile.02",
    title: "the file at the path holds the blob's bytes",
    requires: { ...localFile, localRoot: true },
    async run(ctx) {
      for (const size of [BLOB_BYTES, 1, 0]) {
        const key = ctx.key(`size-${size}`);
        const data = ctx.random.bytes(size);
        await upload(ctx, key, data);
        const located = await ctx.blob.locateFile({ what: "key", key });
        assertSameBytes(await readFile(await regularFile(ctx, located.path)), data, `the file of ${size} bytes`);
        assert.equal(located.size, size, "the size that is told");
        const { results } = await ctx.blob.stat({ keys: [key] });
        assert.equal(located.etag, results[0]?.info?.etag, "the etag that is told");
      }
    },
  },
  {
    id: "blob.locatefile.02/overwritten",
    title: "an open file keeps its bytes when its key is overwritten and deleted",
    requires: { ...localFile, localRoot: true },
    async run(ctx) {
      const key = ctx.key();
      const data = ctx.random.bytes(100_000);
      await upload(ctx, key, data);
      const { path } = await ctx.blob.locateFile({ what: "key", key });
      const file = await open(await regularFile(ctx, path));
      try {
        await ctx.blob.put({ key, data: ctx.random.bytes(100_000) });
        assertSameBytes(await contentOf(file), data, "the file, once its key was overwritten,");
        await ctx.blob.delete({ keys: [key] });
        assertSameBytes(await contentOf(file), data, "the file, once its key was deleted,");
      } finally {
        await file.close();
      }
    },
  },
  {
    id: "blob.locatefile.03",
    title: "with a nonce, the file at the path holds exactly the nonce",
    requires: { ...localFile, localRoot: true },
    async run(ctx) {
      for (const length of [32, 64]) {
        const nonce = ctx.random.hex(length);
        const { path } = await ctx.blob.locateFile({ what: "nonce", nonce });
        assert.equal((await readFile(await regularFile(ctx, path))).toString(), nonce);
      }
    },
  },
  {
    id: "blob.locatefile.03/taken-away",
    title: "the nonce's file is gone after a minute",
    requires: { ...localFile, localRoot: true, slow: true },
    timeoutMs: 120_000,
    async run(ctx) {
      const { path } = await ctx.blob.locateFile({ what: "nonce", nonce: ctx.random.hex(32) });
      const file = await regularFile(ctx, path);
      await ctx.sleep(70_000);
      await assert.rejects(lstat(file), { code: "ENOENT" }, "the nonce's file is there after 70 s");
    },
  },
];

async function contentOf(file: Awaited<ReturnType<typeof open>>): Promise<Buffer> {
  const { size } = await file.stat();
  const bytes = Buffer.alloc(size);
  await file.read(bytes, 0, size, 0);
  return bytes;
}

const refusals: readonly Test[] = [
  {
    id: "blob.signurl.01",
    title: "without SIGN_URL, SignUrl is UNIMPLEMENTED / CAPABILITY_MISSING",
    requires: { store: "blob", lacks: "SIGN_URL" },
    async run(ctx) {
      const key = ctx.key();
      await ctx.blob.put({ key, data: Buffer.from("here") });
      await expectFault(ctx.blob.signUrl({ key, ttlMs: 60_000 }), "CAPABILITY_MISSING");
    },
  },
  {
    id: "blob.locatefile.01",
    title: "without LOCAL_FILE, LocateFile is UNIMPLEMENTED / CAPABILITY_MISSING",
    requires: { store: "blob", lacks: "LOCAL_FILE" },
    async run(ctx) {
      const key = ctx.key();
      await ctx.blob.put({ key, data: Buffer.from("here") });
      await expectFault(ctx.blob.locateFile({ what: "key", key }), "CAPABILITY_MISSING");
    },
  },
];

export const fastPaths: Group = {
  name: "fast-paths",
  profile: "fast-paths",
  summary: "SIGN_URL and LOCAL_FILE: the same bytes by another way.",
  requires: { store: "blob" },
  tests: [...signUrlTests, ...locateFileTests],
};

/** Of the blob profile: who claims no fast path has not claimed to have one. */
export const noFastPaths: Group = {
  name: "no-fast-paths",
  profile: "blob",
  summary: "A fast path that is not claimed is refused clearly.",
  requires: { store: "blob" },
  tests: refusals,
};
