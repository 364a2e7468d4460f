/** The one test of distribution's driver suite that suite.test.ts leaves out: a stream of 5 GB, there and back. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { distributionSuite } from "../helpers/bridge.ts";
import { initialiseRoot, startDriver } from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { missing } from "../helpers/tools.ts";

const LARGE = "TestWriteReadLargeStreams";

describe("distribution's driver suite, its stream of 5 GB", { skip: missing("bridge-tests") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("passes on the filesystem driver", async () => {
    const root = tempFolder(scope, "root");
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
