/**
 * A driver that is gone after any one of the requests of an upload, on a real server: another replica goes on from what
 * was acknowledged, and nothing is left in the end. Requests in every order and twice over: test/server/objects/crashes.test.ts.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Clock, systemClock } from "../../../proto/clock.ts";
import { hasReason } from "../../../proto/errors.ts";
import type { BlobDriver, CallContext, Upload } from "../../../server/contract.ts";
import { HttpFaults } from "../../helpers/http-faults.ts";
import { bytes } from "../../helpers/object-store-suite.ts";
import { Scope } from "../../helpers/processes.ts";
import { type S3Server, startS3Server } from "../../helpers/s3-server.ts";
import { missing } from "../../helpers/tools.ts";
import { silent } from "../../server/kit.ts";
import { commit, goOn, writeAll } from "../../server/objects/rig.ts";
import { contextOf, type Opened, open, openAgain, optionsOf, useCredentials } from "./in-process.ts";
import { bucketOf } from "./s3.ts";

const MIB = 1024 * 1024;
/** Most of a run is waiting. */
const AT_ONCE = 6;
const DAY_MS = 24 * 60 * 60 * 1000;
const FLAGS = ["--part-size", "5MiB", "--upload-ttl", "24h"];

interface Told {
  toldBytes: number;
  commitSent: boolean;
  committed: boolean;
}

