/** The conformance kit on the gcs driver: two processes on one bucket of fake-gcs-server, every group, over kill -9. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { shellCommand } from "../../helpers/compiled.ts";
import { assertReported, KIT_MS, runKit } from "../../helpers/kit.ts";
import { Scope } from "../../helpers/processes.ts";
import { missing } from "../../helpers/tools.ts";
import { startConditions } from "./conditions.ts";
import { flagsFor, initialise, startServer } from "./gcs.ts";

describe("the gcs driver under the conformance kit", { skip: missing("fake-gcs-server", "gcs-sdk") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("passes: lasting, for any number of processes", { timeout: KIT_MS }, async () => {
    const server = await startServer(scope);
    const flags = flagsFor((await startConditions(scope, server.address)).address);
    await initialise(flags);
    const start = `exec ${shellCommand("driver", "gcs", ...flags)}`;
    const result = await runKit(scope, { addresses: [], start: [start, start] });
    assert.equal(result.driver?.name, "io.outrigger.gcs");
    assert.deepEqual(
      { ...result.profiles },
      {
        handshake: "passed",
        process: "passed",
        meta: "not-claimed",
        blob: "passed",
        resume: "passed",
        replicas: "passed",
        "fast-paths": "not-claimed",
      },
    );
    assertReported("gcs", result);
  });
});
