/**
 * distribution's own driver suite through bridges/distribution. By hand, against drivers that run already:
 * OUTRIGGER_SUITE_BLOBS=ADDR OUTRIGGER_SUITE_META=ADDR npm test -- test/bridges/suite.test.ts
 */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { newFile, startBolt } from "../drivers/bolt/bolt.ts";
import { bucketStore, startOpendal } from "../drivers/opendal/opendal.ts";
import { type Addresses, distributionSuite } from "../helpers/bridge.ts";
import { initialiseRoot, startDriver } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { missing } from "../helpers/tools.ts";

/** What -short leaves out; suite-large.test.ts runs it. */
const LARGE = "TestWriteReadLargeStreams";
/** Of registry/storage/driver/testsuites in distribution v3.1.2. */
const TESTS = 36;

const given = process.env["OUTRIGGER_SUITE_BLOBS"];
const givenMeta = process.env["OUTRIGGER_SUITE_META"];

async function passes(addresses: Addresses): Promise<void> {
  const { passed, failed, skipped, output } = await distributionSuite(addresses, { short: true });
  assert.deepEqual(failed, [], output);
  assert.deepEqual(skipped, [LARGE]);
  assert.equal(new Set(passed).size, TESTS - 1, `${passed.length} tests ran`);
}

async function filesystem(scope: Scope): Promise<string> {
  const root = tempFolder(scope, "root");
  await initialiseRoot(root);
  return (await startDriver(scope, { root })).address;
}

describe("distribution's driver suite", { skip: missing("bridge-tests"), concurrency: true }, () => {
  const scope = new Scope();
  after(scope.close);

  if (given !== undefined) {
    it(`passes on ${given}`, () => passes({ blobs: given, ...(givenMeta === undefined ? {} : { meta: givenMeta }) }));
    return;
  }

  it("passes on the filesystem driver", async () => {
    await passes({ blobs: await filesystem(scope) });
  });

  it("passes on the memory driver", async () => {
    await passes({ blobs: (await startDriver(scope, { driver: "memory" })).address });
  });

  // Two drivers of other languages; by hand any other pair.
  it("passes on the opendal driver over an S3 server with the bolt driver's metadata", {
    skip: missing("outrigger-driver-bolt", "opendal-python", "versitygw"),
  }, async () => {
    const { address: blobs } = await startOpendal(scope, await bucketStore(scope));
    const { address: meta } = await startBolt(scope, await newFile(scope));
    await passes({ blobs, meta });
  });
});