describe("an upload whose driver dies", { skip: missing("versitygw", "s3-sdk") }, () => {
  const scope = new Scope();
  let server: S3Server;
  before(async () => {
    useCredentials();
    server = await startS3Server(scope);
  });
  after(scope.close);

  /** Two requests of a client, as a core hands them on. */
  async function push(driver: BlobDriver, key: string | undefined, data: Buffer, told: Told, call: CallContext) {
    const half = Math.floor(data.length * 0.6);
    const opened = { ...(key === undefined ? {} : { key }) };
    let upload: Upload = await driver.open("u", { create: true, ...opened }, call);
    await writeAll(upload, data.subarray(0, half), MIB);
    await upload.flush();
    told.toldBytes = upload.persistedBytes;
    await upload.close();
    upload = await driver.open("u", { create: false, key: "k" }, call);
    assert.equal(upload.persistedBytes, half);
    await writeAll(upload, data.subarray(half), MIB);
    told.toldBytes = Math.max(told.toldBytes, upload.persistedBytes);
    told.commitSent = true;
    await commit(upload, "k", data, { ifAbsent: true }, call);
    told.committed = true;
  }

  /** @returns whether the push came to its end before */
  async function dies(afterRequests: number, key: string | undefined, data: Buffer): Promise<boolean> {
    const run = new Scope();
    try {
      const { bucket } = bucketOf(server);
      const faults = await HttpFaults.start(run, server.address);
      const gone = new AbortController();
      const mortal = await open(run, optionsOf(bucket, `http://${faults.address}`, FLAGS));
      faults.add({ skip: afterRequests - 1 }, "cut-before");
      const last = faults.add({ skip: afterRequests - 1, times: 1 }, "cut-after");
      void last.reached(1).then(() => gone.abort(new Error("killed")));
      const told: Told = { toldBytes: 0, commitSent: false, committed: false };
      const call = { signal: gone.signal, log: silent, notAfterMs: undefined, assertInTime() {} };
      const pushing = push(mortal.blob, key, data, told, call).catch((error: unknown) => error);
      await Promise.race([pushing, last.reached(1)]);
      const whole = last.struck === 0;
      if (whole) assert.ok(told.committed, String(await pushing));
      await survives(run, bucket, data, told);
      return whole;
    } finally {
      await run.close();
    }
  }

  async function survives(run: Scope, bucket: string, data: Buffer, told: Told): Promise<void> {
    let aheadMs = 0;
    const clock: Clock = { ...systemClock, now: () => Date.now() + aheadMs };
    const other: Opened = await openAgain(run, optionsOf(bucket, server.endpoint, FLAGS), contextOf([], clock));
    const call = { signal: AbortSignal.timeout(60_000), log: silent, notAfterMs: undefined, assertInTime() {} };
    if (!told.commitSent)
      assert.deepEqual(await other.blob.stat(["k"], call), [undefined], "visible before its commit");
    if (!told.committed) await goOn(other.blob, "u", "k", data, told);
    const { body, lengthBytes } = await other.blob.read("k", { offsetBytes: 0 }, call);
    assert.equal(lengthBytes, data.length);
    let at = 0;
    for await (const piece of body) {
      assert.ok(data.subarray(at, at + piece.length).equals(piece), `other bytes at ${at}`);
      at += piece.length;
    }
    // As the host does now and then, for uploads that nobody used.
    const list = async () => (await other.blob.listUploads({ startAfter: "", limit: 10 }, call)).items;
    assert.deepEqual(await list(), []);
    aheadMs = 3 * DAY_MS;
    assert.deepEqual(await list(), []);
    await other.blob.sweep();
    assert.deepEqual(left(bucket), []);
  }

  /** Objects and parts that are nobody's; versitygw keeps parts in a folder of the bucket. */
  function left(bucket: string): string[] {
    return readdirSync(join(server.folder, bucket), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(join(server.folder, bucket).length + 1))
      .filter((name) => name !== "k" && name !== "!outrigger/store");
  }

  for (const [name, key, sizeBytes, first] of [
    ["parts that are copied", undefined, 11 * MIB + 5, 1],
    // Before, it is the same but for a name.
    ["parts under their key", "k", 11 * MIB + 5, 10],
    ["less than a part", "k", 3 * MIB + 5, 1],
  ] as const) {
    it(`is finished by another replica, whichever request was the last one (${name})`, {
      timeout: 200_000,
    }, async () => {
      const data = bytes(sizeBytes, 7);
      let point = first;
      for (let whole = false; !whole; point += AT_ONCE) {
        const points = Array.from({ length: AT_ONCE }, (_, index) => point + index);
        const runs = points.map((each) =>
          dies(each, key, data).catch((error) => assert.fail(`after request ${each}: ${error.stack}`)),
        );
        whole = (await Promise.all(runs)).every(Boolean);
      }
      assert.ok(point > 10 + AT_ONCE, `only ${point - 1 - AT_ONCE} requests`);
    });
  }

  it("is not told as ended to anybody who asks while its commit may still have its effect", async () => {
    const { bucket } = bucketOf(server);
    const faults = await HttpFaults.start(scope, server.address);
    const mortal = await open(scope, optionsOf(bucket, `http://${faults.address}`, FLAGS));
    const other = await openAgain(scope, optionsOf(bucket, server.endpoint, FLAGS));
    const data = bytes(6 * MIB, 3);
    const call = { signal: AbortSignal.timeout(60_000), log: silent, notAfterMs: undefined, assertInTime() {} };
    const upload = await mortal.blob.open("v", { create: true, key: "v" }, call);
    await writeAll(upload, data, MIB);
    let arrive = () => {};
    const hold = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    const late = faults.add({ method: "POST", path: /uploadId=/, times: 1 }, { hold, of: "request" });
    const committing = commit(upload, "v", data, { ifAbsent: true }, call).catch((error: unknown) => error);
    await late.reached(1);
    // Who only looks lets the first one be about it.
    const { items } = await other.blob.listUploads({ startAfter: "", limit: 10, uploadId: "v" }, call);
    assert.deepEqual([items.length, await other.blob.stat(["v"], call)], [1, [undefined]]);
    // Who opens it finds the upload committing, and does what the first one is about to do.
    await assert.rejects(other.blob.open("v", { create: false, key: "v" }, call), { reason: "UPLOAD_NOT_FOUND" });
    const [there] = await other.blob.stat(["v"], call);
    assert.equal(there?.sizeBytes, data.length);
    arrive();
    const answer = await committing;
    assert.ok(!hasReason(answer, "DIGEST_MISMATCH", "KEY_EXISTS", "STORED_CORRUPT"), String(answer));
    const [after] = await other.blob.stat(["v"], call);
    assert.equal(after?.etag, there?.etag);
  });
});
