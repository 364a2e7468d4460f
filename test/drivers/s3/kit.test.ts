/** The conformance kit on the s3 driver, two replicas on one bucket of versitygw. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { assertReported, KIT_MS, runKit } from "../../helpers/kit.ts";
import { Scope } from "../../helpers/processes.ts";
import { startS3Server } from "../../helpers/s3-server.ts";
import { missing } from "../../helpers/tools.ts";
import { s3Store, startCommand } from "./s3.ts";

describe("the s3 driver under the conformance kit", { skip: missing("versitygw", "s3-sdk") }, () => {
  const scope = new Scope();
  after(scope.close);

  it("passes: lasting, for any number of processes", { timeout: KIT_MS }, async () => {
    const { env } = await s3Store(await startS3Server(scope));
    const result = await runKit(scope, { addresses: [], start: [startCommand(), startCommand()], env });
    assert.equal(result.driver?.name, "io.outrigger.s3");
    assert.deepEqual(
      { ...result.profiles },
      {
        handshake: "passed",
        process: "passed",
        meta: "not-claimed",
        blob: "passed",
        resume: "passed",
        replicas: "passed",
        "fast-paths": "passed",
      },
    );
    assertReported("s3", result);
  });
});
