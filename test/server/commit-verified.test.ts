/** An upload that is verified behind the driver: the host hashes nothing, and passes on what the core asks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OutriggerError } from "../../proto/errors.ts";
import type { BlobDriver, Driver, VerifiedCommit } from "../../server/contract.ts";
import { bytes, rig, sha256 } from "./kit.ts";

function verifying(asked: VerifiedCommit[], fault?: () => OutriggerError): (driver: Driver) => Driver {
  return (driver) => {
    const { blob } = driver;
    assert(blob);
    const open: BlobDriver["open"] = async (...args) => {
      const inner = await blob.open(...args);
      return {
        get persistedBytes() {
          return inner.persistedBytes;
        },
        write: (data) => inner.write(data),
        flush: () => inner.flush(),
        read: () => assert.fail("read"),
        commit: () => assert.fail("commit"),
        close: () => inner.close(),
        async commitVerified(target, call) {
          asked.push(target);
          if (fault !== undefined) throw fault();
          const digest = target.digest ?? "sha256:computed-there";
          return { info: await inner.commit({ key: target.key, digest, keep: false }, call), digest };
        },
      };
    };
    return { ...driver, blob: { ...blob, open } };
  };
}

const createHasher = () => assert.fail("the host hashes");

test("what the core commits is passed on, and nothing is hashed or read here", async () => {
  const asked: VerifiedCommit[] = [];
  const { append, read } = await rig({ wrap: verifying(asked), createHasher });
  const data = bytes(300_000);
  const first = append();
  await first.open({ uploadId: "a", create: true });
  await first.chunk(0, data.subarray(0, 100_000));
  await first.end();
  // Taken over: here the host would read again what it has not hashed.
  const second = append();
  await second.open({ uploadId: "a", attempt: 2 });
  await second.chunk(100_000, data.subarray(100_000));
  const committed = await second.commit({ key: "k", digest: sha256(data), ifAbsent: true });
  assert.equal(committed.digest, sha256(data));
  assert.deepEqual(asked, [
    { key: "k", ifAbsent: true, algorithm: "sha256", sizeBytes: data.length, digest: sha256(data) },
  ]);
  assert.ok((await read("k")).equals(data));

  const third = append();
  await third.open({ uploadId: "b", create: true });
  assert.equal((await third.commit({ key: "l" })).digest, "sha256:computed-there");
});

test("a size that is not what was written is refused here; what is refused there leaves the upload", async () => {
  const asked: VerifiedCommit[] = [];
  const fault = () => new OutriggerError("DIGEST_MISMATCH", "not these bytes");
  const { append, unary } = await rig({ wrap: verifying(asked, fault), createHasher });
  const first = append();
  await first.open({ uploadId: "a", create: true });
  await first.chunk(0, bytes(10));
  first.send({ commit: { key: "k", size: 11 } });
  await first.failsWith("SIZE_MISMATCH");
  assert.deepEqual(asked, []);
  const second = append();
  await second.open({ uploadId: "a", attempt: 2 });
  second.send({ commit: { key: "k" } });
  await second.failsWith("DIGEST_MISMATCH");
  assert.equal((await unary("blob.GetUpload", { uploadId: "a" })).upload?.persisted, 10);
});
