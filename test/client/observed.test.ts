/** What metrics are told of calls: each once, when it has ended, and how it ended. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pino } from "pino";
import { connect } from "../../client/index.ts";
import type { ObservedCall } from "../../client/observed.ts";
import { openMemoryDriver } from "../../drivers/memory/index.ts";
import { hostDriver } from "../../server/host.ts";

const log = pino({ level: "silent" });

test("every call is observed once, when it has ended, with why it failed", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "observed-"));
  const host = await hostDriver({ open: () => openMemoryDriver(), listen: `unix://${folder}/d.sock`, log });
  const calls: ObservedCall[] = [];
  const stores = connect({ blobs: { address: host.address } }, { log, onCall: (call) => calls.push(call) });
  t.after(async () => {
    await stores.close();
    await host.close();
    rmSync(folder, { recursive: true });
  });
  await stores.ready();
  assert.ok(calls.some(({ method, reason }) => method === "handshake.Describe" && reason === undefined));

  const seen = (method: string) => calls.filter((call) => call.method === method).map(({ reason }) => reason);
  const writes = () => seen("meta.Write").length;
  const before = writes();
  const put = () =>
    stores.meta.write([{ kind: "put", key: "a", value: Buffer.from("x"), condition: { ifAbsent: true } }]);
  await put();
  await assert.rejects(put());
  assert.equal(writes(), before + 2);
  assert.deepEqual(seen("meta.Write").slice(-2), [undefined, "CONDITION_FAILED"]);

  const body = (async function* () {
    yield Buffer.alloc(1000, 1);
  })();
  const open = { create: true, algorithm: "sha256", offsetBytes: 0 } as const;
  await stores.blobs.append({ ...open, uploadId: "u", body, commit: { key: "b" } });
  await assert.rejects(
    stores.blobs.append({
      ...open,
      create: false,
      uploadId: "v",
      body: (async function* () {})(),
      commit: { key: "c" },
    }),
  );
  assert.deepEqual(seen("blob.Append"), [undefined, "UPLOAD_NOT_FOUND"]);

  const read = await stores.blobs.read("b");
  assert.deepEqual(seen("blob.Read"), [], "not before its end");
  for await (const piece of read.body) assert.ok(piece.length > 0);
  const left = await stores.blobs.read("b");
  await left.cancel();
  await assert.rejects(stores.blobs.read("absent"));
  assert.deepEqual(seen("blob.Read"), [undefined, undefined, "KEY_NOT_FOUND"]);
  assert.ok(calls.every(({ durationMs }) => durationMs >= 0 && durationMs < 60_000));
});
