/** The one test of distribution's driver suite that suite.test.ts leaves out: a stream of 5 GB, there and back. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { freemem } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { distributionSuite } from "../helpers/bridge.ts";
import { initialiseRoot, startDriver } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { missing } from "../helpers/tools.ts";

const LARGE = "TestWriteReadLargeStreams";
/** The stream, and as much again that is on its way. */
const ROOM_BYTES = 10 * 2 ** 30;

/** A folder in memory, where there is one of that size: what is tested is the stream, and disks differ by a factor of 20. */
function memoryFolder(scope: Scope): string | undefined {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    if (bavail * bsize < ROOM_BYTES || freemem() < ROOM_BYTES) return undefined;
    const folder = mkdtempSync("/dev/shm/ot-");
    scope.defer(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
    return folder;
  } catch {
    return undefined;
  }
}

describe("distribution's driver suite, its stream of 5 GB", { skip: missing("bridge-tests") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("passes on the filesystem driver", async () => {
    const root = join(memoryFolder(scope) ?? tempFolder(scope), "root");
    await initialiseRoot(root);
    const { address } = await startDriver(scope, { root });
    // Half a minute on a machine that does nothing else.
    const { passed, failed, output } = await distributionSuite(
      { blobs: address },
      { run: LARGE, timeoutMs: 1_500_000 },
    );
    assert.deepEqual(failed, [], output);
    assert.deepEqual(passed, [LARGE]);
  });
});
